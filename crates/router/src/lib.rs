//! The router role: from a caller's request to shard calls and back.
//!
//! ```text
//! service ── checks, admits ──▶ engine ── one plan for the whole batch ──▶ answer
//!                                 │
//!                                 ├─ task    one request: its route, its leaves, its answer
//!                                 ├─ tree    the ensemble in execution (pure)
//!                                 ├─ last    what is done with a list at last (pure)
//!                                 ├─ rounds  what is asked together, and until when
//!                                 ├─ lookup  round one: vectors and histories, but for rows in row_cache
//!                                 ├─ search  round two: lists, merged
//!                                 ├─ vectors a round for explanations: what carried what
//!                                 └─ fanout  replicas, retries, hedges of one round
//!                                      ├─ select, decide, policy (pure)
//!                                      └─ drive, over the nodes of `node`
//!   └─ telemetry  what answers of trials were like, and the other side's answers to the same requests
//! service ── events ──▶ the log that was handed in ── share ──▶ other routers
//! ```
//!
//! Start with [`Router`]; read `engine` for how a batch is answered and `fanout::decide` for what
//! happens when nodes fail.
//!
//! Invariants: one request sees one plan from beginning to end; what is missing from an answer is
//! named in it; every call has the caller's remaining time as its deadline, and every retry, hedge,
//! message and queue a bound.
//!
//! Deliberately missing: where plans come from (a watch channel is handed in), sockets for callers
//! (the node opens them), and any state that outlives the process but the logs of events and exposures, which
//! are handed in open.

#![forbid(unsafe_code)]

mod admission;
mod answer;
mod approach;
mod ask;
mod basis;
mod config;
mod engine;
mod error;
mod events;
mod facts;
mod fanout;
mod last;
mod layout;
mod lookup;
mod node;
mod offline;
mod readiness;
mod remote;
mod router;
mod row_cache;
mod search;
mod service;
mod share;
mod task;
mod telemetry;
mod tree;
mod vectors;

pub use config::{
    ConfigError, DEFAULT_DEADLINE, DEFAULT_DRAIN, DEFAULT_MAX_IN_FLIGHT, DEFAULT_ROW_CACHE_BYTES,
    MAX_MAX_IN_FLIGHT, MAX_ROW_CACHE_BYTES, RouterConfig,
};
pub use error::{RouterError, Silence};
pub use events::Feedback;
pub use node::Dialer;
pub use offline::{LeafScope, OfflineEnsemble, OfflineLeaves};
pub use remote::GrpcDialer;
pub use router::Router;
pub use row_cache::RowCounts;
pub use service::RouterService;
pub use share::RecentItems;
pub use telemetry::{Report, Reward, RouterTelemetry};
pub use tree::Weights;
