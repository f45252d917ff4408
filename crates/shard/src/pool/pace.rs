//! How long work of one sort has taken lately, so that brief work needs no other thread.
//!
//! A measured average and no estimate from sizes: it knows of slow machines, cold pages and deep
//! graphs. What was brief and becomes slow (its pages were evicted, say) is noticed with the first
//! slow run, and comes back once it is brief again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The share of the latest run in the average, as a power of two: a single slow run of ten times the
/// bound sends some twenty to the threads.
const SMOOTHING_SHIFT: u32 = 3;

/// An exponentially weighted average. Runs that end at the same moment may overwrite each other.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// 0: nothing was measured yet.
    nanoseconds: AtomicU64,
}

impl Pace {
    /// Notes a run.
    pub(crate) fn record(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let mean = match self.nanoseconds.load(Ordering::Relaxed) {
            0 => took,
            mean => {
                let kept = mean - (mean >> SMOOTHING_SHIFT);
                kept.saturating_add(took >> SMOOTHING_SHIFT).max(1)
            }
        };
        self.nanoseconds.store(mean, Ordering::Relaxed);
    }

    /// What the next run is expected to take; none before anything was measured.
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
        let pace = Pace::default();
        assert_eq!(pace.expected(), None);
        pace.record(us(20));
        assert_eq!(pace.expected(), Some(us(20)));
        pace.record(us(10_000));
        assert!(pace.expected() > Some(us(1_000)), "{:?}", pace.expected());
        let brief = std::iter::repeat_with(|| pace.record(us(20)));
        let runs = brief.take_while(|()| pace.expected() > Some(us(100))).count();
        assert!((15..25).contains(&runs), "{runs}");
    }

    #[test]
    fn no_run_is_too_short_or_too_long() {
        let pace = Pace::default();
        pace.record(Duration::ZERO);
        assert_eq!(pace.expected(), Some(Duration::from_nanos(1)));
        (0..100).for_each(|_| pace.record(Duration::MAX));
        assert!(pace.expected() > Some(Duration::from_secs(1 << 30)));
    }
}
