//! One replica: its phase, and what the node reports of it.

use super::event::BundleSource;
use super::limits::{MAX_REASON_BYTES, RETRY_FIRST_MS, RETRY_MAX_MS};
use marquee_core::plan::{PlannedReplica, ReplicaState};

/// What the lifecycle knows of one replica.
#[derive(Debug)]
pub(super) struct TrackedReplica {
    pub(super) source: BundleSource,
    pub(super) wanted: bool,
    pub(super) phase: Phase,
    /// Failures since it was last AVAILABLE.
    failures: u32,
    /// Why it failed last; empty since it was last AVAILABLE.
    reason: String,
}

/// Where in its life a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is under way: it waits for an inspection, for a loader's thread or for memory.
    Start,
    /// A loader's thread has it.
    Loading { bytes: u64 },
    /// It answers, `unwanted_since_ms` for its last time.
    Available { bytes: u64, unwanted_since_ms: Option<u64> },
    /// It answers no more, but its memory isn't given back yet.
    Unloading { bytes: u64 },
    /// It is tried again when the time has come.
    Failed { retry_at_ms: u64 },
    /// It doesn't fit into the budget; it is loaded as soon as it does.
    Refused,
}

impl TrackedReplica {
    /// A wanted replica with nothing under way.
    pub(super) fn new(source: BundleSource) -> Self {
        let (phase, reason) = (Phase::Start, String::new());
        Self { source, wanted: true, phase, failures: 0, reason }
    }

    /// The bytes that it takes of the memory budget.
    pub(super) fn bytes(&self) -> u64 {
        match self.phase {
            Phase::Loading { bytes }
            | Phase::Available { bytes, .. }
            | Phase::Unloading { bytes } => bytes,
            Phase::Start | Phase::Failed { .. } | Phase::Refused => 0,
        }
    }

    /// Whether nothing is under way, so that it may be started or forgotten.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Start | Phase::Failed { .. } | Phase::Refused)
    }

    /// A loader's thread begins with it.
    pub(super) fn start_loading(&mut self, bytes: u64) {
        if self.failures == 0 {
            // The reason was a refusal for memory, which is over.
            self.reason.clear();
        }
        self.phase = Phase::Loading { bytes };
    }

    /// Notes a failure, after which it waits to be tried again.
    pub(super) fn fail(&mut self, reason: &str, now_ms: u64) {
        let retry_at_ms = now_ms.saturating_add(retry_wait_ms(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.reason = shortened(reason).into();
        self.phase = Phase::Failed { retry_at_ms };
    }

    /// Notes that it does not fit into the memory budget.
    pub(super) fn refuse(&mut self, reason: &str) {
        self.reason = shortened(reason).into();
        self.phase = Phase::Refused;
    }

    /// Makes it AVAILABLE.
    pub(super) fn succeed(&mut self, bytes: u64) {
        self.failures = 0;
        self.reason.clear();
        self.phase = Phase::Available { bytes, unwanted_since_ms: None };
    }

    /// What the node reports of it.
    pub(super) fn report(&self) -> PlannedReplica {
        let state = match self.phase {
            Phase::Available { unwanted_since_ms: None, .. } => ReplicaState::Available,
            Phase::Available { .. } | Phase::Unloading { .. } => ReplicaState::Unloading,
            Phase::Failed { .. } | Phase::Refused => ReplicaState::Failed,
            Phase::Start | Phase::Loading { .. } if !self.reason.is_empty() => ReplicaState::Failed,
            Phase::Start | Phase::Loading { .. } => ReplicaState::Loading,
        };
        PlannedReplica { state, reason: self.reason.clone() }
    }
}

/// How long to wait after a failure, in milliseconds, with this many failures before it.
pub(super) fn retry_wait_ms(failures: u32) -> u64 {
    let factor = 1u64.checked_shl(failures).unwrap_or(u64::MAX);
    RETRY_FIRST_MS.saturating_mul(factor).min(RETRY_MAX_MS)
}

/// The first [`MAX_REASON_BYTES`] of a reason, cut between characters.
fn shortened(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}
