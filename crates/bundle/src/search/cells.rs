//! Searches in cells: the blocks with the greatest upper bounds, by their codes, and the best re-scored.
//!
//! 1. A table of 16 small numbers a column makes the query's inner products with 32 rows into byte
//!    look-ups ([`code_sums`]). Its rounding is bounded by half a step a column.
//! 2. Every cell is scored by its mean, and given credit for how far its rows spread around it:
//!    `reach` standard deviations. Blocks have long rows first, so the upper bound of a block's scores is known
//!    beforehand: longest row × (⟨q, mean⟩ + credit).
//! 3. Cells are visited by falling upper bound. Rows go into a pool of `pool` × count, whose worst score
//!    is the bar for what comes after: as it rises, cells are cut shorter, and in the end left out.
//! 4. The pool is re-scored exactly.
//! 5. Where a filter or exclusions left out rows that were met, they say how deep the results lie among all
//!    rows ([`CellSearch::reached`]); a search that did not go deep enough for that is made again.
//!
//! An exact search does the same first, and then visits every block again whose rows could still be
//! among the results by what can be proven: a direction lies at most the cell's radius from its mean,
//! and codes lose at most the block's error (both by Cauchy and Schwarz). Rows that pass are scored
//! themselves. As the first pass has set the bar nearly where it ends, few do.
//!
//! Nothing here depends on the machine: sums of look-ups are whole numbers, and all else is the same
//! sequence of single operations everywhere.

mod denied;
mod pool;
mod rejected;

use super::depth::Reached;
use super::query::{Allow, SearchParams};
use super::rescore::{RescoreTarget, Rescorer};
use super::top::{Top, ordered, score_of};
use crate::effort::Effort;
use crate::error::SearchError;
use crate::kernels::{
    BLOCK_PLACES, DOT_LANES, LEVELS, NONE, Scale, best_of_block, code_sums, compiled_for_each_set,
    dot_lanes, whole_products,
};
use crate::matrix::cells::{Block, CellsView, Extents};
use crate::matrix::dense::norm_f64;
use denied::DeniedRows;
use marquee_core::model::interpreter::VectorMeasure;
use pool::CandidatePool;
use rejected::RejectedScores;
use std::ops::RangeInclusive;

/// Lengths of queries, and of rows, that cells can be searched with: their products and quotients
/// stay well within `f32`.
pub(crate) const PLAIN_LENGTHS: RangeInclusive<f64> = 1e-12..=1e12;
/// The effort of an exact search before it completes what it found: nearly right is enough.
const BEFORE_COMPLETING: Effort = Effort { reach: 1.0, pool: 1.25 };
/// Rows are re-scored in groups of at least so many, to have their memory fetched ahead.
const GROUP: usize = 32;
/// Blocks between two looks at the cancel flag: some tens of microseconds.
const BLOCKS_A_CHECK: usize = 1_024;
/// Cells that are sorted at a time: some fifty are enough for most searches.
const SORTED_TOGETHER: usize = 64;

/// How many operations a search took, for the cost model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CellsWork {
    /// Cells that were scored by their mean.
    pub cells: u64,
    /// Blocks of codes that were summed.
    pub blocks: u64,
    /// Rows whose sums passed the bar.
    pub passed: u64,
    /// Rows that were scored themselves.
    pub scored: u64,
}

impl CellsWork {
    /// How many rows were looked at, by their codes: whole blocks.
    pub(crate) fn rows_read(&self) -> u64 {
        self.blocks * BLOCK_PLACES as u64
    }

    /// Adds the operations of another search.
    pub(crate) fn add(&mut self, other: Self) {
        self.cells += other.cells;
        self.blocks += other.blocks;
        self.passed += other.passed;
        self.scored += other.scored;
    }
}

/// The memory of searches in cells, and what the last one did.
#[derive(Default)]
pub(crate) struct CellSearch {
    tables: Vec<[u8; LEVELS]>,
    /// The least that each column adds.
    lowest: Vec<f32>,
    /// ⟨unit, mean⟩ of each cell.
    nearness: Vec<f32>,
    /// Upper bound and number of each cell, the greatest first as far as they were visited.
    order: Vec<u64>,
    pool: CandidatePool,
    /// The rows of the pool.
    ids: Vec<u32>,
    /// Rows that an exact search has yet to score.
    candidates: Vec<u32>,
    /// The worst score of the pool.
    worst: f32,
    denied: DeniedRows,
    rejected: RejectedScores,
    work: CellsWork,
}

/// Whether cells can be searched with this query.
pub(crate) fn is_plain(query: &[f32]) -> bool {
    PLAIN_LENGTHS.contains(&norm_f64(query))
}

