//! Files as they come from elsewhere: compressed, in parts, with stray quotes, headers in odd places, and kinds of events.

mod support;

use marquee_train::read::{
    Format, ItemColumnArgs, ItemsFile, ReadReport, read_interactions, read_items,
};
use marquee_train::{ColumnArgs, DataCheckArgs, Duplicates, Interactions, check_data};
use std::io::{Read as _, Write as _};
use std::path::Path;
use support::{Column, directory, file, parquet};

fn read(path: &Path) -> (Interactions, ReadReport) {
    read_with(path, &ColumnArgs::default(), false)
}

fn read_with(path: &Path, columns: &ColumnArgs, skips: bool) -> (Interactions, ReadReport) {
    let result = read_interactions(path, columns, Duplicates::Last, skips);
    result.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn failure(path: &Path) -> String {
    let result = read_interactions(path, &ColumnArgs::default(), Duplicates::Last, false);
    result.expect_err("must be refused").to_string()
}

fn items(path: &Path) -> ItemsFile {
    read_items(path, &ItemColumnArgs::default(), false).unwrap_or_else(|error| panic!("{error}"))
}

fn tags<'a>(file: &'a ItemsFile, id: &str) -> Vec<&'a str> {
    file.items[id].tags.iter().map(String::as_str).collect()
}

/// A log of 100 rows with a header.
fn log() -> String {
    let mut text = String::from("userId,movieId,rating,timestamp\n");
    for row in 0..100 {
        text += &format!("{},{},{},{}\n", row % 10, row / 10, 1 + row % 5, 1_600_000_000 + row);
    }
    text
}

fn has_note(report: &ReadReport, words: &str) {
    assert!(report.notes.iter().any(|note| note.contains(words)), "{words}: {:?}", report.notes);
}

#[test]
fn compressed_text_is_unpacked_by_content() {
    let dir = directory();
    let (plain, _) = read(&file(&dir, "plain.csv", log()));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(log().as_bytes()).expect("in memory");
    let gzip = gzip.finish().expect("in memory");
    let zstd = zstd::encode_all(log().as_bytes(), 0).expect("in memory");
    for (name, bytes) in [("a.csv", &gzip), ("b", &zstd)] {
        let (all, report) = read(&file(&dir, name, bytes));
        assert_eq!(all, plain, "{name}");
        assert_eq!((report.rows, report.format), (100, Format::Csv), "{name}");
    }
    // Two members, as `cat a.gz b.gz` makes: the header is there twice.
    let (all, report) = read(&file(&dir, "two.gz", [gzip.clone(), gzip.clone()].concat()));
    assert_eq!((all.len(), report.rows, report.headers), (100, 200, 2));
    let cut = failure(&file(&dir, "cut.gz", &gzip[..gzip.len() / 2]));
    assert!(cut.contains("cut.gz"), "{cut}");
    assert!(failure(&file(&dir, "a.zip", b"PK\x03\x04rest")).contains("unpack it first"));
    let blank = std::io::repeat(b'\n').take(200 << 20);
    let bomb = zstd::encode_all(log().as_bytes().chain(blank), 1).expect("in memory");
    let refused = failure(&file(&dir, "bomb.zst", bomb));
    assert!(refused.contains("1100 times its bytes"), "{refused}");
}

#[test]
fn a_pipe_is_read_from_its_first_byte() {
    let dir = directory();
    let mut text = log();
    while text.len() < 300_000 {
        text += &log().replace("userId,movieId,rating,timestamp\n", "");
    }
    let rows = text.lines().count() as u64 - 1;
    let path = dir.path().join("pipe");
    let status = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(status.success());
    let writer = {
        let path = path.clone();
        std::thread::spawn(move || std::fs::write(path, text))
    };
    let (_, report) = read_with(&path, &ColumnArgs::default(), false);
    assert_eq!(report.rows, rows);
    writer.join().expect("no panic").expect("written");
}

