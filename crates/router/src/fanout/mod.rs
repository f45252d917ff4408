//! One round of calls to shard nodes: each piece (shard of a version) from any one replica.
//!
//! [`select`] chooses replicas, [`decide`] says what to do when a call fails or dawdles, [`policy`]
//! says when it dawdles and which nodes to avoid: all three are pure. [`mod@drive`] makes the calls.
//! A [`Round`] says what a call is: what to ask a node for some pieces, and what its answer must be
//! like.

pub(crate) mod decide;
mod drive;
pub(crate) mod policy;
pub(crate) mod select;

pub(crate) use decide::Failure;
pub(crate) use drive::{Limit, Outcome, Round, Terrain, drive};
