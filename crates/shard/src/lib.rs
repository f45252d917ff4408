//! The shard role: what a node that holds shards does.
//!
//! [`Shard`] follows the plan and keeps the replicas that it wants of the node: [`lifecycle`]
//! decides, the loader's threads do, and what is ready is put into a table that requests read without
//! a lock. [`ShardApi`] answers them: it checks a request, and its searches run on a pool of threads of their
//! own, bounded in number, in what may wait, and in how long it may take.
//!
//! A shard knows nothing of algorithms: it looks rows up, and answers dense top-k and sparse row-sum.
//!
//! Invariants: no thread of tokio's knowingly touches a mapped file for longer than a tenth of a
//! millisecond (`pool::BRIEF`): what took longer lately is done by the pool's; a replica answers only for the bundle whose digest was published; one request sees one
//! state of the table; nothing runs for a caller that has gone.

#![forbid(unsafe_code)]

mod config;
mod deadline;
mod driver;
mod engine;
mod error;
pub mod lifecycle;
mod loader;
mod pool;
mod service;
mod shard;
mod table;

pub use config::{
    ConfigError, DEFAULT_LOADER_THREADS, DEFAULT_MAX_QUEUED_QUERIES, MAX_LOADER_THREADS,
    MAX_SEARCH_THREADS, ShardConfig,
};
pub use deadline::{DEFAULT_TIMEOUT, MAX_TIMEOUT};
pub use error::RequestError;
pub use service::{OperationsSpent, ShardApi, StrategyCounts};
pub use shard::{Shard, StartError};
