//! What was measured on interleaved answers.

use super::grouped_sum::GroupedSum;

/// What was measured on answers that are made of both variants' lists ([`crate::ranking::interleave`](mod@crate::ranking::interleave)).
/// They count for neither variant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InterleavedStats {
    /// How many answers there were.
    pub answers: u64,
    /// Clicks that are credited to one of the variants, each item of an answer once: 1 for the candidate, 0 for
    /// the baseline.
    pub clicks: GroupedSum,
}

impl InterleavedStats {
    /// Adds what was measured on other answers.
    pub fn absorb(&mut self, other: &Self) {
        self.answers += other.answers;
        self.clicks.absorb(&other.clicks);
    }
}
