//! A node: the roles of its config, joined to each other and served.
//!
//! [`config`] reads a file and checks it as a whole; [`serve`] builds a running node out of a checked
//! config; [`access`] says who may call it; [`backup`] makes a control disk of a backup; [`follow`] keeps a node without the control role in touch with
//! those that have it; [`log`] starts logging, [`warnings`] keeps what any caller can cause from filling it, and [`troubles`] gathers what is wrong; [`metrics`] shows numbers.
//!
//! Deliberately missing: arguments and printed results, which are the command line's, and anything that
//! decides. What a rollout does, where a shard lives and how an answer is computed stands in the crates
//! below this one.

#![forbid(unsafe_code)]

pub mod access;
pub mod backup;
pub mod config;
pub mod follow;
pub mod log;
pub mod metrics;
pub mod serve;
mod troubles;
mod warnings;
