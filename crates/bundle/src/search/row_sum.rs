//! Sparse row-sum: the best columns of a weighted sum of sparse rows.

use super::hits::Hit;
use super::query::SearchParams;
use super::scratch::SearchScratch;
use super::sums::Sums;
use crate::bitmap::bits;
use crate::error::{QueryPart, SearchError};
use crate::matrix::sparse::Partition;
use crate::shard::BundleShard;

/// Entries added between two looks at the cancel flag: some tens of microseconds.
const ENTRIES_A_CHECK: usize = 1 << 14;

/// The columns (items or users of the shard) with the greatest `Σ weights[i] · matrix[rows[i], column]`, best
/// first. A column is a candidate if at least one of the rows has an entry there, be it a zero; a row
/// named twice counts twice.
///
/// # Errors
/// For an unknown matrix or one that is partitioned by row, unlike numbers of rows and weights, a row
/// that the matrix doesn't have, a weight that isn't finite, a count above
/// [`MAX_SEARCH_COUNT`](super::MAX_SEARCH_COUNT), a bitmap of another shard, a sum beyond `f32`, and
/// when cancelled.
pub fn sparse_row_sum(
    shard: &BundleShard,
    matrix_name: &str,
    rows: &[u32],
    weights: &[f32],
    params: &SearchParams<'_>,
    scratch: &mut SearchScratch,
) -> Result<Vec<Hit>, SearchError> {
    let matrix = shard.sparse(matrix_name)?;
    if matrix.partition() != Partition::ByColumn {
        return Err(SearchError::Partition { matrix: matrix_name.into() });
    }
    if rows.len() != weights.len() {
        return Err(SearchError::Weights { rows: rows.len(), weights: weights.len() });
    }
    if let Some(index) = weights.iter().position(|weight| !weight.is_finite()) {
        return Err(SearchError::NotFinite { part: QueryPart::Weights, index });
    }
    if let Some(&row) = rows.iter().find(|&&row| row as usize >= matrix.rows()) {
        return Err(SearchError::Row { matrix: matrix_name.into(), row, rows: matrix.rows() });
    }
    params.check(matrix.columns())?;
    if params.count == 0 || params.allowed(matrix.columns()) == 0 {
        return Ok(Vec::new());
    }

    let SearchScratch { top, sums: Sums { sums, touched }, .. } = scratch;
    if sums.len() < matrix.columns() {
        sums.resize(matrix.columns(), 0.0);
        touched.resize(matrix.columns().div_ceil(64), 0);
    }
    let mut outcome = Ok(());
    'adding: for (&row, &weight) in rows.iter().zip(weights) {
        let (columns, values) = matrix.row(row);
        for (columns, values) in columns.chunks(ENTRIES_A_CHECK).zip(values.chunks(ENTRIES_A_CHECK))
        {
            if params.cancel.is_cancelled() {
                outcome = Err(SearchError::Cancelled);
                break 'adding;
            }
            for (&column, &value) in columns.iter().zip(values) {
                sums[column as usize] += f64::from(weight) * f64::from(value);
                touched[column as usize / 64] |= 1 << (column % 64);
            }
        }
    }

    let ordinals = shard.ids(matrix.columns_of()).ordinals();
    top.reset(params.count);
    for (at, word) in touched[..matrix.columns().div_ceil(64)].iter_mut().enumerate() {
        for bit in bits(std::mem::take(word)) {
            let column = (64 * at) as u32 + bit;
            let sum = std::mem::take(&mut sums[column as usize]) as f32;
            if outcome.is_err() || sum < top.threshold() || !params.admits(column) {
                continue;
            }
            if sum.is_finite() {
                top.offer(column, ordinals[column as usize], sum);
            } else {
                // Go on: the sums must be zeros again.
                outcome = Err(SearchError::ScoreRange { matrix: matrix_name.into(), row: column });
            }
        }
    }
    outcome?;
    Ok(top.take())
}
