//! Connections between callers, routers and shard nodes, as both ends of gRPC use them.
//!
//! A [`Gathering`] makes one system call of what belongs together; a server wraps what it accepts in
//! it, and [`connector`] makes a client do so.

#![forbid(unsafe_code)]

mod connect;
mod gather;

pub use connect::connector;
pub use gather::Gathering;
