//! What is served is what was verified, whatever happens to the published directory.

mod support;

use marquee_bundle::BundleRoots;
use marquee_proto::shard::v1::{Operation, SearchOp};
use marquee_shard::{CopiesConfig, Shard, ShardConfig};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use support::{Catalogue, Cluster, NODE, available, reason_of};

fn config(directory: &Path, budget_bytes: u64) -> ShardConfig {
    let copies = Some(CopiesConfig { directory: directory.into(), budget_bytes });
    ShardConfig { copies, ..ShardConfig::default() }
}

/// The query of the first user for the best items of a version with one shard.
fn first_user(catalogue: &Catalogue, version: u64) -> SearchOp {
    SearchOp {
        version: support::version(version),
        shards: vec![0],
        matrix: "item_factors".into(),
        operation: Operation::DenseInnerProduct.into(),
        queries: vec![catalogue.query(0, 10)],
        ..SearchOp::default()
    }
}

async fn serves(cluster: &Cluster, catalogue: &Catalogue, version: u64) -> bool {
    let expected = &catalogue.ranking(&catalogue.user_factors[0], false)[..10];
    match cluster.search(first_user(catalogue, version)).await {
        Ok(found) => found[0].ordinals == expected,
        Err(_) => false,
    }
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test]
async fn what_happens_to_the_published_files_changes_nothing_that_is_served() {
    let catalogue = Catalogue::new(21);
    let own = tempfile::tempdir().expect("a directory");
    let directory = own.path().join("copies");
    let mut cluster = Cluster::start(config(&directory, 0));
    cluster.publish(&catalogue, 1, 1);
    assert!(available(&cluster.want(&[1]).await, 1));
    for path in files(&directory) {
        let mode = path.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o400, "{}", path.display());
    }
    let mode = directory.metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let published = cluster.path(1).join("shard-0000");
    for file in files(&published) {
        let length = file.metadata().expect("there").len() as usize;
        fs_err::write(&file, vec![0xff; length]).expect("overwritten in place");
        assert!(serves(&cluster, &catalogue, 1).await, "after writing {}", file.display());
        let opened = fs_err::OpenOptions::new().write(true).open(&file).expect("ours");
        opened.set_len(0).expect("truncated");
        assert!(serves(&cluster, &catalogue, 1).await, "after truncating {}", file.display());
    }
    fs_err::remove_dir_all(cluster.path(1)).expect("removed");
    assert!(serves(&cluster, &catalogue, 1).await, "after the published bundle is gone");

    // The next start of the node finds the copy by the digest, verifies it, and needs no published bundle.
    let Cluster { dir, plan, shard, .. } = cluster;
    shard.shutdown().await;
    let shard = Shard::start(config(&directory, 0), plan.subscribe(), NODE.into()).expect("a role");
    let api = shard.service();
    let cluster = Cluster { dir, plan, shard, api };
    assert!(available(&cluster.all_decided(&[1]).await, 1));
    assert!(serves(&cluster, &catalogue, 1).await);
}

#[tokio::test]
async fn a_damaged_copy_is_made_anew() {
    let catalogue = Catalogue::new(22);
    let own = tempfile::tempdir().expect("a directory");
    let mut cluster = Cluster::start(config(own.path(), 0));
    cluster.publish(&catalogue, 1, 1);
    cluster.want(&[1]).await;
    let Cluster { dir, plan, shard, .. } = cluster;
    shard.shutdown().await;
    let is_data = |path: &PathBuf| path.extension().is_some_and(|name| name == "dense");
    let damaged = files(own.path()).into_iter().find(is_data).expect("a matrix");
    fs_err::set_permissions(&damaged, std::fs::Permissions::from_mode(0o600)).expect("ours");
    let mut bytes = fs_err::read(&damaged).expect("ours");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs_err::write(&damaged, bytes).expect("ours");
    let shard = Shard::start(config(own.path(), 0), plan.subscribe(), NODE.into()).expect("a role");
    let api = shard.service();
    let cluster = Cluster { dir, plan, shard, api };
    assert!(available(&cluster.all_decided(&[1]).await, 1));
    assert!(serves(&cluster, &catalogue, 1).await);
}

#[tokio::test]
async fn copies_keep_to_their_budget_and_go_with_their_replica() {
    let catalogue = Catalogue::new(23);
    let other = Catalogue::new(24);
    let own = tempfile::tempdir().expect("a directory");
    let measured = tempfile::tempdir().expect("a directory");
    let manifest = catalogue.write(&measured.path().join("films"), 1);
    let bytes: u64 = manifest.shard_files(0).map(|file| file.bytes).sum();
    let budget = bytes + bytes / 2;
    let mut cluster =
        Cluster::start(ShardConfig { memory_budget_bytes: 0, ..config(own.path(), budget) });
    cluster.publish(&catalogue, 1, 1);
    cluster.publish(&other, 2, 1);
    let reports = cluster.want(&[1, 2]).await;
    let reason = reason_of(&reports, 2, 0);
    assert!(reason.contains("bundles.copy_budget_mib"), "{reason}");
    assert!(serves(&cluster, &catalogue, 1).await);
    // What an earlier start has left is removed for what is wanted now.
    cluster.make_live(&[2]);
    let Cluster { dir, plan, shard, .. } = cluster;
    shard.shutdown().await;
    let shard =
        Shard::start(config(own.path(), budget), plan.subscribe(), NODE.into()).expect("a role");
    let api = shard.service();
    let cluster = Cluster { dir, plan, shard, api };
    cluster.reports(|reports| available(reports, 2)).await;
    assert!(serves(&cluster, &other, 2).await);
    let left: u64 = files(own.path())
        .iter()
        .filter(|path| path.parent().is_some_and(|parent| parent.ends_with("shard-0000")))
        .map(|path| path.metadata().expect("there").len())
        .sum();
    assert!(left <= budget, "{left} bytes");
}

#[tokio::test]
async fn links_and_places_outside_the_roots_are_not_served() {
    let catalogue = Catalogue::new(25);
    let own = tempfile::tempdir().expect("a directory");
    let mut cluster = Cluster::start(config(own.path(), 0));
    cluster.publish(&catalogue, 1, 1);
    cluster.publish(&catalogue, 2, 1);
    // Shard 0 of version 2 is that of version 1, by a link.
    fs_err::remove_dir_all(cluster.path(2).join("shard-0000")).expect("removed");
    symlink(cluster.path(1).join("shard-0000"), cluster.path(2).join("shard-0000")).expect("ours");
    // Not shared with version 1, whose copy would do.
    let reason = reason_of(&cluster.want(&[2]).await, 2, 0);
    assert!(reason.contains("symbolic link"), "{reason}");

    let elsewhere = tempfile::tempdir().expect("a directory");
    let roots = BundleRoots::below(vec![elsewhere.path().into()]);
    let config = ShardConfig { bundle_roots: roots, ..config(&own.path().join("2"), 0) };
    let mut cluster = Cluster::start(config);
    cluster.publish(&catalogue, 1, 1);
    let reason = reason_of(&cluster.want(&[1]).await, 1, 0);
    assert!(reason.contains("is not below one of bundles.roots"), "{reason}");
}
