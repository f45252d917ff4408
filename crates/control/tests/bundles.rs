//! Publishing real bundles from a disk: what is taken from the manifest, and what is refused.

use marquee_bundle::{
    BundleInput, BundleRoots, ItemRecord, KeyKind, Quality, SignedTerms, TrustedKeys,
    generate_keys, sign_bundle, write_bundle,
};
use marquee_control::bundles::{DeleteError, Directories, ManifestSource as _, delete_bundle};
use marquee_control::{Control, ControlConfig, DEFAULT_MIN_INDEX_RECALL};
use marquee_core::model::recipe::Recipe;
use marquee_proto::control::v1 as pb;
use marquee_proto::control::v1::control_service_server::ControlService as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tonic::{Code, Request};

/// Writes a small bundle whose model has this recall where popularity has 0.2.
fn bundle(directory: &Path, name: &str, recall: f64) -> PathBuf {
    let path = directory.join(name);
    let item = |id: u32| ItemRecord { id: id.to_string(), ..ItemRecord::default() };
    let input = BundleInput {
        model: "films".into(),
        recipe: Recipe::Popularity,
        kind: "popularity".into(),
        shards: 2,
        items: (0..10).map(item).collect(),
        users: vec!["a-user".into()],
        terms: Vec::new(),
        dense: Vec::new(),
        history: None,
        popularity: vec![1.0; 10],
        sparse: Vec::new(),
        quality: Quality {
            recall_at_20: Some(recall),
            popularity_recall_at_20: Some(0.2),
            ..Quality::default()
        },
        parameters: BTreeMap::from([("name".into(), name.into())]),
        forgotten: None,
        created_at_ms: 1,
    };
    write_bundle(input, &path, &|_| {}).expect("a sound bundle");
    path
}

#[test]
fn facts_come_from_the_manifest() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = bundle(directory.path(), "one", 0.3);
    let source = Directories::new(TrustedKeys::none(), BundleRoots::anywhere());
    let plain = source.read(path.to_str().expect("plain")).expect("sound");
    assert_eq!(plain.model, "films");
    assert_eq!((plain.version.shards, plain.version.users, plain.version.items), (2, 1, 10));
    let files = std::fs::read_dir(path.join("shard-0000")).expect("there");
    let bytes = files.map(|file| file.expect("there").metadata().expect("there").len());
    assert!(plain.version.bytes > bytes.sum(), "{}", plain.version.bytes);
    assert_eq!(plain.version.manifest_digest.len(), 64);
    let uri = format!("file://{}", path.display());
    let with_scheme = source.read(&uri).expect("sound");
    assert_eq!(with_scheme.version.manifest_digest, plain.version.manifest_digest);
    assert_eq!(with_scheme.version.bundle_uri, uri);
}

#[tokio::test]
async fn only_sound_and_useful_bundles_are_published_each_once() {
    let directory = TempDir::new().expect("a temporary directory");
    let config = ControlConfig {
        node_ids: Default::default(),
        connector: Default::default(),
        cluster_name: "test".into(),
        id: 1,
        voters: vec![(1, "http://127.0.0.1:1".into())],
        join: false,
        data_dir: directory.path().join("control"),
        replication_factor: 1,
        trusted_keys: TrustedKeys::none(),
        bundle_roots: BundleRoots::anywhere(),
        min_index_recall: DEFAULT_MIN_INDEX_RECALL,
        outbound: marquee_control::OutboundConfig::default(),
    };
    let control = Control::start(config).await.expect("a config of our own");
    let publish = async |path: &Path, force| {
        let bundle_uri = path.to_str().expect("plain").to_owned();
        let request = pb::PublishModelRequest { bundle_uri, force, ..Default::default() };
        let answer = control.api().publish_model(Request::new(request)).await;
        answer
            .map(|answer| answer.into_inner().version)
            .map_err(|status| (status.code(), status.message().to_owned()))
    };
    let good = bundle(directory.path(), "good", 0.3);
    let better = bundle(directory.path(), "better", 0.4);
    let poor = bundle(directory.path(), "poor", 0.2);
    assert_eq!(publish(&good, false).await, Ok(1));
    assert_eq!(publish(&better, false).await, Ok(2));
    assert_eq!(publish(&good, false).await, Ok(1), "the same bundle again");
    let (code, says) = publish(&poor, false).await.expect_err("no better than popularity");
    assert_eq!(code, Code::FailedPrecondition);
    assert!(says.contains("popularity") && says.contains("force"), "{says}");
    assert_eq!(publish(&poor, true).await, Ok(3));

    let (code, says) = publish(&directory.path().join("absent"), false).await.expect_err("absent");
    assert_eq!(code, Code::NotFound, "{says}");
    assert!(says.starts_with("bundle_uri"), "{says}");
    let manifest = good.join("manifest.json");
    let mut bytes = std::fs::read(&manifest).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&manifest, bytes).expect("ours");
    let (code, says) = publish(&good, false).await.expect_err("one flipped bit");
    assert_eq!(code, Code::FailedPrecondition, "{says}");
    assert!(says.contains("manifest.json"), "{says}");
    control.shutdown().await;
}

