//! The writer refuses what it can't keep, by name, and leaves nothing behind; and the format doesn't
//! change by accident.

mod support;

use marquee_bundle::*;
use std::sync::Mutex;
use support::{input, open, write};

#[test]
fn what_is_wrong_is_refused_by_name() {
    type Break = fn(&mut BundleInput);
    let cases: [(Break, &str); 34] = [
        (|b| b.model = "a/b".into(), "model"),
        (|b| b.model.clear(), "model is empty"),
        (|b| b.shards = 0, "shards is 0"),
        (|b| b.shards = 1_025, "shards is 1025"),
        (|b| b.items[3].id.clear(), "items[3].id is empty"),
        (|b| b.items[3].id = "x".repeat(257), "items[3].id has 257 bytes"),
        (|b| b.items[3].id = b.items[5].id.clone(), "occurs twice"),
        (|b| b.users[2] = b.users[0].clone(), "users[2] \"u0\" occurs twice"),
        (|b| b.users[2].clear(), "users[2] is empty"),
        (|b| b.items[1].title = "t".repeat(4_097), "the title of item \"1\" has 4097 bytes"),
        (|b| b.items[1].tags.push(String::new()), "a tag of item \"1\" has 0 bytes"),
        (
            |b| b.items[1].attributes = vec![("y".into(), f64::NAN)],
            "attribute \"y\" of item \"1\" is NaN",
        ),
        (
            |b| b.items[1].attributes = vec![("y".into(), 1.0), ("y".into(), 2.0)],
            "attribute \"y\" twice",
        ),
        (
            |b| b.items[1].attributes = (0..257).map(|n| (n.to_string(), 0.0)).collect(),
            "at most 256",
        ),
        (
            |b| b.dense[0].data[7] = f32::INFINITY,
            "matrix \"item_factors\" has inf at row 2, column 1",
        ),
        (|b| b.dense[0].data.push(0.0), "\"item_factors\" has 31 values: 10 items × rank 3 are 30"),
        (|b| b.dense[0].rank = 0, "rank 0"),
        (|b| b.dense[0].rank = 4_097, "rank 4097"),
        (|b| b.dense[0].name = "user_factors".into(), "\"user_factors\": the name is taken"),
        (|b| b.dense[0].name = "history".into(), "\"history\": the name is taken"),
        (|b| b.dense[0].name = "items".into(), "\"items\": the name is taken"),
        (|b| b.dense[0].name = "../x".into(), "matrix"),
        (|b| b.dense[0].index.as_mut().expect("there").m = 1, "m 1: 2 to 128"),
        (|b| b.dense[0].index.as_mut().expect("there").ef_construction = 0, "ef_construction 0"),
        (
            |b| b.dense[0].index.as_mut().expect("there").target_recall = f64::NAN,
            "target_recall NaN",
        ),
        (|b| b.history.as_mut().expect("there").columns[0] = 10, "column 10 in row"),
        (|b| b.history.as_mut().expect("there").values[0] = f32::NAN, "the value NaN at entry 0"),
        (
            |b| b.history.as_mut().expect("there").offsets[1] = 1_000,
            "offsets of matrix \"history\"",
        ),
        (
            |b| b.history.as_mut().expect("there").offsets.truncate(2),
            "offsets of matrix \"history\"",
        ),
        (
            |b| {
                b.history = Some(CsrInput {
                    offsets: [vec![0], vec![2; 6]].concat(),
                    columns: vec![1, 1],
                    values: vec![1.0; 2],
                })
            },
            "column 1 twice in row 0",
        ),
        (|b| b.popularity.push(1.0), "popularity has 11 values for 10 items"),
        (|b| b.popularity[4] = f32::NAN, "popularity[4] is NaN"),
        (|b| drop(b.dense.pop()), "needs a dense matrix of users, \"user_factors\""),
        (
            |b| {
                b.items.clear();
                b.dense.clear();
                b.history = None;
                b.popularity.clear()
            },
            "there are no items",
        ),
    ];
    let dir = tempfile::tempdir().expect("temporary directory");
    for (at, (harm, expected)) in cases.into_iter().enumerate() {
        let mut given = input(10, 6, 3, 2);
        harm(&mut given);
        let place = dir.path().join(at.to_string());
        let error = write_bundle(given, &place, &|_| {}).expect_err(expected).to_string();
        assert!(error.contains(expected), "expected {expected:?}, got: {error}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 0, "nothing is left behind");
}

#[test]
fn a_place_that_is_taken_stays_as_it_is() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let place = dir.path().join("b");
    std::fs::create_dir(&place).expect("made");
    write(input(5, 2, 2, 1), &place);
    let error = write_bundle(input(6, 2, 2, 1), &place, &|_| {}).expect_err("taken");
    assert!(matches!(&error, BundleError::Exists { path } if *path == place), "{error}");
    assert_eq!(open(&place).expect("whole").manifest().counts.items, 5);
}

#[test]
fn progress_goes_from_none_to_all() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut given = input(700, 3, 4, 2);
    given.dense[0].index = Some(IndexOptions {
        mode: IndexMode::Always,
        kind: IndexKind::Hnsw,
        ..IndexOptions::default()
    });
    let seen = Mutex::new(Vec::new());
    write_bundle(given, &dir.path().join("b"), &|step| seen.lock().expect("whole").push(step))
        .expect("written");
    let seen = seen.into_inner().expect("whole");
    assert!(seen.contains(&WriteProgress::Indexing { done: 700, total: 700 }), "{seen:?}");
    assert!(seen.contains(&WriteProgress::Writing { done: 2, total: 2 }), "{seen:?}");
    assert!(seen.len() >= 5, "{seen:?}");
}

