//! What bounds the replicas of a node, in bytes, threads and time.

/// How long a replica still answers after the plan ceased to want it. Routers follow a plan within
/// milliseconds and their calls last seconds at most; this outlasts both by far.
pub const UNLOAD_GRACE_MS: u64 = 10_000;
/// The wait after a first failure. A bundle that is still being copied is there soon.
pub const RETRY_FIRST_MS: u64 = 1_000;
/// The longest wait between attempts: what an operator repairs is noticed within a minute.
pub const RETRY_MAX_MS: u64 = 60_000;
/// Bytes of a reason as reported; it travels with every report and lies in the plan.
pub const MAX_REASON_BYTES: usize = 1_000;

/// What bounds the node's replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaLimits {
    /// Bytes of bundles that may be mapped; 0: unlimited.
    pub memory_budget_bytes: u64,
    /// Inspections and loads at the same time, at least 1: the loader's threads.
    pub parallel_work: usize,
}
