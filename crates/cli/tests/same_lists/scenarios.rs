//! Users whom routers and evaluation once answered differently, or not at all: each scenario by hand.

use crate::cluster::Cluster;
use crate::world::{Ensemble, Model, REGIONS, Watched, World, csr};
use crate::{evaluator, ids, request};
use marquee_bundle::{
    BundleInput, DenseInput, Entity, ItemRecord, Quality, RowFormat, RowSpace, SparseInput,
    SparseShape,
};
use marquee_core::model::recipe::{FoldIn, HISTORY_ORDER_MATRIX, HistoryWeights, Profile, Recipe};
use marquee_proto::v1::{FallbackReason, RecommendRequest};
use marquee_train::eval::offline_lists;
use std::collections::BTreeMap;

const ITEMS: usize = 8;

/// Rules from each item to its neighbours 0 ↔ 1, 2 ↔ 3 and so on.
fn rules(newest: Option<u32>) -> Recipe {
    let history = HistoryWeights { newest, ..HistoryWeights::default() };
    Recipe::ItemRows { matrix: "rules".into(), history }
}

/// A model of eight items, of which the first are the most popular, whose only user `u0` is of the north and
/// watched this. Users of the north like item 6 most, and then 5.
fn model(name: &'static str, recipe: Recipe, watched: &Watched) -> Model {
    let sparse = |name: &str, shape, matrix| SparseInput { name: name.into(), shape, matrix };
    let sums = |rows| SparseShape::Sums { rows, columns: Entity::Item };
    let dense = |name: &str, entity, data| DenseInput {
        name: name.into(),
        entity,
        rank: 2,
        data,
        index: None,
        rows: RowFormat::F32,
    };
    let place = |item: usize| watched.iter().position(|(seen, _)| *seen == item);
    let factors = |scale: f32| {
        (0..ITEMS)
            .flat_map(|item| [scale * (1.0 - item as f32 / 9.0), scale * item as f32 / 9.0])
            .collect()
    };
    let terms = 1 + REGIONS.len();
    let input = BundleInput {
        model: name.into(),
        recipe,
        kind: "by hand".into(),
        shards: 2,
        items: (0..ITEMS)
            .map(|item| ItemRecord { id: item.to_string(), ..ItemRecord::default() })
            .collect(),
        users: vec!["u0".into()],
        terms: vec!["user:".into(), "user:region=north".into(), "user:region=south".into()],
        dense: vec![
            dense("user_factors", Entity::User, vec![0.1, 0.4]),
            dense("item_factors", Entity::Item, factors(1.0)),
            dense("item_fold_in", Entity::Item, factors(0.5)),
        ],
        history: Some(csr(1, ITEMS, |_, item| Some(f32::from(u8::from(watched[place(item)?].1))))),
        popularity: (0..ITEMS).map(|item| (ITEMS - item) as f32).collect(),
        sparse: vec![
            sparse(
                "rules",
                SparseShape::ITEM_ROWS,
                csr(ITEMS, ITEMS, |row, column| (row == column ^ 1).then_some(1.0)),
            ),
            sparse(
                HISTORY_ORDER_MATRIX,
                SparseShape::ByUser,
                csr(1, ITEMS, |_, item| Some((watched.len() - 1 - place(item)?) as f32)),
            ),
            sparse(
                "profile",
                sums(RowSpace::Terms),
                csr(terms, ITEMS, |term, item| match (term, item) {
                    (1, 6) => Some(2.0),
                    (1, 5) => Some(1.0),
                    _ => None,
                }),
            ),
            sparse(
                "user_terms",
                SparseShape::TermsByUser,
                csr(1, terms, |_, term| (term < 2).then_some(1.0)),
            ),
        ],
        quality: Quality::default(),
        parameters: BTreeMap::new(),
        forgotten: None,
        created_at_ms: 0,
    };
    Model { name, shards: 2, input }
}

fn profiled(recipe: Recipe) -> Recipe {
    let profile = Profile { matrix: "profile".into(), users: "user_terms".into() };
    Recipe::Profiled { recipe: Box::new(recipe), profile }
}

/// A world of these models, each on a surface of its name, and of all of them in parallel.
fn world(models: Vec<Model>, count: usize) -> World {
    let ensemble = |name: &str, root: &str| Ensemble {
        name: name.into(),
        definition: format!("name: {name}\nroot: {root}\n"),
        only_model: None,
        is_chain: false,
        takes_filters: false,
    };
    let node = |model: &Model| format!("{{ model: {{ model: {}, version: 1 }} }}", model.name);
    let mut ensembles: Vec<Ensemble> = models
        .iter()
        .map(|model| ensemble(&format!("only-{}", model.name), &node(model)))
        .collect();
    if models.len() > 1 {
        let members =
            models.iter().map(|model| format!("{{ weight: 1.0, node: {} }}", node(model)));
        let members = members.collect::<Vec<_>>().join(", ");
        let root =
            format!("{{ parallel: {{ fusion: FUSION_RECIPROCAL_RANK, members: [{members}] }} }}");
        ensembles.push(ensemble("both", &root));
    }
    World { models, ensembles, count, recents: Vec::new(), filtered: Vec::new() }
}

