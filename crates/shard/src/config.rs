//! What an operator may set of the shard role.

use crate::lifecycle::ReplicaLimits;
use marquee_bundle::{BundleRoots, TrustedKeys};
use std::path::PathBuf;

/// Queries admitted at the same time, waiting or being answered: at a tenth of a millisecond each,
/// a second or so of work for two threads. What would wait longer is better asked elsewhere. It is
/// also the most that one request may hold, so an idle node admits every valid request.
pub const DEFAULT_MAX_QUEUED_QUERIES: usize = 16_384;
/// Threads that verify and warm: one disturbs the answers least.
pub const DEFAULT_LOADER_THREADS: usize = 1;
/// More threads than this only make the disk seek.
pub const MAX_LOADER_THREADS: usize = 16;
/// More threads than this share one lock too often.
pub const MAX_SEARCH_THREADS: usize = 512;

/// The shard role of a node.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Bytes of bundles that may be kept in memory at the same time, by `Manifest::shard_bytes`; 0:
    /// unlimited.
    pub memory_budget_bytes: u64,
    /// The keys that bundles must be signed by; without keys, unsigned ones are accepted too.
    pub trusted_keys: TrustedKeys,
    /// The directories below which bundles may be.
    pub bundle_roots: BundleRoots,
    /// Where private copies of the shards are kept and served from; none: they are served where they were
    /// published, and must not change there.
    pub copies: Option<CopiesConfig>,
    /// Threads that answer, at most [`MAX_SEARCH_THREADS`]; 0: one for each core.
    pub search_threads: usize,
    /// Queries (of Search) and runs of keys (of Lookup) admitted at the same time, at least 1.
    pub max_queued_queries: usize,
    /// Threads that load bundles, 1 to [`MAX_LOADER_THREADS`].
    pub loader_threads: usize,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self {
            memory_budget_bytes: 0,
            trusted_keys: TrustedKeys::none(),
            bundle_roots: BundleRoots::anywhere(),
            copies: None,
            search_threads: 0,
            max_queued_queries: DEFAULT_MAX_QUEUED_QUERIES,
            loader_threads: DEFAULT_LOADER_THREADS,
        }
    }
}

/// Where a node keeps private copies of the shards that it serves.
#[derive(Clone, Debug)]
pub struct CopiesConfig {
    /// The directory of the copies; nothing else may write to it.
    pub directory: PathBuf,
    /// Bytes that the copies may have together; 0: unlimited. Blocks that a copy shares with the published files count
    /// as if it did not.
    pub budget_bytes: u64,
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}: {least} to {most} are allowed")]
pub struct ShardConfigError {
    /// The setting's name: a field of [`ShardConfig`].
    pub field: &'static str,
    /// The value that it has.
    pub found: usize,
    /// The least value that the setting may have.
    pub least: usize,
    /// The greatest value that the setting may have.
    pub most: usize,
}

impl ShardConfig {
    /// Checks that every setting is within its bounds.
    pub fn validate(&self) -> Result<(), ShardConfigError> {
        let bounds = [
            ("search_threads", self.search_threads, 0, MAX_SEARCH_THREADS),
            ("max_queued_queries", self.max_queued_queries, 1, usize::MAX),
            ("loader_threads", self.loader_threads, 1, MAX_LOADER_THREADS),
        ];
        for (field, found, least, most) in bounds {
            if !(least..=most).contains(&found) {
                return Err(ShardConfigError { field, found, least, most });
            }
        }
        Ok(())
    }

    /// The threads that answer: as configured, or one for each core.
    pub(crate) fn threads(&self) -> usize {
        if self.search_threads > 0 {
            return self.search_threads;
        }
        std::thread::available_parallelism().map_or(1, usize::from).min(MAX_SEARCH_THREADS)
    }

    pub(crate) fn limits(&self) -> ReplicaLimits {
        ReplicaLimits {
            memory_budget_bytes: self.memory_budget_bytes,
            parallel_work: self.loader_threads,
        }
    }
}