/// What a node's memory budget counts: exact rows that coarse rows stand for may stay on disk.
#[test]
fn rows_that_stay_on_disk_take_no_memory() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let whole = |manifest: &Manifest| manifest.shard_files(0).map(|file| file.bytes).sum::<u64>();
    let plain = write(input(300, 3, 8, 1), &dir.path().join("plain"));
    assert_eq!(plain.shard_bytes(0), whole(&plain));
    let mut given = input(300, 3, 8, 1);
    given.dense[0].rows = RowFormat::Int8;
    let coarse = write(given, &dir.path().join("coarse"));
    let exact = |file: &&FileInfo| file.path == "shard-0000/item_factors.dense";
    let exact = coarse.shard_files(0).find(exact).expect("written").bytes;
    assert_eq!(coarse.shard_bytes(0), whole(&coarse) - exact);
}

/// Indexes are made where the options say so, and the manifest tells.
#[test]
fn indexes_follow_their_options() {
    let of_each_kind = |(mode, min_rows, expected)| {
        [IndexKind::Cells, IndexKind::Hnsw].map(|kind| (kind, mode, min_rows, expected))
    };
    let cases = [
        (IndexMode::Never, 0, [false, false]),
        (IndexMode::Always, 1_000, [true, true]),
        (IndexMode::Auto, 10, [true, true]),
        (IndexMode::Auto, 1_000, [false, false]),
    ];
    for (kind, mode, min_rows, expected) in cases.into_iter().flat_map(of_each_kind) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut given = input(200, 3, 4, 2);
        given.dense[0].index =
            Some(IndexOptions { kind, mode, min_rows, ..IndexOptions::default() });
        let manifest = write(given, &dir.path().join("b"));
        let bundle = open(&dir.path().join("b")).expect("opened");
        let built = bundle
            .shards()
            .iter()
            .map(|shard| shard.dense("item_factors").expect("there"))
            .map(|matrix| (matrix.cells().is_some(), matrix.graph().is_some()));
        let expected_of = |there: bool| match kind {
            IndexKind::Cells => (there, false),
            IndexKind::Hnsw => (false, there),
        };
        assert_eq!(built.collect::<Vec<_>>(), expected.map(expected_of), "{mode:?} {kind:?}");
        let MatrixLayout::Dense { index, .. } =
            &manifest.matrix("item_factors").expect("there").layout
        else {
            panic!("it is dense");
        };
        assert_eq!(index.is_some(), mode != IndexMode::Never);
        assert_eq!(index.as_ref().is_some_and(|index| index.recall.is_some()), expected[0]);
    }
}

