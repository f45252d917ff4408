//! The queries that an index is measured with, and the truth about them.

use super::shuffle::shuffled;
use crate::input::{BundleInput, DenseInput};
use crate::kernels::dot_rows;
use crate::matrix::dense::DenseView;
use crate::search::top::{ordered, score_of};
use marquee_core::model::interpreter::VectorMeasure;
use marquee_core::model::recipe::Entity;
use rayon::prelude::*;

/// Queries that an index is measured with: of 200 × 100 results, a recall of 0.95 is known to about
/// half a hundredth.
const MAX_QUERIES: usize = 200;
/// The order in which queries are drawn; any number does.
const QUERY_SEED: u64 = 0x71_75_65_72_79;
/// The most results that searches are measured for.
const MAX_COUNT: usize = 3_000;
/// With fewer queries that an index was not tuned with, it is audited with those that it was.
const LEAST_QUERIES: usize = 50;

/// A recall, to six digits: more than is known, and they come back from text as they were.
pub(super) fn share(found: usize, wanted: usize) -> f64 {
    if wanted == 0 { 1.0 } else { (found as f64 / wanted as f64 * 1e6).round() / 1e6 }
}

/// Query vectors of one matrix: to tune an index with, and others to audit it with.
pub(crate) struct Queries {
    values: Vec<f32>,
    others: Vec<f32>,
}

/// The best rows of a query, best first: scores and rows.
pub(super) struct BestRows {
    pub(super) scores: Vec<f32>,
    pub(super) rows: Vec<u32>,
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
        let order = shuffled(rows.len() / rank, QUERY_SEED);
        let (tuning, rest) = order.split_at(MAX_QUERIES.min(order.len()));
        let rest = if rest.len() < LEAST_QUERIES { tuning } else { rest };
        let values_of = |numbers: &[u32]| {
            let mut values = Vec::new();
            for &row in numbers.iter().take(MAX_QUERIES) {
                values.extend_from_slice(&rows[row as usize * rank..][..rank]);
            }
            values
        };
        Self { values: values_of(tuning), others: values_of(rest) }
    }

    /// The queries that are not all zeros: one of zeros finds every row equally good.
    pub(super) fn nonzero(&self, rank: usize) -> Vec<&[f32]> {
        nonzero(&self.values, rank)
    }

    /// The others that are not all zeros.
    pub(super) fn others(&self, rank: usize) -> Vec<&[f32]> {
        nonzero(&self.others, rank)
    }
}

fn nonzero(values: &[f32], rank: usize) -> Vec<&[f32]> {
    let queries = values.chunks_exact(rank);
    queries.filter(|query| query.iter().any(|&value| value != 0.0)).collect()
}

/// The best rows of each query by inner product, or by cosine times the query's length: best first,
/// at most 3,000.
pub(super) fn best_rows(
    dense: DenseView<'_>,
    queries: &[&[f32]],
    measure: VectorMeasure,
) -> Vec<BestRows> {
    // Scores of all rows are kept for the query at hand only: for 200 queries they'd be three times as
    // many numbers as the rows have.
    queries
        .par_iter()
        .map_init(Default::default, |memory, query| best_rows_of(dense, query, measure, memory))
        .collect()
}

/// The best rows of one query; `scores` is memory for those of all rows, and `order` for their numbers.
fn best_rows_of(
    dense: DenseView<'_>,
    query: &[f32],
    measure: VectorMeasure,
    (scores, order): &mut (Vec<f32>, Vec<u64>),
) -> BestRows {
    scores.resize(dense.rows(), 0.0);
    dot_rows(query, dense.values, scores);
    if measure == VectorMeasure::Cosine {
        for (score, inverse) in scores.iter_mut().zip(dense.inverse_norms) {
            *score *= inverse;
        }
    }
    order.clear();
    let keys = scores.iter().zip(0u32..);
    order.extend(keys.map(|(&score, row)| u64::from(ordered(score)) << 32 | u64::from(!row)));
    let count = MAX_COUNT.min(order.len());
    let falling = |a: &u64, b: &u64| b.cmp(a);
    if count < order.len() {
        order.select_nth_unstable_by(count, falling);
    }
    let first = &mut order[..count];
    first.sort_unstable_by(falling);
    BestRows {
        scores: first.iter().map(|key| score_of((key >> 32) as u32)).collect(),
        rows: first.iter().map(|key| !(*key as u32)).collect(),
    }
}