/// A world's cluster, and the list that evaluation of the first model gives `u0`.
async fn start(world: &World) -> (tempfile::TempDir, Cluster, Vec<String>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    world.write(directory.path());
    let evaluator = evaluator(world, directory.path());
    let lists = offline_lists(&world.bundle(directory.path(), 0), &evaluator).expect("evaluated");
    let place = evaluator.users().iter().position(|user| user == "u0").expect("asked");
    let cluster = Cluster::start(world, directory.path()).await;
    (directory, cluster, lists[place].clone())
}

/// Items 0 and 1 are each other's only neighbours, and seen. There is a preference and no list: attributes
/// continue it before popular items, in serving as in evaluation.
#[tokio::test]
async fn a_user_who_has_seen_all_neighbours_gets_what_attributes_say() {
    let watched = vec![(0, true), (1, true)];
    let world = world(vec![model("a", profiled(rules(None)), &watched)], 4);
    let (_directory, cluster, evaluated) = start(&world).await;
    let answer = cluster.recommend(request(&world, "only-a", "u0")).await;
    assert_eq!(ids(&answer), ["6", "5", "2", "3"]);
    assert_eq!(ids(&answer), evaluated);
    cluster.shutdown().await;
}

/// What is liked is older than the newest two: there is no preference, and the answer says so.
#[tokio::test]
async fn a_user_who_disliked_the_newest_gets_popular_items_and_a_reason() {
    let watched = vec![(0, true), (3, false), (4, false)];
    let world = world(vec![model("a", rules(Some(2)), &watched)], 4);
    let (_directory, cluster, evaluated) = start(&world).await;
    let answer = cluster.recommend(request(&world, "only-a", "u0")).await;
    assert_eq!(ids(&answer), ["1", "2", "5", "6"]);
    assert_eq!(ids(&answer), evaluated);
    assert_eq!(answer.fallback_reason(), FallbackReason::NoHistory);
    let unknown = cluster.unknown_items("only-a", "u0", &["0", "1", "7", "99"]).await;
    assert_eq!(unknown, ["99"]);
    cluster.shutdown().await;
}

/// However often an item is given as recent, it counts once, and not at all if the vector was fitted to it.
#[tokio::test]
async fn a_recent_item_is_folded_in_once() {
    let fold_in = Some(FoldIn { matrix: "item_fold_in".into(), confidence: 4.0 });
    let recipe = Recipe::MatrixFactorisation {
        user_factors: "user_factors".into(),
        item_factors: "item_factors".into(),
        fold_in,
    };
    let world = world(vec![model("a", recipe, &vec![(7, true)])], 4);
    let (_directory, cluster, evaluated) = start(&world).await;
    let scores = async |recent: &[&str], user: &str| {
        let request = RecommendRequest {
            recent_item_ids: recent.iter().map(|item| (*item).into()).collect(),
            ..request(&world, "only-a", user)
        };
        let answer = cluster.recommend(request).await;
        answer.items.into_iter().map(|item| (item.item_id, item.score)).collect::<Vec<_>>()
    };
    let once = scores(&["0"], "u0").await;
    assert_ne!(once, scores(&[], "u0").await);
    for times in 2..10 {
        assert_eq!(scores(&vec!["0"; times], "u0").await, once, "{times} times");
        let new = scores(&vec!["0"; times], "unknown-user").await;
        assert_eq!(new, scores(&["0"], "unknown-user").await, "{times} times");
    }
    let stored: Vec<String> =
        scores(&["7"], "u0").await.into_iter().map(|(item, _)| item).collect();
    assert_eq!(stored, evaluated);
    cluster.shutdown().await;
}

/// The second model alone knows that items 1 and 2 were seen.
#[tokio::test]
async fn what_one_version_knows_as_seen_no_other_recommends() {
    let models = vec![
        model("a", rules(None), &vec![(0, true), (3, true)]),
        model("b", rules(None), &vec![(0, true), (1, true), (2, true)]),
    ];
    let world = world(models, ITEMS);
    let (_directory, cluster, _) = start(&world).await;
    let answer = cluster.recommend(request(&world, "only-a", "u0")).await;
    assert_eq!(ids(&answer)[..2], ["1", "2"]);
    for _ in 0..2 {
        // What the first answer has the router remember changes nothing.
        let answer = cluster.recommend(request(&world, "both", "u0")).await;
        assert_eq!(ids(&answer), ["4", "5", "6", "7"]);
    }
    cluster.shutdown().await;
}
