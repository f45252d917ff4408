//! The search on a world where one setting is known to be right.

use super::args::parse_time;
use super::*;
use crate::interactions::{Duplicates, RawRow};
use std::collections::HashSet;
use std::time::Duration;

/// Users who go through a circle of items in order, a step a day, each from a place of the own; every other
/// day, more or less, they stray.
fn circle(users: u32, items: u32, days: u32) -> Interactions {
    let ids = |count: u32| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    let (user_ids, item_ids) = (ids(users), ids(items));
    let mixed = |of: u32| of.wrapping_mul(2_654_435_761) >> 16;
    let item = move |user: u32, day: u32| match mixed(user * 100 + day) {
        stray if stray.is_multiple_of(2) => stray / 2 % items,
        _ => (user * 7 + day) % items,
    };
    let row = move |user: u32, day: u32| RawRow {
        user,
        item: item(user, day),
        value: 1.0,
        time: f64::from(day),
    };
    let rows: Vec<RawRow> =
        (0..users).flat_map(move |user| (0..days).map(move |day| row(user, day))).collect();
    fn texts(ids: &[String]) -> Vec<&str> {
        ids.iter().map(String::as_str).collect()
    }
    let (users, items) = (texts(&user_ids), texts(&item_ids));
    Interactions::from_rows(&users, &items, &rows, false, true, Duplicates::Last).0
}

fn args(model: ModelKind, rounds: usize, directory: &std::path::Path) -> TuneArgs {
    TuneArgs {
        budget: Duration::from_secs(3_600),
        rounds: Some(rounds),
        objective: Objective::Ndcg,
        config_out: directory.join("best.toml"),
        data: TuneDataArgs {
            interactions: "rows.csv".into(),
            items: None,
            model,
            positive_at: None,
            weight: Default::default(),
            duplicates: Default::default(),
            skip_bad_rows: false,
            seed: 3,
            columns: Default::default(),
            item_columns: Default::default(),
        },
    }
}

