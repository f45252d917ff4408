//! The exact scan: scores blocks of rows, skipping those that can't reach the results.

use super::{Allow, Metric, SearchParams, SearchScratch};
use crate::bitmap::bits;
use crate::dense::{BLOCK_ROWS, DenseMatrix, norm_f64};
use crate::error::SearchError;
use crate::kernels::{dot_f64, dot_gather, dot_rows};

/// Blocks between two looks at the cancel flag: 4,096 rows, some tens of microseconds.
const BLOCKS_A_CHECK: usize = 32;
/// 64-bit words of a filter's bitmap that one block of rows takes.
const WORDS: usize = BLOCK_ROWS / 64;

/// The rows of a matrix, wherever they lie.
#[derive(Clone, Copy)]
pub(crate) struct Vectors<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rank: usize,
}

/// What a scan reuses.
#[derive(Default)]
pub(crate) struct ScanBuffers {
    query: Vec<f32>,
    ids: Vec<u32>,
}

/// Scans the matrix into `scratch.top`. The query is finite and has the matrix's rank.
pub(crate) fn scan(
    matrix: &DenseMatrix,
    ordinals: &[u32],
    query: &[f32],
    metric: Metric,
    params: &SearchParams<'_>,
    scratch: &mut SearchScratch,
) -> Result<(), SearchError> {
    let SearchScratch { top, scan: ScanBuffers { query: scaled, ids }, .. } = scratch;
    top.reset(params.count);
    let (rank, rows, length) = (matrix.rank(), matrix.rows(), norm_f64(query));
    scaled.clear();
    match metric {
        Metric::InnerProduct => scaled.extend_from_slice(query),
        Metric::Cosine if length == 0.0 => scaled.resize(rank, 0.0),
        Metric::Cosine => {
            scaled.extend(query.iter().map(|&value| (f64::from(value) / length) as f32))
        }
    }
    // What rounding may add to a score that was computed in f32, relative to |q|·|r|; twice over.
    let slack = 1.0 + (rank / 32 + 8) as f64 * f64::from(f32::EPSILON);
    let mut scores = [0f32; BLOCK_ROWS];
    for (block, &longest) in matrix.block_norms().iter().enumerate() {
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
        let whole = match params.allow {
            Allow::All => true,
            Allow::Rows(bitmap) => {
                let last = (block * WORDS + WORDS).min(bitmap.words().len());
                let words = &bitmap.words()[block * WORDS..last];
                let allowed: u32 = words.iter().map(|word| word.count_ones()).sum();
                if allowed == 0 {
                    continue;
                }
                ids.clear();
                for (at, &word) in words.iter().enumerate() {
                    ids.extend(bits(word).map(|bit| (first + 64 * at) as u32 + bit));
                }
                allowed as usize == here
            }
        };
        let found = if whole {
            let block_rows = &matrix.values()[first * rank..(first + here) * rank];
            dot_rows(scaled, block_rows, &mut scores[..here]);
            here
        } else {
            dot_gather(scaled, matrix.values(), ids, &mut scores[..ids.len()]);
            ids.len()
        };
        for (at, &product) in scores[..found].iter().enumerate() {
            let row = if whole { (first + at) as u32 } else { ids[at] };
            let mut score = match metric {
                Metric::InnerProduct => product,
                Metric::Cosine => product * matrix.inverse_norms()[row as usize],
            };
            if score < top.threshold() {
                continue;
            }
            if !score.is_finite() {
                score = exact_score(matrix, row, query, length, metric)?;
            }
            if params.exclude_rows.binary_search(&row).is_err() {
                top.offer(row, ordinals[row as usize], score);
            }
        }
    }
    Ok(())
}

/// A score whose way leads out of `f32`, in double precision.
#[cold]
fn exact_score(
    matrix: &DenseMatrix,
    row: u32,
    query: &[f32],
    length: f64,
    metric: Metric,
) -> Result<f32, SearchError> {
    let vector = matrix.row(row);
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
        Err(SearchError::ScoreRange { matrix: matrix.name().into(), row })
    }
}
