//! Factors from elsewhere: NumPy's and Spark's files in, a bundle out, and every refusal.

mod support;

use marquee_bundle::{Bundle, LoadOptions, TrustedKeys};
use marquee_core::hash::shard_of;
use marquee_core::plan::privacy::{Tombstone, Tombstones};
use marquee_core::plan::{AnswerSecret, SECRET_BYTES, UserPrivacy};
use marquee_train::factors::read_factors;
use marquee_train::read::UserKeysFile;
use marquee_train::{ITEM_FACTORS, ImportArgs, USER_FACTORS, import};
use proptest::prelude::*;
use std::path::Path;
use support::{Column, directory, file, le_bytes, npy, parquet};

fn failure(path: &Path, ids: Option<&Path>) -> String {
    let error = read_factors(path, ids, "item").expect_err("refused").to_string();
    error.replace(&format!("{}/", path.parent().expect("a parent").display()), "")
}

#[test]
fn npy_with_and_without_ids() {
    let dir = directory();
    let numbers = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
    let path = file(&dir, "f.npy", npy("<f4", false, "(3, 2)", &le_bytes(&numbers)));
    let table = read_factors(&path, None, "item").expect("fine");
    assert_eq!(
        (table.ids.as_slice(), table.rank),
        (["0", "1", "2"].map(String::from).as_slice(), 2)
    );
    assert_eq!(table.data, numbers);
    let ids = file(&dir, "ids.txt", "a\r\nb c\n\u{e9}");
    assert_eq!(read_factors(&path, Some(&ids), "item").expect("fine").ids, ["a", "b c", "é"]);
    let wide: Vec<u8> =
        numbers.iter().flat_map(|&number| f64::from(number).to_le_bytes()).collect();
    let path = file(&dir, "d.npy", npy("<f8", false, "(3, 2)", &wide));
    assert_eq!(read_factors(&path, None, "item").expect("rounded").data, numbers);
}

#[test]
fn npy_that_is_not_so_is_refused() {
    let dir = directory();
    let good = le_bytes(&[1.0, 2.0, 3.0, 4.0]);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            npy("<f4", true, "(2, 2)", &good),
            "the array is in Fortran order: save numpy.ascontiguousarray(a)",
        ),
        (
            npy(">f4", false, "(2, 2)", &good),
            "the numbers are of type \">f4\": save little-endian float32, as numpy.save(file, a.astype('<f4')) does",
        ),
        (npy("<f4", false, "(4,)", &good), "the array has 1 dimensions: factors are rows × rank"),
        (
            npy("<f4", false, "(2, 3)", &good),
            "the header says 2 × 3 numbers of 4 bytes, and 16 bytes follow it: save the array anew",
        ),
        (
            npy("<f4", false, "(4611686018427387904, 4)", &good),
            "the header says 4611686018427387904 × 4 numbers of 4 bytes, and 16 bytes follow it: save the array anew",
        ),
        (
            npy("<f4", false, "(2, -2)", &good),
            "the header has the shape (2, -2), which is no tuple of sizes",
        ),
        (b"\x93NUMPY\x09\x00\x10\x00".to_vec(), ".npy version 9 is not known: 1 to 3 are"),
        (
            b"\x93NUMPY\x01\x00\xff\xff".to_vec(),
            "the header has 65535 bytes: at most 10000 are allowed",
        ),
        (
            b"\x93NUMPY\x01\x00\x80\x00{'descr'".to_vec(),
            "the header is cut short: save the array anew with numpy.save",
        ),
        (b"\x93NUMPY\x01".to_vec(), "the header is cut short: save the array anew with numpy.save"),
        (b"PK\x03\x04...".to_vec(), "the file is a .npz archive: save each array with numpy.save"),
        (b"1 2 3".to_vec(), "the file is neither .npy nor Parquet: save it with numpy.save"),
        (
            npy("<f4", false, "(2, 2)", &le_bytes(&[1.0, 2.0, f32::NAN, 4.0])),
            "row 1 (from 0; item \"1\") column 0 is NaN: factors must be finite numbers, train them anew",
        ),
        (
            npy("<f4", false, "(2, 2)", &le_bytes(&[1.0, f32::INFINITY, 3.0, 4.0])),
            "row 0 (from 0; item \"0\") column 1 is inf: factors must be finite numbers, train them anew",
        ),
        (npy("<f4", false, "(2, 0)", &[]), "vectors have 0 components: 1 to 4096 are allowed"),
        (
            npy("<f4", false, "(18446744073709551615, 0)", &[]),
            "vectors have 0 components: 1 to 4096 are allowed",
        ),
    ];
    for (bytes, problem) in cases {
        let path = file(&dir, "f.npy", bytes);
        assert_eq!(failure(&path, None), format!("f.npy: {problem}"));
    }
    let path = file(&dir, "f.npy", npy("<f4", false, "(0, 2)", &[]));
    assert_eq!(
        failure(&path, None),
        "f.npy holds no rows: give a file with at least one row of data"
    );
}

