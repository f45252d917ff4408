//! Channels: gRPC connections to one address.

use crate::address::Address;
use marquee_core::bounds::MAX_MESSAGE_BYTES;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// Upper bound of the time in which a TCP connection opens: control is in the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a quiet connection is probed, so that a dead peer is noticed.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long the peer has to answer a probe.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Upper bound of the bytes of a control node's answer: plans of large clusters are larger than what
/// callers get.
pub const MAX_CONTROL_MESSAGE_BYTES: usize = 16 * MAX_MESSAGE_BYTES;

/// A channel that connects when it is first used, notices a dead peer and does not delay small
/// messages. Must be called within a tokio runtime.
pub fn channel(address: &Address) -> Channel {
    Endpoint::from_shared(address.to_string())
        .expect("an Address is a valid URL")
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .connect_lazy()
}
