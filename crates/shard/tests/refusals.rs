//! Hostile requests: each is refused with a status that names the field, and the node goes on.

mod support;

use marquee_proto::shard::v1::shard_service_server::ShardService;
use marquee_proto::shard::v1::{
    DenyList, Entity, LookupKey, LookupOp, LookupRequest, Operation, Query, SearchOp, SearchRequest,
};
use marquee_proto::v1::{AttributeRange, Filter, ModelVersion};
use support::{Catalogue, Cluster, bytes_of, version};
use tonic::Code::{self, FailedPrecondition, InvalidArgument};
use tonic::Request;

fn good(catalogue: &Catalogue) -> SearchOp {
    SearchOp {
        version: version(1),
        shards: vec![0, 1],
        matrix: "item_factors".into(),
        operation: Operation::DenseInnerProduct.into(),
        queries: vec![catalogue.query(0, 5), catalogue.query(1, 5)],
        filters: vec![Filter::default()],
        deny_lists: Vec::new(),
    }
}

fn sparse(rows: Vec<u32>, weights: Vec<f32>) -> SearchOp {
    SearchOp {
        version: version(1),
        shards: vec![0, 1],
        matrix: "neighbours".into(),
        operation: Operation::SparseRowSum.into(),
        queries: vec![Query { count: 5, rows, weights, ..Query::default() }],
        filters: Vec::new(),
        deny_lists: Vec::new(),
    }
}

type Spoil = fn(&mut SearchOp);

