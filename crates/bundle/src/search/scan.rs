//! The exact scan: scores blocks of rows, skipping those that can't reach the results.
//!
//! Several queries go through the blocks together: a block comes from memory once and is near for all
//! of them, each of which skips what it can skip. What a query does with a block doesn't depend on the
//! others, so its answer is the same, bit for bit, as if it had been alone.

use super::hits::DenseHits;
use super::query::{Allow, SearchParams};
use super::rescore::{RescoreTarget, Rescorer};
use super::score::{exact_score, score_of_product};
use super::strategy::DenseStrategy;
use super::top::Top;
use crate::bitmap::bits;
use crate::error::SearchError;
use crate::kernels::dot_rows;
use crate::matrix::dense::BLOCK_ROWS;
use marquee_core::model::interpreter::VectorMeasure;

/// Blocks between two looks at the cancel flags, over all queries: 4,096 rows, some tens of microseconds.
const BLOCKS_A_CHECK: usize = 32;
/// 64-bit words of a filter's bitmap that one block of rows takes.
const WORDS: usize = BLOCK_ROWS / 64;

/// The memory that the scan for one query reuses.
#[derive(Default)]
pub(super) struct Lane {
    top: Top,
    rescorer: Rescorer,
    ids: Vec<u32>,
}

impl Lane {
    /// The first so many of them, which are made if they aren't there.
    pub(super) fn some(lanes: &mut Vec<Self>, count: usize) -> &mut [Self] {
        if lanes.len() < count {
            lanes.resize_with(count, Self::default);
        }
        &mut lanes[..count]
    }
}

/// The scan of one query, block by block.
pub(super) struct Pass<'a> {
    target: RescoreTarget<'a>,
    params: &'a SearchParams<'a>,
    lane: &'a mut Lane,
    /// An error ends this scan; those of other queries go on.
    outcome: Result<(), SearchError>,
    rows_read: u64,
}

impl<'a> Pass<'a> {
    /// Before the first block. The query is finite and has the matrix's rank.
    pub(super) fn new(
        target: RescoreTarget<'a>,
        params: &'a SearchParams<'a>,
        lane: &'a mut Lane,
    ) -> Self {
        lane.top.reset(params.count);
        lane.rescorer.begin(target);
        Self { target, params, lane, outcome: Ok(()), rows_read: 0 }
    }

    /// After the last block.
    pub(super) fn finish(self) -> Result<DenseHits, SearchError> {
        let Self { outcome, lane, rows_read, .. } = self;
        let strategy = Some(DenseStrategy::Scan);
        outcome.map(|()| DenseHits { hits: lane.top.take(), strategy, rows_read })
    }

    /// Takes in one block of rows, the longest of which has this length.
    fn block(&mut self, block: usize, longest: f32) -> Result<(), SearchError> {
        let Self { target, params, lane: Lane { top, rescorer, ids }, rows_read, .. } = self;
        let target = *target;
        let RescoreTarget { dense, ordinals, query, measure } = target;
        let (rank, rows, length) = (dense.rank, dense.rows(), rescorer.length());
        if measure == VectorMeasure::InnerProduct {
            // What rounding may add to a score that was computed in f32, relative to |q|·|r|; twice over.
            let slack = 1.0 + (rank / 32 + 8) as f64 * f64::from(f32::EPSILON);
            let bound = length * f64::from(longest) * slack + f64::from(f32::MIN_POSITIVE);
            if bound < f64::from(top.threshold()) {
                return Ok(());
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
                return Ok(());
            }
        }
        let whole = matches!(params.allow, Allow::All) || ids.len() == here;
        if !whole || dense.coarse.is_some() {
            if matches!(params.allow, Allow::All) {
                ids.extend(first as u32..(first + here) as u32);
            }
            ids.retain(|row| params.exclude_rows.binary_search(row).is_err());
            *rows_read += ids.len() as u64;
            rescorer.offer(target, ids, top)?;
            return Ok(());
        }
        *rows_read += here as u64;
        // Rows that lie together are scored together.
        let mut scores = [0f32; BLOCK_ROWS];
        let block_rows = &dense.values[first * rank..(first + here) * rank];
        dot_rows(rescorer.vector(target), block_rows, &mut scores[..here]);
        for (row, &product) in (first as u32..).zip(&scores[..here]) {
            let mut score = score_of_product(dense, row, product, measure);
            if score < top.threshold() {
                continue;
            }
            if !score.is_finite() {
                score = exact_score(dense, row, query, length, measure)?;
            }
            if params.exclude_rows.binary_search(&row).is_err() {
                top.offer(row, ordinals[row as usize], score);
            }
        }
        Ok(())
    }
}

/// Takes queries over one matrix through its blocks, given the length of the longest row of each.
pub(super) fn scan(passes: &mut [Pass<'_>], block_norms: &[f32]) {
    let blocks_a_check = (BLOCKS_A_CHECK / passes.len().max(1)).max(1);
    for (block, &longest) in block_norms.iter().enumerate() {
        let check = block % blocks_a_check == 0;
        for pass in passes.iter_mut().filter(|pass| pass.outcome.is_ok()) {
            let going = if check { pass.params.cancel.check() } else { Ok(()) };
            pass.outcome = going.and_then(|()| pass.block(block, longest));
        }
    }
}
