//! Measuring cells: the least effort that finds the rows asked for, and what searches cost.

use crate::effort::Effort;
use crate::index::queries::{Queries, best_scores, share, wanted_recall};
use crate::manifest::{CellsInfo, Recall};
use crate::matrix::cells::{CellsParts, CellsView, FILTERED_RECALL, TUNED_COUNTS, Tuned, Tuning};
use crate::matrix::dense::{DenseView, norm_f64};
use crate::search::cells::{CellSearch, CellsWork, is_plain};
use crate::search::rescore::{RescoreTarget, Rescorer};
use crate::search::top::Top;
use crate::search::{CancelFlag, SearchParams, cost};
use marquee_core::model::interpreter::VectorMeasure;

/// Pools that are tried, in multiples of the results wanted.
const POOLS: [f32; 7] = [1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 8.0];
/// Reaches that are tried for each pool, from near to far.
const REACHES: [f32; 12] = [0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 4.0, 5.0, 6.0];
/// Halvings of the step between the reach that was found and the one before it.
const HALVINGS: usize = 2;

/// What was measured of some cells.
pub(super) struct Audited {
    pub(super) tuning: Tuning,
    pub(super) info: CellsInfo,
}

/// Measures the cells with these queries by inner product, and with some of the rows by cosine.
pub(super) fn audit(
    parts: &CellsParts,
    dense: DenseView<'_>,
    queries: &Queries,
    target: f64,
) -> Audited {
    let mut tuning = Tuning::default();
    let rows = Queries::of(dense.values, dense.rank);
    let mut recall = Recall { at_10: 1.0, at_100: 1.0, queries: 0 };
    let ordinals: Vec<u32> = (0..parts.shape.rows as u32).collect();
    for measure in [VectorMeasure::InnerProduct, VectorMeasure::Cosine] {
        let queries = match measure {
            VectorMeasure::InnerProduct => queries.nonzero(dense.rank),
            VectorMeasure::Cosine => rows.nonzero(dense.rank),
        };
        let queries: Vec<&[f32]> = queries.into_iter().filter(|query| is_plain(query)).collect();
        let truth = best_scores(dense, &queries, measure);
        let mut audit = Audit {
            cells: parts.view(),
            dense,
            ordinals: &ordinals,
            measure,
            queries: &queries,
            truth: &truth,
            search: CellSearch::default(),
            rescorer: Rescorer::default(),
            top: Top::default(),
        };
        for (place, count) in TUNED_COUNTS.into_iter().enumerate() {
            let usual = wanted_recall(target, count);
            let mut measured = Measured::default();
            let (found, at_usual) = audit.tune(count, usual, &mut measured);
            let [usually, filtered] = &mut tuning[measure as usize];
            usually[place] = found;
            (filtered[place], _) = audit.tune(count, usual.max(FILTERED_RECALL), &mut measured);
            match (measure, count) {
                (VectorMeasure::InnerProduct, 10) => recall.at_10 = at_usual,
                (VectorMeasure::InnerProduct, 100) => recall.at_100 = at_usual,
                _ => {}
            }
        }
        if measure == VectorMeasure::InnerProduct {
            recall.queries = queries.len() as u64;
        }
    }
    let effort = |at: usize| tuning[VectorMeasure::InnerProduct as usize][0][at].effort;
    let info = CellsInfo {
        cells: parts.shape.cells as u64,
        recall,
        effort_at_10: effort(0),
        effort_at_100: effort(1),
        effort_at_1000: effort(2),
    };
    Audited { tuning, info }
}

/// Recall and cost, as far as they were measured for one count of results.
#[derive(Default)]
struct Measured {
    exact: Option<(f64, f64)>,
    efforts: [[Option<(f64, f64)>; REACHES.len()]; POOLS.len()],
}

struct Audit<'a> {
    cells: CellsView<'a>,
    dense: DenseView<'a>,
    ordinals: &'a [u32],
    measure: VectorMeasure,
    queries: &'a [&'a [f32]],
    /// The best scores of each query.
    truth: &'a [Vec<f32>],
    search: CellSearch,
    rescorer: Rescorer,
    top: Top,
}