#[tokio::test]
async fn searches() {
    let catalogue = Catalogue::new(1);
    let cluster = Cluster::with(&catalogue, 2).await;
    let range = |min, max| Filter {
        ranges: vec![AttributeRange { attribute: "year".into(), min, max }],
        ..Filter::default()
    };
    let cases: Vec<(Spoil, Code, &str)> = vec![
        (|op| op.version = None, InvalidArgument, "ops[0].version: it is missing"),
        (|op| op.version = version(2), FailedPrecondition, "films@2/0 is not AVAILABLE"),
        (
            |op| op.version = Some(ModelVersion { model: "games".into(), version: 1 }),
            FailedPrecondition,
            "games@1/0 is not AVAILABLE",
        ),
        (
            |op| op.version = Some(ModelVersion { model: "x".repeat(10_000), version: 1 }),
            InvalidArgument,
            "ops[0].version.model: 10000 bytes",
        ),
        (|op| op.shards = vec![0, 7], FailedPrecondition, "films@1/7 is not AVAILABLE"),
        (|op| op.shards = vec![1, 0, 1], InvalidArgument, "ops[0].shards: shard 1 is named twice"),
        (
            |op| op.queries[1].deny_list = 1,
            InvalidArgument,
            "ops[0].queries[1].deny_list: 1: the operation has 0 deny lists",
        ),
        (
            |op| op.deny_lists = vec![DenyList { item_ids: vec!["i".into(); 1_001] }],
            InvalidArgument,
            "ops[0].deny_lists[0].item_ids: 1001: at most 1000",
        ),
        (
            |op| op.deny_lists = vec![DenyList::default(); 1_001],
            InvalidArgument,
            "ops[0].deny_lists: 1001: at most 1000",
        ),
        (|op| op.shards.clear(), InvalidArgument, "ops[0].shards: name at least one"),
        (|op| op.operation = 0, InvalidArgument, "ops[0].operation: 0"),
        (|op| op.operation = 99, InvalidArgument, "ops[0].operation: 99"),
        (|op| op.matrix = "nothing".into(), InvalidArgument, "ops[0].matrix: "),
        (|op| op.matrix = "history".into(), InvalidArgument, "ops[0].matrix: "),
        (|op| op.queries[1].count = 0, InvalidArgument, "ops[0].queries[1].count: 0"),
        (|op| op.queries[1].count = 10_001, InvalidArgument, "ops[0].queries[1].count: 10001"),
        (
            |op| op.queries[0].vector = vec![0; 44].into(),
            InvalidArgument,
            "ops[0].queries[0].vector: 44 bytes: 12 values of 4 bytes",
        ),
        (|op| op.queries[0].vector = vec![0; 47].into(), InvalidArgument, "queries[0].vector: 47"),
        (
            |op| {
                op.queries[1].vector =
                    bytes_of(&[[1.0; 11].as_slice(), &[f32::NAN]].concat()).into()
            },
            InvalidArgument,
            "ops[0].queries[1].vector[11]: ",
        ),
        (
            |op| op.queries[1].vector = bytes_of(&[f32::INFINITY; 12]).into(),
            InvalidArgument,
            "ops[0].queries[1].vector[0]: ",
        ),
        (
            |op| op.queries[1].vector = bytes_of(&[f32::MAX; 12]).into(),
            InvalidArgument,
            "ops[0].queries[1]: ",
        ),
        (|op| op.queries[0].rows = vec![1], InvalidArgument, "ops[0].queries[0].rows: "),
        (|op| op.queries[0].weights = vec![1.0], InvalidArgument, "ops[0].queries[0].rows: "),
        (
            |op| op.queries[0].exclude_ordinals = vec![3, 300],
            InvalidArgument,
            "ops[0].queries[0].exclude_ordinals: there is no ordinal 300",
        ),
        (
            |op| op.queries[0].exclude_item_ids = vec![String::new(); 10_001],
            InvalidArgument,
            "ops[0].queries[0].exclude_item_ids: 10001",
        ),
        (|op| op.queries[1].filter = 2, InvalidArgument, "ops[0].queries[1].filter: 2"),
        (
            |op| op.filters[0].include_tags = vec![String::new(); 1_001],
            InvalidArgument,
            "ops[0].filters[0].include_tags: 1001 terms",
        ),
        (|op| op.filters = vec![Filter::default(); 1_001], InvalidArgument, "ops[0].filters: 1001"),
        (
            |op| op.queries = vec![Query::default(); 2],
            InvalidArgument,
            "ops[0].queries[0].count: 0",
        ),
    ];
    for (spoil, code, says) in cases {
        let mut op = good(&catalogue);
        spoil(&mut op);
        let status = cluster.search(op).await.expect_err(says);
        assert_eq!(status.code(), code, "{says}: {status:?}");
        assert!(status.message().contains(says), "{says}: {status:?}");
    }
    for (filter, says) in [
        (range(Some(f64::NAN), None), "ops[0].filters[1].ranges[0].min: it is NaN"),
        (range(None, Some(f64::NAN)), "ops[0].filters[1].ranges[0].max: it is NaN"),
        (range(Some(2.0), Some(1.0)), "ops[0].filters[1].ranges[0].max: 1 is below min, 2"),
    ] {
        let mut op = good(&catalogue);
        op.filters.push(filter);
        let status = cluster.search(op).await.expect_err(says);
        assert_eq!(status.code(), InvalidArgument, "{says}: {status:?}");
        assert!(status.message().starts_with(says), "{says}: {status:?}");
    }
    for (op, says) in [
        (sparse(vec![1, 2], vec![1.0]), "ops[0].queries[0].weights: 1 for 2 rows"),
        (sparse(vec![1, 300], vec![1.0; 2]), "ops[0].queries[0].rows: "),
        (sparse(vec![1, 2], vec![1.0, f32::NAN]), "ops[0].queries[0].weights[1]: "),
        (sparse(vec![1; 3], vec![f32::MAX; 3]), "ops[0].queries[0]: "),
        (sparse(vec![1], vec![f32::NEG_INFINITY]), "ops[0].queries[0].weights[0]: "),
    ] {
        let status = cluster.search(op).await.expect_err(says);
        assert_eq!(status.code(), InvalidArgument, "{says}: {status:?}");
        assert!(status.message().starts_with(says), "{says}: {status:?}");
    }
    let mut op = sparse(Vec::new(), Vec::new());
    op.queries[0].vector = vec![0; 4].into();
    let status = cluster.search(op).await.expect_err("a vector");
    assert!(status.message().starts_with("ops[0].queries[0].vector: "), "{status:?}");

    // Too much at once: operations, queries, results.
    let status = cluster.search_all(vec![good(&catalogue); 1_001]).await.expect_err("operations");
    assert!(status.message().starts_with("ops: 1001"), "{status:?}");
    let mut op = good(&catalogue);
    op.queries = vec![catalogue.query(0, 1); 16_001];
    let status = cluster.search(op).await.expect_err("queries");
    assert!(status.message().starts_with("ops: 16001 queries"), "{status:?}");
    let mut op = good(&catalogue);
    op.queries = vec![catalogue.query(0, 10_000); 401];
    let status = cluster.search(op).await.expect_err("results");
    assert!(status.message().starts_with("ops: 4010000 results"), "{status:?}");

    let mut op = good(&catalogue);
    op.queries = vec![catalogue.query(0, 250); 16_000];
    let status = cluster.search(op).await.expect_err("an answer beyond any message");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");

    // After all that it answers as before.
    assert_eq!(cluster.search(good(&catalogue)).await.expect("an answer").len(), 2);
}

