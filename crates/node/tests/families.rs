//! Every recipe, from a bundle on disk through shards and router to a caller, against its definition: with 1,
//! 2 and 5 shards the same lists.

use marquee_bundle::{
    BundleInput, CsrInput, DenseInput, Entity, ItemRecord, Quality, RowFormat, RowSpace,
    SparseInput, SparseShape, write_bundle,
};
use marquee_client::loopback_address;
use marquee_core::bounds::MAX_RANK_ITEMS;
use marquee_core::model::recipe::{
    BlendMember, FoldIn, HISTORY_ORDER_MATRIX, HistoryWeights, NeighbourSearch, Recipe,
};
use marquee_core::ranking::fuse::{Candidate, FusedMember, standard_score};
use marquee_node::serve::{RunningNode, standalone};
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{
    FallbackReason, RankItemsRequest, RecommendRequest, RecommendResponse, SimilarItemsRequest,
};
use marquee_train::eval::{Cutoffs, Evaluator, offline_lists};
use marquee_train::read::read_interactions;
use marquee_train::{ModelKind, TrainArgs, train};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tonic::transport::Channel;

const ITEMS: usize = 9;
/// What each user liked, oldest first. The last one has seen something and liked nothing.
const HISTORIES: [&[usize]; 6] = [&[0, 1, 2], &[1, 2, 3], &[4, 0], &[5, 3, 1, 6], &[2], &[7]];
const LIKED_NOTHING: usize = 5;
const RANK: usize = 3;

fn value(user: usize) -> f32 {
    if user == LIKED_NOTHING { 0.0 } else { 1.0 }
}

/// Some number for a cell of a matrix; a quarter of the cells have none.
fn cell(row: usize, column: usize) -> Option<f32> {
    let mixed = (row * 7 + column * 13 + row * column * 5) % 16;
    (row != column && mixed >= 4).then(|| mixed as f32 / 16.0)
}

fn factor(row: usize, column: usize) -> f32 {
    ((row * 5 + column * 11 + row * row * 3) % 17) as f32 / 17.0 - 0.3
}

fn csr(rows: usize, columns: usize, of: impl Fn(usize, usize) -> Option<f32>) -> CsrInput {
    let mut csr = CsrInput { offsets: vec![0], ..CsrInput::default() };
    for row in 0..rows {
        for column in 0..columns {
            if let Some(value) = of(row, column) {
                csr.columns.push(column as u32);
                csr.values.push(value);
            }
        }
        csr.offsets.push(csr.columns.len());
    }
    csr
}

fn place(user: usize, item: usize) -> Option<usize> {
    HISTORIES[user].iter().position(|&seen| seen == item)
}

fn liked(user: usize, item: usize) -> bool {
    place(user, item).is_some() && value(user) > 0.0
}

fn norm(user: usize) -> f32 {
    (HISTORIES[user].len() as f32).sqrt()
}

/// A bundle with all matrices that the recipes here name.
fn input(recipe: Recipe, shards: u32) -> BundleInput {
    let sums = |rows, columns| SparseShape::Sums { rows, columns };
    let sparse = |name: &str, shape, matrix| SparseInput { name: name.into(), shape, matrix };
    let dense = |name: &str, entity, rows: usize, shift: usize| DenseInput {
        name: name.into(),
        entity,
        rank: RANK,
        data: (0..rows * RANK).map(|at| factor(at / RANK + shift, at % RANK)).collect(),
        index: None,
        rows: RowFormat::F32,
    };
    let users = HISTORIES.len();
    let age = |user: usize, item| Some((HISTORIES[user].len() - 1 - place(user, item)?) as f32);
    let of_user = |item: usize, user: usize| liked(user, item).then(|| 1.0 / norm(user));
    BundleInput {
        model: "films".into(),
        recipe,
        kind: "by hand".into(),
        shards,
        items: (0..ITEMS)
            .map(|item| ItemRecord { id: format!("i{item}"), ..ItemRecord::default() })
            .collect(),
        users: (0..users).map(|user| format!("u{user}")).collect(),
        terms: Vec::new(),
        dense: vec![
            dense("user_factors", Entity::User, users, 40),
            dense("item_factors", Entity::Item, ITEMS, 0),
            dense("item_fold_in", Entity::Item, ITEMS, 100),
        ],
        history: Some(csr(users, ITEMS, |user, item| place(user, item).map(|_| value(user)))),
        popularity: (0..ITEMS).map(popularity).collect(),
        sparse: vec![
            sparse("rules", SparseShape::ITEM_ROWS, csr(ITEMS, ITEMS, cell)),
            sparse(HISTORY_ORDER_MATRIX, SparseShape::ByUser, csr(users, ITEMS, age)),
            sparse(
                "users_by_item",
                sums(RowSpace::Items, Entity::User),
                csr(ITEMS, users, of_user),
            ),
            sparse(
                "user_histories",
                sums(RowSpace::Users, Entity::Item),
                csr(users, ITEMS, |user, item| liked(user, item).then_some(1.0)),
            ),
            sparse(
                "trending",
                sums(RowSpace::Single, Entity::Item),
                csr(1, ITEMS, |_, item| Some((item * 4 % ITEMS) as f32)),
            ),
        ],
        quality: Quality::default(),
        parameters: BTreeMap::new(),
        forgotten: None,
        created_at_ms: 0,
    }
}

