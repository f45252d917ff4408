//! The same service behind a socket: equal answers, large messages, statuses, deadlines.

mod support;

use marquee_core::bounds::{MAX_INTERNAL_MESSAGE_BYTES, MAX_MESSAGE_BYTES};
use marquee_proto::shard::v1::shard_service_client::ShardServiceClient;
use marquee_proto::shard::v1::shard_service_server::ShardService as _;
use marquee_proto::shard::v1::{
    Entity, LookupKey, LookupOp, LookupRequest, Operation, SearchOp, SearchRequest,
};
use std::time::Duration;
use support::{Catalogue, Cluster, home, version};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request};

async fn connect(cluster: &Cluster) -> ShardServiceClient<Channel> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = Server::builder().add_service(cluster.api.server());
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let client = ShardServiceClient::connect(format!("http://{address}")).await;
    client
        .expect("a connection")
        .max_decoding_message_size(MAX_INTERNAL_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_INTERNAL_MESSAGE_BYTES)
}

fn batch(catalogue: &Catalogue, queries: usize, count: u32) -> SearchRequest {
    let op = SearchOp {
        version: version(1),
        shards: vec![0, 1],
        matrix: "item_factors".into(),
        operation: Operation::DenseInnerProduct.into(),
        queries: (0..queries).map(|n| catalogue.query(n % catalogue.users.len(), count)).collect(),
        filters: Vec::new(),
        deny_lists: Vec::new(),
    };
    SearchRequest { plan_epoch: 1, ops: vec![op] }
}

#[tokio::test]
async fn a_socket_changes_nothing() {
    let catalogue = Catalogue::new(1);
    let cluster = Cluster::with(&catalogue, 2).await;
    let mut client = connect(&cluster).await;

    // A batch whose answer is larger than callers' messages may be.
    let request = batch(&catalogue, 1_000, 300);
    let near = cluster.api.search(Request::new(request.clone())).await.expect("near").into_inner();
    let far = client.search(request).await.expect("far").into_inner();
    assert_eq!(near, far);
    assert!(prost::Message::encoded_len(&far) > MAX_MESSAGE_BYTES);

    let keys = catalogue.users.iter().map(|id| LookupKey { shard: home(id, 2), id: id.clone() });
    let op = LookupOp {
        version: version(1),
        entity: Entity::User.into(),
        keys: keys.collect(),
        dense_matrix: "user_factors".into(),
        sparse_matrix: "history".into(),
        ..LookupOp::default()
    };
    let request = LookupRequest { plan_epoch: 1, ops: vec![op] };
    let near = cluster.api.lookup(Request::new(request.clone())).await.expect("near").into_inner();
    assert_eq!(near, client.lookup(request).await.expect("far").into_inner());

    let mut wrong = batch(&catalogue, 2, 10);
    wrong.ops[0].queries[1].count = 0;
    let status = client.search(wrong).await.expect_err("no results wanted");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("ops[0].queries[1].count: 0"), "{status:?}");
}

#[tokio::test]
async fn a_deadline_travels_along() {
    let catalogue = Catalogue::new(2);
    let cluster = Cluster::with(&catalogue, 2).await;
    let mut client = connect(&cluster).await;
    let mut request = Request::new(batch(&catalogue, 16_000, 100));
    request.set_timeout(Duration::from_millis(1));
    let status = client.search(request).await.expect_err("that takes longer");
    // The client, the server or the pool may notice first.
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    // Nothing of it is left in the way.
    let answer = client.search(batch(&catalogue, 1, 10)).await.expect("an answer").into_inner();
    assert_eq!(answer.results[0].queries[0].ordinals.len(), 10);
}
