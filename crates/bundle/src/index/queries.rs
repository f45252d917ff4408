//! The queries that an index is measured with, and the truth about them.

use super::shuffle::shuffled;
use crate::input::{BundleInput, DenseInput};
use crate::kernels::dot_rows;
use crate::matrix::dense::DenseView;
use marquee_core::model::interpreter::VectorMeasure;
use marquee_core::model::recipe::Entity;
use rayon::prelude::*;

/// Queries that an index is measured with: of 200 × 100 results, a recall of 0.95 is known to about
/// half a hundredth.
const MAX_QUERIES: usize = 200;
/// The order in which queries are drawn; any number does.
const QUERY_SEED: u64 = 0x71_75_65_72_79;
/// The most results that searches are measured for.
const MAX_COUNT: usize = 1_000;

/// Of the best 10 only this share of the misses is tolerated: they are what users see, and finding
/// them costs little more. With the default target that is a recall of 0.995, of which other
/// queries than those measured have 0.99: the least effort that suffices for some is a little too
/// little for others.
const MISSES_AT_10: f64 = 0.1;
/// So much of the misses that are tolerated is not looked for, since other queries than those
/// measured will come.
const MARGIN: f64 = 0.2;

/// The recall to look for at this count of results, for the target recall at 100.
pub(super) fn wanted_recall(target: f64, count: usize) -> f64 {
    let tolerated = if count <= 10 { MISSES_AT_10 } else { 1.0 };
    1.0 - tolerated * (1.0 - MARGIN) * (1.0 - target)
}

/// A recall, to six digits: more than is known, and they come back from text as they were.
pub(super) fn share(found: usize, wanted: usize) -> f64 {
    if wanted == 0 { 1.0 } else { (found as f64 / wanted as f64 * 1e6).round() / 1e6 }
}

/// Query vectors of one matrix.
pub(crate) struct Queries {
    values: Vec<f32>,
}

/// Draws the queries that a matrix's indexes are measured with: users' vectors where the bundle has
/// some of the same rank (they are what searches will use), else rows of the matrix itself. None for a
/// matrix without an index.
pub(crate) fn sample_queries(input: &BundleInput, matrix: &DenseInput) -> Option<Queries> {
    matrix.index.as_ref()?;
    let users = input.dense.iter().find(|other| {
        other.entity == Entity::User && other.rank == matrix.rank && !other.data.is_empty()
    });
    Some(Queries::of(&users.unwrap_or(matrix).data, matrix.rank))
}

impl Queries {
    /// Some of these rows.
    pub(super) fn of(rows: &[f32], rank: usize) -> Self {
        let mut values = Vec::new();
        for row in shuffled(rows.len() / rank, QUERY_SEED).into_iter().take(MAX_QUERIES) {
            values.extend_from_slice(&rows[row as usize * rank..][..rank]);
        }
        Self { values }
    }

    /// The queries that are not all zeros: one of zeros finds every row equally good.
    pub(super) fn nonzero(&self, rank: usize) -> Vec<&[f32]> {
        let queries = self.values.chunks_exact(rank);
        queries.filter(|query| query.iter().any(|&value| value != 0.0)).collect()
    }
}

/// The best scores of each query by inner product, or by cosine times the query's length: best first,
/// at most 1,000.
pub(super) fn best_scores(
    dense: DenseView<'_>,
    queries: &[&[f32]],
    measure: VectorMeasure,
) -> Vec<Vec<f32>> {
    // Scores of all rows are kept for the query at hand only: for 200 queries they'd be three times as
    // many numbers as the rows have.
    queries
        .par_iter()
        .map_init(Vec::new, |scores, query| best_scores_of(dense, query, measure, scores))
        .collect()
}

/// The best scores of one query; `scores` is memory for those of all rows.
fn best_scores_of(
    dense: DenseView<'_>,
    query: &[f32],
    measure: VectorMeasure,
    scores: &mut Vec<f32>,
) -> Vec<f32> {
    scores.resize(dense.rows(), 0.0);
    dot_rows(query, dense.values, scores);
    if measure == VectorMeasure::Cosine {
        for (score, inverse) in scores.iter_mut().zip(dense.inverse_norms) {
            *score *= inverse;
        }
    }
    let count = MAX_COUNT.min(scores.len());
    if count < scores.len() {
        scores.select_nth_unstable_by(count, |a, b| b.total_cmp(a));
    }
    let mut first = scores[..count].to_vec();
    first.sort_unstable_by(|a, b| b.total_cmp(a));
    first
}
