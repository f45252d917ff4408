//! Chooses a search strategy: by rows, results wanted, measure, and how many rows a filter leaves.

use super::cost;
use super::query::SearchParams;
use super::strategy::DenseStrategy;
use crate::matrix::cells::{Care, Cells, TUNED_COUNTS, Tuned};
use crate::matrix::dense::DenseMatrix;
use crate::matrix::graph::{FrozenGraph, MAX_EF};
use marquee_core::model::interpreter::VectorMeasure;

/// An exact answer that costs no more than this, in nanoseconds, is taken: the rest of a request costs
/// more, and nothing is gained by missing some rows.
const CHEAP: f64 = 40_000.0;
/// Walks for more rows than this are thorough: some of them have no common links to them.
const COMMON_COUNT: usize = 100;
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
    let cells = matrix.cells().filter(|_| plain);
    let wanted = wanted_among(params, allowed, rows);
    let scan = (DenseStrategy::Scan, cost::of_scan(rows, allowed, params.count, matrix.rank()));
    let care = if allowed < rows { Care::Filtered } else { Care::Usual };
    let tuned = cells.map(|cells| tuned_for(cells, (measure, care), params.count, wanted));
    let exact = tuned.map(|tuned| (DenseStrategy::ExactCells, tuned.exact_cost));
    let cells = tuned.and_then(|tuned| Some((DenseStrategy::Cells(tuned.effort?), tuned.cost)));
    let graph =
        matrix.graph().filter(|_| measure == VectorMeasure::InnerProduct).and_then(|graph| {
            let (width, thorough) = walk(graph, wanted, allowed, rows)?;
            let cost = cost::of_walk(width, graph.links(), matrix.rank());
            Some((DenseStrategy::Graph { width, thorough }, cost))
        });
    [Some(scan), exact, cells, graph]
}

/// Of how many best rows the results are found among: the filter takes some out, and excluded rows are
/// often the best ones.
fn wanted_among(params: &SearchParams<'_>, allowed: usize, rows: usize) -> usize {
    let share = allowed as f64 / rows as f64;
    ((params.count + params.exclude_rows.len()) as f64 / share).ceil() as usize
}

/// The effort for `count` results, and what it costs to find them among the best `wanted`: on a line
/// between what was measured, in proportion beyond.
fn tuned_for(cells: &Cells, of: (VectorMeasure, Care), count: usize, wanted: usize) -> Tuned {
    let tuning = cells.tuning(of.0, of.1);
    Tuned {
        // That of the next larger count: a little more than needed.
        effort: tuning[tuned_place(count)].effort,
        cost: interpolate(tuning.map(|tuned| tuned.cost), wanted),
        exact_cost: interpolate(tuning.map(|tuned| tuned.exact_cost), wanted),
    }
}

/// The place in [`TUNED_COUNTS`] of the least count that is not below this one; the last place beyond all.
fn tuned_place(count: usize) -> usize {
    let next = TUNED_COUNTS.iter().position(|&tuned| count <= tuned);
    next.unwrap_or(TUNED_COUNTS.len() - 1)
}

/// The cost of a search for `wanted` results, in nanoseconds, by the costs at [`TUNED_COUNTS`].
fn interpolate(costs: [f64; TUNED_COUNTS.len()], wanted: usize) -> f64 {
    let place = tuned_place(wanted);
    if place == 0 {
        return costs[0];
    }
    let (low, high) = (TUNED_COUNTS[place - 1] as f64, TUNED_COUNTS[place] as f64);
    let (below, above) = (costs[place - 1], costs[place]);
    below + (above - below) * (wanted as f64 - low) / (high - low)
}

/// The walk to make, if the graph has one for as many results: its width, and whether it is thorough.
fn walk(graph: &FrozenGraph, wanted: usize, allowed: usize, rows: usize) -> Option<(usize, bool)> {
    if (allowed as f64) < MIN_WALK_SHARE * rows as f64 {
        return None;
    }
    let width = graph.default_width().for_count(wanted)?;
    (width <= MAX_EF).then_some((width, allowed < rows || wanted > COMMON_COUNT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{Allow, CancelFlag};

    #[test]
    fn a_filter_widens_what_results_are_found_among() {
        let never = CancelFlag::new();
        let exclude = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        let params = SearchParams {
            allow: Allow::All,
            exclude_rows: &exclude,
            ..SearchParams::new(10, &never)
        };
        assert_eq!(wanted_among(&params, 1_000, 1_000), 20);
        assert_eq!(wanted_among(&params, 100, 1_000), 200);
    }
}
