//! Rows that a router remembers, so as not to ask shards for them again.

use crate::ids;
use crate::support::{Mood, TRIAL, World, films, leaf, roll_out, user};
use marquee_core::ensemble::{EnsembleNode, Fusion, ProductForm, WeightedNode};
use marquee_core::id::ModelVersion;
use marquee_core::model::recipe::{NeighbourSearch, Recipe};
use marquee_core::plan::{DEFAULT_SURFACE, Surface};
use marquee_core::ranking::diversify::Diversity;
use marquee_proto::v1::{self, FallbackReason};
use marquee_router::{DEFAULT_ROW_CACHE_BYTES, RouterConfig, RowCounts};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// A cluster whose router remembers so many bytes.
fn remembering(bytes: u64, shards: u32, users: u32) -> World {
    let config = RouterConfig { row_cache_bytes: bytes, ..RouterConfig::default() };
    World::with_config(vec![films(1, shards, "i", 120, users)], 3, 2, config)
}

fn counts(world: &World) -> RowCounts {
    world.service().row_counts()
}

/// How many lookups nodes had since this was last asked.
fn lookups(world: &World) -> usize {
    world.nodes.iter().map(|node| node.take_calls().0).sum()
}

/// How many keys nodes were asked for, and how many lookups of nothing they had.
fn keys_and_probes(world: &World) -> (usize, usize) {
    let all = world.nodes.iter().map(|node| node.take_keys_and_probes());
    all.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1))
}

/// What of an answer is not another one each time.
fn content(mut answer: v1::RecommendResponse) -> v1::RecommendResponse {
    answer.recommendation_id.clear();
    answer
}

/// Requests that want different things of a user's rows, one after the other.
fn requests(id: &str) -> [v1::RecommendRequest; 4] {
    let unfiltered = v1::Filter { include_seen: true, ..v1::Filter::default() };
    [
        v1::RecommendRequest { filter: Some(unfiltered), ..user(id, 30) },
        user(id, 30),
        v1::RecommendRequest { explain: true, ..user(id, 7) },
        v1::RecommendRequest { recent_item_ids: vec!["i3".into(), "new".into()], ..user(id, 7) },
    ]
}

#[tokio::test(start_paused = true)]
async fn answers_are_the_same_whether_rows_are_remembered_or_not() {
    for shards in [1, 2, 5] {
        let whole = films(1, 1, "i", 120, 1_000);
        let with = remembering(DEFAULT_ROW_CACHE_BYTES, shards, 1_000);
        let without = remembering(0, shards, 1_000);
        for round in 0..2 {
            for name in (0..1_000).map(|n| format!("u{n}")).chain(["x".into(), "empty".into()]) {
                for (n, request) in requests(&name).into_iter().enumerate() {
                    let one = with.recommend(request.clone()).await.expect("an answer");
                    let other = without.recommend(request).await.expect("an answer");
                    if n == 1 {
                        assert_eq!(ids(&one.items), whole.expected(&name, 30), "{name}");
                    }
                    assert_eq!(content(one), content(other), "{name}, {shards} shards, {round}");
                }
            }
        }
        let RowCounts { hits, misses, evictions, bytes } = counts(&with);
        // Known users: two kinds of rows, each missed once. "x" is missed with each of its requests.
        assert_eq!((hits, misses), (1_001 * (8 - 2), 1_001 * 2 + 8), "{shards} shards");
        assert!(evictions == 0 && bytes > 1_001 * 16, "{evictions} {bytes}");
        assert_eq!(counts(&without), RowCounts::default());
    }
}

