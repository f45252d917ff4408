//! Items files of the usual data sets.

mod support;

use marquee_train::ItemColumnArgs;
use marquee_train::read::{ItemMetadata, ItemsFile, read_items};
use std::path::Path;
use support::{Column, directory, file, parquet};

fn read(path: &Path) -> ItemsFile {
    read_items(path, &ItemColumnArgs::default(), false).unwrap_or_else(|error| panic!("{error}"))
}

fn item(title: &str, tags: &[&str], year: Option<f64>) -> ItemMetadata {
    ItemMetadata {
        title: title.into(),
        tags: tags.iter().map(|tag| (*tag).to_string()).collect(),
        year,
    }
}

#[test]
fn movielens_and_friends() {
    let dir = directory();
    let toy = item("Toy Story (1995)", &["Animation", "Comedy"], Some(1995.0));
    let u_item = "1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)|0|0|0|1|0|1|0\
                  |0|0|0|0|0|0|0|0|0|0|0|0\n";
    for (name, text) in [
        ("movies.csv", "movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n"),
        ("movies.dat", "1::Toy Story (1995)::Animation|Comedy\n"),
        ("bare.csv", "1,Toy Story (1995),Animation|Comedy\n"),
        ("items.csv", "item,title,genres,tags\n1,Toy Story (1995),Animation,Comedy|Animation\n"),
        ("u.item", u_item),
    ] {
        let items = read(&file(&dir, name, text)).items;
        assert_eq!(items.get("1"), Some(&toy), "{name}");
        assert_eq!(items.len(), 1, "{name}");
    }
}

#[test]
fn recbole_separates_by_spaces() {
    let dir = directory();
    let text = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n\
                1\tToy Story\t1995\tAnimation Children's Comedy\n2\tunknown\t\t\n";
    let items = read(&file(&dir, "ml-100k.item", text)).items;
    assert_eq!(items["1"], item("Toy Story", &["Animation", "Children's", "Comedy"], Some(1995.0)));
    assert_eq!(items["2"], item("unknown", &[], None));
}

#[test]
fn titles_with_commas_quotes_and_old_encodings() {
    let dir = directory();
    let text = "movieId,title,genres\n3,\"American President, The (1995)\",(no genres listed)\n4,\"\"\"Hi\"\"\",\n";
    let items = read(&file(&dir, "movies.csv", text)).items;
    assert_eq!(items["3"], item("American President, The (1995)", &[], Some(1995.0)));
    assert_eq!(items["4"], item("\"Hi\"", &[], None));
    let latin = read(&file(&dir, "movies.dat", b"5::Mis\xe9rables, Les (1995)::Drama\n"));
    assert_eq!(latin.items["5"], item("Misérables, Les (1995)", &["Drama"], Some(1995.0)));
    assert!(
        latin.notes.iter().any(|note| note.contains("1 texts are not UTF-8")),
        "{:?}",
        latin.notes
    );
}

#[test]
fn parquet_and_flags() {
    let dir = directory();
    let path = dir.path().join("games.parquet");
    let columns = [
        ("appid", Column::Int32(vec![10])),
        ("label", Column::Text(vec!["Half-Life"])),
        ("kinds", Column::Text(vec!["fps|classic"])),
        ("since", Column::Int64(vec![1998])),
    ];
    parquet(&path, &columns, &[1]);
    let args = ItemColumnArgs {
        title_column: Some("label".into()),
        tags_column: Some("kinds".into()),
        year_column: Some("since".into()),
        ..ItemColumnArgs::default()
    };
    let items = read_items(&path, &args, false).expect("fine").items;
    assert_eq!(items["10"], item("Half-Life", &["fps", "classic"], Some(1998.0)));
}

#[test]
fn bad_items_are_named() {
    let dir = directory();
    let failure = |path: &Path| {
        let error =
            read_items(path, &ItemColumnArgs::default(), false).expect_err("refused").to_string();
        error.replace(&format!("{}/", dir.path().display()), "")
    };
    let path = file(&dir, "movies.csv", "movieId,title,genres\n1,A,x\n2,B, with comma,y\n");
    assert_eq!(
        failure(&path),
        "movies.csv line 3: 4 columns where 3 are expected: correct the row, or give --skip-bad-rows to count and \
         skip such rows"
    );
    let skipped = read_items(&path, &ItemColumnArgs::default(), true).expect("one is fine");
    assert_eq!((skipped.items.len(), skipped.bad_rows), (1, 1));
    assert_eq!(
        failure(&file(&dir, "empty.csv", "")),
        "empty.csv holds no rows: give a file with at least one row of data"
    );
}
