//! Ensembles, as they are executed.

use crate::ids;
use crate::support::{Bundle, Mood, World, films, leaf, user};
use marquee_core::ensemble::{EnsembleNode, Fusion, ProductForm, WeightedNode};
use marquee_core::id::ModelVersion;
use marquee_core::plan::Surface;
use marquee_proto::v1::{self, FallbackReason};
use marquee_router::RouterConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;

fn two() -> Vec<Bundle> {
    // The second knows more items and fewer users.
    vec![films(1, 3, "i", 150, 20), films(2, 2, "i", 180, 10)]
}

fn parallel(fusion: Fusion) -> EnsembleNode {
    EnsembleNode::Parallel {
        members: vec![
            WeightedNode { node: leaf(1), weight: 1.0, timeout_ms: None },
            WeightedNode { node: leaf(2), weight: 2.0, timeout_ms: None },
        ],
        fusion,
    }
}

fn product(members: Vec<EnsembleNode>) -> EnsembleNode {
    EnsembleNode::Product { members, form: ProductForm::Elementwise }
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
    let seen: BTreeSet<String> = bundles.iter().flat_map(|bundle| bundle.seen("u3")).collect();
    let list = |bundle: &Bundle| -> Vec<String> {
        let all = bundle.expected("u3", bundle.items.len()).into_iter();
        all.filter(|id| !seen.contains(id)).take(100).collect()
    };
    let lists: Vec<Vec<String>> = bundles.iter().map(list).collect();
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
async fn a_member_that_does_not_know_the_user_is_absent() {
    let bundles = two();
    let expected = bundles[0].expected("u15", 10);
    let mut world = World::new(bundles, 3, 1);
    world.serve(parallel(Fusion::ReciprocalRank));
    let answer = world.recommend(user("u15", 10)).await.expect("an answer");
    assert_eq!(ids(&answer.items), expected);
    assert_eq!(answer.fallback_reason(), FallbackReason::Unspecified);
    let unknown_user = world.recommend(user("unknown", 10)).await.expect("an answer");
    assert_eq!(unknown_user.fallback_reason(), FallbackReason::UnknownUser);
    assert_eq!(unknown_user.items.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_product_multiplies_and_a_sequence_reranks() {
    let bundles = two();
    let first = bundles[0].expected("u3", 100);
    let second = bundles[1].expected("u3", 180);
    let mut world = World::new(bundles, 3, 1);
    world.serve(product(vec![leaf(1), leaf(2)]));
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

/// A world in which each version is on a node of its own.
fn apart() -> World {
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
    world
}

#[tokio::test(start_paused = true)]
async fn a_failing_member_costs_quality_and_not_the_answer() {
    let mut world = apart();
    let expected = films(1, 1, "i", 150, 20).expected("u3", 10);
    for root in [
        parallel(Fusion::WeightedScore),
        product(vec![leaf(1), leaf(2)]),
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
    assert_eq!(world.similar("i500").await.expect_err("no model has it").code(), Code::NotFound);

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

#[tokio::test(start_paused = true)]
async fn what_a_surface_denies_is_in_none_of_its_answers() {
    let denied = |world: &World, count| -> Vec<String> {
        let mut ids = world.plan.surfaces["default"].denied.to_vec();
        ids.truncate(count);
        ids
    };
    let bundles = two();
    let expected = bundles[0].expected("u3", 40);
    let popular = bundles[0].expected("unknown", 40);
    let mut world = World::new(bundles, 3, 1);
    let deny = |world: &mut World, surface: &str, ids: &[&String]| {
        let ids: BTreeSet<String> = ids.iter().map(|id| (*id).clone()).collect();
        world.change(|plan| {
            let live = plan.surfaces["default"].clone();
            let denied = ids.into_iter().collect();
            plan.surfaces.insert(surface.into(), Surface { denied, ..live });
        });
    };
    // The best, another one, a popular one, and one that no model knows.
    let no_item = "no item".to_owned();
    deny(&mut world, "default", &[&expected[0], &expected[3], &popular[1], &no_item]);
    deny(&mut world, "other", &[&expected[1]]);
    let rest = |list: &[String], denied: &[String]| -> Vec<String> {
        list.iter().filter(|id| !denied.contains(id)).take(10).cloned().collect()
    };
    let here = denied(&world, 4);
    assert_eq!(here.len(), 4);
    let known = world.recommend(user("u3", 10)).await.expect("an answer");
    assert_eq!(ids(&known.items), rest(&expected, &here));
    let unknown = world.recommend(user("unknown", 10)).await.expect("an answer");
    assert_eq!(ids(&unknown.items), rest(&popular, &here));
    // Each request of a batch has its own surface's.
    let there = v1::RecommendRequest { surface: "other".into(), ..user("u3", 10) };
    let answers = world.batch(vec![user("u3", 10), there, user("u3", 10)]).await.expect("answers");
    let lists: Vec<Vec<&str>> = answers.iter().map(|answer| ids(&answer.items)).collect();
    assert_eq!(lists[0], rest(&expected, &here));
    assert_eq!(lists[1], rest(&expected, &[expected[1].clone()]));
    assert_eq!(lists[0], lists[2]);
    // A caller cannot ask for it either, and it is not called unknown.
    let ranked =
        world.rank("u3", &[&expected[5], &expected[0], &no_item]).await.expect("an answer");
    assert_eq!(ids(&ranked.items), [&expected[5]]);
    assert!(ranked.unknown_item_ids.is_empty(), "{:?}", ranked.unknown_item_ids);
    let filter = v1::Filter { include_item_ids: expected[..3].into(), ..Default::default() };
    let filtered = v1::RecommendRequest { filter: Some(filter), ..user("u3", 10) };
    let filtered = world.recommend(filtered).await.expect("an answer");
    assert_eq!(ids(&filtered.items), expected[1..3]);
    let similar = world.similar(&expected[7]).await.expect("an answer");
    assert!(ids(&similar.items).iter().all(|id| here.iter().all(|other| other != id)));
}

/// A parallel whose members have these timeouts.
fn timed(timeouts: [Option<u32>; 2]) -> EnsembleNode {
    let member = |version: u64| WeightedNode {
        node: leaf(version),
        weight: 1.0,
        timeout_ms: timeouts[version as usize - 1],
    };
    EnsembleNode::Parallel { members: vec![member(1), member(2)], fusion: Fusion::ReciprocalRank }
}

/// The ids of an answer, the names of the shards that are missing, and how long it took by a clock that
/// stands still while a task runs.
async fn timed_answer(world: &World) -> (Vec<String>, Vec<String>, Duration) {
    let began = Instant::now();
    let answer = world.recommend_within(user("u3", 10), Duration::from_secs(5)).await;
    let answer = answer.expect("an answer");
    let missing = answer.coverage.expect("always there").shards_missing;
    let ids = answer.items.into_iter().map(|item| item.item_id).collect();
    (ids, missing, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_late_is_left_out_and_not_waited_for() {
    let mut world = apart();
    world.serve(timed([None, Some(40)]));
    let (both, missing, _) = timed_answer(&world).await;
    assert!(missing.is_empty());
    let alone = films(1, 1, "i", 150, 20).expected("u3", 10);
    assert_ne!(both, alone);
    for late in [Mood::Hung, Mood::Slow(41)] {
        world.serve(timed([None, Some(40)]));
        world.node("n1").feels(late);
        // What is looked up is looked up for all members: it is not part of the timeout.
        world.node("n1").looks_up_well();
        let (ids, missing, took) = timed_answer(&world).await;
        assert_eq!(ids, alone, "{late:?}");
        assert_eq!(missing, ["films@2/0", "films@2/1"]);
        assert!((40..45).contains(&took.as_millis()), "{took:?}");
        // One that is in time counts.
        world.serve(timed([None, Some(60)]));
        world.node("n1").feels(Mood::Slow(41));
        let (ids, missing, took) = timed_answer(&world).await;
        assert_eq!((ids, missing.len()), (both.clone(), 0));
        assert!((41..50).contains(&took.as_millis()), "{took:?}");
        world.node("n1").feels(Mood::Well);
    }
}

#[tokio::test(start_paused = true)]
async fn members_share_a_call_unless_their_timeouts_differ() {
    // So that each request has its lookup.
    let config = RouterConfig { row_cache_bytes: 0, ..RouterConfig::default() };
    let mut world = World::with_config(two(), 1, 1, config);
    for (timeouts, searches) in [
        ([None, None], 1),
        ([Some(40), Some(40)], 1),
        ([None, Some(40)], 2),
        ([Some(30), Some(40)], 2),
        // Longer than the request has.
        ([None, Some(29_000)], 1),
    ] {
        world.serve(timed(timeouts));
        world.node("n0").take_calls();
        timed_answer(&world).await;
        // One lookup is for the names of the items that the other version has seen.
        assert_eq!(world.node("n0").take_calls(), (2, searches), "{timeouts:?}");
    }
    // On one node, and only one of the versions hangs.
    world.serve(timed([None, Some(40)]));
    world.node("n0").searches_hang_on(&ModelVersion::new("films", 2));
    let (ids, missing, _) = timed_answer(&world).await;
    assert_eq!(ids, films(1, 1, "i", 150, 20).expected("u3", 10));
    assert_eq!(missing, ["films@2/0", "films@2/1"]);
}

/// All of a member whose searches are late by its timeout, and then of a patient one.
const LATE: [Mood; 3] = [Mood::Hung, Mood::Slow(210), Mood::GivesUp];

#[tokio::test(start_paused = true)]
async fn a_node_that_is_late_by_a_members_timeout_is_called_again_in_the_same_request() {
    let mut world = apart();
    world.serve(EnsembleNode::Sequence(vec![leaf(1), leaf(2)]));
    let (reranked, _, _) = timed_answer(&world).await;
    assert_ne!(reranked, films(1, 1, "i", 150, 20).expected("u3", 10));
    world.serve(EnsembleNode::Sequence(vec![timed([None, Some(200)]), leaf(2)]));
    for late in LATE {
        let node = world.node("n1");
        node.looks_up_well();
        // Longer than a node is waited for that is doubted.
        node.feels(Mood::Slow(150));
        node.next_search_finds(late);
        node.take_calls();
        let (ids, missing, _) = timed_answer(&world).await;
        assert_eq!(ids, reranked, "{late:?}");
        // It was late once, and that is said.
        assert_eq!(missing, ["films@2/0", "films@2/1"], "{late:?}");
        assert_eq!(node.take_calls().1, 2, "{late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_members_timeout_opens_no_breaker() {
    for late in LATE {
        let mut world = apart();
        world.serve(timed([None, Some(200)]));
        let (both, _, _) = timed_answer(&world).await;
        let node = world.node("n1");
        node.looks_up_well();
        node.feels(late);
        // At once, so that no lookup that is answered comes between: more than open a breaker.
        let answers = futures::future::join_all((0..5).map(|_| timed_answer(&world))).await;
        for (_, missing, _) in answers {
            assert_eq!(missing, ["films@2/0", "films@2/1"], "{late:?}");
        }
        // A node that is avoided is not waited for as long as this.
        node.feels(Mood::Slow(150));
        let (ids, missing, _) = timed_answer(&world).await;
        assert_eq!((ids, missing), (both, vec![]), "{late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn given_items_of_a_sequence_are_unknown_only_if_no_member_knows_them() {
    // The first knows i0 to i149, the second 30 more.
    let mut world = World::new(two(), 3, 1);
    world.serve(EnsembleNode::Sequence(vec![leaf(1), leaf(2)]));
    let ranked = world.rank("u3", &["i170", "i5", "nowhere", "i20"]).await.expect("an answer");
    let mut found = ids(&ranked.items);
    found.sort_unstable();
    assert_eq!(found, ["i170", "i20", "i5"]);
    assert_eq!(ranked.unknown_item_ids, ["nowhere"]);
}
