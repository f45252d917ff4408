//! The router role: from a caller's request to shard calls and back.
//!
//! A request passes these folders, in this order; each has a `mod.rs` that tells its stage. A stage imports only
//! from the ones above it, and takes the result type of the one before:
//!
//! ```text
//! 1. admission     what is asked for, until when, and whether there is room      → RankingRequest
//! 2. planning      route, tree, leaves, numbered shards, wanted rows             → PlannedRequest
//! 3. lookup        rows of users, items and terms; how each leaf is answered     → LookedUpRequest
//! 4. search        lists of leaves, from all shards                              → SearchingRequest
//! 5. fusion        one list of many; popular items to fill it up; diversity      → FusedRequest, DiversifiedRequest
//! 6. explanation   why the items are in it                                       → ExplainedRequest, RankingAnswer
//! ```
//!
//! Search and fusion alternate until every request has its list: fusion says which leaves to search next, since
//! what a chain or a sequence searches for depends on what its first members list.
//!
//! Around them:
//!
//! ```text
//! fanout     one round of calls: nodes, replicas, retries, hedges       used by the stages, imports none of them
//! engine     takes a batch through stages 2 to 6 under one plan         imports the stages
//! telemetry  what answers of trials were like; mirrored requests        imports the engine
//! events     recorded events, exposures, recent items of other routers
//! pressure   how hard pressed the process is: noted by its server, heeded by admission and fanout
//! service    the RPCs: stage 1, the engine, telemetry and events
//! router     builds all of it, watches nodes and plans, drains
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
mod config;
mod engine;
mod error;
mod events;
mod explanation;
mod fanout;
mod fusion;
mod lookup;
mod planning;
mod pressure;
mod router;
mod search;
mod service;
mod telemetry;

pub use config::{
    DEFAULT_DEADLINE, DEFAULT_DRAIN, DEFAULT_MAX_IN_FLIGHT, DEFAULT_ROW_CACHE_BYTES,
    DEFAULT_SLOW_ANSWER, MAX_MAX_IN_FLIGHT, MAX_ROW_CACHE_BYTES, RouterConfig, RouterConfigError,
};
pub use engine::StageTimes;
pub use error::{NoAnswerCause, RouterError};
pub use events::recorder::Feedback;
pub use events::sharing::RecentItems;
pub use fanout::FanOutCounts;
pub use fanout::grpc::GrpcDialer;
pub use fanout::node::{AvoidedNode, Dialer};
pub use fanout::node_states::NodeStates;
pub use fusion::offline::{LeafScope, OfflineEnsemble, OfflineLeaves};
pub use lookup::row_cache::RowCounts;
pub use planning::ensemble_tree::Weights;
pub use pressure::Pressure;
pub use router::Router;
pub use service::recommender::RouterService;
pub use telemetry::{Report, Reward, RouterTelemetry, segments_of};