#[test]
fn ids_that_do_not_fit_are_refused() {
    let dir = directory();
    let path = file(&dir, "f.npy", npy("<f4", false, "(2, 1)", &le_bytes(&[1.0, 2.0])));
    let with = |ids: &[u8]| {
        let message = failure(&path, Some(&file(&dir, "ids.txt", ids)));
        message.replace(&format!("{}/", dir.path().display()), "")
    };
    assert_eq!(with(b"a\n"), "ids.txt: 1 ids for the 2 rows of f.npy: give one a row");
    assert_eq!(with(b"a\n\nb\n"), "ids.txt: line 2: the item id is empty");
    assert_eq!(with(b"a\na\n"), "f.npy: item \"a\" is there twice: give each id once");
    assert_eq!(with(b"a\n\xff\n"), "ids.txt: line 2 is not UTF-8: save the ids as UTF-8");
}

#[test]
fn ids_of_an_array_are_numbers_or_text() {
    let dir = directory();
    let path = file(&dir, "f.npy", npy("<f4", false, "(2, 1)", &le_bytes(&[1.0, 2.0])));
    let utf32 = |text: &str| -> Vec<u8> {
        text.chars().flat_map(|character| u32::from(character).to_le_bytes()).collect()
    };
    for (descr, data, expected) in [
        ("<i8", [7i64.to_le_bytes(), (-1i64).to_le_bytes()].concat(), ["7", "-1"]),
        ("<i4", [7i32.to_le_bytes(), (-2i32).to_le_bytes()].concat(), ["7", "-2"]),
        ("|u1", vec![7, 255], ["7", "255"]),
        (
            "<u8",
            [7u64.to_le_bytes(), u64::MAX.to_le_bytes()].concat(),
            ["7", "18446744073709551615"],
        ),
        ("<U3", utf32("tt1\u{e9}\0\0"), ["tt1", "é"]),
        ("|S3", b"tt1a\0\0".to_vec(), ["tt1", "a"]),
    ] {
        let ids = file(&dir, "ids.npy", npy(descr, false, "(2,)", &data));
        assert_eq!(read_factors(&path, Some(&ids), "item").expect(descr).ids, expected, "{descr}");
    }
    let with = |descr: &str, shape: &str, data: &[u8]| {
        let ids = file(&dir, "ids.npy", npy(descr, false, shape, data));
        failure(&path, Some(&ids)).replace(&format!("{}/", dir.path().display()), "")
    };
    assert_eq!(
        with("<f8", "(2,)", &[0; 16]),
        "ids.npy: the ids are of type \"<f8\": save whole numbers or text, as numpy.save(file, a.astype(str)) does"
    );
    assert_eq!(
        with("<i8", "(2, 1)", &[0; 16]),
        "ids.npy: the array has 2 dimensions: ids have one"
    );
    assert_eq!(
        with("<i8", "(3,)", &[0; 24]),
        "ids.npy: 3 ids for the 2 rows of f.npy: give one a row"
    );
    assert!(with("<i8", "(2,)", &[0; 8]).contains("the header says 2 numbers of 8 bytes"));
    assert_eq!(with("<U1", "(2,)", &[0xff; 8]), "ids.npy: entry 0 is not Unicode");
    assert_eq!(with("|S2", "(2,)", b"a\0\0\0"), "ids.npy: entry 1: the item id is empty");
    assert!(with("<U999999999", "(2,)", &[0; 8]).contains("are of type"));
}

