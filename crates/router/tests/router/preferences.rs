//! What is known of what a user likes, and what answers where nothing is: the interpreter's decisions, over gRPC types.

use crate::ids;
use crate::support::{Bundle, User, World, films, leaf, user};
use marquee_core::ensemble::{EnsembleNode, Fusion, WeightedNode};
use marquee_core::model::recipe::{FoldIn, HistoryWeights, Profile, Recipe};
use marquee_proto::v1::{self, FallbackReason};

/// Each item is followed by the three after it.
fn next(history: HistoryWeights) -> Recipe {
    Recipe::ItemRows { matrix: "next".into(), history }
}

fn item_ids(bundle: &Bundle, ordinals: &[u32]) -> Vec<String> {
    ordinals.iter().map(|&ordinal| bundle.items[ordinal as usize].id.clone()).collect()
}

/// A model with one user more, `ann`.
fn with_ann(ann: User) -> Bundle {
    let mut bundle = films(1, 3, "i", 60, 5);
    bundle.users.insert("ann".into(), ann);
    bundle
}

async fn list(world: &World, name: &str, recent: &[String]) -> v1::RecommendResponse {
    let request = v1::RecommendRequest { recent_item_ids: recent.to_vec(), ..user(name, 60) };
    world.recommend(request).await.expect("an answer")
}

