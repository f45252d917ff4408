//! What the `marquee` binary is made of.
//!
//! One process may be a whole cluster, one node of it, a trainer, or a tool that talks to one. The
//! modules follow the commands: [`serve`] builds a node out of its roles from a checked [`config`];
//! [`follow`] keeps a node without the control role in touch with those that have it; [`ctl`],
//! [`load`] and [`eval`] are clients; [`offline`], [`export`] and [`keys`] need no cluster; [`demo`] tells the
//! whole story with all of them. [`cli`] turns arguments into calls of these and errors into exit
//! codes.
//!
//! Deliberately missing: anything that decides. What a rollout does, where a shard lives, how an
//! answer is computed stands in the crates below this one.

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod ctl;
pub mod demo;
pub mod eval;
pub mod export;
pub mod follow;
pub mod keys;
pub mod load;
pub mod log;
pub mod offline;
pub mod serve;
#[cfg(test)]
mod testing;
