//! Measuring cells: the least effort that finds the rows asked for, and what searches cost.
//!
//! Efforts are tuned at some depths. Then searches of other counts, and with the best rows excluded, are made for other
//! queries as the planner would make them; where they miss what is promised, the efforts around are raised.

use crate::effort::Effort;
use crate::index::queries::{BestRows, Queries, best_rows};
use crate::index::recall::{
    AUDITED, FILTERED_RECALL, GIVEN_UP_BEYOND, RAISED_BEYOND, Recalls, TAIL_RECALL,
    promised_recall, tail_from, wanted_recall,
};
use crate::manifest::{AuditedRecall, CellsInfo, Recall};
use crate::matrix::cells::{CellsParts, CellsView};
use crate::matrix::dense::{DenseView, norm_f64};
use crate::matrix::tuning::{AT_100, AT_1000, CARES, Care, TUNED_DEPTHS, Tuned, Tuning};
use crate::search::cells::{CellSearch, CellsWork, is_plain};
use crate::search::depth::Depth;
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
/// Results that are looked for at one depth by all queries together: with them, recall is known to about a
/// half of what is tolerated.
const RESULTS: usize = 100_000;
/// Queries that are asked at the greatest depth at least.
const LEAST_QUERIES: usize = 20;
/// How often efforts are raised around a kind of search that misses too much.
const RAISES: usize = 4;
/// By how much, each time: standard deviations of the reach, and the share of the pool's margin.
const MORE_REACH: f32 = 0.125;
const MORE_MARGIN: f32 = 1.25;

/// What was measured of some cells.
pub(super) struct Audited {
    pub(super) tuning: Tuning,
    pub(super) info: CellsInfo,
}

/// Measures the cells with these queries by inner product, and with some of the rows by cosine.
pub(super) fn audit(
    parts: &CellsParts,
    dense: DenseView<'_>,
    given: &Queries,
    target: f64,
) -> Audited {
    let mut tuning = Tuning::default();
    let mut audited = [Vec::new(), Vec::new()];
    let rows = Queries::of(dense.values, dense.rank);
    let mut recall = Recall { at_10: 1.0, at_100: 1.0, queries: 0 };
    let ordinals: Vec<u32> = (0..parts.shape.rows as u32).collect();
    for measure in [VectorMeasure::InnerProduct, VectorMeasure::Cosine] {
        let queries = match measure {
            VectorMeasure::InnerProduct => given.nonzero(dense.rank),
            VectorMeasure::Cosine => rows.nonzero(dense.rank),
        };
        let queries: Vec<&[f32]> = queries.into_iter().filter(|query| is_plain(query)).collect();
        let mut audit = Audit::new((parts, dense, &ordinals), measure, &queries);
        for (place, depth) in TUNED_DEPTHS.into_iter().enumerate() {
            let usual = wanted_recall(target, depth);
            let mut measured = Measured::default();
            for care in CARES {
                let wanted = match care {
                    Care::Usual => usual,
                    Care::Filtered => usual.max(FILTERED_RECALL),
                    Care::Tail => TAIL_RECALL,
                };
                let (found, at_usual) = audit.tune((depth, care), wanted, &mut measured);
                tuning.0[measure as usize][care as usize][place] = found;
                match (measure, care, depth) {
                    (VectorMeasure::InnerProduct, Care::Usual, 10) => recall.at_10 = at_usual,
                    (VectorMeasure::InnerProduct, Care::Usual, 100) => recall.at_100 = at_usual,
                    _ => {}
                }
            }
        }
        if measure == VectorMeasure::InnerProduct {
            recall.queries = queries.len() as u64;
        }
        let others = match measure {
            VectorMeasure::InnerProduct => given.others(dense.rank),
            VectorMeasure::Cosine => rows.others(dense.rank),
        };
        let others: Vec<&[f32]> = others.into_iter().filter(|query| is_plain(query)).collect();
        let mut audit = Audit::new((parts, dense, &ordinals), measure, &others);
        audited[measure as usize] = audit.check(&mut tuning, target);
    }
    let effort = |at: usize| tuning.of(VectorMeasure::InnerProduct, Care::Usual)[at].effort;
    let [audited, audited_by_cosine] = audited;
    let info = CellsInfo {
        cells: parts.shape.cells as u64,
        recall,
        effort_at_10: effort(0),
        effort_at_100: effort(AT_100),
        effort_at_1000: effort(AT_1000),
        audited,
        audited_by_cosine,
    };
    Audited { tuning, info }
}

