//! Connections between callers, routers and shard nodes, as both ends of gRPC use them.
//!
//! A [`GatheringStream`] makes one system call of what belongs together; a server wraps what it accepts
//! in it, and [`connector`] makes a client do so. [`timeout_of`] reads how long a caller waits.

#![forbid(unsafe_code)]

mod connect;
mod gather;
mod timeout;

pub use connect::connector;
pub use gather::GatheringStream;
pub use timeout::{InvalidTimeout, TIMEOUT_HEADER, timeout_of};
