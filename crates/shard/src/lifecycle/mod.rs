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
//! [`Lifecycle`] holds all replicas of the node and is told of one [`LifecycleEvent`] at a time, with the
//! time; it answers with [`LifecycleAction`]s, which the driver carries out and reports back on. It starts no
//! more work than the loader has threads for, keeps the bytes of everything loaded, loading or not
//! yet freed within the budget, and never drops what answers before the plan ceases to want it.
//!
//! A replica that ceases to be wanted goes on answering for [`UNLOAD_GRACE_MS`], because routers may
//! still follow the plan before; it is reported as UNLOADING meanwhile, so that no new plan counts
//! on it. A failed replica stays FAILED with its reason, even while it is tried again, until it is
//! AVAILABLE, so that its status does not flicker.
//!
//! What is deliberately missing: the clock, threads and files (they are the driver's and the
//! loader's), and any preference among versions: they load in the order of their names and numbers.

mod event;
#[cfg(test)]
mod invariants;
mod limits;
mod machine;
mod replica;
#[cfg(test)]
mod tests;

pub use event::{BundleSource, LifecycleAction, LifecycleEvent, WantedReplicas, wanted_replicas};
pub use limits::{MAX_REASON_BYTES, RETRY_FIRST_MS, RETRY_MAX_MS, ReplicaLimits, UNLOAD_GRACE_MS};
pub use machine::Lifecycle;
