//! How long work of one kind has taken lately, so that brief work needs no other thread.
//!
//! It is a measured average and no estimate from sizes, so it reflects slow machines, cold pages and deep
//! graphs. What was brief and becomes slow (its pages were evicted, say) is noticed with the first
//! slow run, and comes back once it is brief again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The share of the latest run in the average, as a power of two: a single slow run of ten times the
/// bound sends some twenty to the threads.
const SMOOTHING_SHIFT: u32 = 3;

/// An exponentially weighted average of run times. Runs that end at the same moment may overwrite each
/// other.
#[derive(Debug, Default)]
pub(crate) struct AverageTime {
    /// 0: nothing was measured yet.
    nanoseconds: AtomicU64,
}

impl AverageTime {
    /// Adds a run that took this long.
    pub(crate) fn record(&self, took: Duration) {
        let latest = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let mean = match self.nanoseconds.load(Ordering::Relaxed) {
            0 => latest,
            before => {
                let kept = before - (before >> SMOOTHING_SHIFT);
                kept.saturating_add(latest >> SMOOTHING_SHIFT).max(1)
            }
        };
        self.nanoseconds.store(mean, Ordering::Relaxed);
    }

    /// The time that the next run is expected to take; none before anything was measured.
    pub(crate) fn expected(&self) -> Option<Duration> {
        match self.nanoseconds.load(Ordering::Relaxed) {
            0 => None,
            mean => Some(Duration::from_nanos(mean)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn one_slow_run_is_noticed_at_once_and_forgotten_in_time() {
        let time = AverageTime::default();
        assert_eq!(time.expected(), None);
        time.record(us(20));
        assert_eq!(time.expected(), Some(us(20)));
        time.record(us(10_000));
        assert!(time.expected() > Some(us(1_000)), "{:?}", time.expected());
        let brief = std::iter::repeat_with(|| time.record(us(20)));
        let runs = brief.take_while(|()| time.expected() > Some(us(100))).count();
        assert!((15..25).contains(&runs), "{runs}");
    }

    #[test]
    fn no_run_is_too_short_or_too_long() {
        let time = AverageTime::default();
        time.record(Duration::ZERO);
        assert_eq!(time.expected(), Some(Duration::from_nanos(1)));
        (0..100).for_each(|_| time.record(Duration::MAX));
        assert!(time.expected() > Some(Duration::from_secs(1 << 30)));
    }
}
