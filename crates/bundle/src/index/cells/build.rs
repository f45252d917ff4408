//! Making cells: directions into groups, rows into blocks, columns into codes.

use crate::index::shuffle::shuffled;
use crate::kernels::{BLOCK_PLACES, DOT_LANES, LEVELS, NONE, dot_f64, dot_rows};
use crate::matrix::cells::{Block, CellsParts, CellsShape};
use crate::matrix::dense::norm_f64;
use crate::search::cells::PLAIN_LENGTHS;
use rayon::prelude::*;

/// Rows of a cell, on average. By inner product larger cells are searched faster (a million rows of
/// rank 128 twice as fast as in cells of 800), as fewer blocks are begun and the long rows of more
/// of them lie together; by cosine, where length says nothing, smaller ones (in cells of 800 by a
/// third).
const ROWS_A_CELL: usize = 1_600;
/// More cells than this cost more to score than they save.
const MAX_CELLS: usize = 4_096;
/// Rows for each cell that the groups are trained on.
const SAMPLE_A_CELL: usize = 100;
/// Rounds of training the groups: later ones hardly change them.
const ROUNDS: usize = 8;
/// Rows that the levels of the codes are trained on.
const LEVEL_SAMPLE: usize = 16_384;
/// Rounds of training the levels of the codes.
const LEVEL_ROUNDS: usize = 12;
/// Rows that one thread takes at a time. Sums over rows are made in chunks of this many, so that they
/// are the same for any number of threads.
const CHUNK: usize = 4_096;

/// Puts the rows (at least one) into cells; none if some rows are too long or too short for them.
pub(super) fn build_cells(
    values: &[f32],
    rank: usize,
    seed: u64,
    on_rows: &(dyn Fn(u64) + Sync),
) -> Option<CellsParts> {
    let norms: Vec<f64> = values.par_chunks_exact(rank).map(norm_f64).collect();
    if !norms.par_iter().all(|norm| *norm == 0.0 || PLAIN_LENGTHS.contains(norm)) {
        return None;
    }
    let rows = MeasuredRows { values, rank, norms: &norms };
    let members = rows.members(seed, on_rows);
    Some(rows.encode(&members, seed))
}

/// The rows that are put into cells.
struct MeasuredRows<'a> {
    values: &'a [f32],
    rank: usize,
    norms: &'a [f64],
}

