//! The clock that answers and events are dated by.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use tokio::time::Instant;

const MICROS_IN_SECOND: u64 = 1_000_000;

/// A clock of two readings, µs since it was made and Unix time, that never goes back. A moment that was taken for another purpose
/// is dated without asking the system again.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
    /// When it was made, in µs since the Unix epoch, by the wall clock as it was when it was looked at last.
    began_unix_micros: AtomicU64,
}

/// A moment by both readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// µs since this router began.
    pub(crate) micros: u64,
    /// Seconds since the Unix epoch.
    pub(crate) unix_second: u64,
}

impl Clock {
    /// A clock that begins now.
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), began_unix_micros: AtomicU64::new(unix_micros()) }
    }

    /// How many µs after its beginning a moment is; 0 before it.
    pub(crate) fn micros(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_micros() as u64
    }

    /// The second of Unix time that a moment is in.
    pub(crate) fn unix_second(&self, at: Instant) -> u64 {
        (self.began_unix_micros.load(Ordering::Relaxed) + self.micros(at)) / MICROS_IN_SECOND
    }

    /// Looks at the wall clock, and at what time it is now. The wall clock is followed forward only: it is ahead after
    /// the machine was suspended, and behind where it was set back.
    pub(crate) fn follow(&self) -> Moment {
        let now = Instant::now();
        let micros = self.micros(now);
        let began = unix_micros().saturating_sub(micros);
        self.began_unix_micros.fetch_max(began, Ordering::Relaxed);
        Moment { micros, unix_second: self.unix_second(now) }
    }
}

/// Unix time in ms, by the wall clock.
pub(crate) fn unix_ms() -> u64 {
    unix_micros() / 1_000
}

fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as u64
}
