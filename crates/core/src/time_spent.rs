//! A sum of durations that many threads add to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How much time something took in all threads together. It never falls, and wraps after 584 years.
#[derive(Debug, Default)]
pub struct TimeSpent {
    nanoseconds: AtomicU64,
}

impl TimeSpent {
    /// Adds one duration.
    pub fn add(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// The sum of all durations so far.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}
