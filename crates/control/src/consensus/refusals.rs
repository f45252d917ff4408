//! How many messages of which voter were refused, and when to say so.
//!
//! A hostile peer must not fill the log, and an operator must see that there is one. So the first refusal of a
//! voter is logged at once, and the rest as a count with the newest reason.

use std::collections::BTreeMap;

/// Ticks between two warnings of the same voter's messages: ten seconds.
const TICKS_PER_WARNING: u64 = 200;

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    all: u64,
    unsaid: u64,
    said_at: Option<u64>,
}

/// The refused messages of each voter.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    now: u64,
    by_voter: BTreeMap<u64, Counted>,
}

impl Refusals {
    /// Counts a tick.
    pub(crate) fn tick(&mut self) {
        self.now += 1;
    }

    /// Counts a refused message, and returns how many to speak of, if it is time to: this one and all since the last
    /// warning. `from` must be one of the voters, or 0 for all who are not, so that the counts stay few.
    pub(crate) fn count(&mut self, from: u64) -> Option<u64> {
        let counted = self.by_voter.entry(from).or_default();
        counted.all += 1;
        counted.unsaid += 1;
        if counted.said_at.is_some_and(|at| self.now - at < TICKS_PER_WARNING) {
            return None;
        }
        counted.said_at = Some(self.now);
        Some(std::mem::take(&mut counted.unsaid))
    }

    /// All refused messages so far.
    pub(crate) fn total(&self) -> u64 {
        self.by_voter.values().map(|counted| counted.all).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_voter_is_warned_of_at_once_and_then_in_sums() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.count(2), Some(1));
        assert_eq!(refusals.count(3), Some(1));
        for _ in 0..7 {
            assert_eq!(refusals.count(2), None);
        }
        for _ in 0..TICKS_PER_WARNING {
            refusals.tick();
        }
        assert_eq!(refusals.count(2), Some(8));
        assert_eq!(refusals.total(), 10);
    }
}
