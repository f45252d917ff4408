//! `marquee split` writes what its words say: against published splits where they are at hand, and
//! against a table small enough to cut by hand.

mod support;

use marquee_train::read::read_interactions;
use marquee_train::split::{SplitSummary, write_split};
use marquee_train::{ColumnArgs, Duplicates, SplitArgs, SplitBy};
use std::collections::BTreeSet;
use std::path::Path;
use support::{data, directory, file};

/// The rows of a file, without the leading zeros that the published splits leave out.
fn rows(path: &Path) -> BTreeSet<(String, String, String)> {
    let read = read_interactions(path, &ColumnArgs::default(), Duplicates::Last, false);
    let rows = read.unwrap_or_else(|error| panic!("{error}")).0;
    let mut out = BTreeSet::new();
    for (user, id) in rows.users.iter().enumerate() {
        out.extend(rows.rows_of(user).map(|row| {
            let item = rows.items[rows.item[row] as usize].trim_start_matches('0');
            (id.clone(), item.to_string(), format!("{} {}", rows.value[row], rows.time[row]))
        }));
    }
    out
}

fn run(args: &SplitArgs) -> SplitSummary {
    write_split(args).unwrap_or_else(|error| panic!("{error}"))
}

/// Both protocols of the published splits, from the raw ratings, valid parts and all.
#[test]
fn published_splits_are_made_again() {
    for (name, raw, bound) in
        [("movietweetings-100k", "ratings.dat", 7.0), ("ml-latest-small", "ratings.csv", 4.0)]
    {
        let Some(published) = data(name) else { continue };
        for (folder, by, positive_at) in
            [("split", SplitBy::Time, Some(bound)), ("split-seq", SplitBy::LeaveLast, None)]
        {
            let dir = directory();
            let out = dir.path().join("out");
            let mut args = SplitArgs::new(published.join(raw), &out);
            (args.by, args.positive_at, args.valid) = (by, positive_at, true);
            run(&args);
            for file in ["train.csv", "valid.csv", "test.csv"] {
                let (ours, theirs) =
                    (rows(&out.join(file)), rows(&published.join(folder).join(file)));
                let missing = theirs.difference(&ours).count();
                assert!(
                    ours == theirs,
                    "{name}/{folder}/{file}: {} rows, {} published, {missing} of them missing",
                    ours.len(),
                    theirs.len()
                );
            }
        }
    }
}

/// User a has six rows in an order of time that isn't the file's; b has five, the last two at one
/// time; c has four, too few.
const SMALL: &str = "user,item,hours,time
a,1,1,6\na,2,2,5\na,3,3,4\na,4,4,3\na,5,5,2\na,\"6,b\",6.25,1
b,1,1,1\nb,2,1,2\nb,3,1,3\nb,9,1,4\nb,10,1,4
c,1,1,1\nc,2,1,2\nc,3,1,3\nc,4,1,4
";

#[test]
fn files_hold_the_rows_in_order_of_time() {
    let dir = directory();
    let out = dir.path().join("out");
    let mut args = SplitArgs::new(file(&dir, "a.csv", SMALL), &out);
    args.valid = true;
    let summary = run(&args);
    let text = |name: &str| std::fs::read_to_string(out.join(name)).expect("written");
    assert_eq!(
        text("train.csv"),
        "user,item,value,timestamp\n\
         a,\"6,b\",6.25,1\na,5,5,2\na,4,4,3\na,3,3,4\na,2,2,5\n\
         b,1,1,1\nb,2,1,2\nb,3,1,3\nb,9,1,4\n"
    );
    assert_eq!(text("valid.csv"), "user,item,value,timestamp\na,2,2,5\nb,9,1,4\n");
    assert_eq!(text("test.csv"), "user,item,value,timestamp\na,1,1,6\nb,10,1,4\n");
    assert_eq!((summary.users, summary.rows), (2, 11));
    assert_eq!(summary.folds[0].test_rows_of_new_items, 1, "no user has item 10 before");
    let note: serde_json::Value = serde_json::from_str(&text("split.json")).expect("JSON");
    assert_eq!(
        (&note["by"], &note["share"], &note["seed"]),
        (&"time".into(), &0.2.into(), &1.into())
    );
    assert_eq!(note["folds"][0]["parts"][0]["rows"], 9);
    let shown = summary.to_string();
    assert!(shown.contains("11 rows of 2 users with at least 5, split by time\n"), "{shown}");
}

#[test]
fn held_out_users_come_with_an_input() {
    let dir = directory();
    let out = dir.path().join("out");
    let mut args = SplitArgs::new(file(&dir, "a.csv", SMALL), &out);
    (args.by, args.target_share) = (SplitBy::User, 0.4);
    run(&args);
    let (train, input, test) =
        (rows(&out.join("train.csv")), rows(&out.join("input.csv")), rows(&out.join("test.csv")));
    let users = |rows: &BTreeSet<(String, String, String)>| -> BTreeSet<String> {
        rows.iter().map(|row| row.0.clone()).collect()
    };
    assert_eq!(users(&input), users(&test));
    assert!(users(&train).is_disjoint(&users(&test)));
    assert_eq!(test.len(), 2);
    assert_eq!(train.len() + input.len() + test.len(), 11);
}

#[test]
fn folds_are_directories_and_the_seed_decides() {
    let dir = directory();
    let source = file(&dir, "a.csv", SMALL);
    let tests = |name: &str, seed| {
        let mut args = SplitArgs::new(&source, dir.path().join(name));
        (args.by, args.folds, args.seed) = (SplitBy::Rows, Some(3), seed);
        let summary = run(&args);
        summary.folds.iter().map(|fold| rows(&fold.dir.join("test.csv"))).collect::<Vec<_>>()
    };
    let first = tests("one", 1);
    assert_eq!(first.iter().map(BTreeSet::len).collect::<Vec<_>>(), [4, 4, 3]);
    assert!(dir.path().join("one/fold-3/train.csv").is_file());
    assert_eq!(first, tests("again", 1));
    assert_ne!(first, tests("other", 2));
}

#[test]
fn what_is_there_is_not_overwritten() {
    let dir = directory();
    let source = file(&dir, "a.csv", SMALL);
    let error =
        write_split(&SplitArgs::new(&source, dir.path())).expect_err("occupied").to_string();
    assert!(error.starts_with("--out: ") && error.contains("is there already"), "{error}");
    let error = write_split(&SplitArgs::new(&source, &source)).expect_err("a file").to_string();
    assert!(error.starts_with("--out: "), "{error}");
}
