//! What the operations of a node cost so far, and how its searches were made.

use marquee_core::ranking::strategy::SearchStrategy;
use marquee_core::time_spent::TimeSpent;
use std::sync::atomic::{AtomicU64, Ordering};

/// The time that the operations took together, on whichever threads, and how searches were made.
#[derive(Debug, Default)]
pub struct OperationsSpent {
    /// Time of looking rows up.
    pub lookup: TimeSpent,
    /// Time of searching for items, and of describing them.
    pub search: TimeSpent,
    /// How the searches were made.
    pub strategies: StrategyCounts,
}

/// How many searches of a shard's matrix used each [`SearchStrategy`].
#[derive(Debug, Default)]
pub struct StrategyCounts([AtomicU64; SearchStrategy::ALL.len()]);

impl StrategyCounts {
    pub(crate) fn count(&self, strategy: SearchStrategy) {
        self.0[strategy as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The strategies that were used so far, and how many times.
    pub fn used(&self) -> impl Iterator<Item = (SearchStrategy, u64)> + '_ {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        SearchStrategy::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }
}
