//! Interactions in every form that is read, and every refusal with its exact message.

mod support;

use marquee_train::read::{Format, ReadReport, read_interactions};
use marquee_train::{ColumnArgs, Duplicates, Interactions};
use proptest::prelude::*;
use std::path::Path;
use support::{Column, directory, file, parquet};

fn read(path: &Path) -> (Interactions, ReadReport) {
    let result = read_interactions(path, &ColumnArgs::default(), Duplicates::Last, false);
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// What went wrong, with the directory's name taken out.
fn failure(path: &Path, columns: &ColumnArgs) -> String {
    let error =
        read_interactions(path, columns, Duplicates::Last, false).expect_err("must be refused");
    error.to_string().replace(&format!("{}/", path.parent().expect("a parent").display()), "")
}

/// (user, item, value, time) of every row.
fn rows(all: &Interactions) -> Vec<(&str, &str, f32, f64)> {
    let mut out = Vec::new();
    for (user, id) in all.users.iter().enumerate() {
        for row in all.rows_of(user) {
            let time = all.time.get(row).copied().unwrap_or(-1.0);
            out.push((
                id.as_str(),
                all.items[all.item[row] as usize].as_str(),
                all.value[row],
                time,
            ));
        }
    }
    out
}

const EXPECTED: [(&str, &str, f32, f64); 3] =
    [("1", "10", 4.0, 100.0), ("1", "20", 2.5, 200.0), ("2", "10", 5.0, 300.0)];

#[test]
fn one_table_in_every_form() {
    let dir = directory();
    let forms = [
        (
            "a.csv",
            "userId,movieId,rating,timestamp\n1,10,4.0,100\n2,10,5,300\n1,20,2.5,200\n",
            Format::Csv,
        ),
        (
            "b.csv",
            "\u{feff}user_id,item_id,value,time\r\n1,10,4,100\r\n1,20,2.5,200\r\n2,10,5,300\r\n",
            Format::Csv,
        ),
        (
            "c.tsv",
            "uid\tiid\thours\tts\n1\t10\t4\t100\n1\t20\t2.5\t200\n2\t10\t5\t300\n",
            Format::Tsv,
        ),
        (
            "d.inter",
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t10\t4\t100\n1\t20\t2.5\t200\n2\t10\t5\t300\n",
            Format::Tsv,
        ),
        ("u.data", "1\t10\t4\t100\n1\t20\t2.5\t200\n2\t10\t5\t300\n", Format::Tsv),
        ("ratings.dat", "1::10::4::100\n1::20::2.5::200\r\n\n2::10::5::300", Format::DoubleColon),
        (
            "e.dat",
            "UserID::MovieID::Rating::Timestamp\n1::10::4::100\n1::20::2.5::200\n2::10::5::300",
            Format::DoubleColon,
        ),
        (
            "f.csv",
            "\"timestamp\";\"rating\";\"item\";\"user\"\n100;4;10;1\n200;\"2.5\";20;1\n300;5;10;2\n",
            Format::Semicolon,
        ),
        ("g.csv", "1,10,4,100\n1,20,2.5,200\n2,10,5,300\n", Format::Csv),
        (
            "h.csv",
            "extra,user,item,rating,timestamp\nx,1,10,4,100\n\"y,z\",1,20,2.5,200\n,2,10,5,300\n",
            Format::Csv,
        ),
    ];
    for (name, text, format) in forms {
        let (all, report) = read(&file(&dir, name, text));
        assert_eq!(rows(&all), EXPECTED, "{name}");
        assert_eq!((report.format, report.rows, report.bad_rows), (format, 3, 0), "{name}");
        assert!(all.has_values && all.has_times(), "{name}");
    }
}

#[test]
fn parquet_of_several_types_and_row_groups() {
    let dir = directory();
    let path = dir.path().join("a.parquet");
    let columns = [
        ("other", Column::Text(vec!["x", "y", "z"])),
        ("userId", Column::Int64(vec![1, 1, 2])),
        ("movieId", Column::Text(vec!["10", "20", "10"])),
        ("rating", Column::Double(vec![4.0, 2.5, 5.0])),
        ("timestamp", Column::Int32(vec![100, 200, 300])),
    ];
    parquet(&path, &columns, &[1, 3]);
    let (all, report) = read(&path);
    assert_eq!(rows(&all), EXPECTED);
    assert_eq!(report.format, Format::Parquet);
}

#[test]
fn a_null_in_parquet_is_a_bad_row() {
    let dir = directory();
    let path = dir.path().join("a.parquet");
    let columns = [
        ("user", Column::OptionalInt64(vec![Some(1), None, Some(3)])),
        ("item", Column::Float(vec![1.0, 2.0, 3.5])),
    ];
    parquet(&path, &columns, &[3]);
    let expected = "a.parquet row 2 column 1 (user): the user id is empty: correct the row, or give \
                    --skip-bad-rows to count and skip such rows";
    assert_eq!(failure(&path, &ColumnArgs::default()), expected);
    let (all, report) = read_interactions(&path, &ColumnArgs::default(), Duplicates::Last, true)
        .expect("two good rows");
    assert_eq!(rows(&all), [("1", "1", 1.0, -1.0), ("3", "3.5", 1.0, -1.0)]);
    assert_eq!((report.rows, report.bad_rows), (2, 1));
}

#[test]
fn values_and_times_are_optional() {
    let dir = directory();
    let (all, report) = read(&file(&dir, "a.csv", "user,item\na,x\na,y\n"));
    assert_eq!(rows(&all), [("a", "x", 1.0, -1.0), ("a", "y", 1.0, -1.0)]);
    assert!(!all.has_values && !all.has_times());
    assert!(
        report.notes.iter().any(|note| note.contains("every row counts 1")),
        "{:?}",
        report.notes
    );
    // Without a header, a third column as large as a time is one.
    let (all, _) = read(&file(&dir, "b.csv", "a,x,1365029107\nb,x,1365029108\n"));
    assert_eq!(rows(&all), [("a", "x", 1.0, 1_365_029_107.0), ("b", "x", 1.0, 1_365_029_108.0)]);
    let (all, _) = read(&file(&dir, "c.csv", "a,x,12\nb,x,3\n"));
    assert_eq!(rows(&all), [("a", "x", 12.0, -1.0), ("b", "x", 3.0, -1.0)]);
}

#[test]
fn columns_by_flag() {
    let dir = directory();
    let by = |user: &str, item: &str, value: Option<&str>, time: Option<&str>| ColumnArgs {
        user_column: Some(user.into()),
        item_column: Some(item.into()),
        value_column: value.map(Into::into),
        time_column: time.map(Into::into),
        ..ColumnArgs::default()
    };
    let text = "who,what,much,when\n1,10,4,100\n1,20,2.5,200\n2,10,5,300\n";
    let path = file(&dir, "a.csv", text);
    let read_by = |path: &Path, columns: &ColumnArgs| {
        read_interactions(path, columns, Duplicates::Last, false).map(|(all, _)| all)
    };
    let named = read_by(&path, &by("who", "what", Some("much"), Some("when"))).expect("named");
    assert_eq!(rows(&named), EXPECTED);
    let counted =
        read_by(&path, &by("1", "2", Some("3"), Some("4"))).expect("counted, header found");
    assert_eq!(rows(&counted), EXPECTED);
    let bare = file(&dir, "b.csv", "100,10,4,1\n200,20,2.5,1\n300,10,5,2\n");
    let counted = read_by(&bare, &by("4", "2", Some("3"), Some("1"))).expect("counted, no header");
    assert_eq!(rows(&counted), EXPECTED);
    assert_eq!(
        failure(&path, &ColumnArgs::default()),
        "a.csv: no column for the user: name it with --user-column, or give its place; the columns are \"who\", \
         \"what\", \"much\", \"when\""
    );
    assert_eq!(
        failure(&path, &by("missing", "what", None, None)),
        "a.csv: --user-column \"missing\" is no column: the columns are \"who\", \"what\", \"much\", \"when\""
    );
    assert_eq!(
        failure(&path, &by("9", "2", None, None)),
        "a.csv: --user-column 9: the file has 4 columns, counted from 1"
    );
    assert_eq!(
        failure(&path, &by("1", "1", None, None)),
        "a.csv: --user-column and --item-column are the same column"
    );
    let wide = file(&dir, "c.csv", "1,2,3,4,5\n");
    assert_eq!(
        failure(&wide, &ColumnArgs::default()),
        "c.csv: the file has no header and 5 columns: say where the user, the item, the value and the time are with \
         --user-column 1 --item-column 2 --value-column 3 --time-column 4; its first row is \"1\", \"2\", \"3\", \
         \"4\", \"5\""
    );
}

#[test]
fn bad_rows_are_named() {
    let dir = directory();
    let header = "user,item,rating,timestamp\n1,10,4,100\n";
    let long = "x".repeat(257);
    let cases = [
        ("1,10,abc,100", "column 3 (rating): \"abc\" is not a number"),
        ("1,10,nan,100", "column 3 (rating): \"nan\" is not a finite number"),
        ("1,10,inf,100", "column 3 (rating): \"inf\" is not a finite number"),
        ("1,10,,100", "column 3 (rating): a number is missing"),
        (
            "1,10,4,soon",
            "column 4 (timestamp): \"soon\" is neither a number of seconds nor an ISO 8601 date",
        ),
        ("1,10,4,NaN", "column 4 (timestamp): the time \"NaN\" is not finite"),
        (",10,4,100", "column 1 (user): the user id is empty"),
        ("1, ,4,100", "column 2 (item): the item id is empty"),
        (
            &format!("{long},10,4,100"),
            "column 1 (user): the user id has 257 bytes, at most 256 are allowed",
        ),
    ];
    let advice = ": correct the row, or give --skip-bad-rows to count and skip such rows";
    for (row, problem) in cases {
        let path = file(&dir, "a.csv", format!("{header}{row}\n2,10,5,300\n"));
        assert_eq!(
            failure(&path, &ColumnArgs::default()),
            format!("a.csv line 3 {problem}{advice}")
        );
        let (all, report) =
            read_interactions(&path, &ColumnArgs::default(), Duplicates::Last, true)
                .expect("skipped");
        assert_eq!((all.len(), report.rows, report.bad_rows), (2, 2, 1), "{row}");
        assert!(report.first_bad_rows[0].ends_with(problem), "{:?}", report.first_bad_rows);
    }
    for row in ["1,10", "1,10,4,100,7"] {
        let path = file(&dir, "a.csv", format!("{header}{row}\n"));
        let columns = row.split(',').count();
        let problem = format!("a.csv line 3: {columns} columns where 4 are expected{advice}");
        assert_eq!(failure(&path, &ColumnArgs::default()), problem);
    }
    let path = file(&dir, "a.dat", b"1::\xff::4::100\n");
    let problem = "a.dat line 1 column 2: the item id \"\u{fffd}\" is not UTF-8";
    assert_eq!(failure(&path, &ColumnArgs::default()), format!("{problem}{advice}"));
}

#[test]
fn files_without_data_are_refused() {
    let dir = directory();
    let none = "holds no rows: give a file with at least one row of data";
    for (name, text) in
        [("a.csv", ""), ("b.csv", "\n\n"), ("c.csv", "user,item,rating\n"), ("d.dat", "\n")]
    {
        let path = file(&dir, name, text);
        assert_eq!(failure(&path, &ColumnArgs::default()), format!("{name} {none}"));
    }
    let path = file(&dir, "e.csv", "user,item,rating\n1,2,x\n1,2,y\n");
    let error = read_interactions(&path, &ColumnArgs::default(), Duplicates::Last, true)
        .expect_err("all bad");
    assert!(error.to_string().contains("all 2 rows are bad; the first: "), "{error}");
    let error = read_interactions(
        &dir.path().join("none.csv"),
        &ColumnArgs::default(),
        Duplicates::Last,
        false,
    );
    let error = error.expect_err("no file").to_string();
    assert!(
        error.starts_with("cannot read ") && error.ends_with("check the path and its permissions"),
        "{error}"
    );
}

#[test]
fn what_is_no_table_is_refused() {
    let dir = directory();
    for (bytes, problem) in [
        (
            b"BZh91AY&SY".as_slice(),
            "the file is compressed, and only gzip and Zstandard are unpacked here: unpack it first",
        ),
        (b"\xff\xfeu\0s\0", "the file is UTF-16: save it as UTF-8"),
        (b"\x00\x01\x02,\x03", "the file is binary, neither text nor Parquet"),
        (
            b"1\n4\n",
            "the first line has no tab, comma, semicolon, |, :: or space between columns: say how columns are separated \
             with --format",
        ),
    ] {
        let path = file(&dir, "a.bin", bytes);
        assert_eq!(failure(&path, &ColumnArgs::default()), format!("a.bin: {problem}"));
    }
}

#[test]
fn duplicates_are_folded_and_counted() {
    let dir = directory();
    let path =
        file(&dir, "a.csv", "user,item,rating,timestamp\n1,10,4,100\n1,10,1,300\n1,10,2,200\n");
    let fold = |how| read_interactions(&path, &ColumnArgs::default(), how, false).expect("fine");
    let (last, report) = fold(Duplicates::Last);
    assert_eq!((rows(&last), report.duplicates), (vec![("1", "10", 1.0, 300.0)], 2));
    let (sum, _) = fold(Duplicates::Sum);
    assert_eq!(rows(&sum), [("1", "10", 7.0, 300.0)]);
}

#[test]
fn a_broken_parquet_file_is_an_error_and_no_panic() {
    let dir = directory();
    let path = dir.path().join("a.parquet");
    let columns = [
        ("user", Column::Int64((0..50).collect())),
        ("item", Column::OptionalInt64((0..50).map(|n| (n % 7 > 0).then_some(n)).collect())),
    ];
    parquet(&path, &columns, &[20, 50]);
    let bytes = std::fs::read(&path).expect("written");
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 0x40;
        let path = file(&dir, "b.parquet", &broken);
        // Right, wrong or refused, but never a panic.
        let _ = read_interactions(&path, &ColumnArgs::default(), Duplicates::Last, true);
    }
    for cut in [3, 8, bytes.len() / 2, bytes.len() - 1] {
        let path = file(&dir, "c.parquet", &bytes[..cut]);
        assert!(
            read_interactions(&path, &ColumnArgs::default(), Duplicates::Last, true).is_err(),
            "{cut}"
        );
    }
}