fn popularity(item: usize) -> f32 {
    (ITEMS - item) as f32
}

/// The best items by a score, less those seen, and then the popular ones.
fn ranked(seen: &[usize], score: impl Fn(usize) -> Option<f32>) -> Vec<String> {
    let scored: Vec<(usize, f32)> =
        (0..ITEMS).filter_map(|item| Some((item, score(item)?))).collect();
    let mut order = scored.clone();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let rest = (0..ITEMS).filter(|item| scored.iter().all(|(other, _)| other != item));
    let all = order.into_iter().map(|(item, _)| item).chain(rest);
    all.filter(|item| !seen.contains(item)).map(|item| format!("i{item}")).collect()
}

/// `Σ decay^age · rules[seen, item]` over a history, oldest first.
fn rules(history: &[usize], decay: f32) -> impl Fn(usize) -> Option<f32> {
    move |item| {
        let newest_first = history.iter().rev().enumerate();
        let parts: Vec<f32> = newest_first
            .filter_map(|(age, &seen)| Some(decay.powi(age as i32) * cell(seen, item)?))
            .collect();
        (!parts.is_empty()).then(|| parts.iter().sum())
    }
}

fn rules_recipe(decay: f64) -> Recipe {
    let history = HistoryWeights { decay, ..HistoryWeights::default() };
    Recipe::ItemRows { matrix: "rules".into(), history }
}

fn factorisation(fold_in: Option<FoldIn>) -> Recipe {
    Recipe::MatrixFactorisation {
        user_factors: "user_factors".into(),
        item_factors: "item_factors".into(),
        fold_in,
    }
}

/// A cluster of one with a bundle.
struct Served {
    node: RunningNode,
    client: RecommenderServiceClient<Channel>,
    directory: tempfile::TempDir,
}

impl Served {
    async fn new(recipe: &Recipe, shards: u32) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let bundle = directory.path().join("bundle");
        write_bundle(input(recipe.clone(), shards), &bundle, &|_| ()).expect("written");
        Self::with_bundle(directory).await
    }

    /// Of the bundle that the directory has.
    async fn with_bundle(directory: tempfile::TempDir) -> Self {
        let bundle = directory.path().join("bundle");
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let node = standalone::start(any_port, &directory.path().join("node")).await;
        let node = node.expect("started");
        standalone::publish_and_go_live(&node, &bundle).await.expect("live");
        let address = loopback_address(node.listens_at()).to_string();
        let client = RecommenderServiceClient::connect(address).await.expect("connected");
        Self { node, client, directory }
    }

    async fn recommend(&mut self, user: &str, recent: &[usize]) -> RecommendResponse {
        let request = RecommendRequest {
            user_id: user.into(),
            count: ITEMS as u32,
            recent_item_ids: recent.iter().map(|item| format!("i{item}")).collect(),
            explain: true,
            ..RecommendRequest::default()
        };
        self.client.recommend(request).await.expect("answered").into_inner()
    }

    async fn lists(&mut self, user: &str, recent: &[usize]) -> Vec<String> {
        self.recommend(user, recent).await.items.into_iter().map(|item| item.item_id).collect()
    }
}

