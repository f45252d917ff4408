//! The life of a node's replicas, as pure decisions: what happened goes in, what to do comes out.
//!
//! ```text
//!           inspected, fits          loaded             unwanted for UNLOAD_GRACE_MS,
//!   START ─────────────────► LOADING ──────► AVAILABLE ── or memory is needed ──► UNLOADING ──► END
//!    ▲ │                        │               ▲ │                                        freed
//!    │ └───────────┬────────────┘               └─┘ wanted again: nothing to load
//!    │             ▼
//!    └────────── FAILED   after a wait that doubles; a refusal for memory, as soon as it fits
//! ```
//!
//! [`Lifecycle`] holds all replicas of the node and is told of one [`Event`] at a time, with the
//! time; it answers with [`Action`]s, which the driver carries out and reports back on. It starts no
//! more work than the loader has threads for, keeps the bytes of everything loaded, loading or not
//! yet freed within the budget, and never drops what answers before the plan ceases to want it.
//!
//! A replica that ceases to be wanted goes on answering for [`UNLOAD_GRACE_MS`], because routers may
//! still follow the plan before; it is reported as UNLOADING meanwhile, so that no new plan counts
//! on it. A failed replica stays FAILED with its reason, even while it is tried again, until it is
//! AVAILABLE: whoever reads the status wants the reason, not a flicker.
//!
//! What is deliberately missing: the clock, threads and files (they are the driver's and the
//! loader's), and any preference among versions: they load in the order of their names and numbers.

mod machine;
mod replica;

pub use machine::Lifecycle;
pub use replica::{BundleSource, ReplicaKey};

use marquee_core::id::ModelVersion;
use std::collections::BTreeMap;

/// How long a replica still answers after the plan ceased to want it. Routers follow a plan within
/// milliseconds and their calls last seconds at most; this outlasts both by far.
pub const UNLOAD_GRACE_MS: u64 = 10_000;
/// The wait after a first failure. A bundle that is still being copied is there soon.
pub const RETRY_FIRST_MS: u64 = 1_000;
/// The longest wait between attempts: what an operator mends is noticed within a minute.
pub const RETRY_MAX_MS: u64 = 60_000;
/// Bytes of a reason as reported; it travels with every report and lies in the plan.
pub const MAX_REASON_BYTES: usize = 1_000;

/// What bounds the node's replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of bundles that may be mapped; 0: unlimited.
    pub memory_budget_bytes: u64,
    /// Inspections and loads at the same time, at least 1: the loader's threads.
    pub parallel_work: usize,
}

/// What the plan wants on the node.
pub type Wanted = BTreeMap<ReplicaKey, BundleSource>;

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A plan came; this is all it wants here.
    Planned(Wanted),
    /// A manifest was read, and checked against the digest that the inspection was given.
    Inspected {
        /// Of this version.
        version: ModelVersion,
        /// The digest.
        digest: String,
        /// Bytes of each shard, or why the bundle can't be used.
        outcome: Result<Vec<u64>, String>,
    },
    /// A shard is mapped, warm and ready to answer, or not.
    Loaded {
        /// Which.
        key: ReplicaKey,
        /// Why not.
        outcome: Result<(), String>,
    },
    /// An unloaded shard's memory was given back.
    Freed {
        /// Which.
        key: ReplicaKey,
    },
    /// Time passed.
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read and check a version's manifest.
    Inspect {
        /// Which.
        version: ModelVersion,
        /// From where.
        source: BundleSource,
    },
    /// Open a shard and warm it.
    Load {
        /// Which.
        key: ReplicaKey,
        /// From where.
        source: BundleSource,
    },
    /// Let the shard that was loaded answer.
    Serve {
        /// Which.
        key: ReplicaKey,
    },
    /// Take the shard from the requests, if it answers, and free it.
    Unload {
        /// Which.
        key: ReplicaKey,
    },
}

#[cfg(test)]
mod promises;
#[cfg(test)]
mod tests;
