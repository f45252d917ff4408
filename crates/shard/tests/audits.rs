//! Some of the approximate answers are searched for again, exactly, and their recall is counted.

mod support;

use marquee_bundle::{BundleInput, IndexKind, IndexMode, IndexOptions, ItemRecord};
use marquee_core::ranking::strategy::SearchStrategy;
use marquee_proto::shard::v1::{Operation, Query, QueryResult, SearchOp};
use marquee_shard::ShardConfig;
use std::time::{Duration, Instant};
use support::{Catalogue, Cluster, Random, bytes_of, version};

const ITEMS: usize = 30_000;
const RANK: usize = 48;
const CLUSTERS: usize = 30;
/// Far more than a few audits take, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Items in clusters, in numbers that make approximate searches pay.
fn large() -> (BundleInput, Vec<Vec<f32>>) {
    let mut random = Random(11);
    let mut vector = || -> Vec<f32> { (0..RANK).map(|_| random.next() - 0.5).collect() };
    let centres: Vec<Vec<f32>> = (0..CLUSTERS).map(|_| vector()).collect();
    let items: Vec<f32> = (0..ITEMS)
        .flat_map(|item| {
            let noise = vector();
            let centre = centres[item % CLUSTERS].clone();
            centre.into_iter().zip(noise).map(|(value, noise)| value + noise)
        })
        .collect();
    let users: Vec<Vec<f32>> = (0..support::USERS).map(|_| vector()).collect();
    let mut input = Catalogue::new(1).input(1);
    input.items = (0..ITEMS)
        .map(|item| ItemRecord { id: item.to_string(), ..ItemRecord::default() })
        .collect();
    input.popularity = vec![0.0; ITEMS];
    (input.history, input.sparse) = (None, Vec::new());
    input.dense[0].data = users.concat();
    input.dense[1].data = items;
    input.dense[1].index = Some(IndexOptions {
        mode: IndexMode::Always,
        kind: IndexKind::Cells,
        ..IndexOptions::default()
    });
    for dense in &mut input.dense {
        dense.rank = RANK;
    }
    (input, users)
}

async fn ask(cluster: &Cluster, vector: &[f32], count: u32) -> QueryResult {
    let query = Query { count, vector: bytes_of(vector).into(), ..Query::default() };
    let op = SearchOp {
        version: version(1),
        shards: vec![0],
        matrix: "item_factors".into(),
        operation: Operation::DenseInnerProduct.into(),
        queries: vec![query],
        filters: Vec::new(),
        deny_lists: Vec::new(),
    };
    cluster.search(op).await.expect("an answer").remove(0)
}

#[tokio::test]
async fn approximate_answers_are_audited() {
    let (input, users) = large();
    let mut cluster = Cluster::start(ShardConfig::default());
    cluster.publish_input(input, 1);
    cluster.want(&[1]).await;
    let mut approximate = 0;
    let began = Instant::now();
    while cluster.api.spent().recall.audited()[2].searches < 5 {
        assert!(began.elapsed() < PATIENCE, "{approximate} approximate answers, and no audit");
        for vector in &users {
            let found = ask(&cluster, vector, 300).await;
            let used: Vec<_> = found.strategies().filter_map(|used| used.known()).collect();
            approximate += usize::from(used == [SearchStrategy::Cells]);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let [few, _, many] = cluster.api.spent().recall.audited();
    let mean = many.mean().expect("audited");
    assert!((0.9..=1.0).contains(&mean) && many.worst <= mean, "{many:?}");
    assert!(many.searches <= approximate as u64, "{many:?} of {approximate}");
    assert_eq!(few.searches, 0, "nothing was asked for so few");
    cluster.shard.shutdown().await;
}