#[test]
fn where_keys_are_trusted_an_unsigned_bundle_is_refused() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = bundle(directory.path(), "one", 0.3);
    let mut keys = TrustedKeys::none();
    // The public key of RFC 8032's first test vector.
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    keys.add("trusted_keys[0]", key).expect("a key");
    let refused =
        Directories::new(keys, BundleRoots::anywhere()).read(path.to_str().expect("plain"));
    let refused = refused.expect_err("it has no signature").to_string();
    assert!(refused.contains("manifest.sig"), "{refused}");
}

#[test]
fn the_terms_of_a_trusted_signature_are_read() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = bundle(directory.path(), "one", 0.3);
    let [secret, public] = ["secret", "public"].map(|name| directory.path().join(name));
    generate_keys(&secret, &public, KeyKind::P256).expect("keys");
    sign_bundle(&path, &secret, SignedTerms { counter: 5, expires_at_ms: 9 }).expect("signed");
    let mut keys = TrustedKeys::none();
    keys.add_file(&public).expect("a key");
    for (trusted, counter, expires_at_ms) in [(keys, 5, 9), (TrustedKeys::none(), 0, 0)] {
        let source = Directories::new(trusted, BundleRoots::anywhere());
        let found = source.read(path.to_str().expect("plain")).expect("sound");
        assert_eq!((found.version.signed_counter, found.expires_at_ms), (counter, expires_at_ms));
    }
}

#[test]
fn a_bundle_is_not_deleted_while_any_name_of_it_is_needed() {
    let directory = TempDir::new().expect("a temporary directory");
    let base = directory.path().canonicalize().expect("there");
    let path = bundle(&base, "one", 0.3);
    let other = bundle(&base, "two", 0.4);
    let source = Directories::new(TrustedKeys::none(), BundleRoots::anywhere());
    let digest = source.read(path.to_str().expect("plain")).expect("sound").version.manifest_digest;
    std::os::unix::fs::symlink(&path, base.join("alias")).expect("ours");
    std::os::unix::fs::symlink(&base, base.join("here")).expect("ours");
    let uri = |text: &str| format!("file://{}/{text}", base.display());
    let delete = |roots: &BundleRoots, doomed: &str, kept: &[&str]| {
        let kept: Vec<String> = kept.iter().map(|kept| uri(kept)).collect();
        delete_bundle(roots, &uri(doomed), &digest, &kept)
    };
    let anywhere = BundleRoots::anywhere();
    for kept in ["one", "one/", "/one", "alias", "here/one", "here/here/alias", "one/shard-0000"] {
        let refused = delete(&anywhere, "one", &["two", kept]).expect_err(kept);
        assert!(matches!(refused, DeleteError::Shared(_)), "{kept}: {refused}");
        delete(&anywhere, "alias", &[kept]).expect_err(kept);
    }
    let elsewhere = BundleRoots::below(vec![base.join("two")]);
    let refused = delete(&elsewhere, "one", &[]).expect_err("outside");
    assert!(matches!(refused, DeleteError::Uri(_)), "{refused}");
    source.read(path.to_str().expect("plain")).expect("untouched");
    delete(&anywhere, "one", &["two", "absent"]).expect("no name of it is needed");
    assert!(!path.exists());
    source.read(other.to_str().expect("plain")).expect("untouched");
}

#[tokio::test]
async fn publishing_tells_nothing_of_what_is_outside_the_roots() {
    let directory = TempDir::new().expect("a temporary directory");
    let source = Directories::new(
        TrustedKeys::none(),
        BundleRoots::below(vec![directory.path().join("bundles")]),
    );
    let secret = directory.path().join("secret");
    std::fs::create_dir(&secret).expect("ours");
    std::fs::write(secret.join("manifest.json"), "a secret of some length").expect("ours");
    let refusal = |path: &Path| {
        let uri = path.to_str().expect("plain").to_owned();
        source.read(&uri).expect_err("outside").to_string().replace(&uri, "PATH")
    };
    assert_eq!(refusal(&secret), refusal(&directory.path().join("absent")));
    assert!(refusal(&secret).contains("is not below one of bundles.roots"), "{}", refusal(&secret));
}