/// Recall and cost of searches.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    /// Of all rows down to the depth.
    recall: f64,
    /// Of the last of them.
    tail: f64,
    cost: f64,
}

impl Outcome {
    fn recall_for(&self, care: Care) -> f64 {
        match care {
            Care::Usual | Care::Filtered => self.recall,
            Care::Tail => self.tail,
        }
    }
}

/// Recall and cost, as far as they were measured at one depth.
#[derive(Default)]
struct Measured {
    exact: Option<Outcome>,
    efforts: [[Option<Outcome>; REACHES.len()]; POOLS.len()],
}

struct Audit<'a> {
    cells: CellsView<'a>,
    dense: DenseView<'a>,
    ordinals: &'a [u32],
    measure: VectorMeasure,
    queries: &'a [&'a [f32]],
    /// The best rows of each query.
    truth: Vec<BestRows>,
    search: CellSearch,
    rescorer: Rescorer,
    top: Top,
}

impl<'a> Audit<'a> {
    fn new(
        (parts, dense, ordinals): (&'a CellsParts, DenseView<'a>, &'a [u32]),
        measure: VectorMeasure,
        queries: &'a [&'a [f32]],
    ) -> Self {
        Self {
            cells: parts.view(),
            dense,
            ordinals,
            measure,
            queries,
            truth: best_rows(dense, queries, measure),
            search: CellSearch::default(),
            rescorer: Rescorer::default(),
            top: Top::default(),
        }
    }

    /// How many of the queries are asked for so many results.
    fn asked(&self, results: usize) -> usize {
        (RESULTS / results).clamp(LEAST_QUERIES, self.queries.len().max(LEAST_QUERIES))
    }

    /// The cheapest effort with a recall of at least `wanted`, and the recall of such searches.
    fn tune(
        &mut self,
        (depth, care): (usize, Care),
        wanted: f64,
        measured: &mut Measured,
    ) -> (Tuned, f64) {
        let exact_cost = measured.exact.get_or_insert_with(|| self.measure(depth, None)).cost;
        if depth > self.dense.rows() / 2 {
            // Such searches are exact.
            return (Tuned { effort: None, cost: 0.0, exact_cost }, 1.0);
        }
        let mut best: Option<(Effort, f64, f64)> = None;
        for (pool, measured_reaches) in POOLS.into_iter().zip(&mut measured.efforts) {
            // Recall rises with the reach: the least that suffices is found by halving.
            let mut at = |audit: &mut Self, place: usize| {
                let outcome = *measured_reaches[place].get_or_insert_with(|| {
                    audit.measure(depth, Some(Effort { reach: REACHES[place], pool }))
                });
                (outcome.recall_for(care), outcome.cost)
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
                let outcome = self.measure(depth, Some(between));
                if outcome.recall_for(care) >= wanted {
                    (effort, recall, cost) = (between, outcome.recall_for(care), outcome.cost);
                } else {
                    too_near = between.reach;
                }
            }
        }
        (Tuned { effort: Some(effort), cost, exact_cost }, recall)
    }

    /// The recall of the best `depth` rows by searches of this effort (exact ones, if none), and what one costs by the
    /// model.
    fn measure(&mut self, depth: usize, effort: Option<Effort>) -> Outcome {
        let never = CancelFlag::new();
        let params = SearchParams::new(depth, &never);
        let (mut all, mut tail, mut work) =
            (Recalls::default(), Recalls::default(), CellsWork::default());
        let asked = self.asked(depth).min(self.queries.len());
        for query in 0..asked {
            let best = depth.min(self.truth[query].scores.len());
            let from = tail_from(best);
            let [found, found_last] = self.found(query, &params, effort, [0..best, from..best]);
            all.add(found, best);
            tail.add(found_last, best - from);
            work.add(self.search.work());
        }
        let cost = cost::of_cells(&work, self.cells.shape.rank) / asked.max(1) as f64;
        Outcome { recall: all.mean(), tail: tail.mean(), cost }
    }

