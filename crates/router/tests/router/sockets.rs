//! The router over real connections: shards behind gRPC servers on loopback.

use crate::support::{FakeShard, Mood, World, films, user, users};
use marquee_core::bounds::MAX_INTERNAL_MESSAGE_BYTES;
use marquee_proto::shard::v1::shard_service_server::{ShardService, ShardServiceServer};
use marquee_proto::v1;
use marquee_proto::v1::recommender_service_server::RecommenderService as _;
use marquee_router::{Feedback, Router, RouterConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Status};

/// Serves a fake at an address until the handle is aborted.
async fn serve(shard: Arc<FakeShard>, address: &str) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(address).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let service = ShardServiceServer::from_arc(shard)
        .max_decoding_message_size(MAX_INTERNAL_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_INTERNAL_MESSAGE_BYTES);
    let server = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener));
    (address, tokio::spawn(async move { server.await.expect("served") }))
}

/// The world's nodes behind sockets, and a router that knows their addresses alone.
async fn over_sockets(
    world: &mut World,
    local: Option<usize>,
) -> (Router, Vec<(SocketAddr, JoinHandle<()>)>) {
    let mut servers = Vec::new();
    for node in &world.nodes {
        servers.push(serve(Arc::clone(node), "127.0.0.1:0").await);
    }
    world.change(|plan| {
        for (node, (address, _)) in plan.nodes.values_mut().zip(&servers) {
            node.address = format!("http://{address}");
        }
    });
    let local = local
        .map(|n| (world.nodes[n].id.clone(), Arc::clone(&world.nodes[n]) as Arc<dyn ShardService>));
    (
        Router::start(
            RouterConfig::default(),
            world.sender.subscribe(),
            local,
            Feedback::default(),
        ),
        servers,
    )
}

async fn ask(router: &Router, name: &str) -> Result<v1::RecommendResponse, Status> {
    Ok(router.service().recommend(Request::new(user(name, 10))).await?.into_inner())
}

fn answered(answer: &v1::RecommendResponse) -> u32 {
    answer.coverage.as_ref().expect("always there").shards_answered
}

#[tokio::test]
async fn callers_do_not_notice_that_a_node_dies_and_comes_back() {
    let mut world = World::new(vec![films(1, 4, "i", 150, 20)], 3, 2);
    let (router, mut servers) = over_sockets(&mut world, Some(2)).await;
    let expected: Vec<Vec<String>> =
        (0..20).map(|n| films(1, 1, "i", 150, 20).expected(&format!("u{n}"), 10)).collect();
    let all = async |router: &Router| {
        for (n, expected) in expected.iter().enumerate() {
            let answer = ask(router, &format!("u{n}")).await.expect("an answer");
            assert_eq!(crate::ids(&answer.items), *expected);
            assert_eq!(answered(&answer), 4);
        }
    };
    all(&router).await;
    let (address, handle) = servers.remove(0);
    handle.abort();
    handle.await.expect_err("aborted");
    all(&router).await;
    let again = serve(Arc::clone(&world.nodes[0]), &address.to_string()).await;
    // The node is found again: the other remote one may go now.
    let ready = router.ready();
    servers.remove(0).1.abort();
    let mut answers = 0;
    for _ in 0..200 {
        answers = ask(&router, "u1").await.map_or(0, |answer| answered(&answer));
        if answers == 4 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(answers, 4);
    assert!(*ready.borrow());
    again.1.abort();
}

#[tokio::test]
async fn messages_between_nodes_may_be_larger_than_those_of_callers() {
    let mut world = World::new(vec![films(1, 1, "i", 3_000, 5)], 1, 1);
    let (router, _servers) = over_sockets(&mut world, None).await;
    // 200 lists of 1,000: over 4 MiB from the shard, and so much too large for the caller.
    let requests = vec![user("u1", 1_000); 300];
    let request = Request::new(v1::BatchRecommendRequest { requests });
    let refused = router.service().batch_recommend(request).await.expect_err("too large");
    assert!(refused.message().contains("fewer users"), "{}", refused.message());
    let request = Request::new(v1::BatchRecommendRequest { requests: users(500) });
    let answers = router.service().batch_recommend(request).await.expect("an answer");
    assert!(answers.into_inner().responses.iter().all(|answer| answered(answer) == 1));
}

#[tokio::test]
async fn a_node_that_takes_calls_and_never_answers_is_done_without() {
    let mut world = World::new(vec![films(1, 4, "i", 150, 20)], 3, 2);
    let (router, _servers) = over_sockets(&mut world, None).await;
    world.nodes[1].feels(Mood::Hung);
    for n in 0..20 {
        let answer = ask(&router, &format!("u{n}")).await.expect("an answer");
        assert_eq!(answered(&answer), 4);
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_a_missing_node() {
    let mut world = World::new(vec![films(1, 4, "i", 150, 20)], 2, 2);
    let (_, _servers) = over_sockets(&mut world, None).await;
    world.change(|plan| plan.nodes.get_mut("n0").expect("there").address = "not an address".into());
    let router =
        Router::start(RouterConfig::default(), world.sender.subscribe(), None, Feedback::default());
    assert_eq!(answered(&ask(&router, "u1").await.expect("an answer")), 4);
}