impl Audit<'_> {
    /// The cheapest effort with a recall of the best `count` of at least `wanted`, and the recall of
    /// such searches.
    fn tune(&mut self, count: usize, wanted: f64, measured: &mut Measured) -> (Tuned, f64) {
        let (_, exact_cost) = *measured.exact.get_or_insert_with(|| self.measure(count, None));
        let mut best: Option<(Effort, f64, f64)> = None;
        for (pool, measured_reaches) in POOLS.into_iter().zip(&mut measured.efforts) {
            // Recall rises with the reach: the least that suffices is found by halving.
            let mut at = |audit: &mut Self, place: usize| {
                *measured_reaches[place].get_or_insert_with(|| {
                    audit.measure(count, Some(Effort { reach: REACHES[place], pool }))
                })
            };
            let (farthest, _) = at(self, REACHES.len() - 1);
            if farthest < wanted {
                continue;
            }
            let (mut low, mut high) = (0, REACHES.len() - 1);
            while low < high {
                let middle = (low + high) / 2;
                if at(self, middle).0 >= wanted { high = middle } else { low = middle + 1 }
            }
            let (recall, cost) = at(self, high);
            match &best {
                Some((_, _, least)) if *least <= cost => {
                    // A larger pool pays while it lets the reach be shorter; then no longer.
                    break;
                }
                _ => best = Some((Effort { reach: REACHES[high], pool }, recall, cost)),
            }
        }
        let Some((mut effort, mut recall, mut cost)) = best else {
            // Such searches are exact.
            return (Tuned { effort: None, cost: 0.0, exact_cost }, 1.0);
        };
        let nearer = |reach: &&f32| **reach < effort.reach;
        if let Some(&(mut too_near)) = REACHES.iter().rev().find(nearer) {
            for _ in 0..HALVINGS {
                let between = Effort { reach: (too_near + effort.reach) / 2.0, ..effort };
                let (found, less) = self.measure(count, Some(between));
                if found >= wanted {
                    (effort, recall, cost) = (between, found, less);
                } else {
                    too_near = between.reach;
                }
            }
        }
        (Tuned { effort: Some(effort), cost, exact_cost }, recall)
    }

    /// The share of the best `count` rows that searches of this effort (exact ones, if none) find, and
    /// what one costs by the model. Rows that tie with the last of them are as good, so it is scores
    /// that are compared.
    fn measure(&mut self, count: usize, effort: Option<Effort>) -> (f64, f64) {
        let never = CancelFlag::new();
        let params = SearchParams::new(count, &never);
        let (mut found, mut wanted, mut work) = (0, 0, CellsWork::default());
        for (query, truth) in self.queries.iter().zip(self.truth) {
            let best = &truth[..count.min(truth.len())];
            let Some(&last) = best.last() else { continue };
            wanted += best.len();
            let target = RescoreTarget {
                dense: self.dense,
                ordinals: self.ordinals,
                query,
                measure: self.measure,
            };
            let (about, results) = ((target, self.cells), (&mut self.rescorer, &mut self.top));
            let outcome = match effort {
                Some(effort) => self.search.search(about, &params, effort, results),
                None => self.search.search_exactly(about, &params, results),
            };
            // A search whose scores leave f32 is an error.
            if outcome.is_ok() {
                // Truth is the plain product; a cosine is of a query of length 1.
                let length = norm_f64(query);
                for hit in self.top.take() {
                    found += usize::from(match self.measure {
                        VectorMeasure::InnerProduct => hit.score >= last,
                        VectorMeasure::Cosine => {
                            f64::from(hit.score) * length >= f64::from(last) * (1.0 - 1e-6)
                        }
                    });
                }
            }
            work.add(self.search.work());
        }
        let cost = cost::of_cells(&work, self.cells.shape.rank) / self.queries.len().max(1) as f64;
        (share(found, wanted), cost)
    }
}
