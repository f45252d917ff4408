//! The interpreter: how the leaves of a request are answered, decided in one place.
//!
//! A *leaf* is one part of a recipe of one model version in the ensemble that answers a request. Routers, the
//! trainer's evaluation and the offline evaluation of ensembles all answer leaves. They differ in where rows
//! come from and in what runs a search; what to look up and what to search is decided here for all three:
//!
//! 1. [`rows_needed`] says which rows a leaf needs to know of the user, item or text. A router looks them up in
//!    one round; evaluation has all of them in memory.
//! 2. The caller implements [`KnownRows`] over what it found, once for each model version.
//! 3. [`decide`] takes the leaves and the rows of their versions and gives the [`Decision`]: a [`LeafPlan`] for
//!    each leaf, what each version has seen of the user, the [`FallbackReason`], and what fills up a short list.
//! 4. The caller runs the plans. [`LeafPlan::Neighbours`] is two searches: what the first one finds goes to
//!    [`Neighbours::items`]. [`LeafPlan::Chained`] waits for the list of the member before it, whose ordinals
//!    and scores are the rows of [`chained_search`].
//! 5. A list of fewer items than asked for is filled up by [`Decision::filling`].
//!
//! # Rules
//!
//! - *Preference.* A leaf knows a preference of the user if its recipe leads to a search: a vector that is not
//!   zero, or at least one row with a weight above 0. It is decided by rows, before any search, so that it
//!   depends on nothing that a filter leaves out or a shard does not answer.
//! - *Substitute.* Where no leaf knows a preference, the first personal leaf of each version is answered by the
//!   profile of the user's attributes if any are known, and else by popular items. Leaves of chains are then
//!   not answered at all.
//! - *Filling.* Sums of rows list only items that some row names. A list that they leave too short, or empty,
//!   is continued with the same substitutes: first the profile if attributes are known, then popular items. So
//!   a user whose neighbours' items are all seen gets what a user without a history gets.
//! - *An item counts once.* Recent items and the stored history are one set. An item that is recent twice
//!   counts by its newest mention, and one that the history has already moves to the front, as if training had
//!   seen the newest mention.
//! - *Seen is seen.* What any version knows as seen is left out of the lists of all versions
//!   ([`Decision::seen`]). Ordinals are numbers within one version, so the caller translates them through ids.
//!
//! Matches over recipes name every variant: a new one does not compile until it is decided here.

mod basis;
mod decision;
mod history;
mod leaf;
mod needs;
#[cfg(test)]
mod tests;

pub use basis::{Basis, Share};
pub use decision::{Decision, FallbackReason, Filling, Leaf, Model, decide};
pub use history::{Recent, UserHistory, seen_entries};
pub use leaf::{LeafPlan, MatrixSearch, Neighbours, VectorMeasure, chained_search, plan_for_user};
pub use needs::{RowNeed, RowPart, rows_needed};

use crate::model::recipe::{Entity, Seen};
use std::borrow::Cow;

/// What a request asks, as far as the rows of models matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Items for a user.
    User(UserRequest),
    /// Items that are like the subject, an item.
    Item,
    /// Items that a text is about.
    Text {
        /// How many words it has, each a [`RowOf::Term`].
        words: usize,
    },
}

/// Items for a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserRequest {
    /// How many recent items of the user count, each a [`RowOf::Recent`], the newest last.
    pub recents: usize,
    /// How many attributes the request gives, each a [`RowOf::Term`].
    pub terms: usize,
    /// Whether items that the user has seen may be listed.
    pub include_seen: bool,
    /// Whether the answer says which items of the history it is due to.
    pub explain: bool,
}

/// Whose row is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowOf {
    /// The user or item that the request is about.
    Subject,
    /// One of the request's recent items, by its place; the newest is last.
    Recent(usize),
    /// One of the request's words or attributes, by its place.
    Term(usize),
    /// An item of the stored history, by its ordinal. [`rows_needed`] never asks for it: only evaluation, which
    /// has all rows, knows it, and uses it for users without a stored vector.
    Past(u32),
}

impl RowOf {
    /// The kind of row, given that of the subject.
    pub fn entity(self, subject: Entity) -> Entity {
        match self {
            Self::Subject => subject,
            Self::Recent(_) | Self::Past(_) => Entity::Item,
            Self::Term(_) => Entity::Term,
        }
    }
}

/// What one model version knows, as far as it was looked up.
///
/// What was not found, was not looked up, or was on a shard that did not answer, is none or empty.
pub trait KnownRows {
    /// The ordinal of a row, from 0.
    fn ordinal(&self, of: RowOf) -> Option<u32>;

    /// A row of a dense matrix, of rank components.
    fn vector(&self, of: RowOf, matrix: &str) -> Option<&[f32]>;

    /// What the user has seen, by ascending item: the row of
    /// [`HISTORY_MATRIX`](crate::model::recipe::HISTORY_MATRIX) with the ages of
    /// [`HISTORY_ORDER_MATRIX`](crate::model::recipe::HISTORY_ORDER_MATRIX). [`seen_entries`] makes it of the two.
    fn history(&self) -> Cow<'_, [Seen]>;

    /// The terms that training knew of the user: the columns of the user's row of this sparse matrix.
    fn terms(&self, matrix: &str) -> &[u32];

    /// Whether a shard that holds the subject did not answer.
    fn is_subject_unavailable(&self) -> bool {
        false
    }
}