#[test]
fn parquet_as_spark_writes_it() {
    let dir = directory();
    let folder = dir.path().join("itemFactors");
    std::fs::create_dir(&folder).expect("a directory");
    std::fs::write(folder.join("_SUCCESS"), "").expect("written");
    let part = |name: &str, ids: Vec<i32>, lists: Vec<Vec<f32>>| {
        let rows = ids.len();
        let columns = [("id", Column::Int32(ids)), ("features", Column::FloatLists(lists))];
        parquet(&folder.join(name), &columns, &[rows]);
    };
    part("part-00001-x.parquet", vec![30], vec![vec![5.0, 6.0]]);
    part("part-00000-x.parquet", vec![10, 20], vec![vec![1.0, 2.0], vec![3.0, 4.0]]);
    part("part-00002-x.parquet", vec![], vec![]);
    let table = read_factors(&folder, None, "item").expect("fine");
    assert_eq!(table.ids, ["10", "20", "30"]);
    assert_eq!((table.rank, &table.data), (2, &vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    // A saved ALSModel has it beside the users' factors and what it was trained with.
    for other in ["metadata", "userFactors"] {
        std::fs::create_dir(dir.path().join(other)).expect("a directory");
    }
    let of_model = read_factors(dir.path(), None, "item").expect("the items of the model");
    assert_eq!((of_model.ids, of_model.data), (table.ids, table.data));
    let empty = read_factors(dir.path(), None, "user").expect_err("no part").to_string();
    assert!(empty.contains("userFactors"), "{empty}");
}

#[test]
fn parquet_of_doubles_and_texts() {
    let dir = directory();
    let path = dir.path().join("f.parquet");
    let columns = [
        ("id", Column::Text(vec!["a", "b", "c"])),
        ("features", Column::DoubleLists(vec![vec![1.0], vec![2.0], vec![3.0]])),
    ];
    parquet(&path, &columns, &[2, 3]);
    let table = read_factors(&path, None, "item").expect("fine");
    assert_eq!(
        (table.ids, table.data),
        (["a", "b", "c"].map(String::from).to_vec(), vec![1.0, 2.0, 3.0])
    );
}

#[test]
fn parquet_that_is_not_so_is_refused() {
    let dir = directory();
    let path = dir.path().join("f.parquet");
    let write = |lists: Vec<Vec<f32>>| {
        let ids = (0..lists.len() as i64).collect();
        let rows = lists.len();
        let columns = [("id", Column::Int64(ids)), ("features", Column::FloatLists(lists))];
        parquet(&path, &columns, &[rows]);
        failure(&path, None)
    };
    assert_eq!(
        write(vec![vec![1.0, 2.0], vec![3.0]]),
        "f.parquet: row 2 has 1 numbers where the rows before have 2"
    );
    assert_eq!(
        write(vec![vec![1.0, 2.0], vec![]]),
        "f.parquet: a list of numbers is null, empty or has nulls, between rows 1 and 2: every row needs one"
    );
    assert_eq!(
        write(vec![vec![1.0, 2.0], vec![3.0, f32::NAN]]),
        "f.parquet: row 1 (from 0; item \"1\") column 1 is NaN: factors must be finite numbers, train them anew"
    );
    let columns = [("id", Column::Int64(vec![1])), ("x", Column::Float(vec![1.0]))];
    parquet(&path, &columns, &[1]);
    assert_eq!(
        failure(&path, None),
        "f.parquet: factors need the columns id and features (a list of float), and there are [\"id\", \"x\"]"
    );
    let folder = dir.path().join("empty");
    std::fs::create_dir(&folder).expect("a directory");
    assert_eq!(failure(&folder, None), "empty: the directory holds no files");
}

#[test]
fn a_broken_parquet_file_is_an_error_and_no_panic() {
    let dir = directory();
    let path = dir.path().join("f.parquet");
    let lists = (0..30).map(|n| vec![n as f32, 1.0]).collect();
    let columns =
        [("id", Column::Int32((0..30).collect())), ("features", Column::FloatLists(lists))];
    parquet(&path, &columns, &[10, 30]);
    let bytes = std::fs::read(&path).expect("written");
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 1 << (at % 8);
        // Whatever is read must still be fit to publish.
        if let Ok(table) = read_factors(&file(&dir, "b.parquet", &broken), None, "item") {
            assert_eq!(table.data.len(), table.ids.len() * table.rank, "byte {at}");
            assert!(table.data.iter().all(|value| value.is_finite()), "byte {at}");
        }
    }
    for cut in [3, 4, 8, bytes.len() / 2, bytes.len() - 1] {
        let path = file(&dir, "c.parquet", &bytes[..cut]);
        assert!(read_factors(&path, None, "item").is_err(), "{cut}");
    }
}

#[test]
fn a_bundle_of_imported_factors() {
    let dir = directory();
    let items = file(
        &dir,
        "i.npy",
        npy("<f4", false, "(3, 2)", &le_bytes(&[1.0, 0.0, 0.0, 1.0, 2.0, 2.0])),
    );
    let users = file(&dir, "u.npy", npy("<f4", false, "(2, 2)", &le_bytes(&[1.0, 2.0, 3.0, 4.0])));
    let rows = "user,item,rating\nann,x,5\nann,z,1\nbob,x,4\nbob,unknown,5\ncy,x,5\n";
    let args = ImportArgs {
        item_ids: Some(file(&dir, "i.txt", "x\ny\nz\n")),
        user_ids: Some(file(&dir, "u.txt", "ann\nbob\n")),
        items: Some(file(
            &dir,
            "items.csv",
            "item,title,genres\nx,The X (1999),a|b\nother,Other,c\n",
        )),
        interactions: Some(file(&dir, "rows.csv", rows)),
        positive_at: Some(4.0),
        shards: 2,
        ..ImportArgs::new("films", &items, &users, dir.path().join("bundle"))
    };
    let summary = import(&args, 7).unwrap_or_else(|error| panic!("{error}"));
    let met = summary.interactions.as_ref().expect("interactions were given");
    assert_eq!((met.used, met.rows_of_unknown_users, met.rows_of_unknown_items), (3, 1, 1));
    let catalogue = summary.catalogue.as_ref().expect("items were given");
    assert_eq!((catalogue.described, catalogue.without_description, catalogue.left_out), (1, 2, 1));
    let text = summary.to_string();
    assert!(text.contains("left out 1 of users and 1 of items without factors"), "{text}");

    let bundle =
        Bundle::open(&args.out, &TrustedKeys::default(), &LoadOptions::default()).expect("opens");
    assert_eq!((bundle.manifest().counts.users, bundle.manifest().counts.items), (2, 3));
    let shard = |id: &str| &bundle.shards()[shard_of(id, 2) as usize];
    let ann = shard("ann").users().find("ann").expect("known");
    assert_eq!(shard("ann").dense(USER_FACTORS).expect("there").row(ann), [1.0, 2.0]);
    let z = shard("z").items().find("z").expect("known");
    assert_eq!(shard("z").dense(ITEM_FACTORS).expect("there").row(z), [2.0, 2.0]);
    let x = shard("x").items().find("x").expect("known");
    assert_eq!(shard("x").items().title(x), "The X (1999)");
    // Ordinals are in canonical order: x, y, z. What ann rated 1 is seen and weighs nothing.
    let history = shard("ann").sparse("history").expect("there");
    assert_eq!(history.row(ann), ([0, 2].as_slice(), [1.0, 0.0].as_slice()));
    let again = import(&args, 7).expect_err("the place is taken").to_string();
    assert!(again.contains("exists and is not an empty directory"), "{again}");
}

#[test]
fn ranks_must_agree() {
    let dir = directory();
    let items = file(&dir, "i.npy", npy("<f4", false, "(1, 2)", &le_bytes(&[1.0, 0.0])));
    let users = file(&dir, "u.npy", npy("<f4", false, "(1, 1)", &le_bytes(&[1.0])));
    let args = ImportArgs::new("films", &items, &users, dir.path().join("bundle"));
    let error = import(&args, 7).expect_err("refused").to_string();
    assert_eq!(
        error,
        "item factors have rank 2 and user factors 1: give two matrices of one model"
    );
}

proptest! {
    #[test]
    fn any_npy_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..60, flip in any::<u8>()) {
        let dir = directory();
        let mut almost = npy("<f4", false, "(3, 2)", &le_bytes(&[1.0; 6]));
        almost[at] ^= flip;
        let _ = read_factors(&file(&dir, "a.npy", almost), None, "item");
        let mut random = b"\x93NUMPY".to_vec();
        random.extend(bytes);
        let _ = read_factors(&file(&dir, "b.npy", random), None, "item");
    }
}

