//! Popularity and ALS on real splits against published figures, where the data is at hand.
//!
//! The data may not be redistributed with this repository; without it, the test says so and checks
//! the protocol on a table small enough to compute by hand.

mod support;

use marquee_train::als::{AlsOptions, RegularizationScaling, fit};
use marquee_train::eval::{evaluate_factors, evaluate_popularity, users_to_evaluate};
use marquee_train::read::read_interactions;
use marquee_train::{
    ColumnArgs, Duplicates, HoldOut, Interactions, Weight, confidences, hold_out, positives,
};
use std::path::Path;
use support::{data, directory, file};

fn read(path: &Path) -> Interactions {
    let result = read_interactions(path, &ColumnArgs::default(), Duplicates::Last, false);
    result.unwrap_or_else(|error| panic!("{error}")).0
}

fn split(dir: &Path) -> HoldOut {
    HoldOut::new(&read(&dir.join("split/train.csv")), &read(&dir.join("split/test.csv")))
}

fn rounded(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}

/// Four users with five interactions each; the last by time is held out. Popularity in train is
/// a 4, b 3, c 2, d 2, e 2, f 2, g 1; held out are e, b, g and h.
#[test]
fn popularity_by_hand() {
    let dir = directory();
    let mut text = String::from("user,item,timestamp\n");
    for (user, items) in [("1", "abcde"), ("2", "acdfb"), ("3", "abefg"), ("4", "abegh")] {
        for (time, item) in items.chars().enumerate() {
            text.push_str(&format!("{user},{item},{time}\n"));
        }
    }
    let split = hold_out(&read(&file(&dir, "a.csv", text)), 1).expect("four users");
    let users = users_to_evaluate(&split, 8, None, 1);
    // Lists of 3: user 1 e, f, g; user 2 b, e, g; user 3 c, d, g; user 4 c, d, f.
    let metrics = evaluate_popularity(&split, &users, 3);
    assert_eq!(metrics.users, 4);
    assert!((metrics.recall - 0.75).abs() < 1e-12, "{metrics:?}");
    assert!((metrics.ndcg - (1.0 + 1.0 + 0.5 + 0.0) / 4.0).abs() < 1e-12, "{metrics:?}");
}

/// The figures follow from the protocol's words (ties to the smaller id). A table that breaks the
/// ties of ml-latest-small otherwise has 0.0843 and 0.0675 there; any order lies in 0.0841 to 0.0844.
#[test]
fn popularity_on_real_splits() {
    for (name, recall, ndcg) in
        [("movietweetings-100k", 0.2087, 0.1005), ("ml-latest-small", 0.0841, 0.0674)]
    {
        let Some(dir) = data(name) else { continue };
        let split = split(&dir);
        let metrics = evaluate_popularity(&split, &users_to_evaluate(&split, 64, None, 1), 20);
        assert_eq!((rounded(metrics.recall), rounded(metrics.ndcg)), (recall, ndcg), "{name}");
    }
}

/// Our own hold-out of the raw ratings is the split that the figures were measured on.
#[test]
fn the_hold_out_is_the_published_split() {
    for (name, raw, bound) in
        [("movietweetings-100k", "ratings.dat", 7.0), ("ml-latest-small", "ratings.csv", 4.0)]
    {
        let Some(dir) = data(name) else { continue };
        let rows = positives(&read(&dir.join(raw)), Some(bound), Weight::None).expect("positives");
        let ours = hold_out(&rows, 1).expect("users");
        let ids = |rows: &Interactions| -> Vec<(String, String)> {
            let mut out = Vec::new();
            for (user, id) in rows.users.iter().enumerate() {
                out.extend(rows.items_of(user).iter().map(|&item| {
                    // The split's files have numbers without leading zeros.
                    let item = &rows.items[item as usize];
                    (id.clone(), item.trim_start_matches('0').to_string())
                }));
            }
            out.sort();
            out
        };
        for (ours, file) in [(&ours.train, "split/train.csv"), (&ours.test, "split/test.csv")] {
            assert!(ids(ours) == ids(&read(&dir.join(file))), "{name} {file}");
        }
    }
}

/// Within 1 % of PyPI implicit 0.7.3's ALS at equal settings, whose means over seeds these are.
#[test]
fn als_is_as_good_as_the_usual_implementation() {
    for (name, regularization, alpha, recall) in
        [("movietweetings-100k", 30.0, 2.0, 0.2214), ("ml-latest-small", 10.0, 1.0, 0.1554)]
    {
        let Some(dir) = data(name) else { continue };
        let split = split(&dir);
        let users = users_to_evaluate(&split, 64, None, 1);
        let matrix = confidences(&split.train, Weight::None, alpha);
        let mut sum = 0.0;
        for seed in 1..=5 {
            let options = AlsOptions {
                factors: 64,
                regularization,
                scaling: RegularizationScaling::None,
                iterations: 15,
                seed,
            };
            let factors = fit(&matrix, &options, &|_| ()).expect("finite");
            sum += evaluate_factors(&split, &factors, &users, 20).recall;
        }
        let mean = sum / 5.0;
        assert!(mean > 0.99 * recall, "{name}: {mean:.4} is below 99 % of {recall}");
    }
}