/// Runs a scenario with 1, 2 and 5 shards.
macro_rules! at_any_number_of_shards {
    ($recipe:expr, |$served:ident| $story:block) => {
        for shards in [1, 2, 5] {
            let mut $served = Served::new(&$recipe, shards).await;
            $story
            $served.node.shutdown().await;
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_items_are_summed_over_the_history_newest_first() {
    at_any_number_of_shards!(rules_recipe(0.5), |served| {
        for (user, history) in HISTORIES.iter().enumerate().take(LIKED_NOTHING) {
            let expected = ranked(history, rules(history, 0.5));
            assert_eq!(served.lists(&format!("u{user}"), &[]).await, expected, "u{user}");
        }
        let answer = served.recommend("u0", &[]).await;
        assert_eq!(answer.items[0].explanations[0].recipe, "rules");
        assert_eq!(answer.fallback_reason(), FallbackReason::Unspecified);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn recent_items_shape_the_answer_of_known_and_new_users() {
    at_any_number_of_shards!(rules_recipe(0.5), |served| {
        // Newer than all that was known, and 0 moves to the front.
        let history = [1, 2, 8, 0];
        let expected = ranked(&history, rules(&history, 0.5));
        assert_eq!(served.lists("u0", &[8, 0]).await, expected);
        let answer = served.recommend("newcomer", &[3, 7]).await;
        let ids: Vec<String> = answer.items.iter().map(|item| item.item_id.clone()).collect();
        assert_eq!(ids, ranked(&[3, 7], rules(&[3, 7], 0.5)));
        assert_eq!(answer.fallback_reason(), FallbackReason::RecentItems);
        // Without a positive item: popular items, without those that the user has seen.
        for (user, seen, reason) in [
            ("newcomer", &[][..], FallbackReason::UnknownUser),
            ("u5", HISTORIES[LIKED_NOTHING], FallbackReason::NoHistory),
        ] {
            let answer = served.recommend(user, &[]).await;
            let ids: Vec<String> = answer.items.iter().map(|item| item.item_id.clone()).collect();
            assert_eq!(ids, ranked(seen, |item| Some(popularity(item))));
            assert_eq!(answer.fallback_reason(), reason);
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn similar_and_ranked_items_come_from_the_same_rows() {
    at_any_number_of_shards!(rules_recipe(1.0), |served| {
        let request = SimilarItemsRequest { item_id: "i3".into(), ..Default::default() };
        let similar = served.client.similar_items(request).await.expect("answered").into_inner();
        let ids: Vec<String> = similar.items.into_iter().map(|item| item.item_id).collect();
        let all = ranked(&[3], |item| cell(3, item));
        let named = (0..ITEMS).filter(|&item| cell(3, item).is_some()).count();
        assert_eq!(ids, all[..named], "only what the row names");

        let item_ids: Vec<String> =
            (0..ITEMS).map(|item| format!("i{item}")).chain(["nonsense".into()]).collect();
        let request = RankItemsRequest { user_id: "u4".into(), item_ids, ..Default::default() };
        let answer = served.client.rank_items(request).await.expect("answered").into_inner();
        let ids: Vec<String> = answer.items.into_iter().map(|item| item.item_id).collect();
        assert_eq!(ids, ranked(&[], rules(HISTORIES[4], 1.0)), "seen ones too, all of them");
        assert_eq!(answer.unknown_item_ids, ["nonsense"]);

        // As many as a request may name, nearly all of them unknown.
        let item_ids = (0..MAX_RANK_ITEMS).map(|item| format!("i{item}")).collect();
        let request = RankItemsRequest { user_id: "u4".into(), item_ids, ..Default::default() };
        let answer = served.client.rank_items(request).await.expect("answered").into_inner();
        assert_eq!(answer.items.len(), ITEMS);
        assert_eq!(answer.unknown_item_ids.len(), MAX_RANK_ITEMS - ITEMS);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn similar_users_contribute_their_histories() {
    const NEIGHBOURS: usize = 2;
    let recipe = Recipe::UserNeighbours {
        by: NeighbourSearch::Histories {
            matrix: "users_by_item".into(),
            history: HistoryWeights::default(),
        },
        histories: "user_histories".into(),
        neighbours: NEIGHBOURS as u32,
    };
    let expected = |history: &[usize], myself: Option<usize>| {
        let likeness = |user: usize| {
            history.iter().filter(|&&item| liked(user, item)).count() as f32 / norm(user)
        };
        let mut others: Vec<(f32, usize)> = (0..HISTORIES.len())
            .filter(|&user| Some(user) != myself && likeness(user) > 0.0)
            .map(|user| (likeness(user), user))
            .collect();
        others.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        others.truncate(NEIGHBOURS);
        ranked(history, |item| {
            let all: Vec<f32> =
                others.iter().filter(|(_, user)| liked(*user, item)).map(|(s, _)| *s).collect();
            (!all.is_empty()).then(|| all.iter().sum())
        })
    };
    at_any_number_of_shards!(recipe, |served| {
        for (user, history) in HISTORIES.iter().enumerate().take(LIKED_NOTHING) {
            let found = served.lists(&format!("u{user}"), &[]).await;
            assert_eq!(found, expected(history, Some(user)), "u{user}");
        }
        assert_eq!(served.lists("newcomer", &[3, 1]).await, expected(&[3, 1], None));
    });
}

fn dot(a: impl Fn(usize) -> f32, b: impl Fn(usize) -> f32) -> f32 {
    (0..RANK).map(|at| a(at) * b(at)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_are_found_by_vectors_too() {
    let recipe = Recipe::UserNeighbours {
        by: NeighbourSearch::Vectors { user_factors: "user_factors".into() },
        histories: "user_histories".into(),
        neighbours: 1,
    };
    let vector = |user: usize| move |at: usize| factor(user + 40, at);
    let cosine = |a: usize, b: usize| {
        let length = |user| dot(vector(user), vector(user)).sqrt();
        dot(vector(a), vector(b)) / length(a) / length(b)
    };
    at_any_number_of_shards!(recipe, |served| {
        for (user, history) in HISTORIES.iter().enumerate() {
            // Of equals the last, and so the first user.
            let others = (0..HISTORIES.len()).rev().filter(|&other| other != user);
            let nearest = others.max_by(|&a, &b| cosine(user, a).total_cmp(&cosine(user, b)));
            let nearest = nearest.expect("five others");
            let lends = cosine(user, nearest) > 0.0;
            let score = |item| (lends && liked(nearest, item)).then_some(1.0);
            assert_eq!(served.lists(&format!("u{user}"), &[]).await, ranked(history, score));
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_is_folded_in() {
    const CONFIDENCE: f32 = 3.0;
    let fold_in = FoldIn { matrix: "item_fold_in".into(), confidence: f64::from(CONFIDENCE) };
    let y = |item: usize| move |at: usize| factor(item, at);
    let z = |item: usize| move |at: usize| factor(item + 100, at);
    // With one item the system is one equation.
    let step = |item: usize, own: f32| {
        (CONFIDENCE - (CONFIDENCE - 1.0) * own) / (1.0 + (CONFIDENCE - 1.0) * dot(y(item), z(item)))
    };
    at_any_number_of_shards!(factorisation(Some(fold_in.clone())), |served| {
        let score = |item| Some(step(4, 0.0) * dot(y(item), z(4)));
        assert_eq!(served.lists("newcomer", &[4]).await, ranked(&[4], score));
        let x = |at: usize| factor(41, at);
        let moved = step(8, dot(x, y(8)));
        let score = |item| Some(dot(x, y(item)) + moved * dot(y(item), z(8)));
        assert_eq!(served.lists("u1", &[8]).await, ranked(&[1, 2, 3, 8], score));
        let score = |item| Some(dot(x, y(item)));
        assert_eq!(served.lists("u1", &[]).await, ranked(&[1, 2, 3], score));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn content_adds_up_what_was_liked() {
    let recipe = Recipe::Content {
        user_topics: "user_factors".into(),
        item_topics: "item_factors".into(),
        term_topics: None,
        history: None,
    };
    at_any_number_of_shards!(recipe, |served| {
        let sum = |at: usize| factor(42, at) + factor(6, at) + factor(8, at);
        let score = |item: usize| Some(dot(sum, |at| factor(item, at)));
        assert_eq!(served.lists("u2", &[6, 8]).await, ranked(&[4, 0, 6, 8], score));
        let sum = |at: usize| factor(6, at) + factor(8, at);
        let score = |item: usize| Some(dot(sum, |at| factor(item, at)));
        assert_eq!(served.lists("newcomer", &[6, 8]).await, ranked(&[6, 8], score));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blend_adds_up_its_members_and_says_so() {
    let trending = Recipe::Trending { matrix: "trending".into() };
    let member = |recipe, weight| BlendMember { recipe, weight };
    let members = vec![
        member(rules_recipe(0.5), 1.0),
        member(factorisation(None), 0.5),
        member(trending, 0.25),
    ];
    at_any_number_of_shards!(Recipe::Blend { members: members.clone() }, |served| {
        for (user, history) in HISTORIES.iter().enumerate().take(LIKED_NOTHING) {
            let of_user = |at: usize| factor(user + 40, at);
            let by_rules = rules(history, 0.5);
            let scores: [&dyn Fn(usize) -> Option<f32>; 3] =
                [&by_rules, &|item| Some(dot(of_user, |at| factor(item, at))), &|item| {
                    Some((item * 4 % ITEMS) as f32)
                }];
            let list = |score: &dyn Fn(usize) -> Option<f32>| {
                let unseen = (0..ITEMS).filter(|item| !history.contains(item));
                let mut list: Vec<Candidate> = unseen
                    .filter_map(|item| {
                        let score = f64::from(score(item)?);
                        Some(Candidate { item_id: format!("i{item}"), score, ..Default::default() })
                    })
                    .collect();
                list.sort_by(|a, b| b.score.total_cmp(&a.score));
                list
            };
            let weights = [1.0, 0.5, 0.25];
            let lists = weights.into_iter().zip(scores);
            let lists =
                lists.map(|(weight, score)| FusedMember { weight, list: list(score) }).collect();
            let expected: Vec<String> =
                standard_score(lists, ITEMS).into_iter().map(|item| item.item_id).collect();
            let answer = served.recommend(&format!("u{user}"), &[]).await;
            let found: Vec<String> = answer.items.iter().map(|i| i.item_id.clone()).collect();
            assert_eq!(found, expected, "u{user}");
            let said: Vec<&str> =
                answer.items[0].explanations.iter().map(|e| e.recipe.as_str()).collect();
            assert!(
                said.iter()
                    .all(|name| { ["rules", "matrix_factorisation", "trending"].contains(name) })
            );
        }
        // A new user gets one list of popular items and what is trending, not three times the same.
        let answer = served.recommend("newcomer", &[]).await;
        assert_eq!(answer.fallback_reason(), FallbackReason::UnknownUser);
        assert_eq!(answer.items[0].explanations.len(), 2);
    });
}

/// Numbers without a pattern: two implementations round equal numbers differently.
fn mixed(of: u64) -> usize {
    let mut x = of.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x >> 33) as usize
}

/// Interactions of users of two groups, one film a day; now and then a film of the other group.
fn watched() -> String {
    let mut rows = String::from("user,item,timestamp\n");
    for user in 0..50 {
        for day in 0..12 {
            let film = mixed(user * 100 + day);
            let strays = usize::from(mixed(user * 100 + day + 50_000).is_multiple_of(6));
            let film = film % 20 * 2 + (user as usize + strays) % 2;
            rows += &format!("u{user},{film},{}\n", day * 100 + user);
        }
    }
    rows
}

/// Trained families, executed in memory over a bundle's matrices and by shards and router.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_what_was_evaluated() {
    for model in [
        ModelKind::Hybrid,
        ModelKind::Transitions,
        ModelKind::UserKnn,
        ModelKind::Content,
        ModelKind::Mf,
        ModelKind::Trending,
    ] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let interactions = file("watched.csv", &watched());
        let genre = |film: u64| ["drama", "war", "crime", "love", "sea"][mixed(film) % 5];
        let films: String = (0..40)
            .map(|film| {
                format!("{film},Film {},{}|{}\n", mixed(film) % 7, genre(film), genre(film + 99))
            })
            .collect();
        let args = TrainArgs {
            model,
            items: Some(file("films.csv", &format!("item,title,genres\n{films}"))),
            shards: 3,
            evaluate_users: Some(0),
            ..TrainArgs::new(&interactions, directory.path().join("bundle"))
        };
        train(&args, 0).expect("trained");
        let rows = read_interactions(&interactions, &args.columns, args.duplicates, false);
        // With unknown users, who get popular items.
        let asked = file("asked.csv", "user,item\nu1,1\nu7,1\nu20,1\nu33,1\nu49,1\nstranger,1\n");
        let asked = read_interactions(&asked, &args.columns, args.duplicates, false);
        let evaluator =
            Evaluator::new(rows.expect("read").0, asked.expect("read").0, Cutoffs::one(10))
                .expect("something to find");
        let bundle = directory.path().join("bundle");
        let offline = offline_lists(&bundle, &evaluator).expect("evaluated");

        let mut served = Served::with_bundle(directory).await;
        for (user, expected) in evaluator.users().iter().zip(&offline) {
            let request = RecommendRequest {
                user_id: user.clone(),
                count: 10,
                ..RecommendRequest::default()
            };
            let answer = served.client.recommend(request).await.expect("answered").into_inner();
            let ids: Vec<String> = answer.items.into_iter().map(|item| item.item_id).collect();
            assert_eq!(&ids, expected, "{} of {user}", model.name());
        }
        served.node.shutdown().await;
        drop(served.directory);
    }
}
