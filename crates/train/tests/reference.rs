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
use std::collections::HashSet;
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
    assert!((metrics.mrr - (1.0 + 1.0 + 1.0 / 3.0) / 4.0).abs() < 1e-12, "{metrics:?}");
    // b to g are recommended 1, 2, 2, 2, 2 and 3 times, a and h never: coverage 6 of 8.
    assert_eq!(metrics.coverage, 0.75);
}

/// The figures follow from the protocol's words, "ties by smaller item id", to four digits.
///
/// The published table has them for movietweetings-100k, and 0.0843 and 0.0675 for ml-latest-small.
/// There it breaks its own rule: what numpy 2.4.6 gives when the best 20 are chosen by `argpartition`,
/// which takes any of the items that tie at the 20th place, and only then are sorted by score and
/// item, is 0.08427 and 0.06750, and 0.20871 and 0.10053 for movietweetings-100k, which is both lines
/// of the table. (Smaller ids first, as numbers or as text: 0.0841, 0.0674. Larger ids: 0.0844, 0.0676. First
/// come: 0.0842, 0.0674.) Nothing about ids says what `argpartition` takes, so there is no rule to
/// adopt, and the next test says how much of the figures is luck of that kind.
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

/// Whatever a table does with ties, a published recall of popularity lies between those of the
/// unluckiest and the luckiest choice for each user among the items that tie at the 20th place, and
/// so does ours. The two are so close that an error in counts, in what is known or in the formula
/// would show.
#[test]
fn published_popularity_is_within_what_ties_can_do() {
    for (name, published, within) in [
        ("movietweetings-100k", 0.2087, (0.2087, 0.2087)),
        ("ml-latest-small", 0.0843, (0.0841, 0.0844)),
    ] {
        let Some(dir) = data(name) else { continue };
        let HoldOut { train, test, .. } = split(&dir);
        let counts = train.item_counts();
        let mut order: Vec<u32> = (0..counts.len() as u32).collect();
        order.sort_by_key(|&item| std::cmp::Reverse(counts[item as usize]));
        let (mut least, mut most) = (0.0, 0.0);
        for user in 0..test.users.len() {
            let known: HashSet<u32> = train.items_of(user).iter().copied().collect();
            let wanted: HashSet<u32> = test.items_of(user).iter().copied().collect();
            let open: Vec<u32> =
                order.iter().copied().filter(|item| !known.contains(item)).collect();
            let last = counts[open[19] as usize];
            let sure = open.iter().take_while(|&&item| counts[item as usize] > last).count();
            let tied = open[sure..].iter().take_while(|&&item| counts[item as usize] == last);
            let hits = |items: &[u32]| items.iter().filter(|item| wanted.contains(item)).count();
            let tied: Vec<u32> = tied.copied().collect();
            let (places, tied_hits) = (20 - sure, hits(&tied));
            let possible = wanted.len().min(20) as f64;
            let missed = tied.len() - tied_hits;
            least += (hits(&open[..sure]) + places.saturating_sub(missed)) as f64 / possible;
            most += (hits(&open[..sure]) + places.min(tied_hits)) as f64 / possible;
        }
        let users = test.users.len() as f64;
        let (least, most) = (rounded(least / users), rounded(most / users));
        assert_eq!((least, most), within, "{name}");
        assert!((least..=most).contains(&published), "{name} {least} {most}");
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
