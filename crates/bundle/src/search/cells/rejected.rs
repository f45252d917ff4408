//! Rows that were met and may not be in the result: how many there are tells how deep the results lie.

use crate::kernels::BLOCK_PLACES;

/// Scores beyond which those below the pool's bar are dropped, at first; then twice what was left.
const CHECKED_AT: usize = 4_096;

/// The approximate scores of rows that were met and may not be in the result.
#[derive(Default)]
pub(super) struct RejectedScores {
    scores: Vec<f32>,
    len: usize,
    checked_at: usize,
}

impl RejectedScores {
    /// Forgets all scores, before another search.
    pub(super) fn begin(&mut self) {
        (self.len, self.checked_at) = (0, CHECKED_AT);
    }

    /// Room for a block of rows, given the score below which none counts any more.
    pub(super) fn make_room(&mut self, bar: f32) {
        if self.len >= self.checked_at {
            let mut kept = 0;
            for at in 0..self.len {
                self.scores[kept] = self.scores[at];
                kept += usize::from(self.scores[at] >= bar);
            }
            (self.len, self.checked_at) = (kept, (2 * kept).max(CHECKED_AT));
        }
        if self.scores.len() < self.len + BLOCK_PLACES {
            self.scores.resize((self.len + BLOCK_PLACES).next_power_of_two(), 0.0);
        }
    }

    /// Takes in a score if `is_rejected`; there was room for a block of them.
    #[inline]
    pub(super) fn push_if(&mut self, score: f32, is_rejected: bool) {
        self.scores[self.len] = score;
        self.len += usize::from(is_rejected);
    }

    /// How many scored at least so much.
    pub(super) fn count_from(&self, bar: f32) -> usize {
        self.scores[..self.len].iter().filter(|&&score| score >= bar).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_above_the_bar_are_counted_however_many_were_dropped() {
        let mut rejected = RejectedScores::default();
        for _ in 0..2 {
            rejected.begin();
            for block in 0..1_000 {
                let bar = block as f32;
                rejected.make_room(bar);
                for place in 0..BLOCK_PLACES {
                    rejected.push_if(bar + place as f32, place % 2 == 0);
                }
            }
            let all =
                (0..1_000).flat_map(|block| (0..BLOCK_PLACES).step_by(2).map(move |p| block + p));
            let expected = all.filter(|&score| score >= 1_000).count();
            assert_eq!(rejected.count_from(1_000.0), expected);
            assert!(rejected.scores.len() <= 2 * CHECKED_AT, "{}", rejected.scores.len());
        }
    }
}