#[tokio::test(start_paused = true)]
async fn remembered_users_are_not_looked_up_again() {
    let world = remembering(DEFAULT_ROW_CACHE_BYTES, 3, 40);
    let names: Vec<String> = (0..40).map(|n| format!("u{n}")).chain(["empty".into()]).collect();
    let batch = || names.iter().map(|name| user(name, 5)).collect();
    let first = world.batch(batch()).await.expect("an answer");
    assert!(lookups(&world) >= 1);
    assert_eq!(keys_and_probes(&world).0, 41);
    for _ in 0..3 {
        let again = world.batch(batch()).await.expect("an answer");
        let both = || first.iter().cloned().zip(again.iter().cloned());
        assert!(both().all(|(one, other)| content(one) == content(other)));
        for name in &names {
            world.recommend(user(name, 5)).await.expect("an answer");
            world.rank(name, &["i1", "i2"]).await.expect("an answer");
        }
    }
    // To rank items no history is wanted, which is another row.
    assert_eq!(lookups(&world), 41);
    assert_eq!(counts(&world).misses, 2 * 41);
    assert_eq!(keys_and_probes(&world), (41, 0), "nor is nothing asked of a node");

    // One of a batch who is not known is asked for alone, and is not remembered.
    for _ in 0..3 {
        let requests = batch_with_unknown(&names);
        let answers = world.batch(requests).await.expect("an answer");
        assert_eq!(answers[0].fallback_reason(), FallbackReason::UnknownUser);
        assert_eq!(answers[1].items, first[0].items);
        assert_eq!((lookups(&world), keys_and_probes(&world)), (1, (1, 0)));
    }
    assert_eq!(counts(&world).misses, 2 * 41 + 3);

    world.similar("i7").await.expect("an answer");
    assert_eq!(lookups(&world), 1);
    world.similar("i7").await.expect("an answer");
    assert_eq!(lookups(&world), 0, "items are remembered as users are");

    let without = remembering(0, 3, 40);
    for _ in 0..3 {
        without.recommend(user("u1", 5)).await.expect("an answer");
    }
    assert_eq!(lookups(&without), 3);
}

