//! Warnings of what any caller can cause as often as it likes: the first of a kind at once, then as a count.

use marquee_core::limits::pacer::Pacer;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Pause between two warnings of a kind: a flood of calls must not be a flood of lines.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// What is warned of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WarningKind {
    /// A call of one who has not proved who they are, or may not do this.
    Access,
    /// A call beyond its caller's quota.
    Quota,
    /// A request that did not arrive in time.
    Arrival,
    /// A call for which too many are under way.
    InFlight,
    /// An answer that would wait for too long.
    Overload,
    /// A stream for which too many are open.
    Streams,
    /// A connection for which too many are open.
    Connections,
}

impl WarningKind {
    /// Every kind, in order.
    const ALL: [Self; 7] = [
        Self::Access,
        Self::Quota,
        Self::Arrival,
        Self::InFlight,
        Self::Overload,
        Self::Streams,
        Self::Connections,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Quota => "quota",
            Self::Arrival => "arrival",
            Self::InFlight => "in_flight",
            Self::Overload => "overload",
            Self::Streams => "streams",
            Self::Connections => "connections",
        }
    }
}

/// One refusal, as far as a line of the log names it.
#[derive(Clone, Copy)]
pub(crate) struct RefusedCall<'a> {
    /// The path of the call.
    pub(crate) path: &'a str,
    /// The name of the caller; empty if it is not known.
    pub(crate) name: &'a str,
    /// The address that it came from.
    pub(crate) from: Option<SocketAddr>,
    /// Why it is refused.
    pub(crate) reason: &'a dyn fmt::Display,
}

/// The warnings of a node. Clones share what they have counted.
#[derive(Clone)]
pub(crate) struct Warnings {
    since: Instant,
    pacer: Arc<Mutex<Pacer<WarningKind>>>,
    /// How much was refused since the start, by kind.
    counts: Arc<[AtomicU64; WarningKind::ALL.len()]>,
}

impl Warnings {
    pub(crate) fn new() -> Self {
        let pause = u64::try_from(WARN_EVERY.as_millis()).unwrap_or(u64::MAX);
        let pacer = Arc::new(Mutex::new(Pacer::new(pause)));
        Self { since: Instant::now(), pacer, counts: Arc::default() }
    }

    /// How many calls were refused since the start because more was asked than can be done.
    pub(crate) fn refused_by_overload(&self) -> u64 {
        let kinds = [WarningKind::InFlight, WarningKind::Overload];
        kinds.map(|kind| self.counts[kind as usize].load(Ordering::Relaxed)).into_iter().sum()
    }

    /// How much was refused since the start, by the name of its kind.
    pub(crate) fn counted(&self) -> [(&'static str, u64); WarningKind::ALL.len()] {
        let count = |kind: WarningKind| self.counts[kind as usize].load(Ordering::Relaxed);
        WarningKind::ALL.map(|kind| (kind.name(), count(kind)))
    }

    /// Warns of a refused call, or counts it for the next warning.
    pub(crate) fn refused(&self, kind: WarningKind, call: RefusedCall<'_>) {
        self.counts[kind as usize].fetch_add(1, Ordering::Relaxed);
        let now_ms = self.now_ms();
        let calls = self.pacer().count(kind, now_ms);
        if let Some(calls) = calls {
            let RefusedCall { path, name, from, reason } = call;
            let kind = kind.name();
            tracing::warn!(kind, calls, ?path, ?name, ?from, newest = %reason, "refused calls");
        }
    }

    /// Counts something of this kind.
    pub(crate) fn count(&self, kind: WarningKind) {
        self.counts[kind as usize].fetch_add(1, Ordering::Relaxed);
        let now_ms = self.now_ms();
        let count = self.pacer().count(kind, now_ms);
        if let Some(count) = count {
            tracing::warn!(kind = kind.name(), count, "refused");
        }
    }

    /// Warns of what was counted and not said, though nothing new came.
    fn flush(&self) {
        let now_ms = self.now_ms();
        let due = self.pacer().due(now_ms);
        for (kind, count) in due {
            tracing::warn!(kind = kind.name(), count, "refused, since the last warning");
        }
    }

    /// Warns of what was counted for as long as it is polled, every [`WARN_EVERY`].
    pub(crate) async fn flush_for_ever(self) {
        loop {
            tokio::time::sleep(WARN_EVERY).await;
            self.flush();
        }
    }

    fn pacer(&self) -> MutexGuard<'_, Pacer<WarningKind>> {
        // Every count leaves it whole.
        self.pacer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
