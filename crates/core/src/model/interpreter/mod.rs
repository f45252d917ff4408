//! The interpreter: how the leaves of a request are answered, decided in one place.
//!
//! A *leaf* is one part of a recipe of one model version in the ensemble that answers a request. Routers, the
//! trainer's evaluation and the offline evaluation of ensembles all answer leaves. They differ in where rows
//! come from and in what runs a search; what to look up and what to search is decided here for all three:
//!
//! 1. [`rows_needed`] says which rows a leaf needs to know of the user, item or text. A router looks them up in
//!    one round; evaluation has all of them in memory.
//! 2. The caller implements [`KnownRows`] over what it found, once for each model version.
//! 3. [`decide`] takes the leaves and the rows of their versions and gives the [`DecidedLeaves`]: a [`LeafPlan`] for
//!    each leaf, what each version has seen of the user, the [`FallbackReason`], and what fills up a short list.
//! 4. The caller runs the plans. [`LeafPlan::Neighbours`] is two searches: what the first one finds goes to
//!    [`Neighbours::items`]. [`LeafPlan::Chained`] waits for the list of the member before it, whose ordinals
//!    and scores are the rows of [`chained_search`].
//! 5. A list of fewer items than asked for is filled up by [`DecidedLeaves::filling`].
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
//!   ([`DecidedLeaves::seen`]). Ordinals are numbers within one version, so the caller translates them through ids.
//!
//! Matches over recipes name every variant: a new one does not compile until it is decided here.

mod basis;
mod decision;
mod history;
mod known_rows;
mod leaf;
mod needs;
mod request;
#[cfg(test)]
mod tests;

pub use basis::{Basis, Share, share_of};
pub use decision::{DecidedLeaves, FallbackReason, Filling, Leaf, Model, decide};
pub use history::{Recent, UserHistory, seen_entries};
pub use known_rows::KnownRows;
pub use leaf::{LeafPlan, MatrixSearch, Neighbours, VectorMeasure, chained_search, plan_for_user};
pub use needs::{RowNeed, RowPart, rows_needed};
pub use request::{Request, RowOf, UserRequest};
