//! How many events went where.

use crate::rules::Reason;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one process, never falling.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    duplicates: AtomicU64,
    /// Requests turned away because the log was behind.
    pushed_back: AtomicU64,
    not_taken: [AtomicU64; Reason::ALL.len()],
}

/// What they say at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events in the log.
    pub accepted: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Requests turned away because the log was behind.
    pub pushed_back: u64,
    /// Events refused or quarantined, by why; all reasons, in their order.
    pub not_taken: Vec<(Reason, u64)>,
}

impl Counters {
    pub(crate) fn accept(&self, events: u64) {
        self.accepted.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn duplicate(&self, events: u64) {
        self.duplicates.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn push_back(&self) {
        self.pushed_back.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leave_out(&self, reason: Reason) {
        self.not_taken[reason as usize - 1].fetch_add(1, Ordering::Relaxed);
    }

    /// What they say now.
    pub fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let not_taken = Reason::ALL.iter().zip(&self.not_taken);
        Counts {
            accepted: read(&self.accepted),
            duplicates: read(&self.duplicates),
            pushed_back: read(&self.pushed_back),
            not_taken: not_taken.map(|(reason, counter)| (*reason, read(counter))).collect(),
        }
    }
}

impl Counts {
    /// How many were left out for this reason.
    pub fn of(&self, reason: Reason) -> u64 {
        self.not_taken.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count)
    }
}
