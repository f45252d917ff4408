//! A shard node on another machine: one HTTP/2 connection, opened at first use and again whenever it
//! broke, that carries all calls to the node.

use crate::fanout::node::Dialer;
use marquee_core::bounds::MAX_INTERNAL_MESSAGE_BYTES;
use marquee_net::Connector;
use marquee_proto::shard::v1::shard_service_client::ShardServiceClient;
use marquee_proto::shard::v1::shard_service_server::ShardService;
use marquee_proto::shard::v1::{LookupRequest, LookupResponse, SearchRequest, SearchResponse};
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, async_trait};

/// A node in the same data centre that does not accept within this time is down.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often an idle connection is tried: a peer that vanished without a word (a pulled cable) is
/// noticed before the next request is.
pub(crate) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long such a try may take.
pub(crate) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Streams that we cancelled (the slower of a hedged pair) and whose late frames are to be ignored.
/// HTTP/2's default of a few dozen would end the connection under load.
pub(crate) const MAX_CANCELLED_STREAMS: usize = 10_000;
/// Bytes in flight on one connection, and on one stream of it: a batch's answer of some megabytes
/// must not wait for window updates.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// Dials nodes by `http://host:port`, or `https://host:port` where the connector has certificates.
#[derive(Clone, Debug, Default)]
pub struct GrpcDialer {
    connector: Connector,
}

impl GrpcDialer {
    /// Dials by this connector.
    pub fn by(connector: Connector) -> Self {
        Self { connector }
    }
}

impl Dialer for GrpcDialer {
    fn dial(&self, node_id: &str, address: &str) -> Result<Arc<dyn ShardService>, String> {
        let client = ShardServiceClient::new(channel(address, self.connector.to(node_id))?)
            .max_decoding_message_size(MAX_INTERNAL_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_INTERNAL_MESSAGE_BYTES);
        Ok(Arc::new(RemoteShard(client)))
    }

    fn connector(&self) -> Connector {
        self.connector.clone()
    }
}

/// A connection to another node, opened at first use.
pub(crate) fn channel(address: &str, connector: Connector) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|error| format!("{address:?} is no address like http://host:port: {error}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_max_concurrent_reset_streams(MAX_CANCELLED_STREAMS)
        // The peer is a node of ours, whose late frames for cancelled streams are no attack.
        .http2_max_local_error_reset_streams(None);
    Ok(endpoint.connect_with_connector_lazy(connector))
}

struct RemoteShard(ShardServiceClient<Channel>);

#[async_trait]
impl ShardService for RemoteShard {
    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        self.0.clone().lookup(request).await
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        self.0.clone().search(request).await
    }
}