impl MeasuredRows<'_> {
    fn row(&self, row: u32) -> &[f32] {
        &self.values[row as usize * self.rank..][..self.rank]
    }

    /// The length of a row.
    fn norm(&self, row: u32) -> f64 {
        self.norms[row as usize]
    }

    /// What a row is multiplied by to get its direction; 0 for a row of zeros, which has none.
    fn to_direction(&self, row: u32) -> f64 {
        match self.norm(row) {
            0.0 => 0.0,
            norm => 1.0 / norm,
        }
    }

    /// Which rows each cell has, longest first: spherical k-means (Dhillon and Modha 2001), trained
    /// on a sample. No cell is empty.
    fn members(&self, seed: u64, on_rows: &(dyn Fn(u64) + Sync)) -> Vec<Vec<u32>> {
        let count = self.norms.len();
        let cells = (count / ROWS_A_CELL).clamp(1, MAX_CELLS);
        let mut sample = shuffled(count, seed);
        sample.truncate(cells * SAMPLE_A_CELL);
        let mut centres: Vec<f32> = Vec::with_capacity(cells * self.rank);
        for &row in &sample[..cells] {
            centres.extend(self.direction(row));
        }
        for _ in 0..ROUNDS {
            centres = self.moved(&centres, &sample);
        }
        let all: Vec<u32> = (0..count as u32).collect();
        let nearest = self.nearest(&centres, &all, on_rows);
        let mut members = vec![Vec::new(); cells];
        for (row, cell) in nearest.into_iter().enumerate() {
            members[cell as usize].push(row as u32);
        }
        members.retain(|rows| !rows.is_empty());
        members.par_iter_mut().for_each(|rows| {
            rows.sort_by(|&a, &b| self.norm(b).total_cmp(&self.norm(a)).then(a.cmp(&b)));
        });
        members
    }

    fn direction(&self, row: u32) -> impl Iterator<Item = f32> + '_ {
        let factor = self.to_direction(row);
        self.row(row).iter().map(move |&value| (f64::from(value) * factor) as f32)
    }

    /// The centre that each of these rows is nearest to by angle.
    fn nearest(&self, centres: &[f32], of: &[u32], on_rows: &(dyn Fn(u64) + Sync)) -> Vec<u32> {
        let cells = centres.len() / self.rank;
        let chunks = of.par_chunks(CHUNK).map(|chunk| {
            let mut scores = vec![0f32; cells];
            let mut nearest = Vec::with_capacity(chunk.len());
            for &row in chunk {
                dot_rows(self.row(row), centres, &mut scores);
                let mut best = 0;
                for (cell, &score) in scores.iter().enumerate() {
                    if score > scores[best] {
                        best = cell;
                    }
                }
                nearest.push(best as u32);
            }
            on_rows(chunk.len() as u64);
            nearest
        });
        chunks.flatten_iter().collect()
    }

    /// The centres after one more round: each the direction of the sum of what was nearest to it, or
    /// where it was if nothing was.
    fn moved(&self, centres: &[f32], sample: &[u32]) -> Vec<f32> {
        let nearest = self.nearest(centres, sample, &|_| {});
        let mut sums = vec![0f64; centres.len()];
        for (&row, &cell) in sample.iter().zip(&nearest) {
            let sum = &mut sums[cell as usize * self.rank..][..self.rank];
            let factor = self.to_direction(row);
            for (sum, &value) in sum.iter_mut().zip(self.row(row)) {
                *sum += f64::from(value) * factor;
            }
        }
        let mut moved = centres.to_vec();
        for (centre, sum) in moved.chunks_exact_mut(self.rank).zip(sums.chunks_exact(self.rank)) {
            let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
            if length > 0.0 {
                for (centre, sum) in centre.iter_mut().zip(sum) {
                    *centre = (sum / length) as f32;
                }
            }
        }
        moved
    }

    /// Lays the cells' rows out in blocks, and encodes them.
    fn encode(&self, members: &[Vec<u32>], seed: u64) -> CellsParts {
        let rank = self.rank;
        let centres: Vec<Centre> = members.par_iter().map(|rows| self.centre(rows)).collect();
        let mut starts = vec![0];
        let mut blocks: Vec<(usize, &[u32])> = Vec::new();
        for (cell, rows) in members.iter().enumerate() {
            blocks.extend(rows.chunks(BLOCK_PLACES).map(|rows| (cell, rows)));
            starts.push(blocks.len() as u64);
        }
        let shape =
            CellsShape { rows: self.norms.len(), rank, cells: members.len(), blocks: blocks.len() };
        let levels = self.levels(&blocks, &centres, seed);
        let mut codes = vec![0u8; shape.blocks * shape.block_bytes()];
        let described: Vec<Block> = codes
            .par_chunks_exact_mut(shape.block_bytes())
            .zip(&blocks)
            .map(|(codes, &(cell, rows))| self.encode_block(&centres[cell], rows, &levels, codes))
            .collect();
        let mut places = Vec::with_capacity(shape.blocks * BLOCK_PLACES);
        for (_, rows) in &blocks {
            places.extend_from_slice(rows);
            places.resize(places.len().next_multiple_of(BLOCK_PLACES), NONE);
        }
        CellsParts {
            shape,
            means: in_groups(&centres, rank),
            extents: extents(&centres, &starts, &described),
            starts,
            blocks: described.into_iter().flat_map(Block::fields).collect(),
            rows: places,
            codes,
            levels,
        }
    }

    /// The mean direction of a cell's rows, and how far they lie from it.
    fn centre(&self, rows: &[u32]) -> Centre {
        let mut sum = vec![0f64; self.rank];
        for &row in rows {
            let factor = self.to_direction(row);
            for (sum, &value) in sum.iter_mut().zip(self.row(row)) {
                *sum += f64::from(value) * factor;
            }
        }
        let mean: Vec<f32> = sum.iter().map(|sum| (sum / rows.len() as f64) as f32).collect();
        let (mut squares, mut farthest) = (0f64, 0f64);
        for &row in rows {
            let factor = self.to_direction(row);
            let away: f64 = self
                .row(row)
                .iter()
                .zip(&mean)
                .map(|(&value, &mean)| (f64::from(value) * factor - f64::from(mean)).powi(2))
                .sum();
            squares += away;
            farthest = farthest.max(away);
        }
        let spread = (squares / (rows.len() * self.rank) as f64).sqrt();
        Centre { mean, spread: spread as f32, radius: up(farthest.sqrt()) }
    }

    /// What is left of a row, in the units of its block, without its share of the mean.
    fn remainder(&self, row: u32, (scale, share): (f32, f32), mean: &[f32], out: &mut [f32]) {
        let factor = 1.0 / f64::from(scale);
        for ((out, &value), &mean) in out.iter_mut().zip(self.row(row)).zip(mean) {
            *out = (f64::from(value) * factor) as f32 - share * mean;
        }
    }

    /// The scale of a block, and its share of the mean: the mean length of its rows in that scale.
    fn units(&self, rows: &[u32]) -> (f32, f32) {
        let longest = rows.iter().map(|&row| self.norm(row)).fold(0.0, f64::max);
        let scale = if longest > 0.0 { longest as f32 } else { 1.0 };
        let sum = rows.iter().map(|&row| self.norm(row)).sum::<f64>();
        let share = sum / rows.len() as f64 / f64::from(scale);
        (scale, share as f32)
    }

    /// The values that the codes of each column stand for, rising: Lloyd's algorithm on a sample.
    fn levels(&self, blocks: &[(usize, &[u32])], centres: &[Centre], seed: u64) -> Vec<f32> {
        let rank = self.rank;
        let mut sample = shuffled(blocks.len(), seed.wrapping_add(1));
        sample.truncate(LEVEL_SAMPLE / BLOCK_PLACES);
        // One column after another.
        let mut columns: Vec<Vec<f32>> = vec![Vec::new(); rank];
        let mut remainder = vec![0f32; rank];
        for at in sample {
            let (cell, rows) = blocks[at as usize];
            let units = self.units(rows);
            for &row in rows {
                self.remainder(row, units, &centres[cell].mean, &mut remainder);
                for (column, &value) in columns.iter_mut().zip(&remainder) {
                    column.push(value);
                }
            }
        }
        columns.par_iter_mut().flat_map_iter(|column| lloyd(column)).collect()
    }

    fn encode_block(
        &self,
        centre: &Centre,
        rows: &[u32],
        levels: &[f32],
        codes: &mut [u8],
    ) -> Block {
        let units @ (scale, share) = self.units(rows);
        let mut remainder = vec![0f32; self.rank];
        let mut worst = 0f64;
        let (levels, _) = levels.as_chunks::<LEVELS>();
        for (place, &row) in rows.iter().enumerate() {
            self.remainder(row, units, &centre.mean, &mut remainder);
            let shift = if place < BLOCK_PLACES / 2 { 0 } else { 4 };
            for (column, (value, levels)) in remainder.iter_mut().zip(levels).enumerate() {
                let code = nearest_level(levels, *value);
                codes[16 * column + place % 16] |= (code as u8) << shift;
                *value -= levels[code];
            }
            worst = worst.max(dot_f64(&remainder, &remainder));
        }
        Block {
            scale,
            longest: up(rows.first().map_or(0.0, |&row| self.norm(row))),
            shortest: (rows.last().map_or(0.0, |&row| self.norm(row)) as f32).next_down().max(0.0),
            centre: share,
            error: up(worst.sqrt()),
        }
    }
}

