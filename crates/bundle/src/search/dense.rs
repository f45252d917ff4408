//! Dense top-k: the rows of a dense matrix that score best with a query.

use super::beam::{Reach, Stop};
use super::cells::is_plain;
use super::depth::Depth;
use super::hits::{DenseHits, Hit};
use super::plan::{self, Wider};
use super::query::{DenseQuery, SearchParams};
use super::rescore::RescoreTarget;
use super::scan::{Lane, Pass, scan};
use super::scratch::SearchScratch;
use super::strategy::DenseStrategy;
use crate::error::{QueryPart, SearchError};
use crate::matrix::cells::Cells;
use crate::matrix::dense::DenseMatrix;
use crate::matrix::graph::FrozenGraph;
use crate::shard::BundleShard;
use marquee_core::model::interpreter::VectorMeasure;

/// The most queries that share a scan. More would save little, because so many already share what a block
/// costs to fetch, and they wait for each other.
pub const MAX_SCANNED_TOGETHER: usize = 8;

/// The rows of the shard's dense matrix that score best with `query` (as long as its rank), best
/// first.
///
/// # Errors
/// For an unknown matrix, a query of the wrong length or with a value that isn't finite, a count
/// above [`MAX_SEARCH_COUNT`](super::query::MAX_SEARCH_COUNT), a bitmap of another shard, a score beyond `f32`, and when cancelled.
pub fn dense_top_k(
    shard: &BundleShard,
    matrix: &str,
    query: &[f32],
    measure: VectorMeasure,
    params: &SearchParams<'_>,
    scratch: &mut SearchScratch,
) -> Result<Vec<Hit>, SearchError> {
    scratch.strategy = None;
    let search = DenseSearch::new(shard, matrix, measure)?;
    let dense_query = DenseQuery { vector: query, params: *params };
    let Some(strategy) = search.choose(&dense_query)? else { return Ok(Vec::new()) };
    let found = search.search(&dense_query, strategy, scratch)?;
    scratch.strategy = found.strategy;
    Ok(found.hits)
}