fn batch_with_unknown(names: &[String]) -> Vec<v1::RecommendRequest> {
    ["unknown"].into_iter().chain(names.iter().map(String::as_str)).map(|id| user(id, 5)).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_a_shard_that_did_not_answer() {
    for mood in [Mood::Dead, Mood::Hung, Mood::Busy] {
        let world = remembering(DEFAULT_ROW_CACHE_BYTES, 3, 20);
        world.all_feel(mood);
        for n in 0..20 {
            world.recommend(user(&format!("u{n}"), 5)).await.expect_err("no node answers");
        }
        assert_eq!(counts(&world).bytes, 0, "{mood:?}");
        world.all_feel(Mood::Well);
        sleep(Duration::from_secs(2)).await;
        for _ in 0..2 {
            let answer = world.recommend(user("u1", 5)).await.expect("an answer");
            assert_eq!(answer.fallback_reason(), FallbackReason::Unspecified, "{mood:?}");
        }
        // Remembered users are known though no node that holds their rows answers, and the answer says what is missing.
        let alone = films(1, 3, "i", 120, 20);
        let shard = marquee_core::hash::shard_of("u1", alone.shards);
        for holder in world.holders(shard) {
            world.node(&holder).feels(Mood::Dead);
        }
        let answer = world.recommend(user("u1", 5)).await.expect("an answer");
        assert_eq!(answer.fallback_reason(), FallbackReason::Unspecified);
        let missing = answer.coverage.expect("always there").shards_missing;
        assert!(missing.contains(&format!("films@1/{shard}")), "{missing:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_memory_holds_its_bound_and_answers_all_the_same() {
    const BOUND: u64 = 64 << 10;
    let world = remembering(BOUND, 2, 1_000);
    let whole = films(1, 1, "i", 120, 1_000);
    for _ in 0..2 {
        for n in 0..1_000 {
            let name = format!("u{n}");
            let answer = world.recommend(user(&name, 5)).await.expect("an answer");
            assert_eq!(ids(&answer.items), whole.expected(&name, 5));
            assert!(counts(&world).bytes <= BOUND, "{:?}", counts(&world));
        }
    }
    let RowCounts { evictions, bytes, misses, .. } = counts(&world);
    assert!(evictions > 500 && bytes > BOUND / 2 && misses > 1_500, "{:?}", counts(&world));
}

#[tokio::test(start_paused = true)]
async fn a_version_is_answered_by_its_own_bundle_and_forgotten_when_it_leaves() {
    let bundles = vec![films(1, 3, "i", 120, 40), films(2, 2, "i", 120, 40)];
    let mut world = World::new(bundles, 3, 2);
    let ask_all = async |world: &World, bundle: u64| {
        let whole = films(bundle, 1, "i", 120, 40);
        for name in (0..40).map(|n| format!("u{n}")) {
            let answer = world.recommend(user(&name, 10)).await.expect("an answer");
            assert_eq!(ids(&answer.items), whole.expected(&name, 10), "{name} of {bundle}");
        }
    };
    for version in [1, 2, 1, 2] {
        world.serve(leaf(version));
        ask_all(&world, version).await;
        ask_all(&world, version).await;
    }
    // A number that is given to another bundle, as no plan ever does.
    let mut other = films(3, 2, "i", 120, 40);
    other.version = ModelVersion::new("films", 2);
    let other = Arc::new(other);
    world.nodes.iter().for_each(|node| node.holds(Arc::clone(&other)));
    world.change(|plan| {
        let published = plan.versions.get_mut(&other.version).expect("it is there");
        published.manifest_digest = "another".into();
    });
    ask_all(&world, 3).await;

    assert!(counts(&world).bytes > 0);
    world.change(|plan| {
        plan.surfaces.insert(DEFAULT_SURFACE.into(), Surface::default());
    });
    for _ in 0..1_000 {
        if counts(&world).bytes == 0 {
            break;
        }
        // Real time: what forgets is a thread of its own.
        std::thread::sleep(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
    assert_eq!(counts(&world).bytes, 0);
    assert_eq!(counts(&world).evictions, 0, "rows of bundles that leave are no evictions");
}

#[tokio::test(start_paused = true)]
async fn what_takes_several_rounds_looks_up_first_so_as_to_find_nodes_that_hang() {
    let bundles = vec![films(1, 2, "i", 120, 40), films(2, 2, "i", 120, 40)];
    let mut world = World::new(bundles, 1, 1);
    let member = |version| WeightedNode { node: leaf(version), weight: 1.0, timeout_ms: None };
    let parallel = EnsembleNode::Parallel {
        members: vec![member(1), member(2)],
        fusion: Fusion::ReciprocalRank,
    };
    let how = Diversity { max_per_tag: Some(3), ..Diversity::default() };
    let sequence = EnsembleNode::Sequence(vec![leaf(2), leaf(1)]);
    let within = EnsembleNode::Parallel {
        members: vec![
            member(1),
            WeightedNode { node: sequence.clone(), weight: 1.0, timeout_ms: None },
        ],
        fusion: Fusion::ReciprocalRank,
    };
    let product = EnsembleNode::Product {
        members: vec![leaf(1), sequence.clone()],
        form: ProductForm::Elementwise,
    };
    for (root, again) in [
        (leaf(1), 0),
        (parallel.clone(), 0),
        (sequence, 1),
        (within, 1),
        (product, 1),
        // One for the user, and one for the items that are compared.
        (EnsembleNode::Diversify { node: Box::new(leaf(1)), how }, 2),
    ] {
        world.serve(root.clone());
        world.recommend(user("u1", 10)).await.expect("an answer");
        lookups(&world);
        world.recommend(user("u1", 10)).await.expect("an answer");
        assert_eq!(lookups(&world), again, "{root:?}");
    }
    // Similar users are found before the items that they like.
    world.serve(leaf(1));
    world.change(|plan| {
        let published = plan.versions.get_mut(&ModelVersion::new("films", 1)).expect("there");
        published.recipe = Recipe::UserNeighbours {
            by: NeighbourSearch::Vectors { user_factors: "users".into() },
            histories: "histories".into(),
            neighbours: 5,
        };
    });
    for _ in 0..2 {
        // A user without a direction gets popular items, which fakes can search for.
        world.recommend(user("empty", 10)).await.expect("an answer");
        assert_eq!(lookups(&world), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn no_arm_of_a_trial_is_quicker_for_what_is_remembered_and_mirrors_take_nothing() {
    let bundles = vec![films(1, 1, "i", 120, 40), films(2, 1, "i", 120, 40)];
    let mut world = World::new(bundles, 2, 2);
    let ask_all = async |world: &World| {
        for n in 0..40 {
            world.recommend(user(&format!("u{n}"), 10)).await.expect("an answer");
            // What is mirrored is answered meanwhile.
            sleep(Duration::from_millis(1)).await;
        }
        lookups(world)
    };
    assert_eq!((ask_all(&world).await, ask_all(&world).await), (40, 0));
    let before = counts(&world);

    world.change(|plan| roll_out(plan, "films@2", 5_000, 0));
    for _ in 0..2 {
        assert_eq!(ask_all(&world).await, 40, "each is asked for, on either arm");
    }
    let during = counts(&world);
    assert_eq!((during.hits, during.misses), (before.hits, before.misses));

    world.change(|plan| roll_out(plan, "films@2", 5_000, 10_000));
    let _reports = world.router.reports();
    assert_eq!(ask_all(&world).await, 3 * 40, "and by both sides of what is mirrored");

    // What was found meanwhile is there when the candidate has won.
    world.change(|plan| plan.rollouts.clear());
    world.serve(leaf(2));
    let on_candidate =
        (0..40).filter(|n| marquee_core::plan::assignment::bucket(TRIAL, &format!("u{n}")) < 5_000);
    assert_eq!(ask_all(&world).await, 40 - on_candidate.count());
    assert_eq!(ask_all(&world).await, 0);
}