/// What turns sums of look-ups into scores: `⟨unit, decoded⟩ ≈ base + step · sum`.
#[derive(Clone, Copy)]
struct Tables {
    base: f32,
    step: f32,
    /// What rounding to whole steps may take off or add to a sum, in steps.
    rounding: f32,
}

impl CellSearch {
    /// Puts the best rows into `top`, which may then miss some.
    pub(crate) fn search(
        &mut self,
        (target, cells): (RescoreTarget<'_>, CellsView<'_>),
        params: &SearchParams<'_>,
        effort: Effort,
        (rescorer, top): (&mut Rescorer, &mut Top),
    ) -> Result<(), SearchError> {
        self.denied.deny(target.dense.rows(), params.exclude_rows);
        let outcome =
            self.approximate((target, cells), params, effort, (rescorer, top)).map(|_| ());
        self.denied.clear(params.exclude_rows);
        outcome
    }

    /// Puts the best rows into `top`, and misses none.
    pub(crate) fn search_exactly(
        &mut self,
        (target, cells): (RescoreTarget<'_>, CellsView<'_>),
        params: &SearchParams<'_>,
        (rescorer, top): (&mut Rescorer, &mut Top),
    ) -> Result<(), SearchError> {
        self.denied.deny(target.dense.rows(), params.exclude_rows);
        let effort = BEFORE_COMPLETING;
        let first = self.approximate((target, cells), params, effort, (rescorer, top));
        let outcome = first.and_then(|tables| {
            // What the pool held is in already.
            let scored = std::mem::take(&mut self.ids);
            self.denied.deny(target.dense.rows(), &scored);
            let outcome = self.complete((target, cells), params, tables, (rescorer, top));
            self.denied.clear(&scored);
            self.ids = scored;
            outcome
        });
        self.denied.clear(params.exclude_rows);
        outcome
    }

    /// The operations of the last search.
    pub(crate) fn work(&self) -> CellsWork {
        self.work
    }

    /// Whether the worst row of the last search's pool is as good as the last of its results: then
    /// rows that were never scored may tie with them, and ordinals would have to decide.
    pub(crate) fn is_tied(&self, top: &Top) -> bool {
        top.is_full() && self.worst >= top.threshold()
    }

    /// How deep the results of the last search lie, and how deep it went.
    pub(crate) fn reached(
        &self,
        top: &Top,
        (rescorer, measure): (&Rescorer, VectorMeasure),
    ) -> Reached {
        let last = rescorer.bar(top, measure);
        let depth = top.len() + self.rejected.count_from(last);
        let has_met_all = !top.is_full() || self.pool.bar() == f32::NEG_INFINITY;
        let visited = || self.pool.len() + self.rejected.count_from(self.pool.bar());
        Reached { depth, visited: (!has_met_all).then(visited) }
    }

    /// Leaves the rows of the pool in `ids`.
    fn approximate(
        &mut self,
        (target, cells): (RescoreTarget<'_>, CellsView<'_>),
        params: &SearchParams<'_>,
        effort: Effort,
        (rescorer, top): (&mut Rescorer, &mut Top),
    ) -> Result<Tables, SearchError> {
        let RescoreTarget { dense, measure, .. } = target;
        top.reset(params.count);
        rescorer.begin(target);
        self.work = CellsWork::default();
        let tables = self.make_tables(cells, rescorer.unit());
        self.weigh_cells(cells, rescorer.unit(), measure, effort.reach);

        let wanted = ((params.count as f64 * f64::from(effort.pool)).ceil() as usize)
            .clamp(params.count, dense.rows().max(params.count));
        self.pool.begin(wanted);
        self.rejected.begin();
        let spreads = cells.extents().spreads;
        let limited = matches!(params.allow, Allow::Rows(_)) || !params.exclude_rows.is_empty();
        let mut order = std::mem::take(&mut self.order);
        let mut checked = 0;
        for next in 0..order.len() {
            if next % SORTED_TOGETHER == 0 {
                bring_forward(&mut order[next..]);
            }
            let entry = order[next];
            let (bound, cell) = (score_of((entry >> 32) as u32), entry as u32 as usize);
            if bound < self.pool.bar() {
                break;
            }
            let near = self.nearness[cell];
            let reach = near + effort.reach * spreads[cell];
            for at in cells.blocks_of(cell) {
                let block = cells.block(at);
                let bar = self.pool.bar();
                if upper_bound(measure, (block.longest, block.shortest), reach) < bar {
                    // Rows get shorter from here on, which a negative score gains by.
                    if reach >= 0.0 || measure == VectorMeasure::Cosine { break } else { continue }
                }
                if checked % BLOCKS_A_CHECK == 0 && params.cancel.is_cancelled() {
                    self.order = order;
                    return Err(SearchError::Cancelled);
                }
                checked += 1;
                let base = block.centre * near + tables.base;
                let scale = Scale {
                    limit: whole((scaled_bar(measure, &block, bar) - base) / tables.step),
                    offset: block.scale * base,
                    factor: block.scale * tables.step,
                };
                let (scores, rows) = self.pool.room();
                let (codes, places) = (cells.codes_of(at), cells.rows_of(at));
                let mut found = best_of_block(
                    (codes, self.tables.as_flattened()),
                    places,
                    scale,
                    (scores, rows),
                );
                self.work.passed += found as u64;
                if measure == VectorMeasure::Cosine {
                    for (score, &row) in scores.iter_mut().zip(&*rows).take(found) {
                        *score *= dense.inverse_norms[row as usize];
                    }
                }
                if limited {
                    let admits = |row| allows(params.allow, row) && !self.denied.contains(row);
                    self.rejected.make_room(bar);
                    found = keep(found, (scores, rows), admits, &mut self.rejected);
                }
                self.pool.grow(found);
            }
        }
        self.order = order;
        self.work.blocks += checked as u64;
        self.ids.clear();
        self.ids.extend_from_slice(self.pool.finish());
        let offered = rescorer.offer(target, &self.ids, top)?;
        self.work.scored += offered.read;
        self.worst = offered.worst;
        Ok(tables)
    }

