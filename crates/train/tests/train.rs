//! From a file of interactions to a bundle, and back through its evaluation.

mod support;

use clap::{Args as _, FromArgMatches as _};
use marquee_bundle::{Bundle, LoadOptions, TrustedKeys};
use marquee_core::model::recipe::Recipe;
use marquee_train::eval::{Cutoffs, Evaluator, evaluate_bundle, replay_bundle};
use marquee_train::read::{read_interactions, read_lists};
use marquee_train::{
    ColumnArgs, Duplicates, ITEM_FACTORS, Index, ModelKind, ModelSettings, RulesArgs, TopicsArgs,
    TrainArgs, TrainSummary, Value, rules, topics, train,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use support::{directory, file, preferences};

/// Arguments of a model with one setting.
fn with(base: &TrainArgs, model: ModelKind, name: &str, value: impl Into<Value>) -> TrainArgs {
    TrainArgs { model, settings: ModelSettings::default().with(name, value), ..base.clone() }
}

fn run(args: &TrainArgs) -> TrainSummary {
    train(args, 42).unwrap_or_else(|error| panic!("{error}"))
}

fn small(interactions: &Path, out: PathBuf) -> TrainArgs {
    TrainArgs {
        settings: ModelSettings::default().with("factors", 8).with("regularization", 1.0),
        positive_at: Some(4.0),
        shards: 3,
        ..TrainArgs::new(interactions, out)
    }
}

/// Every file of a bundle, by its path inside.
fn bytes(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut out, mut left) = (BTreeMap::new(), vec![dir.to_path_buf()]);
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a directory");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            let inside = path.strip_prefix(dir).expect("inside").to_path_buf();
            out.insert(inside, std::fs::read(&path).expect("readable"));
        }
    }
    out
}