#[test]
fn factors_of_users_whom_a_cluster_forgets_are_left_out() {
    let mut privacy = UserPrivacy::default();
    privacy.add(AnswerSecret([171; SECRET_BYTES]), 0);
    privacy.add(AnswerSecret([2; SECRET_BYTES]), 0);
    let forget = |privacy: &mut UserPrivacy, users: &[&str]| {
        let tombstones = users.iter().map(|user| {
            let user = privacy.pseudonym(user).expect("a root");
            (user, Tombstone { number: 2, made_at_ms: 9 })
        });
        Tombstones::of(tombstones.collect::<Vec<_>>(), 3)
    };
    privacy.tombstones = forget(&mut privacy, &["ann", "cy", "nobody"]);
    let dir = directory();
    let keys = serde_json::to_string(&UserKeysFile::of(&privacy).expect("a root")).expect("JSON");
    let factors: Vec<f32> = (0..10).map(|n| n as f32).collect();
    let items = file(&dir, "i.npy", npy("<f4", false, "(2, 2)", &le_bytes(&factors[..4])));
    let users = file(&dir, "u.npy", npy("<f4", false, "(5, 2)", &le_bytes(&factors)));
    let rows = "user,item,rating\nann,0,5\nbob,1,4\ndee,0,1\n";
    let mut args = ImportArgs {
        user_ids: Some(file(&dir, "u.txt", "ann\nbob\ncy\ndee\neve\n")),
        interactions: Some(file(&dir, "rows.csv", rows)),
        forgotten: Some(file(&dir, "users.json", keys)),
        ..ImportArgs::new("films", &items, &users, dir.path().join("bundle"))
    };
    let summary = import(&args, 7).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(summary.forgotten.as_ref().expect("told").users, 2);
    assert!(summary.to_string().contains("2 users who are forgotten, up to tombstone 3"));
    let bundle =
        Bundle::open(&args.out, &TrustedKeys::default(), &LoadOptions::default()).expect("opens");
    let noted = bundle.manifest().forgotten.as_ref().expect("noted");
    assert_eq!((noted.number, &noted.list_id), (3, &privacy.list_id()));
    let shard = &bundle.shards()[0];
    for (user, row) in [("bob", [2.0, 3.0]), ("dee", [6.0, 7.0]), ("eve", [8.0, 9.0])] {
        let at = shard.users().find(user).expect("known");
        assert_eq!(shard.dense(USER_FACTORS).expect("there").row(at), row, "{user}");
    }
    assert!(shard.users().find("ann").is_none() && shard.users().find("cy").is_none());
    let dee = shard.users().find("dee").expect("known");
    assert_eq!(shard.sparse("history").expect("there").row(dee).0, [0]);

    privacy.tombstones = forget(&mut privacy, &["ann", "bob", "cy", "dee", "eve"]);
    let keys = serde_json::to_string(&UserKeysFile::of(&privacy).expect("a root")).expect("JSON");
    args.forgotten = Some(file(&dir, "all.json", keys));
    args.out = dir.path().join("none");
    let refused = import(&args, 7).expect_err("nobody is left").to_string();
    assert!(refused.contains("all factors are of users who are forgotten"), "{refused}");
}
