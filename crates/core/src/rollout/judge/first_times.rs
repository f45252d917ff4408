//! Users that a fault happens to for the first time: a user with many faults counts once.

use crate::rollout::sequential::ShareTest;
use crate::rollout::window::UserCells;

/// How many users of each variant a fault happened to, each counted once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FirstTimes {
    /// The cells of users that it has happened to.
    pub seen: UserCells,
    /// What that says of the candidate.
    pub test: ShareTest,
}

impl FirstTimes {
    /// Adds the users of a window. `share`: of users that have the candidate, above 0 and below 1; `ratio`: how many times
    /// as often it may happen to the candidate.
    pub(super) fn add(
        &mut self,
        baseline: &UserCells,
        candidate: &UserCells,
        share: f64,
        ratio: f64,
    ) {
        // A cell may hold users of both variants. If it happens to both at once, counting neither favours the
        // candidate while most users have the baseline, and counting both does so afterwards.
        let counts_both = share > 0.5;
        let count = |mine: &UserCells, theirs: &UserCells| {
            let is_new = |cell: &u16| !self.seen.contains(*cell);
            mine.iter().filter(is_new).filter(|&cell| counts_both || !theirs.contains(cell)).count()
        };
        let (of_baseline, of_candidate) = (count(baseline, candidate), count(candidate, baseline));
        if of_baseline + of_candidate > 0 {
            let odds = ratio * share / (1.0 - share);
            self.test.add(of_baseline as u64, of_candidate as u64, odds);
        }
        self.seen.absorb(baseline);
        self.seen.absorb(candidate);
    }
}
