//! Measuring a graph: recall against the exact scan, and rows that no path leads to.
//!
//! Widths are tuned at some depths. Then searches of other counts, and with the best rows excluded, are made for other
//! queries as the planner would make them; where they miss what is promised, the widths around are raised.

use super::repair::unreachable;
use crate::index::queries::{BestRows, Queries, best_rows};
use crate::index::recall::{
    AUDITED, FILTERED_RECALL, GIVEN_UP_BEYOND, RAISED_BEYOND, Recalls, TAIL_RECALL,
    promised_recall, tail_from, wanted_recall,
};
use crate::manifest::{AuditedRecall, GraphInfo, Recall};
use crate::matrix::dense::DenseView;
use crate::matrix::graph::{GraphParts, GraphView, MAX_EF};
use crate::matrix::tuning::{AT_100, AT_1000, CARES, Care, TUNED_DEPTHS, Widths};
use crate::search::CancelFlag;
use crate::search::beam::{Beam, Reach};
use crate::search::depth::Depth;
use crate::search::plan::COMMON_COUNT;
use marquee_core::model::interpreter::VectorMeasure;

/// Widths of search that are tried, from narrow to wide; each costs about a half more than the last.
const WIDTHS: [usize; 17] =
    [12, 16, 24, 32, 48, 64, 100, 128, 192, 256, 384, 512, 768, 1_000, 1_500, 2_200, 3_300];
/// Results that are looked for at one depth by all queries together.
const RESULTS: usize = 100_000;
/// Queries that are asked at the greatest depth at least.
const LEAST_QUERIES: usize = 20;
/// How often widths are raised around a kind of search that misses too much, and to how many times as much.
const RAISES: usize = 4;
const MORE_WIDTH: f64 = 1.25;

/// Measures a graph and finds the narrowest widths of search that reach the recall asked for.
pub(super) fn audit(
    parts: &GraphParts,
    linked_extra: usize,
    dense: DenseView<'_>,
    given: &Queries,
    target: f64,
) -> (Widths, GraphInfo) {
    let rows = dense.rows();
    let mut audit = Audit::new(parts, dense, given.nonzero(dense.rank));
    let queries = audit.queries.len() as u64;
    let mut widths = Widths::default();
    let mut recall = Recall { at_10: 0.0, at_100: 0.0, queries };
    for (place, depth) in TUNED_DEPTHS.into_iter().enumerate() {
        for care in CARES {
            let wanted = match care {
                Care::Usual => wanted_recall(target, depth),
                Care::Filtered => wanted_recall(target, depth).max(FILTERED_RECALL),
                Care::Tail => TAIL_RECALL,
            };
            let (width, found) = audit.narrowest((depth, care), wanted);
            widths.0[care as usize][place] = width;
            match (care, depth) {
                (Care::Usual, 10) => recall.at_10 = found,
                (Care::Usual, 100) => recall.at_100 = found,
                _ => {}
            }
        }
    }
    let audited = Audit::new(parts, dense, given.others(dense.rank)).check(&mut widths, target);
    let usual = widths.0[Care::Usual as usize];
    let info = GraphInfo {
        recall,
        ef_at_10: usual[0],
        ef_at_100: usual[AT_100],
        ef_at_1000: usual[AT_1000],
        linked_extra: linked_extra as f64 / rows as f64,
        unreachable: unreachable(parts.view()) as f64 / rows as f64,
        audited,
    };
    (widths, info)
}

struct Audit<'a> {
    graph: GraphView<'a>,
    dense: DenseView<'a>,
    queries: Vec<&'a [f32]>,
    /// The best rows of each query.
    truth: Vec<BestRows>,
    beam: Beam,
}

impl<'a> Audit<'a> {
    fn new(parts: &'a GraphParts, dense: DenseView<'a>, queries: Vec<&'a [f32]>) -> Self {
        let truth = best_rows(dense, &queries, VectorMeasure::InnerProduct);
        Self { graph: parts.view(), dense, queries, truth, beam: Beam::default() }
    }

