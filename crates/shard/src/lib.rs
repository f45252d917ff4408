//! The shard role: what a node that holds shards does.
//!
//! [`Shard`] follows the plan and keeps the replicas that it wants of the node: [`lifecycle`]
//! decides, the loader's threads do, and what is ready is put into a table that requests read without
//! a lock. [`ShardApi`] answers them: it checks a request, and its searches run on a pool of threads of their
//! own, bounded in number, in what may wait, and in how long it may take.
//!
//! A shard knows nothing of algorithms: it looks rows up, and answers dense top-k and sparse row-sum.
//!
//! The layers, each of which uses those above it only:
//!
//! 1. `replica_key`, `error`, `usage`: names, refusals and counters that all share.
//! 2. [`lifecycle`]: which replicas to load and to unload, as pure decisions. `pool`: the threads that search.
//!    `audit`: the thread that searches some of the queries again, exactly.
//! 3. `engine`: lookups and searches over the replicas that answer. `loader`: the threads that load.
//! 4. `wire`: requests and answers as messages. `driver`: carries out what the lifecycle decides.
//! 5. `service`, `role`: what a node starts and serves.
//!
//! Invariants: no thread of tokio's knowingly touches a mapped file for longer than a tenth of a
//! millisecond (`pool::BRIEF`): what took longer lately is done by the pool's; a replica answers only
//! for the bundle whose digest was published; one request sees one state of the table; nothing runs
//! for a caller that has gone.

#![forbid(unsafe_code)]

mod audit;
mod config;
mod deadline;
mod driver;
mod engine;
mod error;
pub mod lifecycle;
mod loader;
mod pool;
mod replica_key;
mod role;
mod service;
mod usage;
mod wire;

pub use config::{
    CopiesConfig, DEFAULT_LOADER_THREADS, DEFAULT_MAX_QUEUED_QUERIES, MAX_LOADER_THREADS,
    MAX_SEARCH_THREADS, ShardConfig, ShardConfigError,
};
pub use deadline::{DEFAULT_TIMEOUT, MAX_TIMEOUT};
pub use error::RequestError;
pub use replica_key::ReplicaKey;
pub use role::{Shard, StartError};
pub use service::ShardApi;
pub use usage::{
    AuditedSearches, LoadedReplica, OperationsSpent, RecallCounts, SearchCounts, StrategyCounts,
};
