//! What a request asks of the leaves, and whose rows it names.

use crate::model::recipe::Entity;

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
    /// An item of the stored history, by its ordinal. [`rows_needed`](super::rows_needed) never asks for it: only evaluation, which
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