    /// How many rows of each of these ranges of the truly best ones a search finds. Rows that tie are
    /// as good, so it is scores that are compared.
    fn found<const RANGES: usize>(
        &mut self,
        query: usize,
        params: &SearchParams<'_>,
        effort: Option<Effort>,
        ranges: [std::ops::Range<usize>; RANGES],
    ) -> [usize; RANGES] {
        let vector = self.queries[query];
        let target = RescoreTarget {
            dense: self.dense,
            ordinals: self.ordinals,
            query: vector,
            measure: self.measure,
        };
        let (about, results) = ((target, self.cells), (&mut self.rescorer, &mut self.top));
        let outcome = match effort {
            Some(effort) => self.search.search(about, params, effort, results),
            None => self.search.search_exactly(about, params, results),
        };
        // A search whose scores leave f32 is an error.
        if outcome.is_err() {
            return [0; RANGES];
        }
        // Truth is the plain product; a cosine is of a query of length 1.
        let length = norm_f64(vector);
        let hits = self.top.take();
        let truth = &self.truth[query].scores;
        ranges.map(|range| {
            let (Some(&last), missed) = (truth[range.clone()].last(), range.start) else {
                return 0;
            };
            // What is better than the first of a range is as good as its last, whatever their signs.
            let rounding = |score: f32| f64::from(score).abs() * 1e-6;
            let good = hits.iter().filter(|hit| match self.measure {
                VectorMeasure::InnerProduct => hit.score >= last,
                VectorMeasure::Cosine => {
                    f64::from(hit.score) * length >= f64::from(last) - rounding(last)
                }
            });
            // Those before the range are not of it.
            let first = truth.get(missed).copied().unwrap_or(last);
            let before = hits.iter().filter(|hit| match self.measure {
                VectorMeasure::InnerProduct => hit.score > first,
                VectorMeasure::Cosine => {
                    f64::from(hit.score) * length > f64::from(first) + rounding(first)
                }
            });
            let before = if missed == 0 { 0 } else { before.count() };
            (good.count() - before).min(range.len())
        })
    }

    /// Audits searches of every kind of [`AUDITED`] as the planner makes them, raises the efforts of those that miss more
    /// than is promised, and tells what was found in the end.
    fn check(&mut self, tuning: &mut Tuning, target: f64) -> Vec<AuditedRecall> {
        let rows = self.dense.rows();
        let mut audited = Vec::new();
        for (count, excluded) in AUDITED {
            if count + excluded > rows / 2 || self.queries.is_empty() {
                continue;
            }
            let depth = Depth { count, excluded, allowed: rows, rows };
            let promised = promised_recall(target, count);
            let mut recalls = self.recalls(&depth, tuning);
            for _ in 0..RAISES {
                if !recalls.miss(promised, RAISED_BEYOND) {
                    break;
                }
                raise(tuning, self.measure, &depth);
                recalls = self.recalls(&depth, tuning);
            }
            if recalls.miss(promised, GIVEN_UP_BEYOND) {
                tracing::warn!(
                    count,
                    excluded,
                    recall = recalls.mean(),
                    "no effort reaches the recall: such searches are exact"
                );
                give_up(tuning, self.measure, &depth);
                recalls = self.recalls(&depth, tuning);
            }
            audited.push(recalls.audited(count, excluded));
        }
        audited
    }

    /// What searches of this depth find.
    fn recalls(&mut self, depth: &Depth, tuning: &Tuning) -> Recalls {
        let never = CancelFlag::new();
        let tuned = tuning.at(self.measure, depth.care(), depth.rows_deep());
        let effort = tuned.effort.map(|tuned| depth.effort(tuned, depth.rows_deep()));
        let mut recalls = Recalls::default();
        for query in 0..self.asked(depth.count).min(self.queries.len()) {
            let mut exclude = self.truth[query].rows[..depth.excluded].to_vec();
            exclude.sort_unstable();
            let params =
                SearchParams { exclude_rows: &exclude, ..SearchParams::new(depth.count, &never) };
            let range = depth.excluded..depth.excluded + depth.count;
            let [found] = self.found(query, &params, effort, [range]);
            recalls.add(found, depth.count);
        }
        recalls
    }
}

/// Raises the efforts that a search of this depth takes, and what they cost about as much.
fn raise(tuning: &mut Tuning, measure: VectorMeasure, depth: &Depth) {
    for tuned in tuning.around(measure, depth.care(), depth.rows_deep()) {
        if let Some(effort) = &mut tuned.effort {
            effort.reach += MORE_REACH;
            effort.pool = 1.0 + (effort.pool - 1.0) * MORE_MARGIN;
            tuned.cost *= 1.0 + 0.5 * f64::from(MORE_MARGIN - 1.0);
        }
    }
}

/// Lets searches of this depth be exact.
fn give_up(tuning: &mut Tuning, measure: VectorMeasure, depth: &Depth) {
    for tuned in tuning.around(measure, depth.care(), depth.rows_deep()) {
        tuned.effort = None;
    }
}
