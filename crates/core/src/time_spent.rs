//! How much time something took in all: a sum that many threads add to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// See the module. It never falls, and wraps after 584 years.
#[derive(Debug, Default)]
pub struct Spent {
    nanoseconds: AtomicU64,
}

impl Spent {
    /// Adds a time.
    pub fn add(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(time, Ordering::Relaxed);
    }

    /// The sum.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}
