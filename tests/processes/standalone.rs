//! One process with all roles, from interactions to a promoted second version.

use crate::support::caller::{Caller, client, request};
use crate::support::data::{Bundles, ITEMS};
use crate::support::eventually;
use crate::support::process::{Server, free_port, marquee_ok};
use marquee_proto::v1::{
    BatchRecommendRequest, FallbackReason, Filter, RankItemsRequest, SimilarItemsRequest, Variant,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// `marquee serve --standalone` on a bundle, ready.
pub(crate) struct Standalone {
    pub(crate) server: Server,
    pub(crate) endpoint: String,
}

impl Standalone {
    pub(crate) async fn start(dir: &Path, bundle: &Path) -> Self {
        Self::started(dir, bundle, None).await
    }

    /// The same with so many files that the process may have open.
    pub(crate) async fn start_with_files(dir: &Path, bundle: &Path, open_files: u32) -> Self {
        Self::started(dir, bundle, Some(open_files)).await
    }

    async fn started(dir: &Path, bundle: &Path, open_files: Option<u32>) -> Self {
        let port = free_port();
        let args = ["serve", "--standalone", "--bundle"].map(String::from);
        let mut args = args.to_vec();
        args.extend([bundle.display().to_string(), "--listen".into(), format!("127.0.0.1:{port}")]);
        args.extend(["--data-dir".into(), dir.join("standalone").display().to_string()]);
        let server = match open_files {
            None => Server::start(dir, "standalone", args),
            Some(limit) => Server::start_with_files(dir, "standalone", args, limit),
        };
        let endpoint = format!("http://127.0.0.1:{port}");
        let caller = client(&endpoint);
        eventually("the standalone node answers", || async {
            caller.clone().recommend(request("user-1")).await.is_ok()
        })
        .await;
        Self { server, endpoint }
    }

    pub(crate) fn ctl(&self, args: &[&str]) -> String {
        marquee_ok(["ctl", "--endpoint", &self.endpoint].iter().chain(args))
    }
}

/// The items of each user in the interactions file.
fn histories() -> BTreeMap<String, BTreeSet<String>> {
    let csv = crate::support::data::interactions();
    let mut histories: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in csv.lines().skip(1) {
        let mut fields = line.split(',').map(str::to_owned);
        if let (Some(user), Some(item)) = (fields.next(), fields.next()) {
            histories.entry(user).or_default().insert(item);
        }
    }
    histories
}

#[tokio::test(flavor = "multi_thread")]
async fn from_interactions_to_a_promoted_second_version() {
    let bundles = Bundles::new();
    let first = bundles.train(4, 3);
    let second = bundles.train(12, 3);
    let mut node = Standalone::start(bundles.path(), &first).await;
    let caller = Caller::start(vec![node.endpoint.clone()]);

    let published: serde_json::Value =
        serde_json::from_str(&node.ctl(&["publish", &second.display().to_string(), "--json"]))
            .expect("JSON");
    assert_eq!(published["version"].to_string().trim_matches('"'), "2", "{published}");
    let started = node.ctl(&[
        "rollout",
        "start",
        "--surface",
        "default",
        "--candidate",
        "films@2",
        "--steps",
        "10%:1s,50%:3s,100%:1s",
        "--json",
    ]);
    let started: serde_json::Value = serde_json::from_str(&started).expect("JSON");
    let rollout_id = find(&started, "rolloutId").expect("an id").as_str().expect("text").to_owned();
    node.ctl(&["rollout", "watch", &rollout_id]);
    let status = node.ctl(&["rollout", "status", &rollout_id]);
    assert!(status.contains("PROMOTED"), "{status}");

    let mut recommender = client(&node.endpoint);
    eventually("all users have version 2", || {
        let mut recommender = recommender.clone();
        async move {
            let answer =
                recommender.recommend(request("user-1")).await.expect("answered").into_inner();
            let served_by = answer.served_by.expect("set");
            served_by.models[0].version == 2 && served_by.variant() == Variant::Unspecified
        }
    })
    .await;
    let answers = caller.stop().await;
    answers.assert_perfect();
    answers.assert_sticky_and_monotone(&rollout_id);

    // Shares: some epoch was at 10 % and some at 50 %, each within 3 standard errors.
    let mut shares: BTreeMap<u64, (f64, usize)> = BTreeMap::new();
    for (_, answer) in &answers.ok {
        let epoch = answer.served_by.as_ref().expect("set").plan_epoch;
        shares.entry(epoch).or_insert_with(|| answers.share(&rollout_id, epoch));
    }
    for weight in [0.1_f64, 0.5] {
        let fits = |&(share, users): &(f64, usize)| {
            users >= 100
                && (share - weight).abs() <= 3.0 * (weight * (1.0 - weight) / users as f64).sqrt()
        };
        assert!(shares.values().any(fits), "no epoch with a share of {weight}: {shares:?}");
    }

    // A person's list has no seen item, and the same batch gives the same lists.
    let histories = histories();
    let requests: Vec<_> = histories.keys().map(|user| request(user)).collect();
    let batch = BatchRecommendRequest { requests };
    let batch = recommender.batch_recommend(batch).await.expect("answered").into_inner();
    assert_eq!(batch.responses.len(), histories.len());
    for ((user, seen), answer) in histories.iter().zip(&batch.responses) {
        let items: Vec<_> = answer.items.iter().map(|item| item.item_id.clone()).collect();
        assert_eq!(items.len(), 10);
        assert!(items.iter().all(|item| !seen.contains(item)), "{user} has seen some of {items:?}");
        assert!(answer.items.windows(2).all(|pair| pair[0].score >= pair[1].score));
    }
    let single = recommender.recommend(request("user-7")).await.expect("answered").into_inner();
    let at = histories.keys().position(|user| user == "user-7").expect("known");
    assert_eq!(single.items, batch.responses[at].items);

    assert!(node.server.stop().success(), "SIGTERM drains and exits 0");
}

/// The usage that the process reports, by `marquee load`.
#[tokio::test(flavor = "multi_thread")]
async fn load_prints_what_an_answer_costs_the_server() {
    let bundles = Bundles::new();
    let bundle = bundles.train(8, 2);
    let node = Standalone::start(bundles.path(), &bundle).await;
    let bundle = bundle.display().to_string();
    let load = ["load", "--endpoint", &node.endpoint, "--server", &node.endpoint];
    let how = ["--bundle", &bundle, "--rate", "200", "--duration", "1s", "--json"];
    let report: serde_json::Value =
        serde_json::from_str(&marquee_ok(load.iter().chain(&how))).expect("JSON");
    let cost = &report["server"];
    assert_eq!(cost["processes"], 1, "asked twice, counted once: {report}");
    let us = |part: &str| cost[format!("{part}_us")].as_f64().expect("a number");
    let parts = ["search", "lookup", "merge", "grpc", "rest"].map(us);
    // An answer takes some microseconds of CPU in any build, and less than a second's worth.
    assert!((10.0..1e6).contains(&us("cpu")), "{report}");
    assert!(parts[..4].iter().all(|part| *part > 0.0), "{report}");
    assert!((parts.iter().sum::<f64>() - us("cpu")).abs() < 1.0, "{report}");
    // Two shards, too small for an index.
    assert_eq!(cost["searches"], serde_json::json!({ "scan": 2.0 }), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_keeps_its_word() {
    let bundles = Bundles::new();
    let node = Standalone::start(bundles.path(), &bundles.train(8, 2)).await;
    let mut recommender = client(&node.endpoint);

    let unknown =
        recommender.recommend(request("unknown-user")).await.expect("no error").into_inner();
    assert_eq!(unknown.fallback_reason(), FallbackReason::UnknownUser);
    assert_eq!(unknown.items.len(), 10, "popular items");

    // Filters: by tag, by year, by id; exactly.
    let filter = |filter: Filter| {
        let mut request = request("user-1");
        request.filter = Some(filter);
        request.count = 1_000;
        request
    };
    let tagged =
        Filter { include_tags: vec!["Group3".into()], include_seen: true, ..Filter::default() };
    let answer = recommender.recommend(filter(tagged)).await.expect("answered").into_inner();
    let groups: BTreeSet<u32> = answer
        .items
        .iter()
        .map(|item| (item.item_id.parse::<u32>().expect("a number") - 1) % 5)
        .collect();
    assert_eq!(groups, BTreeSet::from([3]));
    let old = marquee_proto::v1::AttributeRange {
        attribute: "year".into(),
        min: None,
        max: Some(1960.0),
    };
    let old = Filter { ranges: vec![old], include_seen: true, ..Filter::default() };
    let answer = recommender.recommend(filter(old)).await.expect("answered").into_inner();
    assert!(!answer.items.is_empty());
    assert!(answer.items.iter().all(|item| item.title.contains("(19")), "{:?}", answer.items);

    // An item without a title has an empty one.
    let last = ITEMS.to_string();
    let only =
        Filter { include_item_ids: vec![last.clone()], include_seen: true, ..Filter::default() };
    let answer = recommender.recommend(filter(only)).await.expect("answered").into_inner();
    if let Some(item) = answer.items.first() {
        assert_eq!((item.item_id.as_str(), item.title.as_str()), (last.as_str(), ""));
    }

    let similar =
        SimilarItemsRequest { item_id: "1".into(), count: 20, ..SimilarItemsRequest::default() };
    let similar = recommender.similar_items(similar).await.expect("answered").into_inner();
    let same_group = similar
        .items
        .iter()
        .filter(|item| (item.item_id.parse::<u32>().expect("a number") - 1) % 5 == 0);
    assert!(same_group.count() >= 10, "items of a group are similar: {:?}", similar.items);
    assert!(similar.items.iter().all(|item| item.item_id != "1"), "not itself");

    let rank = RankItemsRequest {
        user_id: "user-1".into(),
        item_ids: ["3", "no-such", "2", "1", "2"].map(String::from).to_vec(),
        ..RankItemsRequest::default()
    };
    let ranked = recommender.rank_items(rank).await.expect("answered").into_inner();
    assert_eq!(ranked.unknown_item_ids, ["no-such"]);
    let ids: BTreeSet<_> = ranked.items.iter().map(|item| item.item_id.as_str()).collect();
    assert_eq!((ranked.items.len(), ids), (3, BTreeSet::from(["1", "2", "3"])));

    let mut explained = request("user-1");
    explained.explain = true;
    let explained = recommender.recommend(explained).await.expect("answered").into_inner();
    let explanation = &explained.items[0].explanations[0];
    assert_eq!((explanation.recipe.as_str(), explanation.rank), ("matrix_factorisation", 1));
    assert_eq!(explanation.search, "scan", "too small for an index");
}

/// The value of the first key of this name, at any depth.
fn find<'v>(value: &'v serde_json::Value, key: &str) -> Option<&'v serde_json::Value> {
    match value {
        serde_json::Value::Object(fields) => {
            fields.get(key).or_else(|| fields.values().find_map(|field| find(field, key)))
        }
        serde_json::Value::Array(values) => values.iter().find_map(|value| find(value, key)),
        _ => None,
    }
}
