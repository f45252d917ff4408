//! From a file of ratings to a comparison of models, as a script does it: split, train, eval, compare.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A directory with ratings of 60 users, who like ten of the twelve items of their own parity.
struct Scene {
    dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut rows = String::from("user,item,rating,timestamp\n");
        for user in 0..60 {
            for n in 0..10 {
                let item = (user * 7 + n * 5) % 12 * 2 + user % 2;
                rows.push_str(&format!("{user},{item},{},{n}\n", 1 + n % 5));
            }
        }
        std::fs::write(dir.path().join("ratings.csv"), rows).expect("written");
        Self { dir }
    }

    /// Runs a command in the directory.
    fn run(&self, command: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_marquee"))
            .args(command.split_whitespace())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("the binary starts")
    }

    fn json(&self, command: &str) -> Value {
        let output = self.run(command);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    fn fails(&self, command: &str, code: i32, words: &str) {
        let output = self.run(command);
        let says = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{command}: {says}");
        assert!(says.contains(words), "{command} says {says}");
    }
}

const FILES: &str = "--train split/train.csv --test split/test.csv";

#[test]
fn a_model_is_held_against_popularity() {
    let scene = Scene::new();
    let split = scene.json("split --interactions ratings.csv --out split --valid --json");
    assert_eq!((&split["by"], &split["users"]), (&"time".into(), &60.into()));
    scene.fails("split --interactions ratings.csv --out split", 2, "--out");
    for model in ["mf --factors 4", "popularity"] {
        let out = model.split(' ').next().expect("a name");
        let train = "train --interactions split/train.csv --json";
        scene.json(&format!("{train} --out {out} --model {model}"));
    }

    // On a pipe it is JSON, with the largest cut-off at the top.
    let mf = scene.json(&format!("eval --bundle mf {FILES} --cutoff 10,2,5 --per-user mf.parquet"));
    let cutoffs: Vec<&Value> =
        mf["cutoffs"].as_array().expect("a list").iter().map(|at| &at["cutoff"]).collect();
    assert_eq!(cutoffs, [2, 5, 10]);
    assert_eq!(
        (&mf["cutoff"], &mf["recall"]),
        (&mf["cutoffs"][2]["cutoff"], &mf["cutoffs"][2]["recall"])
    );
    for name in ["recall", "precision", "ndcg", "map", "mrr", "hit_rate", "recall_all", "novelty"] {
        assert!(mf[name].is_f64() && mf[format!("{name}_standard_error")].is_f64(), "{name} {mf}");
    }
    assert!(mf["coverage"].is_f64() && mf["gini"].is_f64() && mf["popularity"]["recall"].is_f64());
    assert!(mf["recall"].as_f64() > mf["popularity"]["recall"].as_f64(), "{mf}");

    let table = scene.run(&format!("eval --bundle mf {FILES} --table"));
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(text.contains("recall") && text.contains("±") && !text.contains('{'), "{text}");

    // A file and a bundle, and two bundles, come to the same.
    let by_file = scene.json(&format!("eval --compare popularity mf.parquet {FILES} --cutoff 5,7"));
    let by_bundles = scene.json(&format!("eval --compare popularity mf {FILES} --cutoff 5"));
    assert_eq!(by_file, by_bundles, "of two files' cut-offs, those that both have are compared");
    let recall = &by_file["differences"][0];
    assert_eq!((&recall["metric"], &recall["cutoff"]), (&"recall".into(), &5.into()));
    assert_eq!(recall["b"], mf["cutoffs"][1]["recall"]);
    assert!(recall["interval_low"].as_f64() > Some(0.0), "{recall}");
    assert!(recall["p_value"].as_f64() < Some(0.01), "{recall}");

    // Files alone need no interactions.
    scene.json(&format!("eval --bundle popularity {FILES} --cutoff 5 --per-user pop.csv"));
    assert_eq!(scene.json("eval --compare pop.csv mf.parquet"), by_file);
    let other = scene.json("eval --compare pop.csv mf.parquet --seed 2 --resamples 500");
    assert_eq!((&other["seed"], &other["resamples"]), (&2.into(), &500.into()));
    assert_ne!(other["differences"], by_file["differences"]);
}