fn searched(rows: &Interactions, args: &TuneArgs) -> TuneReport {
    search(args, &args.data.training(), rows, None).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_best_of_all_users_wins_and_beats_the_defaults() {
    let rows = circle(700, 60, 10);
    let args = args(ModelKind::ItemKnn, 2, std::path::Path::new("."));
    let report = searched(&rows, &args);
    // 700 users make two rungs: nine on a third, three of them on all; before them the defaults and the grid.
    let of = |users: usize| report.trials.iter().filter(|trial| trial.users == users).count();
    let before = report.trials.iter().take_while(|trial| trial.users == 700).count();
    assert!(before > 5, "the grid was walked: {report}");
    assert_eq!((report.rounds, of(233), of(700)), (2, 18, before + 2 * 3));
    assert!(report.best.value >= report.default_value, "{report}");
    let values: HashSet<u64> = report.trials.iter().map(|trial| trial.value.to_bits()).collect();
    assert!(values.len() > 9, "settings matter: {report}");
    let complete = report.trials.iter().filter(|trial| trial.users == 700);
    assert!(complete.map(|trial| trial.value).all(|value| value <= report.best.value));
    // Those who went on were the best of their round.
    for round in 0..2 {
        let first = &report.trials[before + round * 12..][..9];
        let on = &report.trials[before + round * 12 + 9..][..3];
        let worst = on.iter().map(|trial| {
            first.iter().find(|other| other.config == trial.config).expect("tried before").value
        });
        let worst = worst.fold(f64::INFINITY, f64::min);
        assert_eq!(first.iter().filter(|trial| trial.value > worst).count(), 2);
    }
    let again = searched(&rows, &args);
    let what = |report: &TuneReport| -> Vec<_> {
        report.trials.iter().map(|t| (t.config.clone(), t.users, t.value)).collect()
    };
    assert_eq!(what(&again), what(&report), "a seed is a search");
}

/// Changing what is held out to validate on changes no trial's training: the last day is all that differs.
#[test]
fn nothing_is_trained_on_what_is_validated_on() {
    let rows = circle(30, 40, 10);
    let split = hold_out(&rows, 3).expect("a split");
    let rungs = rungs(split.clone(), 3);
    assert_eq!(rungs.len(), 1, "too few for a smaller rung");
    for user in 0..30 {
        let (train, test) = (split.train.items_of(user), split.test.items_of(user));
        assert!(test.iter().all(|item| train.binary_search(item).is_err()));
        assert_eq!(test.len(), (train.len() + test.len()) / 5);
    }
}

/// Members are searched alone and then blended; what is written is a hybrid that can be trained.
#[test]
fn a_hybrid_is_tuned_by_its_members() {
    let rows = circle(120, 40, 10);
    let args = args(ModelKind::Hybrid, 1, std::path::Path::new("."));
    let report = searched(&rows, &args);
    let of = |kind: ModelKind| -> Vec<&TuneTrial> {
        report.trials.iter().filter(|trial| trial.config.model == kind).collect()
    };
    // Nine settings of each, after its default and its grid; there are no titles, so content is none of them.
    for kind in ModelKind::members() {
        let trials = of(kind).len();
        assert_eq!(trials > 10, kind != ModelKind::Content, "{}: {trials}", kind.name());
    }
    let hybrids = of(ModelKind::Hybrid);
    assert_eq!(hybrids[0].config, ModelConfig::of(ModelKind::Hybrid));
    assert!(report.best.value >= hybrids[0].value && report.default_value == hybrids[0].value);
    // The members as they were found: of each the best that was tried, the default among them.
    let found = &hybrids[1].config.members;
    assert_eq!(found.len(), 7);
    for member in found {
        let value = |trial: &&&TuneTrial| trial.value;
        let tried = of(member.model);
        let best = tried.iter().map(|trial| value(&trial)).fold(0.0, f64::max);
        let chosen = tried.iter().find(|trial| trial.config == *member).expect("it was tried");
        assert_eq!(chosen.value, best, "{}", member.model.name());
    }
    assert!(found.iter().any(|member| *member != ModelConfig::of(member.model)), "settings matter");
    // Each is left out in turn, and stays out where that helped.
    let mut best = hybrids[0].value.max(hybrids[1].value);
    let mut size = 7;
    for trial in &hybrids[2..] {
        assert_eq!(trial.config.members.len(), size - 1);
        if trial.value > best {
            (best, size) = (trial.value, size - 1);
        }
    }
    assert_eq!(hybrids.len(), 2 + 7, "every member was left out once");
    assert_eq!(report.best.value, best);
    report.best.config.check().expect("it can be trained");
    let options = args.data.training().training_options();
    let trained = |config: &ModelConfig| config.train(&rows, &[], &options, "").expect("trained");
    assert!(trained(&report.best.config).recipe.parts().len() <= size);
    // Settings of a member are those it is trained with.
    let knn = ModelConfig::of(ModelKind::ItemKnn).with("neighbours", 3).with("decay", 0.6);
    let one = ModelConfig { members: vec![knn], ..ModelConfig::of(ModelKind::Hybrid) };
    let part = trained(&one);
    assert_eq!(part.recipe.parts().len(), 1);
    for (name, value) in [("item-knn.neighbours", "3"), ("item-knn.decay", "0.6")] {
        assert!(part.parameters.contains(&(name.into(), value.into())), "{:?}", part.parameters);
    }
    let shown = report.to_string();
    assert!(shown.contains("mf ("), "{shown}");
}

#[test]
fn what_cannot_be_tuned_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let says = |args: &TuneArgs| tune(args).expect_err("refused").to_string();
    let file = directory.path().join("rows.csv");
    let rows: String = (0..10).map(|n| format!("u,{n},{n}\n")).collect();
    std::fs::write(&file, format!("user,item,timestamp\n{rows}")).expect("written");
    let mut args = args(ModelKind::Popularity, 1, directory.path());
    args.data.interactions = file;
    assert!(says(&args).contains("popularity has no settings to tune"), "{}", says(&args));
    args.data.model = ModelKind::Ease;
    let report = tune(&args).expect("searched");
    let written = ModelConfig::read(&args.config_out).expect("a file");
    assert_eq!(written, report.best.config);
    assert!(says(&args).contains("exists: give another name"));
    args.rounds = Some(0);
    assert!(says(&args).contains("--rounds"));
    for (text, seconds) in [
        ("90s", Some(90)),
        ("10m", Some(600)),
        ("2h", Some(7_200)),
        ("0s", None),
        ("5", None),
        ("", None),
        ("é", None),
    ] {
        assert_eq!(parse_time(text).ok().map(|time| time.as_secs()), seconds, "{text}");
    }
}
