//! Connections to a cluster, for the servers that follow it and for the commands that operate it.
//!
//! An [`Address`] is a checked `http://host:port` or `https://host:port`; [`channel`](mod@channel) makes a lazy
//! connection to one, with the [`Credentials`] of the client;
//! [`Backoff`] says how long to wait before the next attempt, and a [`Rotation`] where to make it; [`ControlClient`] calls the control
//! service and moves to another control node when one is lost. [`code_name`] and
//! [`innermost_reason`] turn what came back into words, and [`bundle_uri`](mod@bundle_uri) turns what a user types into
//! what shards are told.
//!
//! Deliberately missing: what is asked. Requests stand with the commands and servers that make them.

#![forbid(unsafe_code)]

mod address;
mod backoff;
mod bundle_uri;
mod channel;
mod control;
mod credentials;
mod rotation;
mod status;
#[cfg(feature = "testing")]
pub mod testing;

pub use address::{Address, AddressError, loopback_address};
pub use backoff::{Backoff, FIRST_WAIT, LONGEST_WAIT};
pub use bundle_uri::{BundleUriError, bundle_uri};
pub use channel::{Connection, MAX_CONTROL_MESSAGE_BYTES, channel, try_connect};
pub use control::{CallError, ControlClient, request_id};
pub use credentials::{Credentials, CredentialsError};
pub use rotation::Rotation;
pub use status::{code_name, innermost_reason, status_in_words};
