//! Many requests at once.

use crate::support::{FakeShard, World, films, user, users};
use marquee_core::ensemble::{EnsembleNode, Fusion, WeightedNode};
use marquee_core::id::ModelVersion;
use marquee_proto::v1;
use marquee_proto::v1::recommender_service_server::RecommenderService as _;
use std::sync::Arc;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_types::StatusExt as _;

#[tokio::test(start_paused = true)]
async fn a_batch_answers_what_its_requests_alone_would() {
    let mut world = World::new(vec![films(1, 5, "i", 200, 30), films(2, 3, "i", 220, 30)], 4, 2);
    world.serve(EnsembleNode::Parallel {
        members: [1, 2]
            .map(|v| WeightedNode {
                node: crate::support::leaf(v),
                weight: v as f64,
                timeout_ms: None,
            })
            .into(),
        fusion: Fusion::WeightedScore,
    });
    let requests: Vec<v1::RecommendRequest> = users(30)
        .into_iter()
        .enumerate()
        .map(|(n, request)| {
            let filter = v1::Filter { include_tags: vec!["drama".into()], ..Default::default() };
            let filter = (n % 3 == 0).then_some(filter);
            let recent_item_ids = vec![format!("i{n}")];
            v1::RecommendRequest { explain: n % 2 == 0, filter, recent_item_ids, ..request }
        })
        .collect();
    let answers = world.batch(requests.clone()).await.expect("an answer");
    assert_eq!(answers.len(), requests.len());
    for (request, mut answer) in requests.into_iter().zip(answers) {
        let mut alone = world.recommend(request).await.expect("an answer");
        assert_ne!(alone.recommendation_id, answer.recommendation_id);
        alone.recommendation_id.clear();
        answer.recommendation_id.clear();
        assert_eq!(answer, alone);
    }
}