#[test]
fn a_stray_quote_costs_its_row_alone() {
    let dir = directory();
    for (row, problem) in [
        (
            "1,\"31,2,1600000000",
            "a quote opens a field that is not closed on the 60 lines below it",
        ),
        ("1,\"31\"x,2,1600000000", "text follows a closing quote"),
    ] {
        let mut lines: Vec<String> = log().lines().map(String::from).collect();
        lines.insert(41, row.into());
        let path = file(&dir, "stray.csv", lines.join("\n"));
        let refused = failure(&path);
        assert!(refused.contains("stray.csv line 42") && refused.contains(problem), "{refused}");
        let (all, report) = read_with(&path, &ColumnArgs::default(), true);
        assert_eq!((all.len(), report.rows, report.bad_rows), (100, 100, 1), "{row}");
    }
    // Two of them: what is between them is no field.
    let mut lines: Vec<String> = log().lines().map(String::from).collect();
    lines.insert(41, "1,\"31,2,1600000000".into());
    lines.insert(61, "1,31\",2,1600000000".into());
    let path = file(&dir, "two.csv", lines.join("\n"));
    assert!(failure(&path).contains("line 42: a quote opens a field that swallows 20 lines"));
    let (all, report) = read_with(&path, &ColumnArgs::default(), true);
    assert_eq!((report.rows, report.bad_rows), (101, 1), "the second is an id with a quote");
    assert_eq!(all.len(), 101);

    let text = "movieId,title,genres\n1,\"Good, bad\",Western\n2,\"Stray,War\n3,C,Drama\n";
    let path = file(&dir, "items.csv", text);
    let refused = read_items(&path, &ItemColumnArgs::default(), false).expect_err("a stray quote");
    assert!(refused.to_string().contains("items.csv line 3"), "{refused}");
    let found = read_items(&path, &ItemColumnArgs::default(), true).expect("two good rows");
    assert_eq!((found.items.len(), found.bad_rows), (2, 1));
    assert_eq!(found.items["1"].title, "Good, bad");
}

#[test]
fn descriptions_may_have_lines_and_lines_are_numbered_as_an_editor_does() {
    let dir = directory();
    let text = "user,item,review,rating\r\n\r\n1,a,\"first\r\nsecond \"\"quoted\"\"\",5\r\n2,b,\"x \\\"y\\\" z\",4\r\n3,c,,bad\r\n";
    let path = file(&dir, "reviews.csv", text);
    assert!(failure(&path).contains("reviews.csv line 6 column 4 (rating)"), "{}", failure(&path));
    let (all, report) = read_with(&path, &ColumnArgs::default(), true);
    assert_eq!((all.len(), report.lines, report.blank_lines, report.headers), (2, 6, 1, 1));
}

#[test]
fn json_lines_have_columns_by_name() {
    let dir = directory();
    let text = "{\"rating\": 5.0, \"asin\": \"B1\", \"user_id\": \"A\", \"timestamp\": 1600003600}\n\
                {\"user_id\": \"B\", \"asin\": \"B2\", \"rating\": 4, \"timestamp\": null, \"more\": [1, {\"a\": 2}]}\n";
    let (all, report) = read(&file(&dir, "reviews.jsonl", text));
    assert_eq!(report.format, Format::JsonLines);
    assert_eq!(
        (all.users, all.items),
        (vec!["A".into(), "B".into()], vec!["B1".to_owned(), "B2".into()])
    );
    assert_eq!((all.value, report.rows_without_time), (vec![5.0, 4.0], 1));
    let refused = failure(&file(&dir, "bad.json", "{\"user\": 1, \"item\": 2}\n{\"user\": 1,\n"));
    assert!(refused.contains("bad.json line 2: not a JSON object"), "{refused}");
    assert!(failure(&file(&dir, "array.json", "[{\"user\": 1}]")).contains("jq -c"));
    assert!(failure(&file(&dir, "python.json", "{'user': 1}\n")).contains("Python's dictionaries"));
}

#[test]
fn a_directory_is_all_of_its_files() {
    let dir = directory();
    let parts = dir.path().join("parts");
    std::fs::create_dir(&parts).expect("ours");
    for (name, user) in [("part-00000.parquet", 1), ("part-00001.parquet", 2)] {
        let columns =
            [("user", Column::Int64(vec![user, user])), ("item", Column::Int64(vec![7, 8]))];
        parquet(&parts.join(name), &columns, &[2]);
    }
    std::fs::write(parts.join("part-00000-empty.csv"), "").expect("ours");
    for name in ["_SUCCESS", ".part-00000.crc"] {
        std::fs::write(parts.join(name), "x").expect("ours");
    }
    let (all, report) = read(&parts);
    assert_eq!((all.len(), all.users.len(), report.rows), (4, 2, 4));
    std::fs::create_dir(parts.join("year=2024")).expect("ours");
    assert!(failure(&parts).contains("has the folder \"year=2024\""), "{}", failure(&parts));
}

