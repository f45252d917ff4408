//! A running node, from the sockets of its config to its end.
//!
//! [`RunningNode`] joins the roles of a [`Config`](crate::config::Config) and serves them; [`standalone`] makes the
//! config of a cluster of one. Sockets are opened first, so that a port in use is found before anything was
//! started. [`Readiness`] keeps gRPC health true; [`edge`] bounds what one address takes and
//! tells when the last request has ended; [`call_headers`] is what a call's headers ask for beside it, and [`directory`] says
//! where the services are that an address does not have.

mod call_headers;
mod directory;
mod edge;
mod health;
mod node;
mod open_files;
mod server;
mod shard_readiness;
pub mod standalone;
mod usage;

pub use health::Readiness;
pub use node::{Listeners, RunningNode, open_listeners};
pub use server::{ServerError, bind, until_told_to_end};
pub use usage::IO_THREADS;
