//! What is remembered of one shard node, as pure state.

use super::cost::PeakEwma;
use super::outliers::{Ejection, GroupMember, SlowShare};
use super::policy::{Breaker, CallLatencies, hedge_delay};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Calls whose latencies compare: of one operation, and of about as many queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CallKind {
    search: bool,
    /// log₂ of the number of keys or queries.
    size_class: u32,
}

impl CallKind {
    /// A lookup of this many keys.
    pub(crate) fn lookup(keys: usize) -> Self {
        Self { search: false, size_class: keys.max(1).ilog2() }
    }

    /// A search with this many queries.
    pub(crate) fn search(queries: usize) -> Self {
        Self { search: true, size_class: queries.max(1).ilog2() }
    }
}

/// An answer that took so many times the time after which a call is hedged is slow.
const SLOW_DELAYS: u32 = 2;

/// What calls to one node were like. Times are arguments.
#[derive(Debug, Default)]
pub(crate) struct NodeHealth {
    breaker: Breaker,
    latencies: HashMap<CallKind, CallLatencies>,
    last_answer: Option<Instant>,
    slow: SlowShare,
    ejection: Ejection,
    ewma: PeakEwma,
}

impl NodeHealth {
    /// It answered a call; `usual` is the p95 of the group for such calls, if it is known.
    pub(crate) fn answered(
        &mut self,
        kind: CallKind,
        took: Duration,
        usual: Option<Duration>,
        now: Instant,
    ) {
        self.latencies.entry(kind).or_default().record(took);
        if let Some(delay) = hedge_delay(usual) {
            self.slow.record(took > delay * SLOW_DELAYS);
            self.ewma.record(took.as_secs_f64() / delay.as_secs_f64(), now);
        }
    }

    /// Another node answered what this one was asked sooner, or its time was up: it took this time at least.
    pub(crate) fn was_beaten(&mut self, took: Duration, usual: Option<Duration>, now: Instant) {
        if let Some(delay) = hedge_delay(usual)
            && took >= delay
        {
            self.slow.record(true);
            self.ewma.record(took.as_secs_f64() / delay.as_secs_f64(), now);
        }
    }

    /// It gave a sign of life. True if it was avoided until now.
    pub(crate) fn lives(&mut self, now: Instant) -> bool {
        self.last_answer = Some(now);
        let was_open = self.breaker.is_open();
        self.breaker.succeeded();
        was_open
    }

    /// It could not be reached, or seems to hang. True if it is to be avoided from now on.
    pub(crate) fn failed(&mut self) -> bool {
        self.breaker.failed()
    }

    /// Whether it answered when it was last tried; true until it was.
    pub(crate) fn is_reachable(&self) -> bool {
        !self.breaker.is_open()
    }

    /// Whether it is left out because it is slower than others.
    pub(crate) fn is_ejected(&self, now: Instant) -> bool {
        self.ejection.lasts(now)
    }

    /// Leaves it out, and gives the time for which. After that it is judged by new calls.
    pub(crate) fn eject(&mut self, now: Instant) -> Duration {
        (self.slow, self.ewma) = Default::default();
        self.ejection.eject(now)
    }

    /// What its group is to know of it.
    pub(crate) fn member(&self, now: Instant) -> GroupMember {
        GroupMember { slow_share: self.slow.share(), is_ejected: self.is_ejected(now) }
    }

    /// Whether it answered within the last `idle`.
    pub(crate) fn answered_within(&self, idle: Duration, now: Instant) -> bool {
        self.last_answer.is_some_and(|last| now.saturating_duration_since(last) < idle)
    }

    /// What 95 of 100 calls of the kind take less than, if there were enough.
    pub(crate) fn p95(&self, kind: CallKind) -> Option<Duration> {
        self.latencies.get(&kind).and_then(CallLatencies::p95)
    }

    /// What one more call costs while so many are under way.
    pub(crate) fn cost(&self, under_way: usize, now: Instant) -> f64 {
        self.ewma.cost(under_way, now)
    }
}
