//! How many calls of shard nodes there were, why they were made, and how they failed.

use super::decide::{CallFailure, Cause};
use std::sync::atomic::{AtomicU64, Ordering};

/// The causes of calls, by their names.
const CAUSES: [(Cause, &str); 5] = [
    (Cause::First, "first"),
    (Cause::Retry, "retry"),
    (Cause::Alone, "alone"),
    (Cause::Hedge, "hedge"),
    (Cause::Overtake, "overtake"),
];
/// The failures of calls, by their names.
const FAILURES: [(CallFailure, &str); 5] = [
    (CallFailure::Unreachable, "unreachable"),
    (CallFailure::NotHeld, "not_held"),
    (CallFailure::Overloaded, "overloaded"),
    (CallFailure::Timeout, "timeout"),
    (CallFailure::Broken, "broken"),
];

/// Counts of the calls of a router since its start. No number ever falls.
#[derive(Debug, Default)]
pub struct FanOutCounts {
    calls: [AtomicU64; CAUSES.len()],
    failures: [AtomicU64; FAILURES.len()],
    unanswered: AtomicU64,
}

impl FanOutCounts {
    /// A call is made.
    pub(crate) fn call(&self, cause: Cause) {
        self.calls[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A call failed.
    pub(crate) fn failure(&self, failure: CallFailure) {
        self.failures[failure as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// So many shards had no answer at the end of a round.
    pub(crate) fn unanswered(&self, shards: usize) {
        self.unanswered.fetch_add(shards as u64, Ordering::Relaxed);
    }

    /// The calls by why they were made: `first`, `retry`, `alone`, `hedge` or `overtake`.
    pub fn calls_by_cause(&self) -> [(&'static str, u64); CAUSES.len()] {
        CAUSES.map(|(cause, name)| (name, self.calls[cause as usize].load(Ordering::Relaxed)))
    }

    /// The failed calls by how they failed: `unreachable`, `not_held`, `overloaded`, `timeout` or `broken`.
    pub fn failures_by_kind(&self) -> [(&'static str, u64); FAILURES.len()] {
        FAILURES.map(|(kind, name)| (name, self.failures[kind as usize].load(Ordering::Relaxed)))
    }

    /// The shards that had no answer at the end of a round.
    pub fn unanswered_shards(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_and_each_failure_has_a_place_of_its_own() {
        let counts = FanOutCounts::default();
        for (n, (cause, _)) in CAUSES.into_iter().enumerate() {
            (0..=n).for_each(|_| counts.call(cause));
        }
        for (n, (failure, _)) in FAILURES.into_iter().enumerate() {
            (0..=n).for_each(|_| counts.failure(failure));
        }
        counts.unanswered(3);
        assert_eq!(counts.calls_by_cause().map(|(_, calls)| calls), [1, 2, 3, 4, 5]);
        assert_eq!(counts.failures_by_kind().map(|(_, calls)| calls), [1, 2, 3, 4, 5]);
        assert_eq!(counts.unanswered_shards(), 3);
    }
}