#[tokio::test]
async fn lookups() {
    let catalogue = Catalogue::new(2);
    let cluster = Cluster::with(&catalogue, 2).await;
    let good = LookupOp {
        version: version(1),
        entity: Entity::User.into(),
        keys: vec![LookupKey { shard: 0, id: "user-1".into() }],
        dense_matrix: "user_factors".into(),
        sparse_matrix: "history".into(),
        ..LookupOp::default()
    };
    let key = |shard, id: &str| vec![LookupKey { shard, id: id.into() }];
    let cases = [
        (LookupOp { version: None, ..good.clone() }, "ops[0].version: it is missing"),
        (LookupOp { entity: 0, ..good.clone() }, "ops[0].entity: 0"),
        (LookupOp { entity: -3, ..good.clone() }, "ops[0].entity: -3"),
        (LookupOp { keys: key(0, ""), ..good.clone() }, "ops[0].keys[0].id"),
        (LookupOp { keys: key(0, &"x".repeat(257)), ..good.clone() }, "ops[0].keys[0].id"),
        (LookupOp { dense_matrix: "history".into(), ..good.clone() }, "ops[0].dense_matrix: "),
        (
            LookupOp { dense_matrix: "item_factors".into(), ..good.clone() },
            "ops[0].dense_matrix: \"item_factors\" has rows of items, not of users",
        ),
        (LookupOp { sparse_matrix: "nothing".into(), ..good.clone() }, "ops[0].sparse_matrix: "),
        (LookupOp { sparse_matrix: "popularity".into(), ..good.clone() }, "ops[0].sparse_matrix: "),
        (
            LookupOp { entity: Entity::Item.into(), dense_matrix: String::new(), ..good.clone() },
            "ops[0].sparse_matrix: \"history\" has no rows of items",
        ),
        (LookupOp { keys: vec![good.keys[0].clone(); 88_001], ..good.clone() }, "ops: 88001 keys"),
    ];
    for (op, says) in cases {
        let request = LookupRequest { plan_epoch: 1, ops: vec![op] };
        let status = cluster.look_up(request).await.expect_err(says);
        assert_eq!(status.code(), InvalidArgument, "{says}: {status:?}");
        assert!(status.message().starts_with(says), "{says}: {status:?}");
    }
    let op = LookupOp { keys: key(2, "user-1"), ..good.clone() };
    let request = LookupRequest { plan_epoch: 1, ops: vec![good.clone(), op] };
    let status = cluster.look_up(request).await.expect_err("no such shard");
    assert_eq!(status.code(), FailedPrecondition);
    assert!(status.message().starts_with("films@1/2 is not AVAILABLE"), "{status:?}");
    let request = LookupRequest { plan_epoch: 1, ops: vec![good] };
    assert!(cluster.look_up(request).await.is_ok());
}

#[tokio::test]
async fn deadlines() {
    let catalogue = Catalogue::new(3);
    let cluster = Cluster::with(&catalogue, 2).await;
    let search_within = |timeout: &str| {
        let mut request =
            Request::new(SearchRequest { plan_epoch: 1, ops: vec![good(&catalogue)] });
        request.metadata_mut().insert("grpc-timeout", timeout.parse().expect("a header"));
        cluster.api.search(request)
    };
    assert_eq!(search_within("0n").await.expect_err("too late").code(), Code::DeadlineExceeded);
    assert_eq!(search_within("soon").await.expect_err("nonsense").code(), InvalidArgument);
    assert!(search_within("60S").await.is_ok());
}

#[tokio::test]
async fn a_node_without_a_plan_has_nothing() {
    let cluster = Cluster::start(marquee_shard::ShardConfig::default());
    let status = cluster.search(good(&Catalogue::new(4))).await.expect_err("nothing here");
    assert_eq!(status.code(), FailedPrecondition);
    assert!(cluster.look_up(LookupRequest::default()).await.is_ok(), "an empty call is a ping");
    let api = std::sync::Arc::clone(&cluster.api);
    cluster.shard.shutdown().await;
    let search = Request::new(SearchRequest { plan_epoch: 1, ops: Vec::new() });
    assert!(api.search(search).await.is_ok(), "and still is while the process goes down");
}
