//! Connections between callers, routers and shard nodes, as both ends of gRPC use them.
//!
//! A [`GatheringStream`] makes one system call of what belongs together; a server gets its connections from
//! [`accept`](fn@accept), which bounds them ([`connections`]), and a [`Connector`] makes those of a client. Both speak TLS where there are certificates
//! ([`tls`]). [`timeout_of`] reads how long a caller waits. An [`HttpClient`] asks servers of others one thing, within bounds.

#![forbid(unsafe_code)]

mod accept;
mod connect;
pub mod connections;
mod gather;
mod http_client;
#[cfg(feature = "issuing")]
pub mod issue;
mod reason;
mod stream;
mod timeout;
pub mod tls;

pub use accept::{NOT_GRPC, accept};
pub use connect::{Connector, ServerCheck};
pub use gather::GatheringStream;
pub use http_client::{HttpAnswer, HttpClient, HttpError};
pub use reason::with_causes;
pub use stream::{ClientStream, PREFACE, ServerStream, Transport};
pub use timeout::{InvalidTimeout, TIMEOUT_HEADER, timeout_in, timeout_of};
