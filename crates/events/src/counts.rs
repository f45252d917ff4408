//! How many events were accepted, refused and quarantined.

use crate::rules::Reason;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one process, never falling.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    duplicates: AtomicU64,
    /// Requests refused because the log was behind.
    pushed_back: AtomicU64,
    not_taken: [AtomicU64; Reason::ALL.len()],
}

/// The values of the counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events in the log.
    pub accepted: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Requests refused because the log was behind.
    pub pushed_back: u64,
    /// Events refused or quarantined, by reason; all reasons, in their order.
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

    /// The counts at this moment, each read by itself.
    pub fn read(&self) -> Counts {
        let by_reason = Reason::ALL.into_iter().zip(&self.not_taken);
        Counts {
            accepted: self.accepted.load(Ordering::Relaxed),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            pushed_back: self.pushed_back.load(Ordering::Relaxed),
            not_taken: by_reason.map(|(reason, n)| (reason, n.load(Ordering::Relaxed))).collect(),
        }
    }
}

impl Counts {
    /// How many events were refused or quarantined for this reason.
    pub fn of(&self, reason: Reason) -> u64 {
        self.not_taken.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count)
    }
}
