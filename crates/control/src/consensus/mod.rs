//! Consensus: a raft group of one, three or five voters that replicates a [`Machine`].
//!
//! From the inside out: [`voter`] is one voter as a synchronous state machine over its [`store`], with
//! everything that can happen to it in [`event`]; [`driver`] gives it a thread, a clock and an async handle;
//! [`transport`] carries messages between voters. [`members`] says which disks may vote and how voters come and go,
//! and [`chain`] finds voters that have applied something else than the group. [`wire`] is the only place where raft's generated types
//! meet ours, and [`plausible`] refuses what no honest voter sends before raft sees it.
//!
//! The algorithm is the `raft` crate's (Ongaro and Ousterhout 2014, with pre-vote, check-quorum and
//! read-index); what is here is what the crate leaves to its user: durability, time, the network, answers to
//! callers, and the rule that no caller is told that a change is done before a majority has it on disk.
//!
//! [`Machine`]: crate::machine::Machine

pub mod chain;
pub mod driver;
pub mod event;
mod group;
pub mod log;
mod logger;
pub mod members;
mod plausible;
mod reads;
pub mod store;
pub(crate) mod transport;
pub mod voter;
mod voter_in_group;
pub mod wire;
