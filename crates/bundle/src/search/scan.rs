//! The exact scan: scores blocks of rows, skipping those that can't reach the results.

use super::rescore::Target;
use super::{Allow, Metric, SearchParams, SearchScratch};
use crate::bitmap::bits;
use crate::dense::{BLOCK_ROWS, DenseView, norm_f64};
use crate::error::SearchError;
use crate::kernels::{dot_f64, dot_rows};

/// Blocks between two looks at the cancel flag: 4,096 rows, some tens of microseconds.
const BLOCKS_A_CHECK: usize = 32;
/// 64-bit words of a filter's bitmap that one block of rows takes.
const WORDS: usize = BLOCK_ROWS / 64;

/// What a scan reuses.
#[derive(Default)]
pub(crate) struct ScanBuffers {
    ids: Vec<u32>,
}

/// Scans the rows into `scratch.top`, given the length of the longest row of each block. The query is
/// finite and has the matrix's rank.
pub(super) fn scan(
    target: Target<'_>,
    block_norms: &[f32],
    params: &SearchParams<'_>,
    scratch: &mut SearchScratch,
) -> Result<(), SearchError> {
    let SearchScratch { top, scan: ScanBuffers { ids }, rescorer, .. } = scratch;
    let Target { dense, ordinals, query, metric } = target;
    top.reset(params.count);
    rescorer.begin(target);
    let (rank, rows, length) = (dense.rank, dense.rows(), rescorer.length());
    // What rounding may add to a score that was computed in f32, relative to |q|·|r|; twice over.
    let slack = 1.0 + (rank / 32 + 8) as f64 * f64::from(f32::EPSILON);
    let mut scores = [0f32; BLOCK_ROWS];
    for (block, &longest) in block_norms.iter().enumerate() {
        if block % BLOCKS_A_CHECK == 0 {
            params.cancel.check()?;
        }
        if metric == Metric::InnerProduct {
            let bound = length * f64::from(longest) * slack + f64::from(f32::MIN_POSITIVE);
            if bound < f64::from(top.threshold()) {
                continue;
            }
        }
        let first = block * BLOCK_ROWS;
        let here = BLOCK_ROWS.min(rows - first);
        ids.clear();
        if let Allow::Rows(bitmap) = params.allow {
            let last = (block * WORDS + WORDS).min(bitmap.words().len());
            for (at, &word) in bitmap.words()[block * WORDS..last].iter().enumerate() {
                ids.extend(bits(word).map(|bit| (first + 64 * at) as u32 + bit));
            }
            if ids.is_empty() {
                continue;
            }
        }
        let whole = matches!(params.allow, Allow::All) || ids.len() == here;
        if !whole || dense.coarse.is_some() {
            if matches!(params.allow, Allow::All) {
                ids.extend(first as u32..(first + here) as u32);
            }
            ids.retain(|row| params.exclude_rows.binary_search(row).is_err());
            rescorer.offer(target, ids, top)?;
            continue;
        }
        // Rows that lie together are scored together.
        let block_rows = &dense.values[first * rank..(first + here) * rank];
        dot_rows(rescorer.vector(target), block_rows, &mut scores[..here]);
        for (row, &product) in (first as u32..).zip(&scores[..here]) {
            let mut score = score_of_product(dense, row, product, metric);
            if score < top.threshold() {
                continue;
            }
            if !score.is_finite() {
                score = exact_score(dense, row, query, length, metric)?;
            }
            if params.exclude_rows.binary_search(&row).is_err() {
                top.offer(row, ordinals[row as usize], score);
            }
        }
    }
    Ok(())
}

/// The score of a row, given its inner product with the query (of length 1, for cosine); not finite
/// where double precision has to decide.
#[inline]
pub(super) fn score_of_product(
    dense: DenseView<'_>,
    row: u32,
    product: f32,
    metric: Metric,
) -> f32 {
    match metric {
        Metric::InnerProduct => product,
        Metric::Cosine => product * dense.inverse_norms[row as usize],
    }
}

/// A score whose way leads out of `f32`, in double precision.
#[cold]
pub(super) fn exact_score(
    dense: DenseView<'_>,
    row: u32,
    query: &[f32],
    length: f64,
    metric: Metric,
) -> Result<f32, SearchError> {
    let vector = dense.row(row);
    let product = dot_f64(query, vector);
    let score = match metric {
        Metric::InnerProduct => product,
        Metric::Cosine => {
            let lengths = length * norm_f64(vector);
            if lengths == 0.0 { 0.0 } else { product / lengths }
        }
    } as f32;
    if score.is_finite() {
        Ok(score)
    } else {
        Err(SearchError::ScoreRange { matrix: dense.name.into(), row })
    }
}
