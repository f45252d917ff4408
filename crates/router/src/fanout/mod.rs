//! One round of calls to shard nodes: each shard of a version is asked of any one replica. All stages use it.
//!
//! - [`node`]: the nodes that plans name, and what is remembered of their health; [`grpc`] reaches those on other
//!   machines; [`node_states`] is what the process may know of them.
//! - [`select`] chooses replicas, [`decide`] says what to do when a call fails or is slow, [`policy`] says when it
//!   is slow and which nodes to avoid, [`outliers`] which are slower than others, [`cost`] which is the cheaper;
//!   [`health`] is what is remembered of a node: all of them are pure. [`FanOutCounts`] is what is counted of calls.
//! - [`mod@drive`] makes the calls. A [`Round`] says what a call is: what to ask a node for some shards, and what its
//!   answer must be like.
//!
//! It knows nothing of requests, recipes or ensembles, and imports no stage.

mod cost;
mod counts;
pub(crate) mod decide;
mod drive;
pub(crate) mod grpc;
pub(crate) mod health;
pub(crate) mod node;
pub(crate) mod node_states;
mod outliers;
pub(crate) mod policy;
pub(crate) mod select;
#[cfg(test)]
mod tests;

pub use counts::FanOutCounts;
pub(crate) use decide::CallFailure;
pub(crate) use drive::{
    CallTargets, CallTerms, DriveAids, Round, RoundLimit, RoundOutcome, drive, pair_results,
};
