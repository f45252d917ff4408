//! The two operations that carry every model: dense top-k and sparse row-sum.
//!
//! [`dense_top_k`] finds the rows of a dense matrix that score best with a query vector, and
//! [`dense_top_k_each`] does so for several, whose scans share what they read;
//! [`sparse_row_sum`] finds the best columns of a weighted sum of sparse rows. Both are pure
//! computation on one thread, stop soon after their [`CancelFlag`] is raised, and give their results
//! in one order: score descending, then ordinal ascending. A score is always the exact `f32` one and
//! never NaN.
//!
//! A dense search picks its [`DenseStrategy`] by what each would cost (`plan`, `cost`): visiting some of the
//! cells, approximately with a measured recall, or as many as it takes to miss nothing (`cells`);
//! walking the frozen graph (`beam`), approximately and by inner product only; or scanning all rows
//! (`scan`). Where the approximate strategies can't tell which of equal rows come first, or come back short,
//! an exact one follows.
//!
//! Memory lives in a [`SearchScratch`], one a thread, which grows to the largest shard it has seen
//! and is then reused. What is deliberately missing: threads (callers have pools), time (callers
//! raise the flag), and the merge over shards (core's).

pub(crate) mod beam;
pub(crate) mod cells;
pub mod cost;
mod dense;
pub(crate) mod depth;
mod hits;
pub(crate) mod plan;
mod query;
pub(crate) mod rescore;
mod row_sum;
mod scan;
mod score;
mod scratch;
mod strategy;
mod sums;
#[cfg(test)]
mod tests;
pub(crate) mod top;

pub use cells::CellsWork;
pub use dense::{MAX_SCANNED_TOGETHER, costs_of_strategies, dense_top_k, dense_top_k_each};
pub use hits::{DenseHits, Hit};
pub use query::{Allow, CancelFlag, DenseQuery, MAX_SEARCH_COUNT, SearchParams};
pub use row_sum::sparse_row_sum;
pub use scratch::SearchScratch;
pub use strategy::DenseStrategy;
