//! What searches find.

use super::strategy::DenseStrategy;

/// One row of a result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The ordinal of the row's user or item in the bundle.
    pub ordinal: u32,
    /// The row in the shard.
    pub row: u32,
    /// The score: the exact `f32` one, finite.
    pub score: f32,
}

/// The result of a dense search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DenseHits {
    /// The rows, best first.
    pub hits: Vec<Hit>,
    /// How they were found; none where nothing was searched.
    pub strategy: Option<DenseStrategy>,
    /// How many rows were looked at: scored themselves, or by their codes. Searches that were made again count each time.
    pub rows_read: u64,
}