/// The cost of each strategy by the planner's model, in nanoseconds. [`dense_top_k`] takes the cheapest, or
/// an exact one that is cheap enough. Empty where there is nothing to search.
///
/// # Errors
/// As [`dense_top_k`], for what can be told before searching.
pub fn costs_of_strategies(
    shard: &BundleShard,
    matrix: &str,
    query: &[f32],
    measure: VectorMeasure,
    params: &SearchParams<'_>,
) -> Result<Vec<(DenseStrategy, f64)>, SearchError> {
    let search = DenseSearch::new(shard, matrix, measure)?;
    if search.choose(&DenseQuery { vector: query, params: *params })?.is_none() {
        return Ok(Vec::new());
    }
    let plain = search.matrix.cells().is_some() && is_plain(query);
    let allowed = params.allowed(search.matrix.rows());
    Ok(plan::strategies(search.matrix, measure, params, allowed, plain)
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
    measure: VectorMeasure,
    queries: &[DenseQuery<'_>],
    scratch: &mut SearchScratch,
) -> Vec<Result<DenseHits, SearchError>> {
    let search = match DenseSearch::new(shard, matrix, measure) {
        Ok(search) => search,
        Err(error) => return queries.iter().map(|_| Err(error.clone())).collect(),
    };
    let mut scanned = Vec::new();
    let mut answers = Vec::with_capacity(queries.len());
    for (place, query) in queries.iter().enumerate() {
        answers.push(match search.choose(query) {
            Ok(Some(DenseStrategy::Scan)) => {
                scanned.push(place);
                Ok(DenseHits::default())
            }
            Ok(Some(strategy)) => search.search(query, strategy, scratch),
            Ok(None) => Ok(DenseHits::default()),
            Err(error) => Err(error),
        });
    }
    for places in scanned.chunks(MAX_SCANNED_TOGETHER) {
        let lanes = Lane::some(&mut scratch.lanes, places.len());
        let mut passes: Vec<Pass<'_>> = Vec::with_capacity(places.len());
        for (&place, lane) in places.iter().zip(lanes) {
            passes.push(search.pass(&queries[place], lane));
        }
        scan(&mut passes, search.matrix.block_norms());
        for (&place, pass) in places.iter().zip(passes) {
            answers[place] = pass.finish();
        }
    }
    answers
}

/// How often a search is made again with more effort before it is made exactly: what a filter leaves can lie
/// anywhere, and the second time it is known where.
const MAX_WIDENINGS: usize = 2;

/// A matrix and a measure to search by, with the ordinals of the rows.
struct DenseSearch<'a> {
    matrix: &'a DenseMatrix,
    ordinals: &'a [u32],
    measure: VectorMeasure,
}

impl<'a> DenseSearch<'a> {
    fn new(
        shard: &'a BundleShard,
        name: &str,
        measure: VectorMeasure,
    ) -> Result<Self, SearchError> {
        let matrix = shard.dense(name)?;
        Ok(Self { matrix, ordinals: shard.ids(matrix.entity()).ordinals(), measure })
    }

    fn target<'q>(&self, query: &'q [f32]) -> RescoreTarget<'q>
    where
        'a: 'q,
    {
        let Self { matrix, ordinals, measure } = *self;
        RescoreTarget { dense: matrix.view(), ordinals, query, measure }
    }

    fn pass<'q>(&self, query: &'q DenseQuery<'_>, lane: &'q mut Lane) -> Pass<'q>
    where
        'a: 'q,
    {
        Pass::new(self.target(query.vector), &query.params, lane)
    }

    /// Checks a query and chooses a strategy that the matrix has what it needs for; none if there is
    /// nothing to search.
    fn choose(&self, query: &DenseQuery<'_>) -> Result<Option<DenseStrategy>, SearchError> {
        let Self { matrix, measure, .. } = *self;
        let DenseQuery { vector, params } = query;
        if vector.len() != matrix.rank() {
            let (expected, found) = (matrix.rank(), vector.len());
            return Err(SearchError::Rank { matrix: matrix.name().into(), expected, found });
        }
        if let Some(index) = vector.iter().position(|value| !value.is_finite()) {
            return Err(SearchError::NotFinite { part: QueryPart::Vector, index });
        }
        params.check(matrix.rows())?;
        let allowed = params.allowed(matrix.rows());
        if params.count == 0 || allowed == 0 {
            return Ok(None);
        }
        let plain = matrix.cells().is_some() && is_plain(vector);
        let walkable = matrix.graph().is_some() && measure == VectorMeasure::InnerProduct;
        let choose = || plan::choose(matrix, measure, params, allowed, plain);
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
        let params = &query.params;
        let depth = Depth::of(params, params.allowed(self.matrix.rows()), self.matrix.rows());
        if let (DenseStrategy::Graph { width, thorough }, Some(graph)) =
            (strategy, self.matrix.graph())
            && let Some(found) = self.walk(query, graph, (width, thorough), &depth, scratch)?
        {
            return Ok(found);
        }
        if let (DenseStrategy::Cells(_) | DenseStrategy::ExactCells, Some(cells)) =
            (strategy, self.matrix.cells())
        {
            return self.search_cells(query, cells, (strategy, &depth), scratch);
        }
        let lanes = &mut scratch.lanes;
        let mut pass = self.pass(query, &mut Lane::some(lanes, 1)[0]);
        scan(std::slice::from_mut(&mut pass), self.matrix.block_norms());
        pass.finish()
    }

    /// Walks the graph, again and wider where the results lie deeper than thought; none where a walk does not find
    /// enough, or nothing that can be relied on.
    fn walk(
        &self,
        query: &DenseQuery<'_>,
        graph: &FrozenGraph,
        (width, thorough): (usize, bool),
        depth: &Depth,
        scratch: &mut SearchScratch,
    ) -> Result<Option<DenseHits>, SearchError> {
        let (params, beam) = (&query.params, &mut scratch.beam);
        let (rows, dense) = (self.matrix.rows(), self.matrix.view());
        let reach = if thorough { Reach::Thorough } else { Reach::Common };
        let mut width = width.clamp(1, rows);
        let mut rows_read = 0;
        for round in 0.. {
            let effort = (width, reach);
            match beam.walk(graph.view(), dense, query.vector, effort, params.cancel) {
                Ok(()) => {}
                Err(Stop::Cancelled) => return Err(SearchError::Cancelled),
                // The scan finds out which row it is, and whether double precision helps.
                Err(Stop::NotFinite) => break,
            }
            rows_read += beam.walked() as u64;
            // Fewer than there are, or a tie that the walk can't decide?
            let there = params.count.min(depth.allowed);
            let Some(hits) = beam.hits(params, self.ordinals) else { break };
            if hits.len() < there {
                break;
            }
            let is_enough = params.strategy.is_some() || !depth.is_limited() || width == rows;
            let wider = match is_enough {
                true => Wider::Enough,
                false => plan::wider_walk(graph, depth, width, beam.depth_of(&hits)),
            };
            match wider {
                Wider::Again(wider) if round < MAX_WIDENINGS => width = wider.min(rows),
                Wider::Enough => {
                    let strategy = DenseStrategy::Graph { width, thorough };
                    return Ok(Some(DenseHits { hits, strategy: Some(strategy), rows_read }));
                }
                Wider::Again(_) | Wider::Exactly => break,
            }
        }
        Ok(None)
    }

    /// Searches cells, again and with more effort where the results lie deeper than thought.
    fn search_cells(
        &self,
        query: &DenseQuery<'_>,
        cells: &Cells,
        (strategy, depth): (DenseStrategy, &Depth),
        scratch: &mut SearchScratch,
    ) -> Result<DenseHits, SearchError> {
        let SearchScratch { cells: search, top, rescorer, .. } = scratch;
        let params = &query.params;
        let about = (self.target(query.vector), cells.view());
        let (mut used, mut rows_read) = (strategy, 0);
        for round in 0.. {
            let DenseStrategy::Cells(effort) = used else { break };
            search.search(about, params, effort, (rescorer, top))?;
            rows_read += search.work().rows_read();
            if search.is_tied(top) {
                used = DenseStrategy::ExactCells;
                break;
            }
            if params.strategy.is_some() || !depth.is_limited() {
                break;
            }
            let reached = search.reached(top, (rescorer, self.measure));
            used = match plan::wider_cells(cells, (self.measure, depth), effort, reached) {
                Wider::Enough => break,
                Wider::Again(wider) if round < MAX_WIDENINGS => DenseStrategy::Cells(wider),
                Wider::Again(_) | Wider::Exactly => DenseStrategy::ExactCells,
            };
        }
        if used == DenseStrategy::ExactCells {
            search.search_exactly(about, params, (rescorer, top))?;
            rows_read += search.work().rows_read();
        }
        Ok(DenseHits { hits: top.take(), strategy: Some(used), rows_read })
    }
}
