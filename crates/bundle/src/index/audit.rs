//! Measuring a graph: recall against the exact scan, and rows that no path leads to.

use super::build::shuffled;
use super::repair::unreachable;
use crate::graph::{DefaultWidth, GraphParts, GraphView};
use crate::input::{BundleInput, DenseInput, Entity};
use crate::kernels::dot_rows;
use crate::manifest::{GraphInfo, Recall};
use crate::search::CancelFlag;
use crate::search::beam::{Beam, Reach};
use crate::search::scan::Vectors;

/// Queries that a graph is measured with: of 200 × 100 results, a recall of 0.95 is known to about
/// half a hundredth.
const MAX_QUERIES: usize = 200;
/// Widths of search that are tried, from narrow to wide; each costs about a half more than the last.
const WIDTHS: [usize; 17] =
    [12, 16, 24, 32, 48, 64, 100, 128, 192, 256, 384, 512, 768, 1_000, 1_500, 2_200, 3_300];
/// Of the best 10 only this share of the misses is tolerated: they are what people see, and finding
/// them costs some ten microseconds more.
const MISSES_AT_10: f64 = 0.5;
/// Added to the recall that is looked for, since other queries than those measured will come.
const MARGIN: f64 = 0.01;
/// The order in which queries are drawn; any number does.
const QUERY_SEED: u64 = 0x71_75_65_72_79;

/// Query vectors of one matrix.
pub(crate) struct Queries {
    values: Vec<f32>,
}

/// Draws the queries that a matrix's graphs are measured with: users' vectors where the bundle has
/// some of the same rank (they are what will be asked), else rows of the matrix itself. None for a
/// matrix without an index.
pub(crate) fn sample_queries(input: &BundleInput, matrix: &DenseInput) -> Option<Queries> {
    matrix.index.as_ref()?;
    let users = input.dense.iter().find(|other| {
        other.entity == Entity::User && other.rank == matrix.rank && !other.data.is_empty()
    });
    let source = users.unwrap_or(matrix);
    let rows = source.data.len() / source.rank;
    let mut values = Vec::new();
    for row in shuffled(rows, QUERY_SEED).into_iter().take(MAX_QUERIES) {
        values.extend_from_slice(&source.data[row as usize * source.rank..][..source.rank]);
    }
    Some(Queries { values })
}

/// Measures a graph and finds the narrowest widths of search that reach the recall asked for.
pub(super) fn audit(
    parts: &GraphParts,
    linked_extra: usize,
    values: &[f32],
    rank: usize,
    queries: &Queries,
    target: f64,
) -> (DefaultWidth, GraphInfo) {
    let rows = values.len() / rank;
    // A query of zeros finds everything equally good, and says nothing.
    let queries: Vec<&[f32]> = queries
        .values
        .chunks_exact(rank)
        .filter(|query| query.iter().any(|&value| value != 0.0))
        .collect();
    let vectors = Vectors { values, rank };
    let truth = queries.iter().map(|query| best_scores(vectors, query, 1_000)).collect();
    let mut audit = Audit { graph: parts.view(), vectors, queries, truth, beam: Beam::default() };
    let (at_10, recall_10) =
        audit.narrowest(10, 1.0 - MISSES_AT_10 * (1.0 - target), Reach::Common);
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
    vectors: Vectors<'a>,
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
            if recall >= (target + MARGIN).min(1.0) {
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
            let truth = &truth[..count.min(truth.len())];
            wanted += truth.len();
            let Some(&last) = truth.last() else { continue };
            // A walk whose scores leave f32 finds nothing: searches then scan, too.
            if self.beam.walk(self.graph, self.vectors, query, width, &never).is_ok() {
                found +=
                    self.beam.scores().take(truth.len()).filter(|&score| score >= last).count();
            }
        }
        if wanted == 0 { 1.0 } else { found as f64 / wanted as f64 }
    }
}

/// The best `count` scores of all rows, best first.
fn best_scores(vectors: Vectors<'_>, query: &[f32], count: usize) -> Vec<f32> {
    let mut scores = vec![0f32; vectors.values.len() / vectors.rank];
    dot_rows(query, vectors.values, &mut scores);
    let count = count.min(scores.len());
    if count < scores.len() {
        scores.select_nth_unstable_by(count, |a, b| b.total_cmp(a));
        scores.truncate(count);
    }
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    scores
}