    /// Scores every row that could still be among the results.
    fn complete(
        &mut self,
        (target, cells): (RescoreTarget<'_>, CellsView<'_>),
        params: &SearchParams<'_>,
        tables: Tables,
        (rescorer, top): (&mut Rescorer, &mut Top),
    ) -> Result<(), SearchError> {
        let measure = target.measure;
        // What f32 may have rounded anywhere is added to all bounds.
        let slack = (cells.shape.rank as f32 / 8.0 + 64.0) * f32::EPSILON;
        self.candidates.clear();
        let mut sums = [0u16; BLOCK_PLACES];
        let mut checked = 0;
        let mut bar = rescorer.bar(top, measure);
        let radii = cells.extents().radii;
        for (cell, &radius) in radii.iter().enumerate() {
            let near = self.nearness[cell];
            let reach = (near + radius).min(1.0) + slack;
            for at in cells.blocks_of(cell) {
                let block = cells.block(at);
                if upper_bound(measure, (block.longest, block.shortest), reach) < bar {
                    if reach >= 0.0 || measure == VectorMeasure::Cosine { break } else { continue }
                }
                if checked % BLOCKS_A_CHECK == 0 {
                    params.cancel.check()?;
                }
                checked += 1;
                let base = block.centre * near + tables.base + block.error + slack;
                let limit =
                    (scaled_bar(measure, &block, bar) - base) / tables.step - tables.rounding;
                let mut above = code_sums(
                    cells.codes_of(at),
                    self.tables.as_flattened(),
                    whole(limit - 1.0),
                    &mut sums,
                );
                self.work.passed += u64::from(above.count_ones());
                let rows = cells.rows_of(at);
                while above != 0 {
                    let row = rows[above.trailing_zeros() as usize];
                    above &= above - 1;
                    if row != NONE && allows(params.allow, row) && !self.denied.contains(row) {
                        self.candidates.push(row);
                    }
                }
                if self.candidates.len() >= GROUP {
                    self.work.scored += rescorer.offer(target, &self.candidates, top)?.read;
                    self.candidates.clear();
                    bar = rescorer.bar(top, measure);
                }
            }
        }
        self.work.blocks += checked as u64;
        self.work.scored += rescorer.offer(target, &self.candidates, top)?.read;
        Ok(())
    }

    /// Makes the query's tables of look-ups.
    fn make_tables(&mut self, cells: CellsView<'_>, unit: &[f32]) -> Tables {
        let rank = cells.shape.rank;
        let (levels, _) = cells.levels.as_chunks::<LEVELS>();
        self.lowest.clear();
        let (mut base, mut widest) = (0f32, 0f32);
        for (&value, levels) in unit.iter().zip(levels) {
            // Levels rise.
            let (first, last) = (value * levels[0], value * levels[LEVELS - 1]);
            let (lowest, highest) = if value >= 0.0 { (first, last) } else { (last, first) };
            base += lowest;
            widest = widest.max(highest - lowest);
            self.lowest.push(lowest);
        }
        let columns = rank.next_multiple_of(2);
        // So that no sum leaves i16.
        let most = (i16::MAX as usize / columns).min(255) as f32;
        let step = (widest / most).max(f32::MIN_POSITIVE * 1e6);
        // A column that fills up an odd rank keeps its zeros.
        self.tables.clear();
        self.tables.resize(columns, [0; LEVELS]);
        whole_products(unit, levels, &self.lowest, 1.0 / step, most, &mut self.tables);
        Tables { base, step, rounding: rank as f32 / 2.0 }
    }

