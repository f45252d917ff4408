//! What the tree asks of one leaf, and what is known of a leaf's list.

use marquee_core::ranking::fuse::Candidate;
use std::sync::Arc;

/// What a leaf's list is to have.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scope {
    /// At most this many items.
    pub(crate) count: usize,
    /// The items to score: no others are listed. None: any items.
    pub(crate) only: Option<Arc<[String]>>,
}

/// Items by id, and the weight that the row of each has in a sum.
pub(crate) type WeightedItems = Arc<[(String, f64)]>;

/// A leaf that is to be searched, and for what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LeafQuery {
    pub(crate) leaf: usize,
    pub(crate) scope: Scope,
    /// For a leaf of a chain: the items whose rows it sums.
    pub(crate) items: Option<WeightedItems>,
}

/// What is known of a leaf's list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LeafState {
    /// It was not searched yet.
    Open,
    /// Its list, best first.
    Answered(Vec<Candidate>),
    /// It failed, was too late, or has nothing to say: it will give no list.
    Absent,
}

/// The rows that a chain's leaf sums and their weights: of the `items` those that its model has an ordinal for.
/// Empty if it knows none of them.
pub(crate) fn known_rows(
    items: &[(String, f64)],
    ordinals: impl IntoIterator<Item = Option<u32>>,
) -> (Vec<u32>, Vec<f32>) {
    let known = ordinals.into_iter().zip(items);
    let known = known.filter_map(|(ordinal, (_, weight))| Some((ordinal?, *weight as f32)));
    known.filter(|(_, weight)| weight.is_finite() && *weight != 0.0).unzip()
}
