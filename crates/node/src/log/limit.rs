//! The layer that counts the lines of a log, and leaves repeated warnings out.

use super::repeats::Repeats;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The levels, with their names in metrics.
const LEVELS: [(Level, &str); 5] = [
    (Level::ERROR, "error"),
    (Level::WARN, "warn"),
    (Level::INFO, "info"),
    (Level::DEBUG, "debug"),
    (Level::TRACE, "trace"),
];

/// A line of the code that warns.
type Place = (&'static str, u32);

static LINES: [AtomicU64; LEVELS.len()] = [const { AtomicU64::new(0) }; LEVELS.len()];
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);
static REPEATS: Mutex<Repeats<Place>> = Mutex::new(Repeats::new());
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Lets a line of the code warn, or err, so often in a while; see [`Repeats`].
pub(super) struct LineLimit;

impl<S: Subscriber> Layer<S> for LineLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let level = *metadata.level();
        if level <= Level::WARN && metadata.target() != REPORTS {
            let place = (metadata.file().unwrap_or_default(), metadata.line().unwrap_or_default());
            if !repeats().admits(place, now_ms()) {
                LEFT_OUT.fetch_add(1, Ordering::Relaxed);
                return false;
            }
        }
        if let Some(number) = LEVELS.iter().position(|(known, _)| *known == level) {
            LINES[number].fetch_add(1, Ordering::Relaxed);
        }
        true
    }
}

/// The target of what is said of left out lines, which is itself never left out.
const REPORTS: &str = "marquee_node::log::left_out";

/// Says how many lines were left out of which places, of those that are quiet again.
pub(super) fn report_left_out() {
    let left_out = repeats().take_left_out(now_ms());
    for ((file, line), lines) in left_out {
        tracing::warn!(target: REPORTS, file, line, lines, "left out repeated lines of this place");
    }
}

/// The lines that were written so far, by level, and how many were left out.
pub(crate) fn counted_lines() -> ([(&'static str, u64); LEVELS.len()], u64) {
    let mut lines = LEVELS.map(|(_, name)| (name, 0));
    for (written, count) in lines.iter_mut().zip(&LINES) {
        written.1 = count.load(Ordering::Relaxed);
    }
    (lines, LEFT_OUT.load(Ordering::Relaxed))
}

fn repeats() -> MutexGuard<'static, Repeats<Place>> {
    // Every step leaves it whole.
    REPEATS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_ms() -> u64 {
    u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::repeats::MAX_LINES;
    use super::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    /// Counts the events that come through.
    struct Written<'a>(&'a AtomicU64);

    impl<S: Subscriber> Layer<S> for Written<'static> {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_place_that_warns_again_and_again_is_left_out_and_counted() {
        static THROUGH: AtomicU64 = AtomicU64::new(0);
        let subscriber = tracing_subscriber::registry().with(Written(&THROUGH)).with(LineLimit);
        tracing::subscriber::with_default(subscriber, || {
            let (before, left_out_before) = counted_lines();
            for n in 0..MAX_LINES + 30 {
                tracing::warn!(n, "again");
                tracing::info!(n, "said by those who asked for it");
            }
            let (after, left_out) = counted_lines();
            assert_eq!(THROUGH.load(Ordering::Relaxed), MAX_LINES + MAX_LINES + 30);
            // Other tests log, too.
            assert!(left_out - left_out_before >= 30);
            assert!(after[1].1 - before[1].1 >= MAX_LINES);
            assert!(after[2].1 - before[2].1 >= MAX_LINES + 30);
        });
    }
}
