//! Explanations of items whose scores are products of vectors: from bundles on disk through shards and router
//! to a caller, with 1, 2 and 5 shards, against the closed forms.

use marquee_bundle::{
    BundleInput, CsrInput, DenseInput, Entity, ItemRecord, Quality, RowFormat, SparseInput,
    SparseShape, write_bundle,
};
use marquee_client::loopback_address;
use marquee_core::model::recipe::{FoldIn, HISTORY_ORDER_MATRIX, HistoryWeights, Recipe};
use marquee_node::serve::{RunningNode, standalone};
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{Filter, RecommendRequest, RecommendedItem};
use marquee_train::{ModelConfig, ModelKind, ModelSettings, TrainArgs, train};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use tonic::transport::Channel;

const ITEMS: usize = 12;
const RANK: usize = 3;
const LAMBDA: f64 = 0.7;
const CONFIDENCE: f64 = 3.0;
const DECAY: f64 = 0.5;
/// The items that each user liked, oldest first.
const HISTORIES: [&[usize]; 4] = [&[3, 4, 5], &[4, 11], &[7], &[10, 6, 8]];

fn factor(row: usize, column: usize) -> f64 {
    ((row * 5 + column * 11 + row * row * 3) % 17) as f64 / 17.0 - 0.3
}

fn y(item: usize) -> Vec<f64> {
    (0..RANK).map(|at| factor(item, at)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The solution of a linear system, by elimination.
fn solve(mut system: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let n = right.len();
    for column in 0..n {
        let largest = (column..n)
            .max_by(|&a, &b| system[a][column].abs().total_cmp(&system[b][column].abs()))
            .expect("rows are left");
        system.swap(column, largest);
        right.swap(column, largest);
        for row in 0..n {
            if row != column {
                let times = system[row][column] / system[column][column];
                let pivot = system[column].clone();
                system[row].iter_mut().zip(pivot).for_each(|(x, p)| *x -= times * p);
                right[row] -= times * right[column];
            }
        }
    }
    (0..n).map(|at| right[at] / system[at][at]).collect()
}

/// `YᵀY + λI`, and `α y yᵀ` more for each of some items.
fn gram(more: &[usize]) -> Vec<Vec<f64>> {
    let of = |items: &mut dyn Iterator<Item = usize>, a: usize, b: usize| -> f64 {
        items.map(|item| y(item)[a] * y(item)[b]).sum()
    };
    let entry = |a: usize, b: usize| {
        let diagonal = if a == b { LAMBDA } else { 0.0 };
        let liked = of(&mut more.iter().copied(), a, b);
        of(&mut (0..ITEMS), a, b) + (CONFIDENCE - 1.0) * liked + diagonal
    };
    (0..RANK).map(|a| (0..RANK).map(|b| entry(a, b)).collect()).collect()
}

fn z(item: usize) -> Vec<f64> {
    solve(gram(&[]), y(item))
}

/// The row that training gives who liked these.
fn trained(liked: &[usize]) -> Vec<f64> {
    let right = |at: usize| liked.iter().map(|&item| CONFIDENCE * y(item)[at]).sum();
    solve(gram(liked), (0..RANK).map(right).collect())
}

/// How often z of each is in the vector that folding these into a vector gives: by the identity of Woodbury.
fn steps(user: &[f64], items: &[usize]) -> Vec<f64> {
    let alpha = CONFIDENCE - 1.0;
    let entry = |a: usize, b: usize| {
        let one = if a == b { 1.0 } else { 0.0 };
        one + alpha * dot(&y(items[a]), &z(items[b]))
    };
    let all = 0..items.len();
    let system = all.clone().map(|a| all.clone().map(|b| entry(a, b)).collect()).collect();
    let right = items.iter().map(|&item| CONFIDENCE - alpha * dot(&y(item), user)).collect();
    solve(system, right)
}

/// Sums of what was liked, newer ones more.
fn topics(history: &[usize]) -> Vec<f64> {
    let mut sum = vec![0.0; RANK];
    for (age, &item) in history.iter().rev().enumerate() {
        let times = DECAY.powi(age as i32);
        sum.iter_mut().zip(y(item)).for_each(|(sum, x)| *sum += times * x);
    }
    sum
}

fn dense(name: &str, entity: Entity, rows: impl Iterator<Item = Vec<f64>>) -> DenseInput {
    DenseInput {
        name: name.into(),
        entity,
        rank: RANK,
        data: rows.flatten().map(|x| x as f32).collect(),
        index: None,
        rows: RowFormat::F32,
    }
}

fn by_user(value: impl Fn(usize, usize) -> f32) -> CsrInput {
    let mut csr = CsrInput { offsets: vec![0], ..CsrInput::default() };
    for (user, history) in HISTORIES.iter().enumerate() {
        let mut items: Vec<usize> = history.to_vec();
        items.sort_unstable();
        for item in items {
            csr.columns.push(item as u32);
            csr.values.push(value(user, item));
        }
        csr.offsets.push(csr.columns.len());
    }
    csr
}

fn input(recipe: Recipe, shards: u32, users: impl Iterator<Item = Vec<f64>>) -> BundleInput {
    let age = |user: usize, item: usize| {
        let newest = HISTORIES[user].iter().rev();
        newest.enumerate().find(|(_, seen)| **seen == item).expect("seen").0 as f32
    };
    let record = |item: usize| ItemRecord {
        id: format!("i{item:02}"),
        title: format!("Film {item}"),
        ..ItemRecord::default()
    };
    BundleInput {
        model: "films".into(),
        recipe,
        kind: "by hand".into(),
        shards,
        items: (0..ITEMS).map(record).collect(),
        users: (0..HISTORIES.len()).map(|user| format!("u{user}")).collect(),
        terms: Vec::new(),
        dense: vec![
            dense("user_vectors", Entity::User, users),
            dense("item_vectors", Entity::Item, (0..ITEMS).map(y)),
            dense("fold_in", Entity::Item, (0..ITEMS).map(z)),
        ],
        history: Some(by_user(|_, _| 1.0)),
        popularity: (0..ITEMS).map(|item| item as f32).collect(),
        sparse: vec![SparseInput {
            name: HISTORY_ORDER_MATRIX.into(),
            shape: SparseShape::ByUser,
            matrix: by_user(age),
        }],
        quality: Quality::default(),
        parameters: BTreeMap::new(),
        forgotten: None,
        created_at_ms: 0,
    }
}

struct Served {
    node: RunningNode,
    client: RecommenderServiceClient<Channel>,
}

impl Served {
    async fn new(bundle: &Path, at: &Path) -> Self {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let node = standalone::start(any_port, at).await.expect("started");
        standalone::publish_and_go_live(&node, bundle).await.expect("live");
        let address = loopback_address(node.listens_at()).to_string();
        let client = RecommenderServiceClient::connect(address).await.expect("connected");
        Self { node, client }
    }

    async fn by_hand(input: BundleInput, directory: &Path) -> Self {
        let bundle = directory.join("bundle");
        write_bundle(input, &bundle, &|_| ()).expect("written");
        Self::new(&bundle, &directory.join("node")).await
    }

    async fn recommend(&mut self, request: RecommendRequest) -> Vec<RecommendedItem> {
        self.client.recommend(request).await.expect("answered").into_inner().items
    }

    /// The items, of which all is said, seen ones among them; that saying it changes nothing is looked at on
    /// the way, with what was seen left out and without.
    async fn explained(&mut self, user: &str, recent: &[usize]) -> Vec<RecommendedItem> {
        let list = |items: &[RecommendedItem]| -> Vec<(String, f64)> {
            items.iter().map(|item| (item.item_id.clone(), item.score)).collect()
        };
        let mut all = Vec::new();
        for include_seen in [false, true] {
            let request = RecommendRequest {
                user_id: user.into(),
                count: 5,
                recent_item_ids: recent.iter().map(|item| format!("i{item:02}")).collect(),
                filter: Some(Filter { include_seen, ..Filter::default() }),
                ..RecommendRequest::default()
            };
            let plain = self.recommend(request.clone()).await;
            let said = self.recommend(RecommendRequest { explain: true, ..request }).await;
            assert!(!said.is_empty());
            assert_eq!(list(&said), list(&plain), "{user}");
            all.extend(said);
        }
        all
    }
}

/// Compares what is said of an item with the parts that history items have in its score.
fn check(item: &RecommendedItem, parts: &[(usize, f64)], vector: &[f64]) {
    let number: usize = item.item_id[1..].parse().expect("a number");
    let score = dot(vector, &y(number));
    assert!((item.score - score).abs() < 1e-5, "{item:?} has {score}");
    let sum: f64 = parts.iter().map(|(_, part)| part).sum();
    assert!((sum - score).abs() < 1e-9, "the parts of {item:?} add up to {sum} and not to {score}");
    let mut parts = parts.to_vec();
    parts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let said = &item.explanations[0].attributions;
    assert_eq!(said.len(), parts.len().min(3), "{item:?}");
    for (said, (contributor, part)) in said.iter().zip(&parts) {
        let (id, title) = (format!("i{contributor:02}"), format!("Film {contributor}"));
        assert_eq!((&said.item_id, &said.title), (&id, &title), "{item:?}: {parts:?}");
        // Of a score near 0 a share is any number.
        let error = (said.share * item.score.abs() - part).abs();
        assert!(error < 1e-4, "{said:?} of {item:?} and not {part}");
    }
    if parts.len() <= 3 {
        let named: f64 = said.iter().map(|it| it.share * item.score.abs()).sum();
        assert!((named - item.score).abs() < 1e-4, "{item:?}: {named}");
    }
}

fn number(item: &RecommendedItem) -> usize {
    item.item_id[1..].parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn factors_are_explained_by_the_history_and_by_what_came_since() {
    for shards in [1, 2, 5] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let recipe = Recipe::MatrixFactorisation {
            user_factors: "user_vectors".into(),
            item_factors: "item_vectors".into(),
            fold_in: Some(FoldIn { matrix: "fold_in".into(), confidence: CONFIDENCE }),
        };
        let users = HISTORIES.iter().map(|history| trained(history));
        let mut served = Served::by_hand(input(recipe, shards, users), directory.path()).await;
        let no_factors = vec![0.0; RANK];
        for (user, known, recent) in [
            ("u0", HISTORIES[0], &[][..]),
            ("u1", HISTORIES[1], &[]),
            ("u2", HISTORIES[2], &[]),
            ("u3", HISTORIES[3], &[]),
            ("u1", HISTORIES[1], &[9]),
            ("u0", HISTORIES[0], &[9, 1]),
            // Once more what is known already.
            ("u2", HISTORIES[2], &[7]),
            ("newcomer", &[], &[2, 8, 5]),
        ] {
            let stored = if known.is_empty() { no_factors.clone() } else { trained(known) };
            // An item that the stored vector was fitted to counts once.
            let new: Vec<usize> =
                recent.iter().copied().filter(|item| !known.contains(item)).collect();
            let (fitted, folded) = (steps(&no_factors, known), steps(&stored, &new));
            let mut vector = stored.clone();
            for (&item, step) in new.iter().zip(&folded) {
                vector.iter_mut().zip(z(item)).for_each(|(x, z)| *x += step * z);
            }
            for item in served.explained(user, recent).await {
                let mut parts: BTreeMap<usize, f64> = BTreeMap::new();
                let all = known.iter().zip(&fitted).chain(new.iter().zip(&folded));
                for (&contributor, step) in all {
                    *parts.entry(contributor).or_default() +=
                        step * dot(&z(contributor), &y(number(&item)));
                }
                let parts: Vec<(usize, f64)> = parts.into_iter().collect();
                check(&item, &parts, &vector);
            }
        }
        served.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_of_topics_are_explained_by_what_was_added() {
    for shards in [1, 2, 5] {
        for knows_weights in [true, false] {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let history = HistoryWeights { decay: DECAY, ..HistoryWeights::default() };
            let recipe = Recipe::Content {
                user_topics: "user_vectors".into(),
                item_topics: "item_vectors".into(),
                term_topics: None,
                history: knows_weights.then_some(history),
            };
            let users = HISTORIES.iter().map(|history| topics(history));
            let mut served = Served::by_hand(input(recipe, shards, users), directory.path()).await;
            for (user, known, recent) in [
                ("u0", HISTORIES[0], &[][..]),
                ("u3", HISTORIES[3], &[9]),
                ("newcomer", &[], &[2, 8]),
            ] {
                // Recent items are the newest of the history, where the bundle says what age weighs.
                let whole = [known, recent].concat();
                let weight = |age: usize| if knows_weights { DECAY.powi(age as i32) } else { 1.0 };
                for item in served.explained(user, recent).await {
                    if !knows_weights && !known.is_empty() {
                        // The bundle does not say what older items weigh: the newer ones alone are named.
                        assert_eq!(item.explanations[0].attributions.len(), recent.len());
                        continue;
                    }
                    let mut vector = vec![0.0; RANK];
                    let mut parts = Vec::new();
                    for (age, &seen) in whole.iter().rev().enumerate() {
                        vector.iter_mut().zip(y(seen)).for_each(|(x, y)| *x += weight(age) * y);
                        parts.push((seen, weight(age) * dot(&y(seen), &y(number(&item)))));
                    }
                    check(&item, &parts, &vector);
                }
            }
            served.node.shutdown().await;
        }
    }
}

/// Rows of users that are not what their histories come to, and a model that cannot fold in.
#[tokio::test(flavor = "multi_thread")]
async fn of_what_is_not_known_nothing_is_said() {
    let folding = FoldIn { matrix: "fold_in".into(), confidence: CONFIDENCE };
    for fold_in in [None, Some(folding)] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let can_fold_in = fold_in.is_some();
        let recipe = Recipe::MatrixFactorisation {
            user_factors: "user_vectors".into(),
            item_factors: "item_vectors".into(),
            fold_in,
        };
        let users = HISTORIES.iter().map(|history| match can_fold_in {
            true => trained(&[history[0] + 1]),
            false => trained(history),
        });
        let mut served = Served::by_hand(input(recipe, 2, users), directory.path()).await;
        for user in ["u0", "u1", "u2", "u3"] {
            for item in served.explained(user, &[]).await {
                assert_eq!(item.explanations.len(), 1);
                assert!(item.explanations[0].attributions.is_empty(), "{item:?}");
            }
        }
        served.node.shutdown().await;
    }
}

/// Interactions of users of two groups, one film a day.
fn watched() -> String {
    let mixed = |of: usize| {
        let x = (of as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) as usize
    };
    let mut rows = String::from("user,item,rating,timestamp\n");
    for user in 0..60 {
        // The first users have few.
        for day in 0..if user < 10 { 3 } else { 12 } {
            let film = mixed(user * 100 + day) % 20 * 2 + user % 2;
            rows += &format!("u{user},{film},{},{}\n", 1 + day % 5, day * 100 + user);
        }
    }
    rows
}

/// Trained families: which of them explain, and that the named items are most of a score if nothing else
/// contributed.
#[tokio::test(flavor = "multi_thread")]
async fn trained_families_explain_items_if_they_can() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("watched.csv"), watched()).expect("written");
    let genre = |film: usize| ["drama", "war", "sea"][film % 3];
    let films: String = (0..40).map(|film| format!("{film},Film,{}\n", genre(film))).collect();
    std::fs::write(path("films.csv"), format!("item,title,genres\n{films}")).expect("written");
    for (model, recipe, alpha) in [
        (ModelKind::Mf, "matrix_factorisation", None),
        (ModelKind::Mf, "matrix_factorisation", Some(10.0)),
        (ModelKind::Content, "content", None),
        (ModelKind::Hybrid, "matrix_factorisation", None),
        (ModelKind::Bpr, "", None),
        (ModelKind::MfSgd, "", None),
    ] {
        let name = format!("{}-{}", model.name(), alpha.unwrap_or(0.0));
        let mut settings = ModelSettings::default();
        if matches!(model, ModelKind::Mf | ModelKind::Content) {
            settings = settings.with("factors", 8);
        }
        if model == ModelKind::Mf {
            settings = settings.with("regularization", 1.0);
        }
        if let Some(alpha) = alpha {
            settings = settings.with("alpha", alpha);
        }
        let args = TrainArgs {
            model,
            items: Some(path("films.csv")),
            settings,
            // Of all families few have a weight here.
            members: match model {
                ModelKind::Hybrid => vec![
                    ModelConfig::of(ModelKind::Mf).with("factors", 8).with("regularization", 1.0),
                ],
                _ => Vec::new(),
            },
            shards: 2,
            evaluate_users: Some(0),
            ..TrainArgs::new(path("watched.csv"), path(&name))
        };
        train(&args, 0).expect("trained");
        let mut served = Served::new(&path(&name), &path(&format!("node-{name}"))).await;
        let mut explained = 0;
        for user in 0..10 {
            for item in served.explained(&format!("u{user}"), &[]).await {
                let said = item.explanations.iter().filter(|it| it.recipe == recipe);
                for said in said.filter(|said| !said.attributions.is_empty()) {
                    explained += 1;
                    let shares: f64 = said.attributions.iter().map(|it| it.share).sum();
                    let error = (shares - 1.0).abs() * said.score.abs();
                    assert!(error < 0.1 * said.score.abs().max(0.5), "{name}: {said:?}");
                }
                let unexplained = recipe.is_empty();
                assert!(
                    !unexplained || item.explanations.iter().all(|it| it.attributions.is_empty())
                );
            }
        }
        assert_eq!(explained > 0, !recipe.is_empty(), "{name}: {explained} are explained");
        served.node.shutdown().await;
    }
}
