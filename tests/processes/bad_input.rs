//! Invalid requests, files and flags: the status or exit code is right, and the message names the field, file
//! or line and what to do.

use crate::standalone::Standalone;
use crate::support::caller::{client, request};
use crate::support::data::Bundles;
use crate::support::process::{Server, marquee, text};
use marquee_proto::v1::{AttributeRange, Filter, RecommendRequest, SimilarItemsRequest};
use std::path::Path;
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn requests() {
    let bundles = Bundles::new();
    let node = Standalone::start(bundles.path(), &bundles.train(8, 2)).await;
    let mut recommender = client(&node.endpoint);
    let of_user_1 = |change: &dyn Fn(&mut RecommendRequest)| {
        let mut request = request("user-1");
        change(&mut request);
        request
    };
    let range = |min: f64, max: f64| {
        let range = AttributeRange { attribute: "year".into(), min: Some(min), max: Some(max) };
        Some(Filter { ranges: vec![range], ..Filter::default() })
    };
    let cases: Vec<(RecommendRequest, Code, &str)> = vec![
        (of_user_1(&|r| r.count = 1_001), Code::InvalidArgument, "count"),
        (of_user_1(&|r| r.surface = "nowhere".into()), Code::NotFound, "nowhere"),
        (request(""), Code::InvalidArgument, "user_id"),
        (request(&"x".repeat(10_000)), Code::InvalidArgument, "256"),
        (of_user_1(&|r| r.filter = range(f64::NAN, 1.0)), Code::InvalidArgument, "min"),
        (of_user_1(&|r| r.filter = range(2.0, 1.0)), Code::InvalidArgument, "min"),
        (of_user_1(&|r| r.min_coverage = f64::NAN), Code::InvalidArgument, "min_coverage"),
        (of_user_1(&|r| r.min_coverage = 1.5), Code::InvalidArgument, "min_coverage"),
        (
            of_user_1(&|r| r.recent_item_ids = vec!["1".into(); 1_001]),
            Code::InvalidArgument,
            "recent_item_ids",
        ),
    ];
    for (request, code, says) in cases {
        let status = recommender.recommend(request).await.expect_err(says);
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(says), "{:?} does not say {says:?}", status.message());
    }
    let default = recommender.recommend(of_user_1(&|r| r.count = 0)).await.expect("answered");
    assert_eq!(default.into_inner().items.len(), 10, "count 0 is 10");
    let unknown =
        SimilarItemsRequest { item_id: "no-such".into(), ..SimilarItemsRequest::default() };
    let status = recommender.similar_items(unknown).await.expect_err("unknown item");
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
    assert!(recommender.recommend(request("user-1")).await.is_ok(), "still serving");
}

fn fails(args: &[&str], says: &[&str]) {
    let output = marquee(args);
    let err = text(&output.stderr);
    assert!(!output.status.success(), "{args:?} succeeded");
    assert!(output.status.code().is_some(), "{args:?} died: {}", output.status);
    assert!(!err.contains("panicked"), "{err}");
    for word in says {
        assert!(err.contains(word), "{args:?} does not say {word:?} but: {err}");
    }
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

#[test]
fn data_files() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dir = dir.path();
    let out = dir.join("out").display().to_string();
    let train =
        |file: &str, says: &[&str]| fails(&["train", "--interactions", file, "--out", &out], says);
    let rows = "userId,movieId,rating,timestamp\n1,1,4,1\n1,2,four,2\n";
    train(&write(dir, "bad.csv", rows), &["bad.csv", "3", "rating", "--skip-bad-rows"]);
    train(&write(dir, "empty.csv", ""), &["empty.csv", "empty"]);
    train(&write(dir, "header.csv", "userId,movieId,rating,timestamp\n"), &["header.csv"]);
    train(&dir.join("absent.csv").display().to_string(), &["absent.csv"]);
    train(&write(dir, "names.csv", "alpha,beta\n1,2\n"), &["names.csv"]);
    assert!(!dir.join("out").exists(), "nothing is left behind");
}

#[test]
fn bundles_on_disk() {
    let bundles = Bundles::new();
    let bundle = bundles.train(4, 1);
    let serve = |says: &[&str]| {
        let dir = bundle.display().to_string();
        fails(&["serve", "--standalone", "--bundle", &dir, "--listen", "127.0.0.1:0"], says);
    };
    let files: Vec<_> = walk(&bundle);
    assert!(files.len() > 3, "{files:?}");
    let largest =
        files.iter().max_by_key(|file| file.metadata().expect("there").len()).expect("some");
    let name = largest.file_name().expect("a name").to_string_lossy().into_owned();
    let intact = std::fs::read(largest).expect("readable");
    let mut flipped = intact.clone();
    flipped[intact.len() / 2] ^= 1;
    std::fs::write(largest, &flipped).expect("written");
    serve(&[&name]);
    std::fs::write(largest, &intact[..intact.len() / 2]).expect("written");
    serve(&[&name]);
    std::fs::write(largest, &intact).expect("written");

    let manifest = bundle.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).expect("readable");
    std::fs::write(&manifest, text.replacen("films", "filmz", 1)).expect("written");
    serve(&["manifest.json"]);
    fails(&["serve", "--standalone", "--bundle", "/no/such/bundle"], &["/no/such/bundle"]);
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries =
        std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn configs_and_flags() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = "[node]\nid = \"n\"\nroles = [\"shard\"]\nlissten = \"127.0.0.1:1\"\n";
    let config = write(dir.path(), "node.toml", config);
    fails(&["serve", "--config", &config], &["node.toml", "4", "lissten", "listen"]);
    fails(&["serve", "--config", "/no/such.toml"], &["/no/such.toml"]);
    fails(&["serve"], &["--config", "--standalone"]);
    fails(&["ctl", "--endpoint", "http://127.0.0.1:1", "status"], &["127.0.0.1:1"]);
    assert_eq!(marquee(["no-such-command"]).status.code(), Some(2), "usage errors exit 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn port_in_use() {
    let bundles = Bundles::new();
    let bundle = bundles.train(4, 1);
    let node = Standalone::start(bundles.path(), &bundle).await;
    let address = node.endpoint.trim_start_matches("http://").to_owned();
    let args =
        ["serve", "--standalone", "--bundle", &bundle.display().to_string(), "--listen", &address];
    let mut second = Server::start(bundles.path(), "second", args.map(String::from).to_vec());
    assert_eq!(second.wait().code(), Some(1));
    let log = second.log();
    assert!(log.contains(&address) && log.contains("--listen"), "{log}");
}
