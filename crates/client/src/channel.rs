//! Channels: gRPC connections to one address.

use crate::address::Address;
use crate::credentials::Credentials;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use marquee_core::bounds::MAX_MESSAGE_BYTES;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::transport::channel::ResponseFuture;
use tonic::transport::{Channel, Endpoint};
use tower::Service;

/// Upper bound of the time in which a TCP connection opens: control is in the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection is probed, also while it is idle, so that a peer that is frozen or gone is noticed before it is
/// needed.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// How long the peer has to answer a probe: a control node that waits for its disk still answers it.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Upper bound of the bytes of a control node's answer: plans of large clusters are larger than what
/// callers get.
pub const MAX_CONTROL_MESSAGE_BYTES: usize = 16 * MAX_MESSAGE_BYTES;

/// A channel that sends the client's token with each call, if it has one.
#[derive(Clone, Debug)]
pub struct Connection {
    channel: Channel,
    authorization: Option<HeaderValue>,
}

/// A channel that connects when it is first used, notices a dead peer and does not delay small
/// messages. Must be called within a tokio runtime.
pub fn channel(address: &Address, credentials: &Credentials) -> Connection {
    let Credentials { connector, authorization } = credentials.clone();
    Connection { channel: endpoint(address).connect_with_connector_lazy(connector), authorization }
}

/// Fails if nothing accepts connections at the address, or TLS fails there.
///
/// # Errors
/// What went wrong, with its causes.
pub async fn try_connect(
    address: &Address,
    credentials: &Credentials,
) -> Result<(), tonic::transport::Error> {
    let connector = credentials.connector.clone();
    endpoint(address).connect_with_connector(connector).await.map(drop)
}

fn endpoint(address: &Address) -> Endpoint {
    Endpoint::from_shared(address.to_string())
        .expect("an Address is a valid URL")
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        // Calls whose deadline passed reset their streams. The server is a node of ours, whose late frames are no attack.
        .http2_max_local_error_reset_streams(None)
}

impl Service<http::Request<Body>> for Connection {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> ResponseFuture {
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        self.channel.call(request)
    }
}
