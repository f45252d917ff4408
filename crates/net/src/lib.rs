//! Connections between callers, routers and shard nodes, as both ends of gRPC use them.
//!
//! A [`GatheringStream`] makes one system call of what belongs together; a server gets its connections from
//! [`accept`](fn@accept), and a [`Connector`] makes those of a client. Both speak TLS where there are certificates
//! ([`tls`]). [`timeout_of`] reads how long a caller waits.

#![forbid(unsafe_code)]

mod accept;
mod connect;
mod gather;
#[cfg(feature = "issuing")]
pub mod issue;
mod stream;
mod timeout;
pub mod tls;

pub use accept::accept;
pub use connect::{Connector, ServerCheck};
pub use gather::GatheringStream;
pub use stream::{ClientStream, ServerStream, Transport};
pub use timeout::{InvalidTimeout, TIMEOUT_HEADER, timeout_in, timeout_of};
