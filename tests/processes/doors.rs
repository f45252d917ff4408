//! What clients meet on the port of a router: what it has, what it says of what it has not, and how it speaks.

use crate::grpcurl::reflect_v1;
use crate::support::caller::{client, request};
use crate::support::cluster::Cluster;
use crate::support::process::{marquee, text};
use marquee_proto::control::v1 as pb;
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::v1::{RankItemsRequest, StreamBatchRecommendRequest};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_stream::StreamExt as _;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request};

/// How long what should happen at once may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_router_says_what_it_has_and_where_the_rest_is() {
    let mut cluster = Cluster::start().await;
    let router = cluster.routers_at().remove(0);
    let control = cluster.control_at(0);

    let listed = reflect_v1(&router).await;
    assert!(listed.contains(&"marquee.v1.RecommenderService".to_owned()), "{listed:?}");
    assert!(listed.contains(&"grpc.health.v1.Health".to_owned()), "{listed:?}");
    assert!(
        !listed.iter().any(|name| name.contains("ControlService") || name.contains("ShardService")),
        "{listed:?}"
    );

    let mut elsewhere = ControlServiceClient::connect(router.clone()).await.expect("connected");
    let refused = elsewhere.get_status(pb::GetStatusRequest {}).await.expect_err("not here");
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains(&control), "{refused:?}");

    // Operators reach control by any node, and are told.
    let models = marquee(["ctl", "--endpoint", &router, "models", "--json"]);
    let (out, err) = (text(&models.stdout), text(&models.stderr));
    assert!(models.status.success() && out.contains("films"), "{out}{err}");
    assert!(err.starts_with("note: ") && err.contains(&control), "{err}");
    let no_node = marquee(["ctl", "--endpoint", &router, "nodes", "remove", "nobody"]);
    let err = text(&no_node.stderr);
    assert_eq!(err.matches("nobody").count(), 1, "an error is said once: {err}");

    let finished = pb::WatchRolloutRequest { rollout_id: "default-1".into() };
    let watch = cluster.control_client(0).watch_rollout(finished).await.expect("there");
    let seen = tokio::time::timeout(PATIENCE, watch.into_inner().collect::<Vec<_>>()).await;
    assert_eq!(seen.expect("what is over ends").len(), 1);

    let at = router.trim_start_matches("http://");
    let mut browser = tokio::net::TcpStream::connect(at).await.expect("connected");
    browser.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("written");
    let mut heard = String::new();
    browser.read_to_string(&mut heard).await.expect("text, and not reset");
    assert!(heard.starts_with("HTTP/1.1 415 ") && heard.contains("gRPC server"), "{heard}");

    cluster.routers[0].hang_up();
    compressed_and_named(&router).await;
    assert!(cluster.routers[0].is_running(), "a hangup is no end");
}

/// Calls in the forms that clients of other languages make them.
async fn compressed_and_named(router: &str) {
    for (encoding, name) in
        [(CompressionEncoding::Gzip, "gzip"), (CompressionEncoding::Zstd, "zstd")]
    {
        let mut asking = client(router).send_compressed(encoding).accept_compressed(encoding);
        let answer = asking.recommend(request("user-1")).await.expect("answered");
        assert_eq!(answer.metadata().get("grpc-encoding").expect("compressed"), name);
        assert!(!answer.into_inner().items.is_empty());
    }
    let mut able = client(router).accept_compressed(CompressionEncoding::Gzip);
    let mut named = Request::new(request("user-1"));
    named.metadata_mut().insert("x-request-id", "req-7".parse().expect("a value"));
    let answer = able.recommend(named).await.expect("answered");
    assert!(answer.metadata().get("grpc-encoding").is_none(), "the request was not compressed");
    assert_eq!(answer.metadata().get("x-request-id").expect("comes back"), "req-7");

    let item_ids = vec!["x".repeat(1_000); 5_000];
    let large = RankItemsRequest { user_id: "u".into(), item_ids, surface: String::new() };
    let refused = client(router).rank_items(large.clone()).await.expect_err("5 MB");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("4194304"), "{refused:?}");
    // Small on the way, and too large once it is unpacked.
    let mut packing = client(router).send_compressed(CompressionEncoding::Zstd);
    let refused = packing.rank_items(large).await.expect_err("5 MB");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");

    let requests: Vec<_> = (0..100).map(|n| request(&format!("user-{n}"))).collect();
    let batch = StreamBatchRecommendRequest { requests };
    let answers = client(router).stream_batch_recommend(batch).await.expect("begun").into_inner();
    let answers: Vec<_> = answers.collect().await;
    let places: Vec<_> = answers.iter().map(|it| it.as_ref().expect("answered").index).collect();
    assert_eq!(places, (0..100).collect::<Vec<_>>());
}