/// Published bundles depend on these bytes. If this changes, the format did: raise its version.
#[test]
fn the_format_is_pinned() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut given = input(40, 12, 5, 2);
    given.dense[0].index = None;
    for (at, matrix) in given.dense.iter_mut().enumerate() {
        // Whole numbers, which no machine's library of functions has a hand in.
        matrix.data =
            (0..matrix.data.len()).map(|n| (n * 37 % 101) as f32 - 50.0 - at as f32).collect();
    }
    write(given, &dir.path().join("b"));
    let bundle = open(&dir.path().join("b")).expect("opened");
    assert_eq!(
        bundle.digest().to_string(),
        "9068357dd1d4247d964a2a77fa2362cb07dbeeb8acea65fed0c0f70fe93e6380"
    );
}

#[test]
fn without_a_history_its_rows_are_empty() {
    let dir = tempfile::tempdir().expect("temporary directory");
    write(
        BundleInput { history: None, popularity: vec![], ..input(9, 4, 2, 1) },
        &dir.path().join("b"),
    );
    let bundle = open(&dir.path().join("b")).expect("opened");
    let shard = &bundle.shards()[0];
    let history = shard.sparse("history").expect("every bundle has it");
    assert_eq!((history.rows(), history.columns(), history.entries()), (4, 9, 0));
    let (cancel, mut scratch) = (CancelFlag::new(), SearchScratch::new());
    let params = SearchParams::new(20, &cancel);
    let hits =
        sparse_row_sum(shard, "popularity", &[0], &[1.0], &params, &mut scratch).expect("found");
    let ordinals: Vec<u32> = hits.iter().map(|hit| hit.ordinal).collect();
    assert_eq!(
        ordinals,
        (0..9).collect::<Vec<_>>(),
        "items of unknown popularity are candidates too"
    );
}

#[test]
fn a_bundle_is_removed_whole_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    write(input(20, 10, 4, 2), &here);
    write(input(21, 10, 4, 2), &there);
    let digest = open(&here).expect("sound").digest().to_string();
    let refused = remove_bundle(&there, &digest).expect_err("another bundle");
    assert!(refused.to_string().contains("of another bundle"), "{refused}");
    open(&there).expect("untouched");
    remove_bundle(&here, &digest).expect("removed");
    assert!(!here.exists());
    let digest = open(&there).expect("sound").digest().to_string();
    std::fs::write(there.join("notes.txt"), "mine").expect("written");
    remove_bundle(&there, &digest).expect("removed");
    assert_eq!(
        support::files(&there),
        [std::path::Path::new("notes.txt")],
        "what is not of the bundle stays"
    );
}

#[test]
fn a_link_in_a_removed_bundle_takes_no_other_bundle_with_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let base = dir.path().canonicalize().expect("there");
    let (live, doomed) = (base.join("live"), base.join("doomed"));
    write(input(20, 10, 4, 2), &live);
    write(input(20, 10, 4, 2), &doomed);
    let digest = open(&live).expect("sound").digest().to_string();
    std::fs::remove_dir_all(doomed.join("shard-0000")).expect("removed");
    std::os::unix::fs::symlink(live.join("shard-0000"), doomed.join("shard-0000")).expect("ours");
    remove_bundle(&doomed, &digest).expect("removed");
    assert!(!doomed.join("manifest.json").exists());
    assert!(!doomed.join("shard-0001").exists());
    open(&live).expect("whole");
    // A bundle that is reached by a link is not deleted at all.
    let alias = base.join("alias");
    std::os::unix::fs::symlink(&live, &alias).expect("ours");
    remove_bundle(&alias, &digest).expect_err("a link");
    open(&live).expect("whole");
}