#[tokio::test(start_paused = true)]
async fn a_streamed_batch_answers_what_the_batch_does_one_by_one_and_names_what_is_wrong() {
    let world = World::new(vec![films(1, 2, "i", 200, 100)], 2, 1);
    let requests: Vec<v1::RecommendRequest> = users(100)
        .into_iter()
        .map(|request| v1::RecommendRequest { recent_item_ids: vec!["i3".into()], ..request })
        .collect();
    let batch = world.batch(requests.clone()).await.expect("an answer");
    let streamed = async |requests: Vec<v1::RecommendRequest>| {
        let request = tonic::Request::new(v1::StreamBatchRecommendRequest { requests });
        let stream = world.service().stream_batch_recommend(request).await?.into_inner();
        Ok::<_, tonic::Status>(stream.collect::<Vec<_>>().await)
    };
    let answers = streamed(requests.clone()).await.expect("answered");
    assert_eq!(answers.len(), batch.len());
    for (place, (answer, mut expected)) in answers.into_iter().zip(batch).enumerate() {
        let answer = answer.expect("an answer");
        assert_eq!(answer.index as usize, place);
        let mut response = answer.response.expect("there");
        response.recommendation_id.clear();
        expected.recommendation_id.clear();
        assert_eq!(response, expected);
    }
    let mut nowhere = requests.clone();
    nowhere[70].surface = "nowhere".into();
    let error = streamed(nowhere).await.expect("begun").pop().expect("an end").expect_err("none");
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().starts_with("requests[70]"), "{error:?}");
    let mut invalid = requests;
    invalid[70].count = 5_000;
    let error = streamed(invalid).await.map(drop).expect_err("nothing of it is answered");
    assert!(error.message().starts_with("requests[70].count"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_two_calls_a_node_whatever_it_takes() {
    let mut world = World::new(vec![films(1, 4, "i", 200, 300), films(2, 4, "i", 200, 300)], 4, 1);
    // Probes are not counted. Both versions, known users and others, at once.
    let split = EnsembleNode::Split {
        salt: "half".into(),
        members: [1, 2]
            .map(|v| marquee_core::ensemble::SplitMember {
                node: crate::support::leaf(v),
                weight_basis_points: 5_000,
            })
            .into(),
    };
    world.serve(split);
    let answers = world.batch(users(300)).await.expect("an answer");
    let models: std::collections::BTreeSet<u64> = answers
        .iter()
        .flat_map(|answer| &answer.served_by.as_ref().expect("always there").models)
        .map(|model| model.version)
        .collect();
    assert_eq!(models.len(), 2, "both versions serve");
    for node in &world.nodes {
        assert_eq!(node.take_calls(), (1, 1), "{}", node.id);
    }

    // With replicas fewer nodes are asked, and none twice.
    let world = World::new(vec![films(1, 6, "i", 200, 300)], 4, 2);
    world.batch(users(300)).await.expect("an answer");
    let calls: Vec<(usize, usize)> = world.nodes.iter().map(|node| node.take_calls()).collect();
    assert!(calls.iter().all(|call| [(0, 0), (1, 1)].contains(call)), "{calls:?}");
    assert!(calls.iter().filter(|call| call.0 == 1).count() < 4, "{calls:?}");

    world.recommend(user("u1", 5)).await.expect("an answer");
    let calls: usize = world.nodes.iter().map(calls_of).sum();
    assert!(calls <= 4, "one lookup and at most three searches, not {calls} calls");
}

fn calls_of(node: &Arc<FakeShard>) -> usize {
    let (lookups, searches) = node.take_calls();
    lookups + searches
}

#[tokio::test(start_paused = true)]
async fn a_sequence_is_one_more_call_a_node_for_each_stage() {
    let mut world = World::new(vec![films(1, 4, "i", 200, 50), films(2, 4, "i", 200, 50)], 2, 1);
    let stages = [1, 2].map(|v| EnsembleNode::Model(ModelVersion::new("films", v)));
    world.serve(EnsembleNode::Sequence(stages.into()));
    // At first one lookup more, for the names of the items that the other version has seen.
    for lookups in [2, 1] {
        world.batch(users(50)).await.expect("an answer");
        for node in &world.nodes {
            assert_eq!(node.take_calls(), (lookups, 2), "{}", node.id);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_names_the_request() {
    let world = World::new(vec![films(1, 2, "i", 40, 5)], 2, 1);
    let bad = world.batch(vec![user("u1", 5), user("", 5)]).await.expect_err("must be refused");
    assert_eq!(bad.code(), Code::InvalidArgument);
    assert_eq!(bad.message(), "requests[1].user_id is empty: give 1 to 256 bytes");
    let nowhere = v1::RecommendRequest { surface: "nowhere".into(), ..user("u1", 5) };
    let bad = world.batch(vec![user("u1", 5), nowhere.clone()]).await.expect_err("no such surface");
    assert_eq!(bad.code(), Code::NotFound);
    assert!(bad.message().starts_with("requests[1]: surface \"nowhere\""), "{}", bad.message());
    let alone = world.batch(vec![nowhere]).await.expect_err("no such surface");
    assert!(alone.message().starts_with("requests[0]: "), "{}", alone.message());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_large_is_refused() {
    let world = World::new(vec![films(1, 2, "i", 1_000, 5)], 2, 1);
    let requests = vec![v1::RecommendRequest { explain: true, ..user("u1", 1_000) }; 100];
    let refused = world.batch(requests).await.expect_err("too large");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("fewer users"), "{}", refused.message());
    // What is certain to be too large is refused before any shard is asked.
    let calls = || {
        let holders = [0, 1].map(|shard| world.holders(shard).remove(0));
        holders.map(|id| world.node(&id).take_calls())
    };
    calls();
    let requests = vec![user("u1", 1_000); 1_000];
    let refused = world.batch(requests).await.expect_err("too large");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("1000000 items"), "{}", refused.message());
    assert_eq!(calls(), [(0, 0); 2], "nothing was looked up or searched");
    let details = refused.get_error_details();
    let violations = &details.bad_request().expect("a bad request").field_violations;
    assert_eq!(violations[0].field, "requests");
    world.batch(vec![user("u1", 10); 1_000]).await.expect("the largest batch fits");
}