#[test]
fn headers_are_found_skipped_and_said() {
    let dir = directory();
    let excel = file(&dir, "excel.csv", log().replace(',', ";").replace("userId", "sep=;\nuserId"));
    assert_eq!(read(&excel).1.rows, 100);
    let twice = file(&dir, "twice.csv", log() + &log());
    let (all, report) = read(&twice);
    assert_eq!((all.users.len(), report.rows, report.headers), (10, 200, 2));
    assert_eq!(report.lines, report.rows + report.headers);
    has_note(&report, "the header is repeated 1 times");
    let checkins =
        "1\t2020-09-13T13:26:40Z\t30.2\t-97.7\t13\n2\t2020-09-13T14:26:40Z\t30.2\t-97.7\t3\n";
    let checkins = file(&dir, "checkins.tsv", checkins);
    let columns = ColumnArgs {
        user_column: Some("1".into()),
        item_column: Some("5".into()),
        time_column: Some("2".into()),
        ..ColumnArgs::default()
    };
    assert_eq!(read_with(&checkins, &columns, false).1.rows, 2);
    let with_header = ColumnArgs { header: true, ..columns };
    assert_eq!(read_with(&checkins, &with_header, false).1.rows, 1);
    let spaces = file(&dir, "u.data", "196 242  3 881250949\n186 302 3 891717742\n");
    assert_eq!((read(&spaces).1.rows, read(&spaces).1.format), (2, Format::Spaces));
}

#[test]
fn a_given_format_is_not_guessed_at() {
    let dir = directory();
    let path = file(&dir, "pairs.csv", "user|item\n1|2\n1|3\n");
    let pipes = ColumnArgs { format: Some(Format::Pipe), ..ColumnArgs::default() };
    assert_eq!(read_with(&path, &pipes, false).1.rows, 2);
    assert!(failure(&path).contains("say how columns are separated"), "{}", failure(&path));
}

#[test]
fn what_is_probably_wrong_is_said() {
    let dir = directory();
    let text = log().replace("1600000003", "1600000003000");
    has_note(&read(&file(&dir, "mixed.csv", text)).1, "99 in seconds, 1 in milliseconds");
    let text = "user,item,rating\n1,2,5\n1,3,5\n";
    has_note(&read(&file(&dir, "constant.csv", text)).1, "the value is 5 in every row");
    let text = "user,item,type,time\n1,2,impression,7\n1,3,click,8\n2,2,impression,9\n";
    let (all, report) = read(&file(&dir, "events.csv", text));
    assert_eq!((all.len(), report.rows, report.impressions), (1, 1, 2));
    has_note(&report, "2 impressions are left out");
    let shown = failure(&file(&dir, "shown.csv", "user,item,type\n1,2,impression\n"));
    assert!(shown.contains("all 1 rows are impressions"), "{shown}");
    let text = "user,item,time\n1,2,\n1,3,1600000000\n1,4,1600000001\n";
    let (all, report) = read(&file(&dir, "untimed.csv", text));
    assert_eq!((all.time, report.rows_without_time), (vec![1.6e9, 1.6e9, 1.600_000_001e9], 1));
    let (all, _) = read(&file(&dir, "never.csv", "user,item,time\n1,2,\n1,3,\n"));
    assert!(!all.has_times(), "no row has a time");
}

#[test]
fn ids_that_pandas_wrote_as_floats_are_whole_numbers() {
    let dir = directory();
    let (all, report) = read(&file(&dir, "a.csv", "user,item\n1,13.0\n2,7.0\n"));
    assert_eq!(all.items, ["7", "13"]);
    has_note(&report, "13.0 as 13");
    let (all, report) = read(&file(&dir, "b.csv", "user,item\n1,13.0\n2,13\n2,x\n"));
    assert_eq!(all.items.len(), 3);
    has_note(&report, "1 ids of items are there as 27 and as 27.0");
    let found = items(&file(&dir, "items.csv", "item,title\n13.0,A\n7.0,B\n"));
    assert_eq!(found.items["13"].title, "A");
}

