//! What the operations of a node cost so far, how its searches were made, and what they found.

use crate::replica_key::ReplicaKey;
use marquee_core::ranking::strategy::SearchStrategy;
use marquee_core::time_spent::TimeSpent;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The time that the operations took together, on whichever threads, and how searches were made.
#[derive(Debug, Default)]
pub struct OperationsSpent {
    /// Time of looking rows up.
    pub lookup: TimeSpent,
    /// Time of searching for items, and of describing them.
    pub search: TimeSpent,
    /// How the searches were made.
    pub strategies: StrategyCounts,
    /// What the audited ones of them found.
    pub recall: RecallCounts,
}

/// The kinds of searches whose recall is counted apart: at most so many results wanted, and what is promised.
const RECALL_BANDS: [(usize, f64); 3] = [(10, 0.99), (100, 0.95), (usize::MAX, 0.95)];
/// After so many audited searches of a kind, each time, a recall below what is promised is logged.
const LOGGED_EVERY: u64 = 200;

/// The recall of approximate searches that were audited, by how many results were wanted.
#[derive(Debug, Default)]
pub struct RecallCounts([Mutex<AuditedSearches>; RECALL_BANDS.len()]);

/// What audited searches of one kind found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuditedSearches {
    /// How many were audited.
    pub searches: u64,
    /// The sum of their recalls.
    pub recall_sum: f64,
    /// The lowest of their recalls; 1 before the first.
    pub worst: f64,
}

impl Default for AuditedSearches {
    fn default() -> Self {
        Self { searches: 0, recall_sum: 0.0, worst: 1.0 }
    }
}

impl AuditedSearches {
    /// The mean recall; none before the first.
    pub fn mean(&self) -> Option<f64> {
        (self.searches > 0).then(|| self.recall_sum / self.searches as f64)
    }
}

impl RecallCounts {
    /// Counts an audited search for so many results.
    pub(crate) fn count(&self, results: usize, recall: f64) {
        let kinds = RECALL_BANDS.into_iter().zip(&self.0);
        let Some(((most, promised), kind)) =
            kinds.into_iter().find(|((most, _), _)| results <= *most)
        else {
            return;
        };
        let mut kind = kind.lock().unwrap_or_else(PoisonError::into_inner);
        kind.searches += 1;
        kind.recall_sum += recall;
        kind.worst = kind.worst.min(recall);
        let mean = kind.recall_sum / kind.searches as f64;
        if kind.searches.is_multiple_of(LOGGED_EVERY) && mean < promised {
            let (searches, worst) = (kind.searches, kind.worst);
            tracing::warn!(
                most,
                searches,
                mean,
                worst,
                promised,
                "searches miss more than they should; build the bundle again, with a higher target recall"
            );
        }
    }

    /// What audited searches for at most 10, at most 100, and for more results found.
    pub fn audited(&self) -> [AuditedSearches; 3] {
        self.0.each_ref().map(|kind| *kind.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What was counted of the searches in one replica since it was loaded.
#[derive(Debug, Default)]
pub struct SearchCounts {
    /// How the searches were made.
    pub strategies: StrategyCounts,
    rows: AtomicU64,
}

impl SearchCounts {
    /// A search looked at so many rows.
    pub(crate) fn read_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// How many rows of dense matrices searches have looked at.
    pub fn rows_read(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
}

/// A replica that answers, for those who watch the node.
#[derive(Clone, Debug)]
pub struct LoadedReplica {
    /// The version and the shard.
    pub key: ReplicaKey,
    /// How many bytes of files it maps.
    pub bytes_mapped: u64,
    /// Its searches by strategy, of those that were used.
    pub searches: Vec<(SearchStrategy, u64)>,
    /// How many rows of dense matrices its searches have looked at.
    pub rows_read: u64,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_is_counted_by_the_results_wanted() {
        let counts = RecallCounts::default();
        for (results, recall) in [(1, 1.0), (10, 0.8), (11, 0.5), (100, 1.0), (101, 0.25)] {
            counts.count(results, recall);
        }
        let [few, some, many] = counts.audited();
        assert_eq!((few.searches, few.worst, few.mean()), (2, 0.8, Some(0.9)));
        assert_eq!((some.searches, some.worst, some.mean()), (2, 0.5, Some(0.75)));
        assert_eq!((many.searches, many.worst, many.mean()), (1, 0.25, Some(0.25)));
        assert_eq!(RecallCounts::default().audited()[0].mean(), None);
    }
}
