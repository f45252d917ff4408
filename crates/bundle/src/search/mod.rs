//! The two operations that carry every model: dense top-k and sparse row-sum.
//!
//! [`dense_top_k`] finds the rows of a dense matrix that score best with a query vector;
//! [`sparse_row_sum`] finds the best columns of a weighted sum of sparse rows. Both are pure
//! computation on one thread, stop soon after their [`CancelFlag`] is raised, and give their results
//! in one order: score descending, then ordinal ascending. A score is always the exact `f32` one and
//! never NaN.
//!
//! A dense search picks between two ways by itself: walking the frozen graph (`beam`, approximate
//! with a measured recall) and the exact scan (`scan`). It scans where there is no graph, where
//! the metric isn't the graph's (cosine), where a filter leaves few rows, where so many results are
//! wanted that the walk would cost more, and again where a walk came back short.
//!
//! Memory lives in a [`SearchScratch`], one a thread, which grows to the largest shard it has seen
//! and is then reused. What is deliberately missing: threads (callers have pools), time (callers
//! raise the flag), and the merge over shards (core's).

pub(crate) mod beam;
mod row_sum;
pub(crate) mod scan;
pub(crate) mod top;

pub use row_sum::sparse_row_sum;

use crate::bitmap::RowBitmap;
use crate::dense::DenseMatrix;
use crate::error::SearchError;
use crate::graph::{GraphView, MAX_EF};
use crate::shard::BundleShard;
use beam::Reach;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};

/// Results of one search: ten times what a caller may ask for, so that an ensemble can fuse.
pub const MAX_SEARCH_COUNT: usize = 10_000;
/// A filter that leaves less than this share of the rows is answered by the exact scan: the walk
/// visits rows whether they are allowed or not.
const MIN_WALK_SHARE: f64 = 0.2;
/// A walk scores about this many rows for each unit of its width, and each costs a cache miss; above
/// `rows` of them the scan, which streams and skips, is faster.
const WALK_COST: usize = 25;

/// Searches for more rows than this walk thoroughly: some of them have no common links to them.
const COMMON_COUNT: usize = 100;

/// How a row is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// ⟨query, row⟩.
    InnerProduct,
    /// ⟨query, row⟩ / (|query| · |row|); 0 where either is all zeros.
    Cosine,
}

/// Raised by a caller that gave up; searches look at it every few microseconds.
#[derive(Debug, Default)]
pub struct CancelFlag(AtomicBool);

impl CancelFlag {
    /// A flag that isn't raised.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Raises it, for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is raised.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<(), SearchError> {
        if self.is_cancelled() { Err(SearchError::Cancelled) } else { Ok(()) }
    }
}

/// Which rows may be in a result.
#[derive(Clone, Copy, Debug)]
pub enum Allow<'a> {
    /// All.
    All,
    /// Those of a filter, such as [`filter_rows`](crate::filter_rows) makes.
    Rows(&'a RowBitmap),
}

/// What is wanted of a search.
#[derive(Clone, Copy, Debug)]
pub struct SearchParams<'a> {
    /// Results wanted, at most [`MAX_SEARCH_COUNT`]; fewer come back where fewer are allowed.
    pub count: usize,
    /// Which rows may be in the result.
    pub allow: Allow<'a>,
    /// Rows that must not be in the result (seen items, say), ascending. Meant for up to a few
    /// thousand; others belong into the filter.
    pub exclude_rows: &'a [u32],
    /// Stops the search when raised.
    pub cancel: &'a CancelFlag,
    /// The width of the walk, instead of the one measured at building.
    pub ef: Option<usize>,
    /// Scan exactly, whatever it costs.
    pub exact: bool,
}

impl<'a> SearchParams<'a> {
    /// The best `count` of all rows.
    pub fn new(count: usize, cancel: &'a CancelFlag) -> Self {
        Self { count, allow: Allow::All, exclude_rows: &[], cancel, ef: None, exact: false }
    }

    /// Checks what is common to both operations, for a shard of `rows` rows.
    fn check(&self, rows: usize) -> Result<(), SearchError> {
        if self.count > MAX_SEARCH_COUNT {
            return Err(SearchError::Count { count: self.count, max: MAX_SEARCH_COUNT });
        }
        debug_assert!(self.exclude_rows.is_sorted(), "exclude_rows must be ascending");
        if let Allow::Rows(bitmap) = self.allow
            && bitmap.rows() != rows
        {
            return Err(SearchError::Bitmap { expected: rows, found: bitmap.rows() });
        }
        self.cancel.check()
    }

