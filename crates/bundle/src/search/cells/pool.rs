//! The pool: the rows with the best approximate scores so far.

use crate::kernels::{BLOCK_PLACES, count_at_least, keep_at_least, least_and_greatest};
use crate::search::top::{ordered, score_of};

/// The pool is thinned out when it holds this many rows more than twice what is wanted.
const SLACK: usize = 64;
/// Thinning out leaves up to one more for each so many that are wanted.
const ONE_MORE_FOR: usize = 16;
/// Halvings of the range of scores before it is left to sorting: more than what is in a pool wants, unless
/// many rows tie.
const MAX_HALVINGS: usize = 24;

/// Scores and rows, in no order, and the score below which no row is wanted any more.
#[derive(Default)]
pub(super) struct CandidatePool {
    scores: Vec<f32>,
    rows: Vec<u32>,
    len: usize,
    wanted: usize,
    bar: f32,
    /// Scores and rows as integers, for sorting.
    keys: Vec<u64>,
}

impl CandidatePool {
    /// Forgets everything, to keep the best `wanted` (at least one) and a few more.
    pub(super) fn begin(&mut self, wanted: usize) {
        let room = 2 * wanted + SLACK + BLOCK_PLACES;
        if self.scores.len() < room {
            self.scores.resize(room, 0.0);
            self.rows.resize(room, 0);
        }
        self.len = 0;
        self.wanted = wanted;
        self.bar = f32::NEG_INFINITY;
    }

    /// Rows that score less are not wanted.
    #[inline]
    pub(super) fn bar(&self) -> f32 {
        self.bar
    }

    /// How many rows it holds.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Room for the scores and rows of a block.
    #[inline]
    pub(super) fn room(&mut self) -> (&mut [f32; BLOCK_PLACES], &mut [u32; BLOCK_PLACES]) {
        let room = "there is always room for a block";
        let scores = self.scores[self.len..].first_chunk_mut().expect(room);
        (scores, self.rows[self.len..].first_chunk_mut().expect(room))
    }

    /// Takes in the first `added` of what was put into its room.
    #[inline]
    pub(super) fn grow(&mut self, added: usize) {
        self.len += added.min(BLOCK_PLACES);
        if self.len >= 2 * self.wanted + SLACK {
            self.thin_out();
        }
    }

    /// The rows, of which there are hardly more than wanted.
    pub(super) fn finish(&mut self) -> &[u32] {
        if self.len > self.enough() {
            self.thin_out();
        }
        &self.rows[..self.len]
    }

    fn enough(&self) -> usize {
        self.wanted + self.wanted / ONE_MORE_FOR
    }

    /// Raises the bar until hardly more than wanted are above it.
    fn thin_out(&mut self) {
        let wanted = self.wanted..=self.enough();
        let scores = &mut self.scores[..self.len];
        let rows = &mut self.rows[..self.len];
        let (mut low, mut high) = least_and_greatest(scores);
        for _ in 0..MAX_HALVINGS {
            let middle = low + (high - low) / 2.0;
            let above = count_at_least(scores, middle);
            if wanted.contains(&above) {
                self.len = keep_at_least(scores, rows, middle);
                self.bar = middle;
                return;
            }
            if above < self.wanted { high = middle } else { low = middle }
        }
        // Too many of them tie: any will do.
        self.keys.clear();
        let key = |(&score, &row): (&f32, &u32)| u64::from(ordered(score)) << 32 | u64::from(row);
        self.keys.extend(scores.iter().zip(&*rows).map(key));
        let (_, &mut worst, _) = self.keys.select_nth_unstable_by(self.wanted - 1, |a, b| b.cmp(a));
        for ((key, score), row) in self.keys.iter().zip(scores).zip(rows).take(self.wanted) {
            *score = score_of((key >> 32) as u32);
            *row = *key as u32;
        }
        self.len = self.wanted;
        self.bar = score_of((worst >> 32) as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Puts rows 0, 1, … of these scores into a pool, those of a block at a time that its bar lets in, and
    /// returns what is left.
    fn left_of(scores: &[f32], wanted: usize) -> Vec<u32> {
        let mut pool = CandidatePool::default();
        pool.begin(wanted);
        for (block, scores) in scores.chunks(BLOCK_PLACES).enumerate() {
            let bar = pool.bar();
            let (into_scores, into_rows) = pool.room();
            let mut added = 0;
            for (place, &score) in scores.iter().enumerate() {
                if score < bar {
                    continue;
                }
                into_scores[added] = score;
                into_rows[added] = (block * BLOCK_PLACES + place) as u32;
                added += 1;
            }
            pool.grow(added);
        }
        pool.finish().to_vec()
    }

    proptest! {
        /// None of the best is lost, and hardly more are kept.
        #[test]
        fn the_best_are_left(
            scores in prop::collection::vec(prop_oneof![-1e3f32..1e3, (-3i8..3).prop_map(f32::from)], 0..1_500),
            wanted in 1usize..200,
        ) {
            let left = left_of(&scores, wanted);
            let mut unique = left.clone();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), left.len());
            prop_assert!(left.len() >= wanted.min(scores.len()));
            prop_assert!(left.len() <= wanted + wanted / ONE_MORE_FOR);
            let mut falling = scores.clone();
            falling.sort_by(|a, b| b.total_cmp(a));
            if let Some(&last) = falling.get(wanted - 1) {
                let better = (0..scores.len() as u32).filter(|&row| scores[row as usize] > last);
                for row in better {
                    prop_assert!(left.contains(&row), "{} is gone", row);
                }
            }
        }
    }

    #[test]
    fn rows_that_tie_are_cut_off_somewhere() {
        assert_eq!(left_of(&[0.5; 5_000], 100).len(), 100);
        // Numbers that halving never gets to the bottom of.
        let scores: Vec<f32> = (0..2_000).map(|row| 0.5f32.powi(row % 140)).collect();
        assert!((100..=106).contains(&left_of(&scores, 100).len()));
        assert_eq!(left_of(&[f32::NAN; 500], 10).len(), 10);
        assert_eq!(left_of(&[f32::INFINITY; 500], 10).len(), 10);
    }

    #[test]
    fn a_pool_is_used_again() {
        let mut pool = CandidatePool::default();
        for wanted in [100, 5, 300] {
            pool.begin(wanted);
            assert_eq!(pool.bar(), f32::NEG_INFINITY);
            assert!(pool.finish().is_empty());
            pool.room().1[0] = 7;
            pool.grow(1);
            assert_eq!(pool.finish(), [7]);
        }
    }
}