/// The middle of a cell.
struct Centre {
    mean: Vec<f32>,
    spread: f32,
    radius: f32,
}

/// The means, as [`dot_lanes`](crate::kernels) reads them.
fn in_groups(centres: &[Centre], rank: usize) -> Vec<f32> {
    let mut means = vec![0f32; centres.len().next_multiple_of(DOT_LANES) * rank];
    for (group, centres) in means.chunks_mut(DOT_LANES * rank).zip(centres.chunks(DOT_LANES)) {
        for (lane, centre) in centres.iter().enumerate() {
            for (column, &value) in centre.mean.iter().enumerate() {
                group[column * DOT_LANES + lane] = value;
            }
        }
    }
    means
}

/// How the rows of each cell lie.
fn extents(centres: &[Centre], starts: &[u64], blocks: &[Block]) -> Vec<f32> {
    let spreads = centres.iter().map(|centre| centre.spread);
    let radii = centres.iter().map(|centre| centre.radius);
    // A cell's blocks are long rows first.
    let longest = starts.iter().take(centres.len()).map(|&start| blocks[start as usize].longest);
    let shortest = starts.iter().skip(1).map(|&end| blocks[end as usize - 1].shortest);
    spreads.chain(radii).chain(longest).chain(shortest).collect()
}

/// Rounded up, so that a bound stays one.
fn up(value: f64) -> f32 {
    (value as f32).next_up()
}

