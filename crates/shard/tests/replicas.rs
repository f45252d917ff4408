//! The life of replicas on a real disk: what is damaged or doesn't fit fails with a reason while
//! everything else answers, and a swap costs no call.

mod support;

use marquee_bundle::{KeyKind, SignedTerms, TrustedKeys, generate_keys, sign_bundle};
use marquee_core::command::ReplicaReport;
use marquee_core::id::ModelVersion;
use marquee_core::plan::ReplicaState;
use marquee_proto::shard::v1::shard_service_server::ShardService as _;
use marquee_proto::shard::v1::{Operation, SearchOp, SearchRequest};
use marquee_shard::ShardConfig;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use support::{Catalogue, Cluster, available, home, reason_of, version};
use tonic::{Code, Request};

fn first_user(catalogue: &Catalogue, of_version: u64, shards: u32) -> SearchOp {
    SearchOp {
        version: version(of_version),
        shards: (0..shards).collect(),
        matrix: "item_factors".into(),
        operation: Operation::DenseInnerProduct.into(),
        queries: vec![catalogue.query(0, 10)],
        filters: Vec::new(),
        deny_lists: Vec::new(),
    }
}

/// Whether the node answers, and rightly, from this version.
async fn answers(cluster: &Cluster, catalogue: &Catalogue, version: u64, shards: u32) -> bool {
    let expected = catalogue.ranking(&catalogue.user_factors[0], false);
    match cluster.search(first_user(catalogue, version, shards)).await {
        Ok(found) => {
            assert_eq!(found[0].ordinals, expected[..10]);
            true
        }
        Err(status) => {
            assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
            false
        }
    }
}

#[tokio::test]
async fn a_damaged_shard_fails_with_its_file_and_the_others_serve() {
    let catalogue = Catalogue::new(1);
    let mut cluster = Cluster::start(ShardConfig::default());
    cluster.publish(&catalogue, 1, 2);
    cluster.publish(&catalogue, 2, 2);
    let file = cluster.path(2).join("shard-0001").join("item_factors.dense");
    let mut bytes = fs_err::read(&file).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(&file, &bytes).expect("damage done");
    let reports = cluster.want(&[1, 2]).await;
    let reason = reason_of(&reports, 2, 1);
    assert!(reason.contains("item_factors.dense") && reason.contains("damaged"), "{reason}");
    assert!(answers(&cluster, &catalogue, 1, 2).await);
    assert!(!answers(&cluster, &catalogue, 2, 2).await);
    let whole = cluster.search(first_user(&catalogue, 2, 1)).await.expect("shard 0 is whole");
    assert!(whole[0].item_ids.iter().all(|id| home(id, 2) == 0));
    // Once the file is repaired, the replica is tried again by itself, and answers.
    bytes[middle] ^= 1;
    fs_err::write(&file, &bytes).expect("repaired");
    cluster.reports(|reports| available(reports, 2)).await;
    assert!(answers(&cluster, &catalogue, 2, 2).await);
}

#[tokio::test]
async fn only_the_bundle_that_was_published_is_served() {
    let catalogue = Catalogue::new(2);
    let mut cluster = Cluster::start(ShardConfig::default());
    cluster.publish(&catalogue, 1, 1);
    // Another one, as whole as it can be, takes its place.
    fs_err::remove_dir_all(cluster.path(1)).expect("removed");
    Catalogue::new(3).write(&cluster.path(1), 1);
    let reason = reason_of(&cluster.want(&[1]).await, 1, 0);
    assert!(reason.contains("is not the one that was published"), "{reason}");
    assert!(!answers(&cluster, &catalogue, 1, 1).await);

    cluster.publish(&catalogue, 2, 1);
    cluster.publish(&catalogue, 3, 1);
    cluster.publish(&catalogue, 4, 1);
    fs_err::remove_dir_all(cluster.path(2)).expect("removed");
    fs_err::write(cluster.path(3).join("shard-0000").join("more"), "?").expect("a stray file");
    cluster.change(|plan| {
        let published = plan.versions.get_mut(&ModelVersion::new("films", 4)).expect("published");
        published.bundle_uri = "s3://bucket/films-4".into();
    });
    let reports = cluster.want(&[2, 3, 4]).await;
    for (version, says) in [(2, "manifest.json is missing"), (3, "more"), (4, "an object store")] {
        let reason = reason_of(&reports, version, 0);
        assert!(reason.contains(says), "{reason}");
    }
}

