//! How many durations were no longer than each of some bounds, which many threads add to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The bounds in microseconds, ascending: from a tenth of a millisecond, a search in a small shard, to ten seconds, beyond any
/// deadline. Neighbours differ by two to four times, so that a quantile is known to half of itself.
pub const DURATION_BOUNDS_MICROS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 10_000_000,
];
/// One place for each bound, and one for what is longer than all of them.
const PLACES: usize = DURATION_BOUNDS_MICROS.len() + 1;

/// Counts of durations, and their sum. No number ever falls.
#[derive(Debug, Default)]
pub struct DurationCounts {
    counts: [AtomicU64; PLACES],
    nanoseconds: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountedDurations {
    /// The durations that are above the bound before and up to that of the same place in [`DURATION_BOUNDS_MICROS`]; the last:
    /// all that are longer.
    pub counts: [u64; PLACES],
    /// The sum of all durations.
    pub sum: Duration,
}

impl DurationCounts {
    /// Adds one duration: two additions without a lock.
    pub fn add(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let place = DURATION_BOUNDS_MICROS.partition_point(|micros| micros * 1_000 < nanoseconds);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// The counts at this moment, each read by itself.
    pub fn read(&self) -> CountedDurations {
        CountedDurations {
            counts: self.counts.each_ref().map(|count| count.load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_at_the_first_bound_that_it_does_not_exceed() {
        let counts = DurationCounts::default();
        for micros in [0, 100, 101, 1_000, 10_000_000, 10_000_001] {
            counts.add(Duration::from_micros(micros));
        }
        let CountedDurations { counts, sum } = counts.read();
        assert_eq!(counts, [2, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(sum, Duration::from_micros(20_001_202));
    }
}