    /// Scores the cells by their means, and notes the upper bounds of their rows' scores.
    fn weigh_cells(
        &mut self,
        cells: CellsView<'_>,
        unit: &[f32],
        measure: VectorMeasure,
        reach: f32,
    ) {
        let count = cells.shape.cells;
        self.work.cells += count as u64;
        self.nearness.resize(count.next_multiple_of(DOT_LANES), 0.0);
        dot_lanes(unit, cells.means, &mut self.nearness);
        self.order.clear();
        self.order.resize(count, 0);
        upper_bounds(&self.nearness, cells.extents(), reach, measure, &mut self.order);
    }
}

compiled_for_each_set! {
    /// The upper bound of the scores in each cell, as an integer of that order, and its number.
    fn upper_bounds(
        nearness: &[f32],
        extents: Extents<'_>,
        reach: f32,
        measure: VectorMeasure,
        out: &mut [u64],
    ) {
        let Extents { spreads, longest, shortest, .. } = extents;
        let cells = nearness.iter().zip(spreads).zip(longest).zip(shortest).zip(out).enumerate();
        for (cell, ((((&near, &spread), &longest), &shortest), out)) in cells {
            let bound = upper_bound(measure, (longest, shortest), near + reach * spread);
            *out = u64::from(ordered(bound)) << 32 | cell as u64;
        }
    }
}

/// Sorts the cells with the greatest upper bounds to the front.
fn bring_forward(cells: &mut [u64]) {
    let falling = |a: &u64, b: &u64| b.cmp(a);
    if cells.len() > SORTED_TOGETHER {
        cells.select_nth_unstable_by(SORTED_TOGETHER - 1, falling);
    }
    let (first, _) = cells.split_at_mut(SORTED_TOGETHER.min(cells.len()));
    first.sort_unstable_by(falling);
}

/// Moves the scores and rows that are admitted to the front, notes the scores of the others, and returns how many
/// are admitted.
fn keep(
    found: usize,
    (scores, rows): (&mut [f32; BLOCK_PLACES], &mut [u32; BLOCK_PLACES]),
    admits: impl Fn(u32) -> bool,
    rejected: &mut RejectedScores,
) -> usize {
    let mut kept = 0;
    for at in 0..found.min(BLOCK_PLACES) {
        let is_admitted = admits(rows[at]);
        rejected.push_if(scores[at], !is_admitted);
        (scores[kept], rows[kept]) = (scores[at], rows[at]);
        kept += usize::from(is_admitted);
    }
    kept
}

/// Whether a row may be in a result, as far as the filter goes.
#[inline]
fn allows(allow: Allow<'_>, row: u32) -> bool {
    match allow {
        Allow::All => true,
        Allow::Rows(bitmap) => bitmap.contains(row),
    }
}

/// The upper bound of the scores of rows between these lengths, given that the score of their direction is
/// at most `reach`.
#[inline(always)]
fn upper_bound(measure: VectorMeasure, (longest, shortest): (f32, f32), reach: f32) -> f32 {
    // Of negative scores the shortest rows have the best.
    let length = if reach >= 0.0 { longest } else { shortest };
    match measure {
        VectorMeasure::InnerProduct => length * reach,
        VectorMeasure::Cosine => reach,
    }
}

/// What a row's decoded product must exceed for its score to exceed `bar`.
#[inline]
fn scaled_bar(measure: VectorMeasure, block: &Block, bar: f32) -> f32 {
    match measure {
        VectorMeasure::InnerProduct => bar / block.scale,
        // The least that any row of the block needs.
        VectorMeasure::Cosine if bar > 0.0 => bar * block.shortest / block.scale,
        VectorMeasure::Cosine => bar * block.longest / block.scale,
    }
}

/// The next whole number down, for the comparison `sum > limit`; below 0 every sum passes.
#[inline]
fn whole(limit: f32) -> i16 {
    // A cast saturates, and makes NaN (no bar yet, over no length) 0: so that is asked first.
    if limit >= 0.0 { limit as i16 } else { -1 }
}
