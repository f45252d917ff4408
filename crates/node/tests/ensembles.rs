//! Ensembles of two models, from bundles on disk through shards and router to a caller, against their
//! definitions: with 1, 2 and 5 shards the same lists.
//!
//! The two models know different items, so the same item has another number in each of them.

use marquee_bundle::{
    BundleInput, CsrInput, DenseInput, Entity, ItemRecord, Quality, RowFormat, RowSpace,
    SparseInput, SparseShape, write_bundle,
};
use marquee_client::loopback_address;
use marquee_core::model::recipe::{HistoryWeights, NeighbourSearch, Recipe};
use marquee_core::ranking::diversify::{Diversity, ItemFeatures, diversify};
use marquee_core::ranking::fuse::Candidate;
use marquee_node::serve::{RunningNode, standalone};
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::control::v1::{
    ChangeDenyListRequest, Diversify, Ensemble, EnsembleNode, Product, ProductForm,
    PublishModelRequest, PutEnsembleRequest, StartRolloutRequest, ensemble_node::Kind,
};
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{
    AttributeRange, FallbackReason, Filter, LeftOutReason, ModelVersion, RankItemsRequest,
    RecommendRequest, RecommendResponse, RecommendedItem,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;
use tonic::transport::Channel;

/// Number of items of both models together.
const ITEMS: usize = 14;
const FACTORS_KNOW: Range<usize> = 0..12;
const RULES_KNOW: Range<usize> = 3..14;
const RANK: usize = 3;
/// What each user liked, by both models.
const HISTORIES: [&[usize]; 4] = [&[3, 4, 5], &[4, 11], &[7], &[3, 6, 8, 10]];
/// How often a test checks whether a router has a new plan, which takes milliseconds, before it fails.
const MAX_LOOKS: usize = 2_000;
const GENRES: [&str; 3] = ["drama", "war", "sea"];

fn factor(row: usize, column: usize) -> f32 {
    ((row * 5 + column * 11 + row * row * 3) % 17) as f32 / 17.0 - 0.3
}

/// How much an item says of another; a quarter of the pairs say nothing.
fn rule(of: usize, item: usize) -> Option<f32> {
    let mixed = (of * 7 + item * 13 + of * item * 5) % 16;
    (of != item && mixed >= 4).then(|| mixed as f32 / 16.0)
}

fn popularity(item: usize) -> f32 {
    (ITEMS - item) as f32
}

/// What a user's factors say of an item.
fn likes(user: usize, item: usize) -> f32 {
    (0..RANK).map(|at| factor(user + 40, at) * factor(item, at)).sum()
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

fn bundle(model: &str, recipe: Recipe, knows: Range<usize>, shards: u32) -> BundleInput {
    let first = knows.start;
    let users = HISTORIES.len();
    let dense = |name: &str, entity, rows: Range<usize>| DenseInput {
        name: name.into(),
        entity,
        rank: RANK,
        data: rows.flat_map(|row| (0..RANK).map(move |at| factor(row, at))).collect(),
        index: None,
        rows: RowFormat::F32,
    };
    let record = |item: usize| ItemRecord {
        id: format!("i{item:02}"),
        title: format!("Film {item}"),
        tags: vec![GENRES[item % 3].into()],
        attributes: vec![("year".into(), 1990.0 + item as f64)],
    };
    let seen = |user: usize, column: usize| HISTORIES[user].contains(&(column + first));
    let norm = |user: usize| {
        let known = HISTORIES[user].iter().filter(|item| knows.contains(item)).count();
        (known as f32).sqrt()
    };
    let sums = |rows, columns| SparseShape::Sums { rows, columns };
    let by_item =
        csr(knows.len(), users, |column, user| seen(user, column).then(|| 1.0 / norm(user)));
    let by_user = csr(users, knows.len(), |user, column| seen(user, column).then_some(1.0));
    BundleInput {
        model: model.into(),
        kind: "by hand".into(),
        shards,
        items: knows.clone().map(record).collect(),
        users: (0..users).map(|user| format!("u{user}")).collect(),
        terms: Vec::new(),
        dense: match recipe {
            Recipe::MatrixFactorisation { .. } => vec![
                dense("user_factors", Entity::User, 40..40 + users),
                dense("item_factors", Entity::Item, knows.clone()),
            ],
            _ => vec![],
        },
        recipe,
        history: Some(csr(users, knows.len(), |user, column| seen(user, column).then_some(1.0))),
        popularity: knows.clone().map(popularity).collect(),
        sparse: vec![
            SparseInput {
                name: "item_knn".into(),
                shape: SparseShape::ITEM_ROWS,
                matrix: csr(knows.len(), knows.len(), |a, b| rule(a + first, b + first)),
            },
            SparseInput {
                name: "users_by_item".into(),
                shape: sums(RowSpace::Items, Entity::User),
                matrix: by_item,
            },
            SparseInput {
                name: "user_histories".into(),
                shape: sums(RowSpace::Users, Entity::Item),
                matrix: by_user,
            },
        ],
        quality: Quality::default(),
        parameters: BTreeMap::new(),
        forgotten: None,
        created_at_ms: 0,
    }
}

fn model(name: &str) -> EnsembleNode {
    let version = ModelVersion { model: name.into(), version: 1 };
    EnsembleNode { kind: Some(Kind::Model(version)) }
}

fn product(form: ProductForm, members: Vec<EnsembleNode>) -> EnsembleNode {
    EnsembleNode { kind: Some(Kind::Product(Product { members, form: form.into() })) }
}

fn ids(items: &[RecommendedItem]) -> Vec<&str> {
    items.iter().map(|item| item.item_id.as_str()).collect()
}

/// A cluster of one that has both models.
struct Served {
    node: RunningNode,
    client: RecommenderServiceClient<Channel>,
    control: ControlServiceClient<Channel>,
    /// What it serves from, deleted at the end.
    _directory: tempfile::TempDir,
}

impl Served {
    async fn new(shards: u32) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let factors = Recipe::MatrixFactorisation {
            user_factors: "user_factors".into(),
            item_factors: "item_factors".into(),
            fold_in: None,
        };
        let rows =
            Recipe::ItemRows { matrix: "item_knn".into(), history: HistoryWeights::default() };
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let node = standalone::start(any_port, &directory.path().join("node")).await;
        let node = node.expect("started");
        let address = loopback_address(node.listens_at()).to_string();
        let client = RecommenderServiceClient::connect(address.clone()).await.expect("connected");
        let mut control = ControlServiceClient::connect(address).await.expect("connected");
        let user_neighbours = Recipe::UserNeighbours {
            by: NeighbourSearch::Histories {
                matrix: "users_by_item".into(),
                history: HistoryWeights::default(),
            },
            histories: "user_histories".into(),
            neighbours: 10,
        };
        for (name, recipe, knows) in [
            ("factors", factors, FACTORS_KNOW),
            ("alike", rows, RULES_KNOW),
            ("neighbours", user_neighbours, RULES_KNOW),
        ] {
            let path = directory.path().join(name);
            write_bundle(bundle(name, recipe, knows, shards), &path, &|_| ()).expect("written");
            let request = PublishModelRequest {
                bundle_uri: path.to_str().expect("UTF-8").into(),
                force: true,
                ..PublishModelRequest::default()
            };
            control.publish_model(request).await.expect("published");
        }
        Self { node, client, control, _directory: directory }
    }

    /// Serves an ensemble on the surface of its name.
    async fn serve(&mut self, name: &str, root: EnsembleNode) {
        let ensemble = Some(Ensemble { name: name.into(), root: Some(root) });
        let request = PutEnsembleRequest { ensemble, ..PutEnsembleRequest::default() };
        self.control.put_ensemble(request).await.expect("put");
        let request = StartRolloutRequest {
            surface: name.into(),
            candidate: name.into(),
            ..StartRolloutRequest::default()
        };
        self.control.start_rollout(request).await.expect("started");
        while self.client.recommend(self.request(name, "u0")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn request(&self, surface: &str, user: &str) -> RecommendRequest {
        RecommendRequest {
            user_id: user.into(),
            surface: surface.into(),
            count: 5,
            ..RecommendRequest::default()
        }
    }

    async fn recommend(&mut self, request: RecommendRequest) -> RecommendResponse {
        self.client.recommend(request).await.expect("answered").into_inner()
    }
}

/// Best first, equals by id.
fn ranked(scores: impl Iterator<Item = (usize, f64)>) -> Vec<(usize, f64)> {
    let mut list: Vec<(usize, f64)> = scores.collect();
    list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    list
}

/// `Σ likes(user, x) · rule(x, item)` over what the first model would recommend, for items that the second
/// would.
fn chained(user: usize, allowed: impl Fn(usize) -> bool) -> Vec<(usize, f64)> {
    let unseen = |item: &usize| !HISTORIES[user].contains(item) && allowed(*item);
    let rows: Vec<usize> =
        FACTORS_KNOW.filter(unseen).filter(|row| RULES_KNOW.contains(row)).collect();
    let score = |item: usize| {
        let parts = rows.iter().filter_map(|&row| Some(likes(user, row) * rule(row, item)?));
        let parts: Vec<f64> = parts.map(f64::from).collect();
        (!parts.is_empty()).then(|| (item, parts.iter().sum()))
    };
    ranked(RULES_KNOW.filter(unseen).filter_map(score))
}

fn names(list: &[(usize, f64)], count: usize) -> Vec<String> {
    list.iter().take(count).map(|(item, _)| format!("i{item:02}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_multiplies_what_is_liked_with_what_is_alike() {
    for shards in [1, 2, 5] {
        let mut served = Served::new(shards).await;
        served
            .serve("chain", product(ProductForm::Chain, vec![model("factors"), model("alike")]))
            .await;
        for user in 0..HISTORIES.len() {
            let name = format!("u{user}");
            let expected = chained(user, |_| true);
            let answer = served.recommend(served.request("chain", &name)).await;
            assert_eq!(ids(&answer.items), names(&expected, 5), "{name} of {shards} shards");
            for (item, (_, score)) in answer.items.iter().zip(&expected) {
                assert!((item.score - score).abs() < 1e-5, "{item:?} and not {score}");
            }
            assert_eq!(answer.coverage.expect("always there").shards_total, 2 * shards);
            // The items that contribute to the answer pass the filter too.
            let filter = Filter { include_tags: vec!["war".into()], ..Filter::default() };
            let request =
                RecommendRequest { filter: Some(filter), ..served.request("chain", &name) };
            let expected = chained(user, |item| GENRES[item % 3] == "war");
            let answer = served.recommend(request).await;
            let found = ids(&answer.items);
            assert_eq!(found[..expected.len().min(5)], names(&expected, 5));
        }
        // The items to rank do not limit the items that contribute to their scores.
        let request = RankItemsRequest {
            user_id: "u1".into(),
            item_ids: ["i13", "i11", "i09", "nonsense"].map(String::from).into(),
            surface: "chain".into(),
        };
        let answer = served.client.rank_items(request).await.expect("answered").into_inner();
        let all = |item: usize| {
            let parts = FACTORS_KNOW.filter(|row| RULES_KNOW.contains(row));
            let parts = parts.filter_map(|row| Some(likes(1, row) * rule(row, item)?));
            (item, parts.map(f64::from).sum())
        };
        let expected = ranked([13, 11, 9].into_iter().map(all));
        assert_eq!(ids(&answer.items), names(&expected, 3));
        assert_eq!(answer.unknown_item_ids, ["nonsense"]);
        // An unknown user gets popular items, and not the items that go with them.
        let answer = served.recommend(served.request("chain", "newcomer")).await;
        assert_eq!(ids(&answer.items), ["i00", "i01", "i02", "i03", "i04"]);
        assert_eq!(answer.fallback_reason(), FallbackReason::UnknownUser);
        served.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_without_rows_to_add_up_is_refused() {
    let mut served = Served::new(1).await;
    let root = product(ProductForm::Chain, vec![model("alike"), model("factors")]);
    let ensemble = Some(Ensemble { name: "wrong".into(), root: Some(root) });
    let request = PutEnsembleRequest { ensemble, ..PutEnsembleRequest::default() };
    let refused = served.control.put_ensemble(request).await.expect_err("refused");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let says = refused.message();
    assert!(
        says.contains("root.members[1]: model version factors@1 (matrix_factorisation)"),
        "{says}"
    );
    served.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_surface_denies_is_never_shown_there() {
    for shards in [1, 2, 5] {
        let mut served = Served::new(shards).await;
        served.serve("plain", product(ProductForm::Elementwise, vec![model("factors")])).await;
        let whole = |user: usize, keep: &dyn Fn(usize) -> bool| {
            let unseen = |item: &usize| !HISTORIES[user].contains(item) && keep(*item);
            let scores =
                FACTORS_KNOW.filter(unseen).map(|item| (item, f64::from(likes(user, item))));
            names(&ranked(scores), 5)
        };
        let best: Vec<String> = whole(1, &|_| true).into_iter().take(2).collect();
        let request = ChangeDenyListRequest {
            surface: "plain".into(),
            add_item_ids: best.iter().cloned().chain(["no-such-item".into()]).collect(),
            ..ChangeDenyListRequest::default()
        };
        served.control.change_deny_list(request).await.expect("changed");
        let is_denied = |item: usize| best.contains(&format!("i{item:02}"));
        // Until the router has the plan.
        for _ in 0..MAX_LOOKS {
            let answer = served.recommend(served.request("plain", "u1")).await;
            if !ids(&answer.items).contains(&best[0].as_str()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        for user in 0..HISTORIES.len() {
            let name = format!("u{user}");
            let answer = served.recommend(served.request("plain", &name)).await;
            assert_eq!(ids(&answer.items), whole(user, &|item| !is_denied(item)));
            // With filters of any selectivity, down to the denied items alone.
            for wanted in [
                Filter { include_tags: vec!["sea".into()], ..Filter::default() },
                Filter { include_item_ids: best.clone(), ..Filter::default() },
            ] {
                let keep = |item: usize| {
                    let tag = GENRES[item % 3].to_owned();
                    let id = format!("i{item:02}");
                    !is_denied(item)
                        && (wanted.include_tags.is_empty() || wanted.include_tags.contains(&tag))
                        && (wanted.include_item_ids.is_empty()
                            || wanted.include_item_ids.contains(&id))
                };
                let filter = Some(wanted.clone());
                let request = RecommendRequest { filter, ..served.request("plain", &name) };
                let answer = served.recommend(request).await;
                assert_eq!(ids(&answer.items), whole(user, &keep), "{wanted:?}");
            }
        }
        served.node.shutdown().await;
    }
}

/// A node whose list is diversified by these bounds.
fn spread(node: EnsembleNode, mmr_lambda: Option<f64>, max_per_tag: u32) -> EnsembleNode {
    let node = Some(Box::new(node));
    let spread = Diversify { node, mmr_lambda, max_per_tag, tag_caps: vec![] };
    EnsembleNode { kind: Some(Kind::Diversify(Box::new(spread))) }
}

#[tokio::test(flavor = "multi_thread")]
async fn diversification_spreads_the_list_by_vectors_and_tags() {
    for shards in [1, 2, 5] {
        let mut served = Served::new(shards).await;
        for (name, mmr_lambda, max_per_tag) in
            [("mmr", Some(0.4), 0), ("caps", None, 1), ("both", Some(0.4), 2)]
        {
            served.serve(name, spread(model("factors"), mmr_lambda, max_per_tag)).await;
            for (user, history) in HISTORIES.iter().enumerate() {
                let unseen = FACTORS_KNOW.filter(|item| !history.contains(item));
                let list = ranked(unseen.map(|item| (item, f64::from(likes(user, item)))));
                let facts: Vec<ItemFeatures> = list
                    .iter()
                    .map(|&(item, _)| ItemFeatures {
                        vector: (0..RANK).map(|at| factor(item, at)).collect(),
                        tags: vec![GENRES[item % 3].into()],
                    })
                    .collect();
                let candidates: Vec<Candidate> = list
                    .iter()
                    .map(|&(item, score)| Candidate {
                        item_id: format!("i{item:02}"),
                        score,
                        ..Candidate::default()
                    })
                    .collect();
                let how = Diversity {
                    mmr_lambda,
                    max_per_tag: Some(max_per_tag).filter(|&max| max > 0),
                    ..Diversity::default()
                };
                let expected = diversify(candidates.clone(), &facts, &how, 5);
                let expected: Vec<&str> = expected.iter().map(|it| it.item_id.as_str()).collect();
                let answer = served.recommend(served.request(name, &format!("u{user}"))).await;
                assert_eq!(ids(&answer.items), expected, "{name} for u{user}");
                if user == 1 {
                    let plain: Vec<&str> =
                        candidates.iter().take(5).map(|it| it.item_id.as_str()).collect();
                    assert_ne!(expected, plain, "{name} does something");
                }
            }
        }
        // Given items are ranked, and not chosen from.
        let request = RankItemsRequest {
            user_id: "u1".into(),
            item_ids: FACTORS_KNOW.map(|item| format!("i{item:02}")).collect(),
            surface: "caps".into(),
        };
        let answer = served.client.rank_items(request).await.expect("answered").into_inner();
        assert_eq!(answer.items.len(), FACTORS_KNOW.len());
        served.node.shutdown().await;
    }
}

/// Item, title and share of each part of a sum, the greatest three.
fn attributions(parts: impl Iterator<Item = (usize, f64)>) -> Vec<(String, String, f64)> {
    let parts = ranked(parts);
    let score: f64 = parts.iter().map(|(_, part)| part).sum();
    let name =
        |(item, part): &(usize, f64)| (format!("i{item:02}"), format!("Film {item}"), part / score);
    parts.iter().take(3).map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_names_what_carried_each_item() {
    for shards in [1, 2, 5] {
        let mut served = Served::new(shards).await;
        let members = vec![model("factors"), model("alike")];
        served.serve("alike", product(ProductForm::Elementwise, vec![model("alike")])).await;
        served.serve("chain", product(ProductForm::Chain, members)).await;
        for (user, history) in HISTORIES.iter().enumerate() {
            for surface in ["alike", "chain"] {
                let request = served.request(surface, &format!("u{user}"));
                let answer = served.recommend(RecommendRequest { explain: true, ..request }).await;
                for item in answer
                    .items
                    .iter()
                    .filter(|item| item.explanations.iter().any(|said| said.recipe == "item_knn"))
                {
                    let number: usize = item.item_id[1..].parse().expect("a number");
                    let rows: Vec<(usize, f64)> = match surface {
                        "alike" => history.iter().map(|&seen| (seen, 1.0)).collect(),
                        _ => FACTORS_KNOW
                            .filter(|row| RULES_KNOW.contains(row) && !history.contains(row))
                            .map(|row| (row, f64::from(likes(user, row))))
                            .collect(),
                    };
                    let parts = rows.into_iter().filter_map(|(row, weight)| {
                        Some((row, weight * f64::from(rule(row, number)?)))
                    });
                    let expected = attributions(parts);
                    let said = &item.explanations.last().expect("explained").attributions;
                    assert_eq!(said.len(), expected.len(), "{item:?}");
                    for (said, (id, title, share)) in said.iter().zip(expected) {
                        assert_eq!((&said.item_id, &said.title), (&id, &title), "{item:?}");
                        assert!((said.share - share).abs() < 1e-3, "{said:?} and not {share}");
                    }
                }
            }
        }
        let plain = served.recommend(served.request("alike", "u0")).await;
        assert!(plain.left_out.is_empty() && plain.items[0].explanations.is_empty());
        served.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_are_counted_and_not_named() {
    for shards in [1, 5] {
        let mut served = Served::new(shards).await;
        served
            .serve("neighbours", product(ProductForm::Elementwise, vec![model("neighbours")]))
            .await;
        for (user, history) in HISTORIES.iter().enumerate() {
            let request = served.request("neighbours", &format!("u{user}"));
            let answer = served.recommend(RecommendRequest { explain: true, ..request }).await;
            let common = |other: usize| {
                HISTORIES[other].iter().filter(|item| history.contains(item)).count()
            };
            for item in &answer.items {
                let number: usize = item.item_id[1..].parse().expect("a number");
                let lent = (0..HISTORIES.len()).filter(|&other| {
                    other != user && common(other) > 0 && HISTORIES[other].contains(&number)
                });
                let said = &item.explanations[0];
                let count = said.neighbours.map_or(0, |neighbours| neighbours.count);
                assert_eq!(count as usize, lent.count(), "{item:?}");
                assert!(said.attributions.is_empty());
                if count < 3 {
                    let likeness = said.neighbours.map_or(0.0, |it| it.mean_similarity);
                    assert_eq!(likeness, 0.0, "a few users have neighbours");
                }
            }
        }
        served.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_counts_what_was_left_out() {
    for shards in [1, 2, 5] {
        let mut served = Served::new(shards).await;
        served.serve("plain", product(ProductForm::Elementwise, vec![model("factors")])).await;
        let request = ChangeDenyListRequest {
            surface: "plain".into(),
            // Unlike tags; the second has been seen.
            add_item_ids: vec!["i01".into(), "i10".into(), "no-such-item".into()],
            ..ChangeDenyListRequest::default()
        };
        served.control.change_deny_list(request).await.expect("changed");
        let year = AttributeRange { attribute: "year".into(), min: Some(1991.0), max: None };
        let filter = Filter {
            exclude_item_ids: vec!["i09".into()],
            exclude_tags: vec!["sea".into()],
            ranges: vec![year],
            ..Filter::default()
        };
        let request = RecommendRequest {
            filter: Some(filter),
            recent_item_ids: vec!["i04".into()],
            explain: true,
            ..served.request("plain", "u3")
        };
        // By the first reason: i09 is excluded; i02, i05, i08, i11 are of the sea; i00 is too old; i01 and
        // i10 are denied; i04 is recent; i03 and i06 were seen, as were i08 and i10.
        let expected = [
            (LeftOutReason::Excluded, 1),
            (LeftOutReason::WithTag, 4),
            (LeftOutReason::OutOfRange, 1),
            (LeftOutReason::Denied, 2),
            (LeftOutReason::Recent, 1),
            (LeftOutReason::Seen, 2),
        ];
        let mut answer = served.recommend(request.clone()).await;
        // Until the router has the deny list.
        for _ in 0..MAX_LOOKS {
            if answer.left_out[0].counts.iter().any(|it| it.reason() == LeftOutReason::Denied) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
            answer = served.recommend(request.clone()).await;
        }
        let [left_out] = answer.left_out.as_slice() else { panic!("one model: {answer:?}") };
        assert_eq!(left_out.model.as_ref().expect("named").model, "factors");
        assert_eq!((left_out.items, left_out.candidates), (12, 1));
        let counts: Vec<_> = left_out.counts.iter().map(|it| (it.reason(), it.items)).collect();
        assert_eq!(counts, expected);
        assert_eq!(ids(&answer.items), ["i07"]);
        let include = Filter {
            include_item_ids: vec!["i07".into(), "i08".into()],
            include_tags: vec!["war".into()],
            ..Filter::default()
        };
        let request =
            RecommendRequest { filter: Some(include), recent_item_ids: vec![], ..request };
        let answer = served.recommend(request).await;
        let counts = answer.left_out[0].counts.iter().map(|it| (it.reason(), it.items));
        let expected = [(LeftOutReason::NotIncluded, 10), (LeftOutReason::WithoutTag, 1)];
        assert_eq!(counts.collect::<Vec<_>>(), expected);
        served.node.shutdown().await;
    }
}
