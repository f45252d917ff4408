//! One replica: where in its life it is, and what is said of it.

use super::{MAX_REASON_BYTES, RETRY_FIRST_MS, RETRY_MAX_MS};
use marquee_core::id::ModelVersion;
use marquee_core::plan::{self, ReplicaState};
use std::fmt;

/// One shard of one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaKey {
    /// The version.
    pub version: ModelVersion,
    /// The shard.
    pub shard: u32,
}

impl ReplicaKey {
    /// The key of these parts.
    pub fn new(version: ModelVersion, shard: u32) -> Self {
        Self { version, shard }
    }
}

impl fmt::Display for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.version, self.shard)
    }
}

/// Where a version's bundle comes from, and which bundle it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleSource {
    /// Where to fetch it.
    pub uri: String,
    /// The digest of its manifest, as published.
    pub digest: String,
}

/// What the lifecycle knows of one replica.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) source: BundleSource,
    pub(super) wanted: bool,
    pub(super) phase: Phase,
    /// Failures since it was last AVAILABLE.
    failures: u32,
    /// Why it failed last; empty since it was last AVAILABLE.
    reason: String,
}

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

impl Replica {
    pub(super) fn new(source: BundleSource) -> Self {
        let (phase, reason) = (Phase::Start, String::new());
        Self { source, wanted: true, phase, failures: 0, reason }
    }

    /// Bytes that it takes of the budget.
    pub(super) fn bytes(&self) -> u64 {
        match self.phase {
            Phase::Loading { bytes }
            | Phase::Available { bytes, .. }
            | Phase::Unloading { bytes } => bytes,
            Phase::Start | Phase::Failed { .. } | Phase::Refused => 0,
        }
    }

    /// Nothing is under way: it may be started, or forgotten.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Start | Phase::Failed { .. } | Phase::Refused)
    }

    pub(super) fn start_loading(&mut self, bytes: u64) {
        if self.failures == 0 {
            // A refusal for memory was no fault of the bundle's, and it is over.
            self.reason.clear();
        }
        self.phase = Phase::Loading { bytes };
    }

    pub(super) fn fail(&mut self, reason: &str, now_ms: u64) {
        let retry_at_ms = now_ms.saturating_add(retry_wait_ms(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.reason = cut(reason).into();
        self.phase = Phase::Failed { retry_at_ms };
    }

    pub(super) fn refuse(&mut self, reason: &str) {
        self.reason = cut(reason).into();
        self.phase = Phase::Refused;
    }

    pub(super) fn succeed(&mut self, bytes: u64) {
        self.failures = 0;
        self.reason.clear();
        self.phase = Phase::Available { bytes, unwanted_since_ms: None };
    }

    /// What the node reports of it.
    pub(super) fn report(&self) -> plan::Replica {
        let state = match self.phase {
            Phase::Available { unwanted_since_ms: None, .. } => ReplicaState::Available,
            Phase::Available { .. } | Phase::Unloading { .. } => ReplicaState::Unloading,
            Phase::Failed { .. } | Phase::Refused => ReplicaState::Failed,
            Phase::Start | Phase::Loading { .. } if !self.reason.is_empty() => ReplicaState::Failed,
            Phase::Start | Phase::Loading { .. } => ReplicaState::Loading,
        };
        plan::Replica { state, reason: self.reason.clone() }
    }
}

/// How long to wait after so many failures before this one.
pub(super) fn retry_wait_ms(failures: u32) -> u64 {
    let factor = 1u64.checked_shl(failures).unwrap_or(u64::MAX);
    RETRY_FIRST_MS.saturating_mul(factor).min(RETRY_MAX_MS)
}

/// At most [`MAX_REASON_BYTES`] of a reason.
fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}
