//! How hard pressed this process is, as its server measures it and its router heeds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What was measured is heeded for this long: without new requests nothing is measured, and nothing waits either.
const VALID_FOR: Duration = Duration::from_secs(1);

/// How hard pressed a process is. Clones share it. The numbers are noted one by one: readers may see parts of two
/// windows, which are 25 ms apart.
#[derive(Clone, Debug)]
pub struct Pressure {
    shared: Arc<PressureState>,
}

#[derive(Debug)]
struct PressureState {
    began: Instant,
    /// Microseconds since the beginning.
    noted_at: AtomicU64,
    delay_micros: AtomicU64,
    is_limiting: AtomicBool,
    /// Calls that shard nodes refused because they had too much to do.
    refused_by_shards: AtomicUsize,
}

impl Default for Pressure {
    fn default() -> Self {
        let shared = PressureState {
            began: Instant::now(),
            noted_at: AtomicU64::new(0),
            delay_micros: AtomicU64::new(0),
            is_limiting: AtomicBool::new(false),
            refused_by_shards: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Pressure {
    /// Notes what a window of requests showed: how long they waited at least before they were begun, and whether
    /// callers are refused.
    pub fn note(&self, delay: Duration, is_limiting: bool) {
        let state = &self.shared;
        state.delay_micros.store(micros(delay), Ordering::Relaxed);
        state.is_limiting.store(is_limiting, Ordering::Relaxed);
        state.noted_at.store(micros(state.began.elapsed()), Ordering::Relaxed);
    }

    /// Takes the number of calls that shards refused since this was asked last.
    pub fn take_refused_by_shards(&self) -> usize {
        self.shared.refused_by_shards.swap(0, Ordering::Relaxed)
    }

    /// A shard node refused a call because it had too much to do.
    pub(crate) fn shard_refused(&self) {
        self.shared.refused_by_shards.fetch_add(1, Ordering::Relaxed);
    }

    /// What requests wait for in this process itself before they are begun.
    pub fn own_delay(&self) -> Duration {
        let delay = Duration::from_micros(self.shared.delay_micros.load(Ordering::Relaxed));
        if self.is_valid() { delay } else { Duration::ZERO }
    }

    /// Whether callers are being refused.
    pub fn is_limiting(&self) -> bool {
        self.shared.is_limiting.load(Ordering::Relaxed) && self.is_valid()
    }

    fn is_valid(&self) -> bool {
        let noted = Duration::from_micros(self.shared.noted_at.load(Ordering::Relaxed));
        self.shared.began.elapsed().saturating_sub(noted) <= VALID_FOR
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pressure_is_forgotten_when_nothing_is_measured() {
        let pressure = Pressure::default();
        pressure.note(Duration::from_millis(30), true);
        assert_eq!(pressure.own_delay(), Duration::from_millis(30));
        assert!(pressure.is_limiting());
        tokio::time::advance(VALID_FOR + Duration::from_millis(1)).await;
        assert_eq!(pressure.own_delay(), Duration::ZERO);
        assert!(!pressure.is_limiting());
        pressure.shard_refused();
        assert_eq!((pressure.take_refused_by_shards(), pressure.take_refused_by_shards()), (1, 0));
    }
}