    /// Whether a row may be in the result.
    #[inline]
    fn admits(&self, row: u32) -> bool {
        let allowed = match self.allow {
            Allow::All => true,
            Allow::Rows(bitmap) => bitmap.contains(row),
        };
        allowed && self.exclude_rows.binary_search(&row).is_err()
    }

    /// How many of `rows` rows the filter allows.
    fn allowed(&self, rows: usize) -> usize {
        match self.allow {
            Allow::All => rows,
            Allow::Rows(bitmap) => bitmap.count(),
        }
    }
}

/// One result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The ordinal of the row's user or item in the bundle.
    pub ordinal: u32,
    /// The row in the shard.
    pub row: u32,
    /// The score; finite.
    pub score: f32,
}

/// The memory that searches reuse. One for each thread; any shard.
#[derive(Default)]
pub struct SearchScratch {
    top: top::Top,
    beam: beam::Beam,
    scan: scan::ScanBuffers,
    sums: row_sum::Sums,
}

impl SearchScratch {
    /// Empty scratch; the first searches let it grow.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The rows of the shard's dense matrix that score best with `query` (as long as its rank), best
/// first.
///
/// # Errors
/// For an unknown matrix, a query of the wrong length or with a value that isn't finite, a count
/// above [`MAX_SEARCH_COUNT`], a bitmap of another shard, a score beyond `f32`, and when cancelled.
pub fn dense_top_k(
    shard: &BundleShard,
    matrix: &str,
    query: &[f32],
    metric: Metric,
    params: &SearchParams<'_>,
    scratch: &mut SearchScratch,
) -> Result<Vec<Hit>, SearchError> {
    let matrix = shard.dense(matrix)?;
    let rows = matrix.rows();
    if query.len() != matrix.rank() {
        let (expected, found) = (matrix.rank(), query.len());
        return Err(SearchError::Rank { matrix: matrix.name().into(), expected, found });
    }
    if let Some(index) = query.iter().position(|value| !value.is_finite()) {
        return Err(SearchError::NotFinite { field: "query", index });
    }
    params.check(rows)?;
    let allowed = params.allowed(rows);
    if params.count == 0 || allowed == 0 {
        return Ok(Vec::new());
    }
    let ordinals = shard.ids(matrix.entity()).ordinals();
    if let Some((graph, width)) = walk_width(matrix, metric, params, allowed) {
        let vectors = scan::Vectors { values: matrix.values(), rank: matrix.rank() };
        match scratch.beam.walk(graph, vectors, query, width, params.cancel) {
            Ok(()) => {
                let enough = |hits: &Vec<Hit>| hits.len() >= params.count.min(allowed);
                if let Some(hits) = scratch.beam.hits(params, ordinals).filter(enough) {
                    return Ok(hits);
                }
                // Fewer than there are, or a tie that the walk can't decide.
            }
            Err(beam::Stop::Cancelled) => return Err(SearchError::Cancelled),
            // The scan finds out which row it is, and whether double precision helps.
            Err(beam::Stop::NotFinite) => {}
        }
    }
    scan::scan(matrix, ordinals, query, metric, params, scratch)?;
    Ok(scratch.top.take())
}

/// The graph to walk and how widely, or none where the exact scan is the better way.
fn walk_width<'a>(
    matrix: &'a DenseMatrix,
    metric: Metric,
    params: &SearchParams<'_>,
    allowed: usize,
) -> Option<(GraphView<'a>, (usize, Reach))> {
    let graph = matrix.graph()?;
    let rows = matrix.rows();
    let share = allowed as f64 / rows as f64;
    if params.exact || metric != Metric::InnerProduct || share < MIN_WALK_SHARE {
        return None;
    }
    // Excluded rows are often the best ones, so they take places in the walk; and of the rows in it
    // only the allowed ones count.
    let wanted = ((params.count + params.exclude_rows.len()) as f64 / share).ceil() as usize;
    let width = match params.ef {
        Some(width) => width.max(wanted).min(rows),
        None => graph.default_width().for_count(wanted)?,
    };
    let cheaper = width <= MAX_EF && width.saturating_mul(WALK_COST) <= rows;
    let reach = if share < 1.0 || wanted > COMMON_COUNT { Reach::Thorough } else { Reach::Common };
    (cheaper || params.ef.is_some()).then(|| (graph.view(), (width, reach)))
}

#[cfg(test)]
mod tests;
