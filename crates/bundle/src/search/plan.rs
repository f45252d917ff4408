//! Chooses a search strategy: by rows, results wanted, measure, and how many rows a filter leaves.

use super::cost;
use super::depth::{Depth, Reached};
use super::query::SearchParams;
use super::strategy::DenseStrategy;
use crate::effort::Effort;
use crate::matrix::cells::Cells;
use crate::matrix::dense::DenseMatrix;
use crate::matrix::graph::{FrozenGraph, MAX_EF};
use marquee_core::model::interpreter::VectorMeasure;

/// An exact answer that costs no more than this, in nanoseconds, is taken: the rest of a request costs
/// more, and nothing is gained by missing some rows.
const CHEAP: f64 = 40_000.0;
/// Walks for more rows than this are thorough: some of them have no common links to them.
pub(crate) const COMMON_COUNT: usize = 100;
/// A walk is made again where its width should have been so many times as great.
const WORTH_A_WALK: f64 = 1.2;
/// A filter that leaves less than this share of the rows isn't walked with: a walk visits rows whether
/// they are allowed or not.
const MIN_WALK_SHARE: f64 = 0.2;

/// The strategy that costs least, for a query that cells can be searched with, or that they can't.
pub(super) fn choose(
    matrix: &DenseMatrix,
    measure: VectorMeasure,
    params: &SearchParams<'_>,
    allowed: usize,
    plain: bool,
) -> DenseStrategy {
    let [scan, exact, cells, graph] = strategies(matrix, measure, params, allowed, plain);
    let cheapest_exact = cheaper(scan.unwrap_or((DenseStrategy::Scan, f64::INFINITY)), exact);
    if params.exact || cheapest_exact.1 <= CHEAP {
        return cheapest_exact.0;
    }
    cheaper(cheaper(cheapest_exact, cells), graph).0
}

/// The other strategy with its cost if there is one and it costs less, else the first.
fn cheaper(
    first: (DenseStrategy, f64),
    other: Option<(DenseStrategy, f64)>,
) -> (DenseStrategy, f64) {
    match other {
        Some(cheaper) if cheaper.1 < first.1 => cheaper,
        _ => first,
    }
}

/// What each strategy would cost in nanoseconds of the model, where the matrix has what it needs: the scan,
/// as many cells as it takes to be exact, cells, the graph.
pub(super) fn strategies(
    matrix: &DenseMatrix,
    measure: VectorMeasure,
    params: &SearchParams<'_>,
    allowed: usize,
    plain: bool,
) -> [Option<(DenseStrategy, f64)>; 4] {
    let rows = matrix.rows();
    let depth = Depth::of(params, allowed, rows);
    let scan = (DenseStrategy::Scan, cost::of_scan(rows, allowed, params.count, matrix.rank()));
    let tuned = matrix.cells().filter(|_| plain).map(|cells| {
        let rows_deep = depth.rows_deep();
        (cells.tuning().at(measure, depth.care(), rows_deep), rows_deep)
    });
    let exact = tuned.map(|(tuned, _)| (DenseStrategy::ExactCells, tuned.exact_cost));
    let cells = tuned.and_then(|(tuned, rows_deep)| {
        Some((DenseStrategy::Cells(depth.effort(tuned.effort?, rows_deep)), tuned.cost))
    });
    let graph =
        matrix.graph().filter(|_| measure == VectorMeasure::InnerProduct).and_then(|graph| {
            let (width, thorough) = walk(graph, &depth, depth.rows_deep())?;
            let cost = cost::of_walk(width, graph.links(), matrix.rank());
            Some((DenseStrategy::Graph { width, thorough }, cost))
        });
    [Some(scan), exact, cells, graph]
}

/// What to do about results that lie deeper than was thought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wider<T> {
    /// Nothing: the search went deep enough.
    Enough,
    /// To search again with this effort.
    Again(T),
    /// To search exactly: no effort is known to suffice there.
    Exactly,
}

/// Whether a search in cells with this effort went deep enough for what it found.
pub(super) fn wider_cells(
    cells: &Cells,
    (measure, depth): (VectorMeasure, &Depth),
    used: Effort,
    reached: Reached,
) -> Wider<Effort> {
    if reached.visited.is_none() {
        return Wider::Enough;
    }
    let Some(tuned) = cells.tuning().at(measure, depth.care(), reached.depth).effort else {
        return Wider::Exactly;
    };
    depth.wider(used, tuned, reached).map_or(Wider::Enough, Wider::Again)
}

/// Whether a walk of this width went deep enough for results that lie at this depth.
pub(super) fn wider_walk(
    graph: &FrozenGraph,
    depth: &Depth,
    used: usize,
    rows_deep: usize,
) -> Wider<usize> {
    match walk(graph, depth, rows_deep) {
        None => Wider::Exactly,
        Some((width, _)) if width as f64 > WORTH_A_WALK * used as f64 => Wider::Again(width),
        Some(_) => Wider::Enough,
    }
}

/// The walk to make for results at this depth, if the graph has one: its width, and whether it is thorough.
fn walk(graph: &FrozenGraph, depth: &Depth, rows_deep: usize) -> Option<(usize, bool)> {
    if (depth.allowed as f64) < MIN_WALK_SHARE * depth.rows as f64 {
        return None;
    }
    let width = graph.widths().at(depth.care(), rows_deep)?;
    (width <= MAX_EF).then_some((width, depth.is_limited() || rows_deep > COMMON_COUNT))
}
