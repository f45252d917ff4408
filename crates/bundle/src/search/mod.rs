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
mod plan;
pub(crate) mod rescore;
mod row_sum;
pub(crate) mod scan;
pub(crate) mod top;

pub use cells::Work;
pub use row_sum::sparse_row_sum;

use crate::bitmap::RowBitmap;
use crate::cells::Effort;
use crate::dense::DenseMatrix;
use crate::error::SearchError;
use crate::shard::BundleShard;
use beam::Reach;
use rescore::{Rescorer, Target};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};

/// Results of one search: ten times what a caller may ask for, so that an ensemble can fuse.
pub const MAX_SEARCH_COUNT: usize = 10_000;

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
    /// Miss nothing, whatever it costs.
    pub exact: bool,
    /// Search by this strategy, where the matrix has what it needs, instead of the one that costs least.
    pub strategy: Option<DenseStrategy>,
}

impl<'a> SearchParams<'a> {
    /// The best `count` of all rows.
    pub fn new(count: usize, cancel: &'a CancelFlag) -> Self {
        Self { count, allow: Allow::All, exclude_rows: &[], cancel, exact: false, strategy: None }
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

/// How a dense matrix is searched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DenseStrategy {
    /// Every row that could be among the results is scored: exact.
    Scan,
    /// The cells' most promising blocks, and the best of their rows re-scored.
    Cells(Effort),
    /// The same, and then every block whose rows could be among the results: exact.
    ExactCells,
    /// The graph is walked; by inner product only.
    Graph {
        /// How many rows the walk keeps.
        width: usize,
        /// Whether it follows the extra links too.
        thorough: bool,
    },
}

impl DenseStrategy {
    /// Its name, for people who measure.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Cells(_) => "cells",
            Self::ExactCells => "exact_cells",
            Self::Graph { .. } => "graph",
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
    /// One for each query of a scan.
    lanes: Vec<scan::Lane>,
    cells: cells::CellSearch,
    rescorer: Rescorer,
    sums: row_sum::Sums,
    strategy: Option<DenseStrategy>,
}

impl SearchScratch {
    /// Empty scratch; the first searches let it grow.
    pub fn new() -> Self {
        Self::default()
    }

    /// How the last [`dense_top_k`] was answered; none before the first, and where nothing was searched.
    pub fn last_strategy(&self) -> Option<DenseStrategy> {
        self.strategy
    }

    /// How many rows the last walk over a graph scored; none before the first.
    pub fn last_walked(&self) -> usize {
        self.beam.walked()
    }

    /// What the last search in cells did; nothing before the first.
    pub fn last_work(&self) -> Work {
        self.cells.work()
    }
}

/// One of several searches over one matrix.
#[derive(Clone, Copy, Debug)]
pub struct DenseQuery<'a> {
    /// As long as the matrix's rank.
    pub vector: &'a [f32],
    /// What is wanted.
    pub params: SearchParams<'a>,
}

/// What a dense search came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DenseHits {
    /// The rows, best first.
    pub hits: Vec<Hit>,
    /// How they were found; none where nothing was searched.
    pub strategy: Option<DenseStrategy>,
}

/// Queries that are scanned for together at most. More would save little, for so many share what a block
/// costs to fetch already, and they wait for each other.
pub const MAX_SCANNED_TOGETHER: usize = 8;

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
    scratch.strategy = None;
    let over = Over::new(shard, matrix, metric)?;
    let query = DenseQuery { vector: query, params: *params };
    let Some(strategy) = over.choose(&query)? else { return Ok(Vec::new()) };
    let DenseHits { hits, strategy } = over.search(&query, strategy, scratch)?;
    scratch.strategy = strategy;
    Ok(hits)
}

/// What each strategy to answer would cost by the planner's model, in nanoseconds; [`dense_top_k`] takes the least,
/// or an exact one that is cheap enough. Nothing where there is nothing to search.
///
/// # Errors
/// As [`dense_top_k`], for what can be told before searching.
pub fn costs_of_strategies(
    shard: &BundleShard,
    matrix: &str,
    query: &[f32],
    metric: Metric,
    params: &SearchParams<'_>,
) -> Result<Vec<(DenseStrategy, f64)>, SearchError> {
    let over = Over::new(shard, matrix, metric)?;
    let query = DenseQuery { vector: query, params: *params };
    if over.choose(&query)?.is_none() {
        return Ok(Vec::new());
    }
    let plain = over.matrix.cells().is_some() && cells::is_plain(query.vector);
    let allowed = params.allowed(over.matrix.rows());
    Ok(plan::strategies(over.matrix, metric, params, allowed, plain)
        .into_iter()
        .flatten()
        .collect())
}