#[test]
fn a_few_bytes_that_stand_for_millions_of_rows_are_refused_before_they_are_read() {
    const ROWS: usize = 3_000_000;
    let dir = directory();
    let path = dir.path().join("a.parquet");
    let columns = [("user", Column::Int64(vec![7; ROWS])), ("item", Column::Int64(vec![8; ROWS]))];
    parquet(&path, &columns, &[ROWS]);
    let length = std::fs::metadata(&path).expect("written").len();
    assert!(length < 20_000, "{length} bytes");
    let says = failure(&path, &ColumnArgs::default());
    assert!(says.contains("6000000 values of columns: at most"), "{says}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let dir = directory();
        let path = file(&dir, "a.csv", &bytes);
        let _ = read_interactions(&path, &ColumnArgs::default(), Duplicates::Last, true);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[1-3a,:\t|;\"\n\r.-]{0,80}") {
        let dir = directory();
        let path = file(&dir, "a.csv", &text);
        let _ = read_interactions(&path, &ColumnArgs::default(), Duplicates::Last, true);
    }

    #[test]
    fn permuting_the_rows_changes_nothing(order in Just((0..30usize).collect::<Vec<_>>()).prop_shuffle()) {
        let dir = directory();
        let line = |n: usize| format!("u{},{},{},{}\n", n % 7, n * 31 % 11, n % 5, 1000 + n);
        let text = |order: &[usize]| {
            order.iter().fold("user,item,rating,timestamp\n".to_string(), |text, &n| text + &line(n))
        };
        let sorted: Vec<usize> = (0..30).collect();
        let (a, _) = read(&file(&dir, "a.csv", text(&sorted)));
        let (b, _) = read(&file(&dir, "b.csv", text(&order)));
        prop_assert_eq!(a, b);
    }
}