#[tokio::test]
async fn where_keys_are_trusted_only_bundles_signed_by_them_are_served() {
    let catalogue = Catalogue::new(4);
    let keys = tempfile::tempdir().expect("a directory");
    let (secret, public) = (keys.path().join("secret"), keys.path().join("public"));
    generate_keys(&secret, &public, KeyKind::P256).expect("keys");
    let mut trusted_keys = TrustedKeys::none();
    trusted_keys.add_file(&public).expect("a key");
    let mut cluster = Cluster::start(ShardConfig { trusted_keys, ..ShardConfig::default() });
    cluster.publish(&catalogue, 1, 1);
    cluster.publish(&catalogue, 2, 1);
    sign_bundle(&cluster.path(2), &secret, SignedTerms::default()).expect("signed");
    let reports = cluster.want(&[1, 2]).await;
    let reason = reason_of(&reports, 1, 0);
    assert!(reason.contains("not signed"), "{reason}");
    assert!(available(&reports, 2));
    assert!(answers(&cluster, &catalogue, 2, 1).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_costs_no_call() {
    let (old, new) = (Arc::new(Catalogue::new(5)), Arc::new(Catalogue::new(6)));
    let mut cluster = Cluster::with(&old, 2).await;
    cluster.publish(&new, 2, 3);
    let (live, stop) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicBool::new(false)));
    // Calls answered from each version, by each caller.
    let calls: Arc<[[AtomicU64; 2]; 4]> = Arc::default();
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let (live, stop, api) = (live.clone(), stop.clone(), cluster.api.clone());
            let calls = calls.clone();
            let catalogues = [(old.clone(), 2), (new.clone(), 3)];
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // As a router does: it names the version of the plan that it follows.
                    let version = live.load(Ordering::Relaxed);
                    let (catalogue, shards) = &catalogues[version as usize - 1];
                    let ops = vec![first_user(catalogue, version, *shards)];
                    let request = Request::new(SearchRequest { plan_epoch: version, ops });
                    let found = api.search(request).await.expect("an answer").into_inner();
                    let expected = catalogue.ranking(&catalogue.user_factors[0], false);
                    assert_eq!(found.results[0].queries[0].ordinals, expected[..10]);
                    calls[caller][version as usize - 1].fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let answered = async |version: usize| {
        while !calls.iter().all(|calls| calls[version - 1].load(Ordering::Relaxed) > 0) {
            assert!(!callers.iter().any(|caller| caller.is_finished()), "a call failed");
            tokio::task::yield_now().await;
        }
    };
    // Both, as in a rollout; then traffic moves; then the old one isn't wanted any more.
    answered(1).await;
    cluster.want(&[1, 2]).await;
    live.store(2, Ordering::Relaxed);
    answered(2).await;
    cluster.make_live(&[2]);
    let unloading = |report: &ReplicaReport| report.replica.state == ReplicaState::Unloading;
    let reports =
        cluster.reports(|reports| reports.iter().filter(|r| unloading(r)).count() == 2).await;
    assert!(reports.iter().all(|report| unloading(report) == (report.version.version == 1)));
    // A router that hasn't heard of it yet still gets its answers.
    assert!(answers(&cluster, &old, 1, 2).await);
    // And when the plan changes its mind, the old one is there at once.
    cluster.want(&[1, 2]).await;
    live.store(1, Ordering::Relaxed);
    assert!(answers(&cluster, &old, 1, 2).await);
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("no call failed");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_what_lingers_makes_room() {
    let catalogue = Catalogue::new(7);
    let measured = tempfile::tempdir().expect("a directory");
    let bytes = catalogue.write(&measured.path().join("films"), 1).shard_bytes(0);
    // Room for one bundle and a half.
    let budget = bytes + bytes / 2;
    let config = ShardConfig { memory_budget_bytes: budget, ..ShardConfig::default() };
    let mut cluster = Cluster::start(config);
    cluster.publish(&catalogue, 1, 1);
    cluster.publish(&catalogue, 2, 1);
    let reports = cluster.want(&[1, 2]).await;
    let reason = reason_of(&reports, 2, 0);
    let says =
        format!("needs {bytes} bytes, but of this node's memory budget of {budget} bytes {bytes}");
    assert!(reason.contains(&says), "{reason}");
    assert!(answers(&cluster, &catalogue, 1, 1).await);
    assert!(!answers(&cluster, &catalogue, 2, 1).await);
    // The other way round: memory is needed, so the old one goes before its grace is over.
    cluster.make_live(&[2]);
    let reports = cluster.reports(|reports| available(reports, 2)).await;
    assert_eq!(reports.len(), 1);
    assert!(answers(&cluster, &catalogue, 2, 1).await);
    assert!(!answers(&cluster, &catalogue, 1, 1).await);
}

#[tokio::test]
async fn nothing_is_lost_when_control_is_gone() {
    let catalogue = Catalogue::new(8);
    let Cluster { dir, plan, shard, api } = Cluster::with(&catalogue, 1).await;
    drop(plan);
    let ops = vec![first_user(&catalogue, 1, 1)];
    let request = || Request::new(SearchRequest { plan_epoch: 1, ops: ops.clone() });
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(api.search(request()).await.is_ok());
    }
    shard.shutdown().await;
    assert_eq!(api.search(request()).await.expect_err("closed").code(), Code::Unavailable);
    drop(dir);
}