/// What [`dense_top_k`] gives for each of these queries, in order and bit for bit; each has an error of
/// its own. Those that are scanned for are so together, at most [`MAX_SCANNED_TOGETHER`] at a time, which
/// costs less than one by one.
pub fn dense_top_k_each(
    shard: &BundleShard,
    matrix: &str,
    metric: Metric,
    queries: &[DenseQuery<'_>],
    scratch: &mut SearchScratch,
) -> Vec<Result<DenseHits, SearchError>> {
    let over = match Over::new(shard, matrix, metric) {
        Ok(over) => over,
        Err(error) => return queries.iter().map(|_| Err(error.clone())).collect(),
    };
    let mut scanned = Vec::new();
    let mut answers = Vec::with_capacity(queries.len());
    for (place, query) in queries.iter().enumerate() {
        answers.push(match over.choose(query) {
            Ok(Some(DenseStrategy::Scan)) => {
                scanned.push(place);
                Ok(DenseHits::default())
            }
            Ok(Some(strategy)) => over.search(query, strategy, scratch),
            Ok(None) => Ok(DenseHits::default()),
            Err(error) => Err(error),
        });
    }
    for places in scanned.chunks(MAX_SCANNED_TOGETHER) {
        let lanes = scan::Lane::some(&mut scratch.lanes, places.len());
        let pass = |(&place, lane)| over.pass(&queries[place], lane);
        let mut passes: Vec<scan::Pass<'_>> = places.iter().zip(lanes).map(pass).collect();
        scan::scan(&mut passes, over.matrix.block_norms());
        for (&place, pass) in places.iter().zip(passes) {
            answers[place] = pass.finish();
        }
    }
    answers
}

/// What dense searches are over.
struct Over<'a> {
    matrix: &'a DenseMatrix,
    ordinals: &'a [u32],
    metric: Metric,
}

impl<'a> Over<'a> {
    fn new(shard: &'a BundleShard, matrix: &str, metric: Metric) -> Result<Self, SearchError> {
        let matrix = shard.dense(matrix)?;
        Ok(Self { matrix, ordinals: shard.ids(matrix.entity()).ordinals(), metric })
    }

    fn target<'q>(&self, query: &'q [f32]) -> Target<'q>
    where
        'a: 'q,
    {
        let Self { matrix, ordinals, metric } = *self;
        Target { dense: matrix.view(), ordinals, query, metric }
    }

    fn pass<'q>(&self, query: &'q DenseQuery<'_>, lane: &'q mut scan::Lane) -> scan::Pass<'q>
    where
        'a: 'q,
    {
        scan::Pass::new(self.target(query.vector), &query.params, lane)
    }

    /// Checks a query and chooses its way, for which the matrix has what it takes; none if there is
    /// nothing to search.
    fn choose(&self, query: &DenseQuery<'_>) -> Result<Option<DenseStrategy>, SearchError> {
        let Self { matrix, metric, .. } = *self;
        let DenseQuery { vector, params } = query;
        if vector.len() != matrix.rank() {
            let (expected, found) = (matrix.rank(), vector.len());
            return Err(SearchError::Rank { matrix: matrix.name().into(), expected, found });
        }
        if let Some(index) = vector.iter().position(|value| !value.is_finite()) {
            return Err(SearchError::NotFinite { field: "query", index });
        }
        params.check(matrix.rows())?;
        let allowed = params.allowed(matrix.rows());
        if params.count == 0 || allowed == 0 {
            return Ok(None);
        }
        let plain = matrix.cells().is_some() && cells::is_plain(vector);
        let walkable = matrix.graph().is_some() && metric == Metric::InnerProduct;
        let choose = || plan::choose(matrix, metric, params, allowed, plain);
        Ok(Some(match params.strategy.unwrap_or_else(choose) {
            strategy @ (DenseStrategy::Cells(_) | DenseStrategy::ExactCells) if plain => strategy,
            strategy @ DenseStrategy::Graph { .. } if walkable => strategy,
            _ => DenseStrategy::Scan,
        }))
    }

    /// Searches by the chosen strategy, or exactly where that one comes back short.
    fn search(
        &self,
        query: &DenseQuery<'_>,
        strategy: DenseStrategy,
        scratch: &mut SearchScratch,
    ) -> Result<DenseHits, SearchError> {
        let SearchScratch { lanes, beam, cells: search, top, rescorer, .. } = scratch;
        let params = &query.params;
        if let (DenseStrategy::Graph { width, thorough }, Some(graph)) =
            (strategy, self.matrix.graph())
        {
            let (rows, dense) = (self.matrix.rows(), self.matrix.view());
            let reach = if thorough { Reach::Thorough } else { Reach::Common };
            let effort = (width.clamp(1, rows), reach);
            match beam.walk(graph.view(), dense, query.vector, effort, params.cancel) {
                Ok(()) => {
                    let there = params.count.min(params.allowed(rows));
                    let enough = |hits: &Vec<Hit>| hits.len() >= there;
                    if let Some(hits) = beam.hits(params, self.ordinals).filter(enough) {
                        return Ok(DenseHits { hits, strategy: Some(strategy) });
                    }
                    // Fewer than there are, or a tie that the walk can't decide.
                }
                Err(beam::Stop::Cancelled) => return Err(SearchError::Cancelled),
                // The scan finds out which row it is, and whether double precision helps.
                Err(beam::Stop::NotFinite) => {}
            }
        }
        if let (DenseStrategy::Cells(_) | DenseStrategy::ExactCells, Some(cells)) =
            (strategy, self.matrix.cells())
        {
            let about = (self.target(query.vector), cells.view());
            let mut strategy = strategy;
            if let DenseStrategy::Cells(effort) = strategy {
                search.search(about, params, effort, (rescorer, top))?;
                if search.is_tied(top) {
                    strategy = DenseStrategy::ExactCells;
                }
            }
            if strategy == DenseStrategy::ExactCells {
                search.search_exactly(about, params, (rescorer, top))?;
            }
            return Ok(DenseHits { hits: top.take(), strategy: Some(strategy) });
        }
        let mut pass = self.pass(query, &mut scan::Lane::some(lanes, 1)[0]);
        scan::scan(std::slice::from_mut(&mut pass), self.matrix.block_norms());
        pass.finish()
    }
}

#[cfg(test)]
mod tests;