#[test]
fn from_interactions_to_a_bundle() {
    let dir = directory();
    let interactions = file(&dir, "ratings.csv", preferences(200, 60));
    let items = "item,title,genres\n0,Zero (2000),even\n1,One,odd\nextra,Never seen,odd\n";
    let args = TrainArgs {
        items: Some(file(&dir, "items.csv", items)),
        name: Some("films".into()),
        ..small(&interactions, dir.path().join("bundle"))
    };
    let summary = run(&args);
    let evaluation = summary.evaluation.as_ref().expect("users have enough interactions");
    assert!(evaluation.held_out_by_time);
    assert!(summary.beats_popularity(), "{summary}");
    assert!(evaluation.model.recall > 1.2 * evaluation.popularity.recall, "{summary}");
    let catalogue = summary.catalogue.as_ref().expect("an items file was given");
    assert_eq!((catalogue.described, catalogue.left_out), (2, 1));
    assert_eq!(catalogue.without_description, summary.items - 2);
    for phase in ["read", "fit for evaluation", "evaluate", "fit", "write"] {
        assert!(summary.phases.iter().any(|p| p.name == phase), "{phase}");
    }
    let text = summary.to_string();
    for part in [
        "popularity",
        "held out the last fifth of each user's interactions by time",
        "1 of the items file",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    serde_json::to_string(&summary).expect("a summary for scripts");

    let bundle =
        Bundle::open(&args.out, &TrustedKeys::default(), &LoadOptions::default()).expect("opens");
    let manifest = bundle.manifest();
    assert_eq!(
        (manifest.model.as_str(), manifest.kind.as_str(), manifest.shards),
        ("films", "mf", 3)
    );
    assert!(matches!(manifest.recipe, Recipe::MatrixFactorisation { .. }));
    assert_eq!(manifest.quality.recall_at_20, Some(evaluation.model.recall));
    assert_eq!(manifest.quality.users_evaluated, Some(evaluation.model.users as u64));
    assert_eq!(
        (manifest.counts.users, manifest.counts.items),
        (summary.users as u64, summary.items as u64)
    );
    assert_eq!(manifest.parameters["positive_at"], "4");
    // Seen is more than liked.
    assert!(manifest.counts.interactions > summary.interactions as u64);
    let titled: Vec<String> = bundle
        .shards()
        .iter()
        .filter_map(|shard| Some(shard.items().title(shard.items().find("0")?).to_string()))
        .collect();
    assert_eq!(titled, ["Zero (2000)"]);
}

#[test]
fn the_same_bytes_for_any_threads_and_order_of_rows() {
    let dir = directory();
    let text = preferences(90, 40);
    let interactions = file(&dir, "a.csv", &text);
    let (header, rows) = text.split_once('\n').expect("a header");
    let mut rows: Vec<&str> = rows.lines().collect();
    // Times within a user repeat over items only, so no two rows of a pair are equally late.
    rows.sort_by_key(|row| row.bytes().rev().map(u32::from).sum::<u32>() * 31 % 97);
    rows.sort_by_key(|row| row.rsplit(',').next().map(str::to_string));
    let shuffled = file(&dir, "b.csv", format!("{header}\n{}\n", rows.join("\n")));
    let one = TrainArgs { threads: 1, ..small(&interactions, dir.path().join("one")) };
    run(&one);
    let expected = bytes(&one.out);
    for threads in [2, 4] {
        for (name, path) in [("same", &interactions), ("shuffled", &shuffled)] {
            let out = dir.path().join(format!("{name}{threads}"));
            let args = TrainArgs { threads, ..small(path, out) };
            run(&args);
            assert!(bytes(&args.out) == expected, "{name} rows, {threads} threads");
        }
    }
    let seed = TrainArgs { seed: 2, ..small(&interactions, dir.path().join("seed")) };
    run(&seed);
    assert_ne!(bytes(&one.out), bytes(&seed.out));
}

/// A small catalogue is scanned unless an index is asked for.
#[test]
fn an_index_of_any_size_on_request() {
    let dir = directory();
    let interactions = file(&dir, "a.csv", preferences(60, 30));
    for (index, cells, graph) in [
        (Index::Auto, false, false),
        (Index::Cells, true, false),
        (Index::Hnsw, false, true),
        (Index::Never, false, false),
    ] {
        let args =
            TrainArgs { index, ..small(&interactions, dir.path().join(format!("{index:?}"))) };
        run(&args);
        let bundle = Bundle::open(&args.out, &TrustedKeys::default(), &LoadOptions::default())
            .expect("opens");
        for shard in bundle.shards() {
            let items = shard.dense(ITEM_FACTORS).expect("there");
            assert_eq!(items.cells().is_some(), cells, "{index:?}");
            assert_eq!(items.graph().is_some(), graph, "{index:?}");
        }
    }
}

/// A bundle trained on what training itself would train on for its evaluation scores as it said.
#[test]
fn a_bundle_scores_offline_what_training_measured() {
    let dir = directory();
    let all = file(&dir, "all.csv", preferences(150, 50));
    let read = |path: &Path| {
        read_interactions(path, &ColumnArgs::default(), Duplicates::Last, false).expect("fine").0
    };
    let whole = read(&all);
    let positive = whole.filter_rows(|_, row| whole.value[row] >= 4.0).compact();
    let split = marquee_train::hold_out(&positive, 1).expect("enough");
    let write = |name: &str, rows: &marquee_train::Interactions| {
        let mut text = String::from("user,item,rating,timestamp\n");
        for (user, id) in rows.users.iter().enumerate() {
            for row in rows.rows_of(user) {
                let item = &rows.items[rows.item[row] as usize];
                text.push_str(&format!("{id},{item},{},{}\n", rows.value[row], rows.time[row]));
            }
        }
        file(&dir, name, text)
    };
    let (train_path, test_path) =
        (write("train.csv", &split.train), write("test.csv", &split.test));
    // On less data others would be chosen.
    let fixed = |path: &Path, name: &str| TrainArgs {
        no_search: true,
        ..small(path, dir.path().join(name))
    };
    let measured = run(&fixed(&all, "all")).evaluation.expect("evaluated");
    let args = fixed(&train_path, "part");
    run(&args);
    let evaluator = Evaluator::new(read(&train_path), read(&test_path), Cutoffs::one(20))
        .expect("rows to find");
    let offline = evaluate_bundle(&args.out, &evaluator).expect("evaluated");
    assert_eq!(offline.unknown_users, 0);
    assert_eq!(offline.report.train_items_recommended, 0);
    assert_eq!(offline.report.metrics.users, measured.model.users);
    assert!((offline.report.metrics.recall - measured.model.recall).abs() < 1e-9);
    assert!((offline.report.metrics.ndcg - measured.model.ndcg).abs() < 1e-9);
    assert!((offline.popularity.recall - measured.popularity.recall).abs() < 1e-9);
}

#[test]
fn popularity_is_a_model_too() {
    let dir = directory();
    let interactions = file(&dir, "a.csv", preferences(60, 30));
    let args = TrainArgs {
        model: ModelKind::Popularity,
        settings: ModelSettings::default(),
        ..small(&interactions, dir.path().join("bundle"))
    };
    let summary = run(&args);
    let evaluation = summary.evaluation.as_ref().expect("evaluated");
    assert_eq!(evaluation.model, evaluation.popularity);
    assert!(!summary.beats_popularity());
    let rows = read_interactions(&interactions, &ColumnArgs::default(), Duplicates::Last, false)
        .expect("fine")
        .0;
    let evaluator = Evaluator::new(marquee_train::Interactions::default(), rows, Cutoffs::one(10))
        .expect("rows");
    let offline = evaluate_bundle(&args.out, &evaluator).expect("evaluated");
    assert_eq!(offline.report.metrics, offline.popularity);
}

#[test]
fn without_times_the_hold_out_is_random_and_says_so() {
    let dir = directory();
    let text: String = preferences(50, 30)
        .lines()
        .map(|l| l.rsplit_once(',').expect("columns").0.to_string() + "\n")
        .collect();
    let summary = run(&small(&file(&dir, "a.csv", text), dir.path().join("bundle")));
    assert!(!summary.evaluation.as_ref().expect("evaluated").held_out_by_time);
    assert!(summary.to_string().contains("there are no timestamps"), "{summary}");
}

#[test]
fn users_to_evaluate_may_be_bounded() {
    let dir = directory();
    let interactions = file(&dir, "a.csv", preferences(50, 30));
    let some =
        TrainArgs { evaluate_users: Some(7), ..small(&interactions, dir.path().join("some")) };
    let summary = run(&some);
    assert_eq!(summary.evaluation.as_ref().expect("evaluated").model.users, 7);
    assert!(summary.to_string().contains("over 7 users drawn from 50"), "{summary}");
    let none =
        TrainArgs { evaluate_users: Some(0), ..small(&interactions, dir.path().join("none")) };
    assert!(run(&none).evaluation.is_none());
}

#[test]
fn options_out_of_bounds_are_named() {
    let dir = directory();
    let interactions = file(&dir, "a.csv", "user,item\n1,2\n");
    let base = TrainArgs::new(&interactions, dir.path().join("bundle"));
    let message = |args: TrainArgs| train(&args, 0).expect_err("refused").to_string();
    assert_eq!(
        message(with(&base, ModelKind::Mf, "factors", 0)),
        "--factors: 0 is not in 1 to 4096"
    );
    assert_eq!(message(TrainArgs { shards: 0, ..base.clone() }), "--shards: 0 is not in 1 to 1024");
    assert_eq!(
        message(with(&base, ModelKind::Mf, "iterations", 0)),
        "--iterations: 0 is not in 1 to 10000"
    );
    assert_eq!(
        message(with(&base, ModelKind::Mf, "alpha", 0.0)),
        "--alpha: 0 is not a finite number above 0"
    );
    assert_eq!(
        message(with(&base, ModelKind::Mf, "regularization", f64::NAN)),
        "--regularization: NaN is not a finite number of at least 0"
    );
    assert_eq!(
        message(TrainArgs { positive_at: Some(f32::INFINITY), ..base.clone() }),
        "--positive-at: inf is not a finite number"
    );
    assert!(
        message(TrainArgs { name: Some("a/b".into()), ..base.clone() })
            .starts_with("--name: the model's name")
    );
    assert_eq!(
        message(TrainArgs { positive_at: Some(4.0), ..base }),
        "--positive-at: the interactions have no values: leave it out, or name their column with --value-column"
    );
}

#[test]
fn flags_that_a_model_has_no_use_for_are_refused() {
    let dir = directory();
    let base = TrainArgs::new(dir.path().join("none.csv"), dir.path().join("bundle"));
    let message = |args: TrainArgs| train(&args, 0).expect_err("refused").to_string();
    assert_eq!(
        message(with(&base, ModelKind::Ease, "shrinkage", 1.0)),
        "--shrinkage: --model ease has no use for it and takes --regularization, --neighbours, --decay, --newest"
    );
    assert_eq!(
        message(with(&base, ModelKind::Hybrid, "factors", 8)),
        "--factors: --model hybrid has no use for it and takes no flags of its own"
    );
    assert_eq!(
        message(with(&base, ModelKind::ItemKnn, "shrinkage", 1.0)),
        "--shrinkage: it goes with --similarity cosine, jaccard or tf-idf only: leave it out"
    );
    assert_eq!(
        message(with(&base, ModelKind::UserKnn, "similarity", "bm25")),
        "--similarity: bm25 is not for --model user-knn: take cosine or pearson"
    );
    assert_eq!(
        message(with(&base, ModelKind::UserKnn, "factors", 8)),
        "--factors: it goes with --by vectors only: leave it out"
    );
    assert_eq!(
        message(with(&base, ModelKind::UserKnn, "neighbours", 1_001)),
        "--neighbours: 1001 is not in 1 to 1000"
    );
    assert_eq!(
        message(with(&base, ModelKind::Transitions, "decay", 0.0)),
        "--decay: 0 is not above 0 and at most 1"
    );
}

/// Every family is a bundle that opens, whose recipe finds its matrices.
#[test]
fn every_family_is_written() {
    let dir = directory();
    let interactions = file(&dir, "ratings.csv", preferences(60, 30));
    let items = file(
        &dir,
        "items.csv",
        "item,title,genres\n0,Zero,even\n1,One,odd\n2,Two,even\nextra,New,odd\n",
    );
    for &model in ModelKind::ALL {
        let of = |threads: usize| {
            let args = TrainArgs {
                model,
                items: Some(items.clone()),
                positive_at: Some(4.0),
                shards: 2,
                threads,
                ..TrainArgs::new(
                    &interactions,
                    dir.path().join(format!("{}-{threads}", model.name())),
                )
            };
            let summary = run(&args);
            (args, summary)
        };
        let ((one, summary), (two, _)) = (of(1), of(2));
        assert!(bytes(&one.out) == bytes(&two.out), "{}: threads change it", model.name());
        let bundle = Bundle::open(&one.out, &TrustedKeys::default(), &LoadOptions::default())
            .unwrap_or_else(|error| panic!("{}: {error}", model.name()));
        assert_eq!(bundle.manifest().kind, model.name());
        // Items without interactions are in bundles that can say something of them.
        let new = bundle.shards().iter().any(|shard| shard.items().find("extra").is_some());
        assert_eq!(
            new,
            matches!(model, ModelKind::Content | ModelKind::Hybrid),
            "{}",
            model.name()
        );
        assert!(summary.evaluation.is_some());
    }
}

/// Two items of one word and three of another: each topic is a word, whatever its rows in the bundle are scaled by.
#[test]
fn words_of_topics_weigh_what_singular_vectors_say() {
    let dir = directory();
    let interactions = file(&dir, "ratings.csv", "user,item\n1,0\n1,2\n2,1\n2,3\n2,4\n");
    let titles = "item,title\n0,north\n1,north\n2,south\n3,south\n4,south\n";
    let args = TrainArgs {
        model: ModelKind::Content,
        items: Some(file(&dir, "items.csv", titles)),
        ..TrainArgs::new(&interactions, dir.path().join("bundle"))
    };
    run(&args);
    let listed = topics(&TopicsArgs { bundle: args.out, topics: 0, words: 8 });
    let listed = listed.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((listed.total, listed.vocabulary), (2, 2));
    for (topic, expected) in listed.topics.iter().zip(["south", "north"]) {
        let [first, second] = topic.words.as_slice() else { panic!("{topic:?}") };
        assert_eq!(first.word, expected);
        assert!((first.weight - 1.0).abs() < 1e-6 && second.weight.abs() < 1e-6, "{topic:?}");
    }
}

/// What a hostile bundle may be: checksums and all, but with half of its users and items gone.
#[test]
fn a_bundle_that_lacks_a_shard_is_evaluated_or_refused() {
    let dir = directory();
    let interactions = file(&dir, "ratings.csv", preferences(60, 30));
    for model in [ModelKind::Mf, ModelKind::UserKnn, ModelKind::Ease] {
        let out = dir.path().join(model.name());
        run(&TrainArgs { model, shards: 2, ..TrainArgs::new(&interactions, &out) });
        let path = out.join("manifest.json");
        let mut manifest: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
        manifest["shards"] = 1.into();
        let files = manifest["files"].as_array_mut().expect("a list");
        files.retain(|file| !file["path"].as_str().expect("text").starts_with("shard-0001"));
        let text = serde_json::to_vec(&manifest).expect("text");
        std::fs::remove_dir_all(out.join("shard-0001")).expect("removed");
        let digest = marquee_bundle::ManifestDigest::of(&text);
        std::fs::write(&path, text).expect("written");
        std::fs::write(out.join("manifest.blake3"), format!("{digest}\n")).expect("written");
        let read = |path| {
            read_interactions(path, &ColumnArgs::default(), Duplicates::Last, false)
                .expect("fine")
                .0
        };
        let rows = read(&interactions);
        let evaluator = Evaluator::new(rows.clone(), rows, Cutoffs::one(5)).expect("rows to find");
        // No panic; a bundle without half of its rows has some unknown users.
        if let Ok(evaluation) = evaluate_bundle(&out, &evaluator) {
            assert!(evaluation.unknown_users > 0, "{}", model.name());
        }
    }
}

/// Users go on from one item to the next of a circle. A list that was made before says what comes next once; a replay
/// says it for each row, also for users who came after the training.
#[test]
fn a_replay_asks_each_row_with_what_came_before() {
    let dir = directory();
    let rows = |users: std::ops::Range<u32>, steps: std::ops::Range<u32>| {
        let mut text = String::from("user,item,timestamp\n");
        for user in users {
            for step in steps.clone() {
                text.push_str(&format!("u{user},{},{step}\n", (user * 7 + step) % 40));
            }
        }
        text
    };
    let train_file = file(&dir, "train.csv", rows(0..60, 0..8));
    let later = rows(0..62, 8..13);
    let test_file = file(&dir, "test.csv", &later);
    let read = |path: &Path| {
        read_interactions(path, &ColumnArgs::default(), Duplicates::Last, false).expect("fine").0
    };
    let evaluator =
        Evaluator::new(read(&train_file), read(&test_file), Cutoffs::one(1)).expect("rows to find");
    for (model, at_least) in [(ModelKind::Transitions, 0.95), (ModelKind::Mf, 0.08)] {
        let args = TrainArgs {
            model,
            no_search: true,
            evaluate_users: Some(0),
            ..TrainArgs::new(&train_file, dir.path().join(model.name()))
        };
        run(&args);
        let replayed = replay_bundle(&args.out, &evaluator).expect("replayed");
        assert_eq!((replayed.replayed_rows, replayed.unknown_users), (Some(62 * 5), 2));
        assert_eq!(replayed.report.metrics.users, 62 * 5);
        let at_once = evaluate_bundle(&args.out, &evaluator).expect("evaluated");
        let (rows, lists) = (replayed.report.metrics.recall, at_once.report.metrics.recall_all);
        assert!(rows > at_least && rows > 1.5 * lists, "{}: {rows} and {lists}", model.name());
    }
    let without_times = file(&dir, "plain.csv", "user,item\nu1,9\n");
    let evaluator =
        Evaluator::new(read(&train_file), read(&without_times), Cutoffs::one(1)).expect("a row");
    let error = replay_bundle(&dir.path().join("mf"), &evaluator).expect_err("refused");
    assert!(error.to_string().starts_with("--replay: the rows to find have no times"), "{error}");
}

/// What `--lists-out` writes is what `--lists` reads.
#[test]
fn lists_are_written_as_they_are_read() {
    let dir = directory();
    let read = |name: &str, text: &str| {
        let path = file(&dir, name, text);
        read_interactions(&path, &ColumnArgs::default(), Duplicates::Last, false).expect("fine").0
    };
    let out = dir.path().join("lists.csv");
    let evaluator = Evaluator::new(
        read("train.csv", "user,item\na,1\n"),
        read("test.csv", "user,item\na,2\nb,2\n"),
        Cutoffs::one(3),
    )
    .expect("rows to find")
    .with_lists_out(Some(out.clone()));
    let list = |items: &[&str]| items.iter().map(|item| (*item).to_string()).collect::<Vec<_>>();
    let lists = [list(&["2", "x,y", "10"]), list(&["9"])];
    let (report, _) = evaluator.score_per_user(&lists).expect("scored");
    assert!(report.metrics.recall > 0.0);
    let written = read_lists(&out).expect("written");
    assert_eq!(evaluator.in_order(written), lists);
}

/// A training without settings chooses some, says so, and writes what it chose; the same data choose the same.
#[test]
fn settings_are_chosen_unless_they_are_fixed() {
    let dir = directory();
    let interactions = file(&dir, "ratings.csv", preferences(120, 60));
    let args = |name: &str| TrainArgs {
        model: ModelKind::Hybrid,
        positive_at: Some(4.0),
        ..TrainArgs::new(&interactions, dir.path().join(name))
    };
    let summary = run(&args("chosen"));
    let searched: Vec<&str> = summary.searches.iter().map(|search| search.model.name()).collect();
    assert!(searched.contains(&"mf") && searched.contains(&"ease"), "{searched:?}");
    let text = summary.to_string();
    assert!(
        text.contains("tried ") && text.contains("hybrid: left out content: no titles"),
        "{text}"
    );
    assert!(text.contains("settings were chosen on the same interactions"), "{text}");
    for search in summary.searches.iter().filter(|search| search.is_taken) {
        let kind = search.model.name();
        if !summary.parameters.contains_key(&format!("weight of {kind}")) {
            continue;
        }
        for (name, value) in search.settings.iter() {
            let name = format!("{kind}.{}", name.replace('-', "_"));
            assert_eq!(summary.parameters[&name], value.to_string(), "{name}");
        }
    }
    assert!(
        bytes(&run(&args("again")).out) == bytes(&summary.out),
        "the same data choose the same"
    );
    let fixed = run(&TrainArgs { no_search: true, ..args("fixed") });
    assert!(fixed.searches.is_empty() && fixed.fallback.is_none(), "{fixed}");
    assert!(!fixed.to_string().contains("chosen on the same"), "{fixed}");
}

#[test]
fn rules_of_a_file_are_listed() {
    let dir = directory();
    let baskets = [
        &["bread", "butter", "jam"][..],
        &["bread", "butter"],
        &["bread"],
        &["butter", "jam"],
        &["tea"],
    ];
    let mut text = String::from("user,item\n");
    for (user, basket) in baskets.iter().enumerate() {
        basket.iter().for_each(|item| text.push_str(&format!("{user},{item}\n")));
    }
    let path = file(&dir, "baskets.csv", text);
    let flags = [
        "rules",
        "--interactions",
        path.to_str().expect("text"),
        "--min-support",
        "2",
        "--min-confidence",
        "0.6",
    ];
    let parsed = |more: &[&str]| {
        let command = RulesArgs::augment_args(clap::Command::new("rules"));
        let matches = command.try_get_matches_from(flags.iter().chain(more)).expect("flags");
        rules(&RulesArgs::from_arg_matches(&matches).expect("arguments")).expect("listed")
    };
    let found = parsed(&[]);
    let listed: Vec<(String, &str, u32)> = found
        .rules
        .iter()
        .map(|rule| (rule.from.join("+"), rule.to.as_str(), rule.users))
        .collect();
    assert_eq!(
        listed,
        [
            ("jam".into(), "butter", 2),
            ("butter".into(), "jam", 2),
            ("butter".into(), "bread", 2),
            ("bread".into(), "butter", 2),
        ]
    );
    let jam = &found.rules[0];
    assert!((jam.support - 0.4).abs() < 1e-12 && (jam.confidence - 1.0).abs() < 1e-12, "{jam:?}");
    assert!((jam.lift - 5.0 / 3.0).abs() < 1e-12, "{jam:?}");
    // Never wrong, of two users: as if it were wrong in half of one.
    assert!((jam.conviction - 0.4 / 0.25).abs() < 1e-12, "{jam:?}");
    assert!(found.to_string().contains("jam → butter"), "{found}");
    assert!(found.to_string().ends_with("4 of 4 rules of 5 users"), "{found}");
    assert_eq!(parsed(&["--top", "1", "--by", "confidence"]).rules[0].from, ["jam"]);
}

#[test]
fn a_place_that_is_taken_is_refused_before_training() {
    let dir = directory();
    let interactions = file(&dir, "a.csv", "this file isn't even looked at");
    let error =
        train(&TrainArgs::new(interactions, dir.path()), 0).expect_err("refused").to_string();
    assert!(error.contains("exists and is not an empty directory"), "{error}");
}

#[test]
fn lists_from_anywhere_are_scored() {
    let dir = directory();
    let read = |name: &str, text: &str| {
        let path = file(&dir, name, text);
        read_interactions(&path, &ColumnArgs::default(), Duplicates::Last, false).expect("fine").0
    };
    let train = read("train.csv", "user,item\na,1\nb,1\n");
    let test = read("test.csv", "user,item\na,2\na,3\nb,2\nc,9\n");
    let evaluator = Evaluator::new(train, test, Cutoffs::one(2)).expect("rows to find");
    assert_eq!(evaluator.users(), ["a", "b", "c"]);
    assert_eq!(evaluator.known("a").collect::<Vec<_>>(), ["1"]);
    let list = |items: &[&str]| items.iter().map(|item| (*item).to_string()).collect::<Vec<_>>();
    let report =
        evaluator.score(&[list(&["2", "9", "3"]), list(&["1", "2"]), vec![]]).expect("scored");
    assert!((report.metrics.recall - (0.5 + 1.0) / 3.0).abs() < 1e-12);
    assert_eq!((report.users_without_list, report.train_items_recommended), (1, 1));
    let twice =
        evaluator.score(&[list(&["2", "2"]), vec![], vec![]]).expect_err("twice").to_string();
    assert_eq!(twice, "the list of user \"a\" has item \"2\" twice");
    assert_eq!(
        evaluator.score(&[]).expect_err("none").to_string(),
        "0 lists for 3 users: give one a user"
    );
}
