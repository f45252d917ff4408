//! Measuring a graph: recall against the exact scan, and rows that no path leads to.

use super::repair::unreachable;
use crate::index::queries::{Queries, best_scores, share, wanted_recall};
use crate::manifest::{GraphInfo, Recall};
use crate::matrix::dense::DenseView;
use crate::matrix::graph::{DefaultWidth, GraphParts, GraphView};
use crate::search::CancelFlag;
use crate::search::beam::{Beam, Reach};
use marquee_core::model::interpreter::VectorMeasure;

/// Widths of search that are tried, from narrow to wide; each costs about a half more than the last.
const WIDTHS: [usize; 17] =
    [12, 16, 24, 32, 48, 64, 100, 128, 192, 256, 384, 512, 768, 1_000, 1_500, 2_200, 3_300];
/// Measures a graph and finds the narrowest widths of search that reach the recall asked for.
pub(super) fn audit(
    parts: &GraphParts,
    linked_extra: usize,
    dense: DenseView<'_>,
    queries: &Queries,
    target: f64,
) -> (DefaultWidth, GraphInfo) {
    let rows = dense.rows();
    let nonzero = queries.nonzero(dense.rank);
    let truth = best_scores(dense, &nonzero, VectorMeasure::InnerProduct);
    let mut audit =
        Audit { graph: parts.view(), dense, queries: nonzero, truth, beam: Beam::default() };
    let (at_10, recall_10) = audit.narrowest(10, target, Reach::Common);
    let (at_100, recall_100) = audit.narrowest(100, target, Reach::Common);
    let (at_1000, _) = audit.narrowest(1_000, target, Reach::Thorough);
    let width = DefaultWidth { at_10, at_100, at_1000 };
    let info = GraphInfo {
        recall: Recall {
            at_10: recall_10,
            at_100: recall_100,
            queries: audit.queries.len() as u64,
        },
        ef_at_10: at_10,
        ef_at_100: at_100,
        ef_at_1000: at_1000,
        linked_extra: linked_extra as f64 / rows as f64,
        unreachable: unreachable(parts.view()) as f64 / rows as f64,
    };
    (width, info)
}

struct Audit<'a> {
    graph: GraphView<'a>,
    dense: DenseView<'a>,
    queries: Vec<&'a [f32]>,
    /// The best scores of each query.
    truth: Vec<Vec<f32>>,
    beam: Beam,
}

impl Audit<'_> {
    /// The narrowest width with a recall of the best `count` above the target, and its recall; 0 if
    /// there is none, and the recall of the widest that was tried.
    fn narrowest(&mut self, count: usize, target: f64, reach: Reach) -> (u32, f64) {
        let mut recall = 0.0;
        for width in WIDTHS.into_iter().filter(|&width| width >= count) {
            recall = self.recall(count, (width, reach));
            if recall >= wanted_recall(target, count) {
                return (width as u32, recall);
            }
        }
        (0, recall)
    }

    /// The share of the best `count` rows that walks of this width find. Rows that tie with the last
    /// of them are as good, so it is scores that are compared.
    fn recall(&mut self, count: usize, width: (usize, Reach)) -> f64 {
        let never = CancelFlag::new();
        let (mut found, mut wanted) = (0, 0);
        for (query, truth) in self.queries.iter().zip(&self.truth) {
            let best = &truth[..count.min(truth.len())];
            wanted += best.len();
            let Some(&last) = best.last() else { continue };
            // A walk whose scores leave f32 finds nothing: searches then scan, too.
            if self.beam.walk(self.graph, self.dense, query, width, &never).is_ok() {
                found += self.beam.scores().take(best.len()).filter(|&score| score >= last).count();
            }
        }
        share(found, wanted)
    }
}