/// Sixteen levels for these values (in any order, at least one), rising.
fn lloyd(values: &mut [f32]) -> [f32; LEVELS] {
    values.sort_unstable_by(f32::total_cmp);
    let mut levels = [0f32; LEVELS];
    for (level, value) in levels.iter_mut().enumerate() {
        *value = values[(2 * level + 1) * values.len() / (2 * LEVELS)];
    }
    for _ in 0..LEVEL_ROUNDS {
        // As values are sorted, each level's own lie between two bounds.
        let mut from = 0;
        for level in 0..LEVELS {
            let to = match levels.get(level + 1) {
                Some(next) => {
                    let middle = (levels[level] + next) / 2.0;
                    from + values[from..].partition_point(|&value| value <= middle)
                }
                None => values.len(),
            };
            if to > from {
                let sum: f64 = values[from..to].iter().map(|&value| f64::from(value)).sum();
                levels[level] = (sum / (to - from) as f64) as f32;
            }
            from = to;
        }
    }
    levels
}

/// The level nearest to a value, of rising ones.
#[inline]
fn nearest_level(levels: &[f32; LEVELS], value: f32) -> usize {
    // Counts the middles below the value, without a branch.
    let below = |pair: &[f32]| usize::from(value > (pair[0] + pair[1]) / 2.0);
    levels.windows(2).map(below).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of built cells.
    type Change = fn(&mut CellsParts);

    #[test]
    fn defects_that_would_make_searches_wrong_are_found() {
        let values: Vec<f32> =
            (0..300 * 3).map(|at| ((at * 37 % 101) as f32 - 50.0) / 7.0).collect();
        let built = || build_cells(&values, 3, 1, &|_| {}).expect("of ordinary lengths");
        assert_eq!(built().view().defect(), None);
        let changes: [(Change, &str); 7] = [
            (|cells| cells.starts[0] = cells.starts[1], "a cell is empty"),
            (|cells| cells.blocks[0] = 0.0, "a block's numbers are not in range"),
            (|cells| cells.means[5] = f32::NAN, "a value is not a finite number"),
            (|cells| cells.levels.swap(16, 31), "the levels of a column don't rise"),
            (|cells| cells.extents[0] = -1.0, "a cell's extent is not in range"),
            (
                |cells| cells.rows[0] = cells.rows[1],
                "it names a row that isn't there, or one twice",
            ),
            (|cells| cells.rows[0] = NONE, "it leaves rows out"),
        ];
        for (change, defect) in changes {
            let mut cells = built();
            change(&mut cells);
            assert_eq!(cells.view().defect(), Some(defect));
        }
    }

    #[test]
    fn means_and_extents_lie_as_they_are_read() {
        let values: Vec<f32> = (0..5_000 * 2).map(|at| (at as f32 * 0.7).sin() + 0.1).collect();
        let cells = build_cells(&values, 2, 1, &|_| {}).expect("of ordinary lengths");
        let view = cells.view();
        let count = view.shape.cells;
        assert!(count > 1 && count < DOT_LANES, "{count} cells");
        for cell in 0..count {
            let rows: Vec<u32> = view
                .blocks_of(cell)
                .flat_map(|block| view.rows_of(block))
                .copied()
                .filter(|&row| row != NONE)
                .collect();
            let norm = |row: u32| norm_f64(&values[row as usize * 2..][..2]);
            for column in 0..2 {
                let direction =
                    |&row: &u32| f64::from(values[row as usize * 2 + column]) / norm(row);
                let mean = rows.iter().map(direction).sum::<f64>() / rows.len() as f64;
                let found = view.means[column * DOT_LANES + cell];
                assert!((f64::from(found) - mean).abs() < 1e-6, "{found} for {mean}");
            }
            let (first, last) = (norm(rows[0]), norm(*rows.last().expect("rows")));
            assert!(first >= last);
            let (longest, shortest) = (view.extents().longest[cell], view.extents().shortest[cell]);
            assert!((f64::from(longest) - first).abs() < 1e-6 && f64::from(longest) >= first);
            assert!((f64::from(shortest) - last).abs() < 1e-6 && f64::from(shortest) <= last);
        }
        assert_eq!(view.means[count..DOT_LANES], vec![0.0; DOT_LANES - count]);
    }
}