    /// How many of the queries are asked for so many results.
    fn asked(&self, results: usize) -> usize {
        (RESULTS / results).max(LEAST_QUERIES).min(self.queries.len())
    }

    /// The narrowest width with a recall above the one wanted, and its recall; 0 if
    /// there is none, and the recall of the widest that was tried.
    fn narrowest(&mut self, (depth, care): (usize, Care), wanted: f64) -> (u32, f64) {
        // Usual searches for few rows take common links.
        let is_common = care == Care::Usual && depth <= COMMON_COUNT;
        let reach = if is_common { Reach::Common } else { Reach::Thorough };
        let mut recall = 0.0;
        for width in WIDTHS.into_iter().filter(|&width| width >= depth) {
            recall = self.recall((depth, care), (width, reach));
            if recall >= wanted {
                return (width as u32, recall);
            }
        }
        (0, recall)
    }

    /// The share of the best `depth` rows, or of the last of them, that walks of this width find.
    fn recall(&mut self, (depth, care): (usize, Care), width: (usize, Reach)) -> f64 {
        let mut recalls = Recalls::default();
        for query in 0..self.asked(depth) {
            let best = depth.min(self.truth[query].scores.len());
            let from = if care == Care::Tail { tail_from(best) } else { 0 };
            let found = self.found(query, width, from..best);
            recalls.add(found, best - from);
        }
        recalls.mean()
    }

    /// How many rows of this range of the truly best ones a walk finds. Rows that tie with the last of them are as
    /// good, so it is scores that are compared.
    fn found(
        &mut self,
        query: usize,
        width: (usize, Reach),
        range: std::ops::Range<usize>,
    ) -> usize {
        let never = CancelFlag::new();
        let truth = &self.truth[query].scores;
        let Some(&last) = truth[range.clone()].last() else { return 0 };
        let first = if range.start == 0 { f32::INFINITY } else { truth[range.start] };
        // A walk whose scores leave f32 finds nothing: searches then scan, too.
        if self.beam.walk(self.graph, self.dense, self.queries[query], width, &never).is_err() {
            return 0;
        }
        let within = |&score: &f32| score >= last && score <= first;
        self.beam.scores().filter(within).count().min(range.len())
    }

    /// Audits searches of every kind of [`AUDITED`] as the planner makes them, raises the widths of those that miss more
    /// than is promised, and tells what was found in the end. Searches without a width are exact.
    fn check(&mut self, widths: &mut Widths, target: f64) -> Vec<AuditedRecall> {
        let rows = self.dense.rows();
        let mut audited = Vec::new();
        for (count, excluded) in AUDITED {
            if count + excluded > rows / 2 || self.queries.is_empty() {
                continue;
            }
            let depth = Depth { count, excluded, allowed: rows, rows };
            for raise in 0..=RAISES {
                let Some(width) = widths.at(depth.care(), depth.rows_deep()) else { break };
                if width > MAX_EF {
                    break;
                }
                let recalls = self.recalls(&depth, width);
                let beyond = if raise == RAISES { GIVEN_UP_BEYOND } else { RAISED_BEYOND };
                if !recalls.miss(promised_recall(target, count), beyond) {
                    audited.push(recalls.audited(count, excluded));
                    break;
                }
                // What never suffices is scanned.
                let times = if raise == RAISES { 0.0 } else { MORE_WIDTH };
                for width in widths.around(depth.care(), depth.rows_deep()) {
                    *width = (f64::from(*width) * times).min(MAX_EF as f64) as u32;
                }
            }
        }
        audited
    }

    /// What walks of this width find of results at this depth.
    fn recalls(&mut self, depth: &Depth, width: usize) -> Recalls {
        let is_thorough = depth.is_limited() || depth.rows_deep() > COMMON_COUNT;
        let reach = if is_thorough { Reach::Thorough } else { Reach::Common };
        let mut recalls = Recalls::default();
        for query in 0..self.asked(depth.rows_deep()) {
            let range = depth.excluded..depth.excluded + depth.count;
            let found = self.found(query, (width, reach), range);
            recalls.add(found, depth.count);
        }
        recalls
    }
}
