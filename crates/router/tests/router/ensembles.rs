//! Ensembles, as they are executed.

use crate::ids;
use crate::support::{Bundle, Mood, World, films, leaf, user};
use marquee_core::ensemble::{EnsembleNode, Fusion, WeightedNode};
use marquee_core::id::ModelVersion;
use marquee_core::plan::Surface;
use marquee_proto::v1::{self, FallbackReason};
use std::collections::BTreeMap;
use tonic::Code;

fn two() -> Vec<Bundle> {
    // The second knows more items and fewer users.
    vec![films(1, 3, "i", 150, 20), films(2, 2, "i", 180, 10)]
}

fn parallel(fusion: Fusion) -> EnsembleNode {
    EnsembleNode::Parallel {
        members: vec![
            WeightedNode { node: leaf(1), weight: 1.0 },
            WeightedNode { node: leaf(2), weight: 2.0 },
        ],
        fusion,
    }
}

fn explained(name: &str, count: u32) -> v1::RecommendRequest {
    v1::RecommendRequest { explain: true, ..user(name, count) }
}

/// For each item what each version said of it.
fn said(items: &[v1::RecommendedItem]) -> BTreeMap<&str, BTreeMap<u64, (f64, u32)>> {
    let of = |item: &v1::RecommendedItem| {
        let said = item
            .explanations
            .iter()
            .map(|e| (e.model.as_ref().expect("always there").version, (e.score, e.rank)));
        said.collect()
    };
    items.iter().map(|item| (item.item_id.as_str(), of(item))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_parallel_fuses_what_its_members_say() {
    let bundles = two();
    let lists: Vec<Vec<String>> = bundles.iter().map(|b| b.expected("u3", 100)).collect();
    let mut world = World::new(bundles, 3, 1);
    world.serve(parallel(Fusion::ReciprocalRank));
    let answer = world.recommend(explained("u3", 20)).await.expect("an answer");
    let rank = |list: usize, id: &str| lists[list].iter().position(|other| other == id);
    for item in &answer.items {
        let points = |list: usize| {
            let weight = [1.0, 2.0][list];
            rank(list, &item.item_id).map_or(0.0, |rank| weight / (61.0 + rank as f64))
        };
        assert!((item.score - points(0) - points(1)).abs() < 1e-12, "{item:?}");
        for (version, (_, shown)) in &said(&answer.items)[item.item_id.as_str()] {
            assert_eq!(rank(*version as usize - 1, &item.item_id), Some(*shown as usize - 1));
        }
    }
    let served = answer.served_by.expect("always there");
    assert_eq!(served.models.len(), 2);
    assert_eq!(answer.coverage.expect("always there").shards_total, 5);

    world.serve(parallel(Fusion::WeightedScore));
    let weighted = world.recommend(explained("u3", 20)).await.expect("an answer");
    assert!(weighted.items[0].score <= 3.0 && weighted.items[0].score > 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_know_the_user_is_silent() {
    let bundles = two();
    let expected = bundles[0].expected("u15", 10);
    let mut world = World::new(bundles, 3, 1);
    world.serve(parallel(Fusion::ReciprocalRank));
    let answer = world.recommend(user("u15", 10)).await.expect("an answer");
    assert_eq!(ids(&answer.items), expected);
    assert_eq!(answer.fallback_reason(), FallbackReason::Unspecified);
    let nobody = world.recommend(user("stranger", 10)).await.expect("an answer");
    assert_eq!(nobody.fallback_reason(), FallbackReason::UnknownUser);
    assert_eq!(nobody.items.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_product_multiplies_and_a_sequence_reranks() {
    let bundles = two();
    let first = bundles[0].expected("u3", 100);
    let second = bundles[1].expected("u3", 180);
    let mut world = World::new(bundles, 3, 1);
    world.serve(EnsembleNode::Product(vec![leaf(1), leaf(2)]));
    let product = world.recommend(explained("u3", 10)).await.expect("an answer");
    assert!(product.items.iter().all(|item| (0.0..=1.0).contains(&item.score)));
    assert_eq!(product.items[0].explanations.len(), 2, "both agree on the best");

    world.serve(EnsembleNode::Sequence(vec![leaf(1), leaf(2)]));
    let sequence = world.recommend(explained("u3", 10)).await.expect("an answer");
    let mut expected = first;
    let rank = |id: &String| second.iter().position(|other| other == id).unwrap_or(usize::MAX);
    // What the user saw by the second's history is still ranked: the first proposed it.
    expected.retain(|id| rank(id) != usize::MAX);
    expected.sort_by_key(rank);
    let known: Vec<&str> =
        ids(&sequence.items).into_iter().filter(|id| second.iter().any(|s| s == id)).collect();
    assert_eq!(known, expected[..known.len()]);
    assert!(known.len() >= 5);
    assert!(sequence.items.iter().all(|item| item.explanations.len() == 2));
}

#[tokio::test(start_paused = true)]
async fn a_failing_member_costs_quality_and_not_the_answer() {
    // Each version on a node of its own.
    let mut world = World::new(two(), 2, 1);
    world.change(|plan| {
        for (n, published) in plan.versions.values_mut().enumerate() {
            for placement in &mut published.placements {
                let replica = placement.replicas.values().next().expect("placed").clone();
                placement.node_ids = vec![format!("n{n}")];
                placement.replicas = BTreeMap::from([(format!("n{n}"), replica)]);
            }
        }
    });
    let expected = films(1, 1, "i", 150, 20).expected("u3", 10);
    for root in [
        parallel(Fusion::WeightedScore),
        EnsembleNode::Product(vec![leaf(1), leaf(2)]),
        EnsembleNode::Sequence(vec![leaf(1), leaf(2)]),
        EnsembleNode::Sequence(vec![leaf(2), leaf(1)]),
    ] {
        world.serve(root.clone());
        for mood in [Mood::Dead, Mood::Hung, Mood::Busy, Mood::Mad] {
            world.node("n1").feels(mood);
            let answer = world.recommend(user("u3", 10)).await.expect("an answer");
            assert_eq!(ids(&answer.items), expected, "{root:?} with a node that is {mood:?}");
            assert_eq!(answer.fallback_reason(), FallbackReason::Unspecified);
            let coverage = answer.coverage.expect("always there");
            assert_eq!(coverage.shards_total, 5);
            assert!(coverage.shards_answered < 5, "{root:?} {mood:?}");
            assert!(coverage.shards_missing.iter().all(|shard| shard.starts_with("films@2/")));
        }
        world.node("n1").feels(Mood::Well);
        world.recommend(user("u3", 10)).await.expect("an answer");
    }
}

#[tokio::test(start_paused = true)]
async fn similar_items_of_an_ensemble_and_of_none() {
    let mut popular = films(1, 2, "i", 50, 5);
    popular.version = ModelVersion::new("popular", 1);
    let bundles = vec![films(1, 3, "i", 150, 20), films(2, 2, "i", 180, 10), popular];
    let mut world = World::new(bundles, 3, 1);
    world.serve(parallel(Fusion::ReciprocalRank));
    let both = world.similar("i3").await.expect("an answer");
    assert_eq!(both.items.len(), 10);
    assert!(!ids(&both.items).contains(&"i3"));
    world.similar("i170").await.expect("the second knows it");
    assert_eq!(world.similar("i500").await.expect_err("nobody does").code(), Code::NotFound);

    world.change(|plan| {
        let surface = Surface { ensemble: Some("popular@1".into()), ..Surface::default() };
        plan.surfaces.insert("top".into(), surface);
    });
    let request = v1::RecommendRequest { surface: "top".into(), ..user("u1", 5) };
    let top = world.recommend(request).await.expect("an answer");
    assert_eq!(top.fallback_reason(), FallbackReason::Unspecified);
    use marquee_proto::v1::recommender_service_server::RecommenderService as _;
    let request = v1::SimilarItemsRequest {
        item_id: "i3".into(),
        surface: "top".into(),
        ..Default::default()
    };
    let none = world.service().similar_items(tonic::Request::new(request)).await;
    assert_eq!(none.expect_err("nothing compares items").code(), Code::FailedPrecondition);
}
