//! What weights rely on.

use serde::Serialize;

/// What a reward is taken to depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Assumption {
    /// On the user, the item and its rank, and not on the other items.
    ItemAndRank,
    /// On whether the rank is looked at, and on how good the item is for the user.
    PositionBased,
}

impl Assumption {
    /// Both assumptions, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::ItemAndRank, Self::PositionBased];
}