fn scores(answer: &v1::RecommendResponse) -> Vec<(&str, f64)> {
    answer.items.iter().map(|item| (item.item_id.as_str(), item.score)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_user_who_liked_none_of_the_newest_items_gets_popular_ones_and_the_reason() {
    let ann = User {
        history: vec![10, 20, 30, 40],
        disliked: vec![30, 40],
        ages: vec![3.0, 2.0, 1.0, 0.0],
        ..User::default()
    };
    let bundle = with_ann(ann);
    let (seen, popular) = (item_ids(&bundle, &[10, 20, 30, 40]), bundle.expected("unknown", 60));
    let mut world = World::new(vec![bundle], 3, 1);
    world.answer_by(1, next(HistoryWeights { newest: Some(2), ..HistoryWeights::default() }));
    let answer = list(&world, "ann", &[]).await;
    assert_eq!(answer.fallback_reason(), FallbackReason::NoHistory);
    let expected: Vec<&str> =
        popular.iter().map(String::as_str).filter(|id| !seen.iter().any(|it| it == id)).collect();
    assert_eq!(ids(&answer.items), expected);

    let ranked = world.rank("ann", &["i1", "i2", "i3", "nowhere"]).await.expect("an answer");
    assert_eq!(ranked.unknown_item_ids, ["nowhere"]);
    assert_eq!((ranked.items.len(), ranked.fallback_reason()), (3, FallbackReason::NoHistory));

    // With one more of the newest there is something to answer by.
    world.answer_by(1, next(HistoryWeights { newest: Some(3), ..HistoryWeights::default() }));
    let answer = list(&world, "ann", &[]).await;
    assert_eq!(answer.fallback_reason(), FallbackReason::Unspecified);
    let bundle = films(1, 3, "i", 60, 5);
    assert_eq!(ids(&answer.items)[..3], item_ids(&bundle, &[21, 22, 23]));
}

#[tokio::test(start_paused = true)]
async fn a_recent_item_that_was_seen_before_leaves_no_gap_in_the_ages() {
    let history = vec![10, 20, 30];
    let before = User { history: history.clone(), ages: vec![1.0, 2.0, 0.0], ..User::default() };
    let after = User { history, ages: vec![2.0, 0.0, 1.0], ..User::default() };
    let mut bundle = with_ann(before);
    bundle.users.insert("bob".into(), after);
    let again = item_ids(&bundle, &[20]);
    let mut world = World::new(vec![bundle], 3, 1);
    world.answer_by(1, next(HistoryWeights { decay: 0.5, ..HistoryWeights::default() }));
    let recent = list(&world, "ann", &again).await;
    let trained = list(&world, "bob", &[]).await;
    assert_eq!(scores(&recent), scores(&trained));
    let before = list(&world, "ann", &[]).await;
    assert_ne!(scores(&recent), scores(&before), "the item did become the newest");
}

#[tokio::test(start_paused = true)]
async fn a_recent_item_counts_once() {
    let ann = User { vector: vec![0.5, -0.25, 1.0, 0.75], history: vec![10], ..User::default() };
    let bundle = with_ann(ann);
    let (new, liked) = (item_ids(&bundle, &[33]), item_ids(&bundle, &[10]));
    let mut world = World::new(vec![bundle], 3, 1);
    let by_vectors = Recipe::MatrixFactorisation {
        user_factors: "users".into(),
        item_factors: "items".into(),
        fold_in: Some(FoldIn { matrix: "fold".into(), confidence: 0.5 }),
    };
    let by_rows = next(HistoryWeights { decay: 0.5, ..HistoryWeights::default() });
    let by_topics = Recipe::Content {
        user_topics: "users".into(),
        item_topics: "items".into(),
        term_topics: None,
        history: None,
    };
    for recipe in [by_vectors, by_rows, by_topics] {
        world.answer_by(1, recipe.clone());
        for name in ["ann", "unknown"] {
            let once = list(&world, name, &new).await;
            let often = list(&world, name, &[new[0].as_str(); 8].map(String::from)).await;
            assert_eq!(scores(&once), scores(&often), "{name} {recipe:?}");
            assert_eq!(once.fallback_reason(), often.fallback_reason(), "{name} {recipe:?}");
            assert!(!once.items.is_empty(), "{name} {recipe:?}");
        }
        // What the stored vector or history has already adds nothing.
        if !matches!(recipe, Recipe::Content { .. }) {
            let known = list(&world, "ann", &liked).await;
            assert_eq!(scores(&known), scores(&list(&world, "ann", &[]).await), "{recipe:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_any_version_knows_as_seen_is_left_out_of_all_leaves() {
    let old = films(1, 3, "i", 60, 5);
    // Of other items too, so that ordinals differ.
    let mut new = films(2, 2, "i", 70, 5);
    let history: Vec<u32> = ["i3", "i44", "i55", "i66"].map(|id| new.ordinal(id)).into();
    let mut sorted = history.clone();
    sorted.sort_unstable();
    new.users.insert("u1".into(), User { history: sorted, ..new.users["u1"].clone() });
    let seen_by_old = item_ids(&old, &old.users["u1"].history);
    let mut world = World::new(vec![old, new], 3, 1);
    let members =
        [1, 2].map(|version| WeightedNode { node: leaf(version), weight: 1.0, timeout_ms: None });
    world.serve(EnsembleNode::Parallel { members: members.into(), fusion: Fusion::ReciprocalRank });
    let named = |world: &World| world.nodes.iter().map(|node| node.take_ordinals()).sum::<usize>();
    for round in 0..3 {
        let answer = list(&world, "u1", &[]).await;
        let listed = ids(&answer.items);
        for id in ["i3", "i44", "i55", "i66"] {
            assert!(!listed.contains(&id), "{id} was seen, by the newer version");
        }
        for id in &seen_by_old {
            assert!(!listed.contains(&id.as_str()), "{id} was seen, by the older version");
        }
        assert!(listed.len() > 40);
        assert_eq!(named(&world) > 0, round == 0, "names are looked up once");
    }
    // A request for seen items, too, needs no names, and neither does one version alone.
    let filter = v1::Filter { include_seen: true, ..Default::default() };
    let request = v1::RecommendRequest { filter: Some(filter), ..user("u2", 60) };
    let answer = world.recommend(request).await.expect("an answer");
    assert_eq!(answer.items.len(), 60);
    world.serve(leaf(2));
    list(&world, "u3", &[]).await;
    assert_eq!(named(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_sums_left_empty_goes_on_with_attributes_and_then_popular_items() {
    // All that follows is seen.
    let ann = User { history: vec![10, 11, 12, 13], disliked: vec![11, 12, 13], ..User::default() };
    let mut bundle = with_ann(ann);
    bundle.terms = ["user:", "user:age=30"].map(String::from).into();
    let seen = item_ids(&bundle, &[10, 11, 12, 13]);
    let popular = bundle.expected("unknown", 60);
    // The attributes like every fifth item and the ones after these, the last most.
    let attributed = bundle.items.len() as u32;
    let by_attributes: Vec<u32> =
        (0..attributed).rev().filter(|item| item % 5 < 2 && !(10..14).contains(item)).collect();
    let by_attributes = item_ids(&bundle, &by_attributes);
    let mut world = World::new(vec![bundle], 3, 1);
    let profile = Profile { matrix: "liked".into(), users: "attributes".into() };
    let recipe = Box::new(next(HistoryWeights::default()));
    world.answer_by(1, Recipe::Profiled { recipe, profile });

    let followed = |first: &[String]| -> Vec<String> {
        let is_new = |id: &&String| !seen.contains(id) && !first.contains(id);
        first.iter().chain(popular.iter().filter(is_new)).cloned().collect()
    };
    let without = list(&world, "ann", &[]).await;
    assert_eq!(ids(&without.items), followed(&[]));
    let request = v1::RecommendRequest {
        user_attributes: [("age".into(), "30".into())].into(),
        ..user("ann", 60)
    };
    let with = world.recommend(request).await.expect("an answer");
    assert_eq!(ids(&with.items), followed(&by_attributes));
    assert!(with.items.windows(2).all(|pair| pair[0].score > pair[1].score));
}