#[test]
fn lists_of_any_system_are_scored() {
    let scene = Scene::new();
    let write = |name: &str, text: &str| std::fs::write(scene.dir.path().join(name), text);
    write("train.csv", "user,item\na,1\nb,1\nb,2\n").expect("written");
    write("test.csv", "user,item\na,3\na,4\nb,3\n").expect("written");
    // a: one of two, in the second place; b: none; c belongs to no user.
    write("lists.csv", "user,item,rank\na,4,2\na,2,1\nc,3,1\n").expect("written");
    let files = "--lists lists.csv --train train.csv --test test.csv";
    let report = scene.json(&format!("eval {files} --cutoff 2 --per-user of.csv"));
    assert_eq!((&report["users"], &report["users_without_list"]), (&2.into(), &1.into()));
    let near = |name: &str, of_a: f64| {
        let found = report[name].as_f64().expect("a number");
        assert!((found - of_a / 2.0).abs() < 1e-6, "{name} {report}");
    };
    near("recall", 0.5);
    near("mrr", 0.5);
    near("ndcg", (1.0 / 3f64.log2()) / (1.0 + 1.0 / 3f64.log2()));
    let text = scene.run(&format!("eval {files} --table")).stdout;
    assert!(String::from_utf8_lossy(&text).starts_with("lists.csv, "));
    scene.json("eval --compare of.csv of.csv");
    write("lists.csv", "user,item,rank\na,4,1\na,4,2\n").expect("written");
    scene.fails(&format!("eval {files}"), 1, "twice");
    scene.fails(
        "eval --lists lists.csv --bundle x --train train.csv --test test.csv",
        2,
        "--lists",
    );
}

#[test]
fn what_does_not_go_together_is_said() {
    let scene = Scene::new();
    assert!(Path::new(&scene.dir.path().join("ratings.csv")).is_file());
    scene.fails("eval --compare a", 2, "--compare");
    scene.fails("eval --compare a b", 1, "a is no bundle's directory");
    scene.fails("eval --compare ratings.csv ratings.csv", 1, "no column");
    scene.fails("eval --compare . .", 1, "--train FILE and --test FILE");
    scene.fails("eval --bundle a --test b", 2, "--train");
    scene.fails("eval --bundle a --train b --test c --cutoff 0", 2, "--cutoff");
    scene.fails("eval --bundle a --train b --test c --seed 2", 2, "--bundle");
    scene.fails("eval --bundle a --train b --test c --history d", 2, "--history");
    scene.fails("eval --compare . . --train b --test c --history d", 1, "--history");
    scene.fails("split --interactions ratings.csv --out a --share 1", 2, "--share");
    scene.fails("split --interactions ratings.csv --out a --folds 3", 2, "--by rows");
}

#[test]
fn settings_are_searched_and_cross_validated() {
    let scene = Scene::new();
    let tuned = scene.json(
        "tune --interactions ratings.csv --model item-knn --rounds 1 --budget 10m --seed 5 \
         --config-out knn.toml --json",
    );
    assert_eq!((&tuned["rounds"], &tuned["seed"]), (&1.into(), &5.into()));
    assert!(tuned["best"]["value"].as_f64() >= tuned["default_value"].as_f64());
    let config = std::fs::read_to_string(scene.dir.path().join("knn.toml")).expect("written");
    assert!(config.contains("model = \"item-knn\""), "{config}");
    scene.fails("tune --interactions ratings.csv --config-out knn.toml", 2, "exists");
    scene.fails("tune --interactions ratings.csv --budget 5 --config-out x", 2, "90s, 10m or 1h");

    scene.json("train --interactions ratings.csv --config knn.toml --out knn --json");
    let manifest = std::fs::read_to_string(scene.dir.path().join("knn/manifest.json"));
    assert!(manifest.expect("a bundle").contains("item_neighbours"));
    scene.fails(
        "train --interactions ratings.csv --config knn.toml --model ease --out x",
        2,
        "it is of item-knn",
    );

    let cross = scene.json("eval --folds 4 --config knn.toml --train ratings.csv --cutoff 5,10");
    assert_eq!(cross["folds"].as_array().map(Vec::len), Some(4));
    let mean = |cross: &Value| {
        let means = cross["means"].as_array().expect("means").clone();
        let ndcg = means.iter().find(|m| m["metric"] == "ndcg" && m["cutoff"] == 5).cloned();
        ndcg.expect("measured")
    };
    let (knn, popular) = (
        mean(&cross),
        mean(&scene.json("eval --folds 4 --model popularity --train ratings.csv --cutoff 5,10")),
    );
    assert!(knn["mean"].as_f64() > popular["mean"].as_f64(), "{knn} beside {popular}");
    assert!(knn["standard_error"].as_f64() > Some(0.0));
    let table = scene.run("eval --folds 2 --model popularity --train ratings.csv --table");
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.starts_with("popularity, mean over 2 folds ± standard error"), "{table}");
    scene.fails("eval --folds 1 --model ease --train ratings.csv", 2, "--folds");
}