#[test]
fn logical_types_of_parquet_become_seconds_and_text() {
    let dir = directory();
    let path = dir.path().join("a.parquet");
    let columns = [
        ("user", Column::Uuid(vec![[7; 16], [8; 16]])),
        ("item", Column::Fixed(vec![*b"  17", *b"17  "])),
        ("timestamp", Column::Micros(vec![1_600_000_000_500_000, 0])),
    ];
    parquet(&path, &columns, &[2]);
    let (all, _) = read(&path);
    assert_eq!(all.users[0], "07070707-0707-0707-0707-070707070707");
    assert_eq!((all.items.len(), all.time), (2, vec![1_600_000_000.5, 0.0]));
    let path = dir.path().join("days.parquet");
    let columns = [
        ("user", Column::Int64(vec![1])),
        ("item", Column::Int64(vec![1])),
        ("date", Column::Days(vec![18_518])),
    ];
    parquet(&path, &columns, &[1]);
    assert_eq!(read(&path).0.time, [1_599_955_200.0]);
    let path = dir.path().join("items.parquet");
    let columns = [
        ("movieId", Column::Int64(vec![1, 2, 3])),
        ("title", Column::Text(vec!["A", "B", "C"])),
        ("genres", Column::TextLists(vec![vec!["War", "Sci, Fi"], vec![], vec!["Drama"]])),
    ];
    parquet(&path, &columns, &[2, 3]);
    let found = items(&path);
    assert_eq!(tags(&found, "1"), ["War", "Sci, Fi"]);
    assert_eq!((tags(&found, "2"), tags(&found, "3")), (vec![], vec!["Drama"]));
}

#[test]
fn tags_of_all_rows_and_by_whatever_separates_them() {
    let dir = directory();
    let found = items(&file(&dir, "genres.dat", "movieID\tgenre\n1\tAction\n1\tWar\n2\tDrama\n"));
    assert_eq!((tags(&found, "1"), tags(&found, "2")), (vec!["Action", "War"], vec!["Drama"]));
    assert!(
        found.notes.iter().any(|note| note.contains("1 rows are of items")),
        "{:?}",
        found.notes
    );
    let found =
        items(&file(&dir, "tags.csv", "userId,movieId,tag,timestamp\n9,1,slow,160\n8,1,dry,161\n"));
    assert_eq!((found.items.len(), tags(&found, "1")), (1, vec!["slow", "dry"]));
    let found =
        items(&file(&dir, "comma.csv", "movieId,title,genres\n1,A,\"Action, War\"\n2,B,Drama\n"));
    assert_eq!(tags(&found, "1"), ["Action", "War"]);
    assert!(found.notes.iter().any(|note| note.contains("split at ','")), "{:?}", found.notes);
    let found = items(&file(&dir, "list.csv", "movieId,title,genres\n1,A,\"['Action', 'War']\"\n"));
    assert_eq!(tags(&found, "1"), ["Action", "War"]);
}

#[test]
fn data_are_looked_at_before_they_are_trained_on() {
    let dir = directory();
    let args = |interactions: &Path, items: Option<&Path>| DataCheckArgs {
        interactions: interactions.into(),
        items: items.map(Into::into),
        users: None,
        columns: ColumnArgs::default(),
        item_columns: ItemColumnArgs::default(),
        user_columns: Default::default(),
    };
    let ratings = file(&dir, "ratings.csv", log() + "1,2,x,7\n\n");
    let movies = file(&dir, "movies.csv", "movieId,title\n1,A\n99,B\n");
    let report = check_data(&args(&ratings, Some(&movies))).expect("good rows");
    assert_eq!((report.users, report.items, report.pairs), (10, 10, 100));
    assert_eq!((report.density, report.read.bad_rows), (1.0, 1));
    let read = &report.read;
    assert_eq!(read.lines, read.rows + read.bad_rows + read.headers + read.blank_lines);
    let described = report.items_file.as_ref().expect("a file");
    assert_eq!((described.ids, described.with_interactions, described.missing), (2, 1, 9));
    let text = report.to_string();
    for words in [
        "read 100 rows of 103 lines (1 of headers, 1 blank, 1 bad)",
        "10 users, 10 items, 100 pairs: 100.0000 % of all pairs",
        "values: 1 to 5, the median 3",
        "2 ids, 1 of them with interactions; 9 ids of the interactions are not in it",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    let others = file(&dir, "others.csv", "movieId,title\nx1,A\n");
    let report = check_data(&args(&ratings, Some(&others))).expect("good rows");
    assert!(report.warnings[0].contains("no item of the interactions is in it"), "{report}");
}
