//! What is written is read back: ids, ordinals, titles, tags, attributes and matrices, however many
//! shards there are.

mod support;

use marquee_bundle::*;
use marquee_core::hash::shard_of;
use marquee_core::id::compare_ids;
use support::{files, input, open, with_terms, write};

#[test]
fn everything_comes_back() {
    for shards in [1, 3, 16] {
        let given = input(100, 60, 9, shards);
        let dir = tempfile::tempdir().expect("temporary directory");
        let manifest = write(given.clone(), &dir.path().join("b"));
        let bundle = open(&dir.path().join("b")).expect("opened");
        assert_eq!(*bundle.manifest(), manifest);
        assert_eq!((manifest.counts.users, manifest.counts.items), (60, 100));

        let mut canonical: Vec<&str> = given.items.iter().map(|item| item.id.as_str()).collect();
        canonical.sort_by(|a, b| compare_ids(a, b));
        let history = given.history.as_ref().expect("there is one");
        for (at, item) in given.items.iter().enumerate() {
            let number = shard_of(&item.id, shards);
            for shard in bundle.shards() {
                assert_eq!(shard.items().find(&item.id).is_some(), shard.shard() == number);
            }
            let shard = &bundle.shards()[number as usize];
            let items = shard.items();
            let row = items.find(&item.id).expect("found");
            assert_eq!((items.id(row), items.title(row)), (item.id.as_str(), item.title.as_str()));
            let ordinal = items.ordinal(row);
            assert_eq!(canonical[ordinal as usize], item.id);
            assert_eq!(items.row_of_ordinal(ordinal), Some(row));
            let mut tags = item.tags.clone();
            tags.sort();
            assert_eq!(shard.labels().tags_of(row).collect::<Vec<_>>(), tags);
            for tag in ["action", "comedy", "drama", "été", "film noir", "none"] {
                let tagged = shard.labels().rows_with_tag(tag).contains(&row);
                assert_eq!(tagged, item.tags.iter().any(|other| other == tag));
            }
            let year =
                shard.labels().attribute("year").map_or(f64::NAN, |years| years[row as usize]);
            match item.attributes.first() {
                Some((_, expected)) => assert_eq!(year, *expected),
                None => assert!(year.is_nan()),
            }
            let factors = shard.dense("item_factors").expect("there");
            assert_eq!(factors.row(row), &given.dense[0].data[at * 9..][..9]);
            let popularity = shard.sparse("popularity").expect("there");
            assert_eq!(popularity.row(0).1[row as usize], given.popularity[at]);
        }
        for (at, user) in given.users.iter().enumerate() {
            let shard = &bundle.shards()[shard_of(user, shards) as usize];
            let row = shard.users().find(user).expect("found");
            assert_eq!(
                shard.dense("user_factors").expect("there").row(row),
                &given.dense[1].data[at * 9..][..9]
            );
            let range = history.offsets[at]..history.offsets[at + 1];
            let mut expected: Vec<(u32, f32)> = range
                .map(|at| {
                    let id = &given.items[history.columns[at] as usize].id;
                    (
                        canonical.iter().position(|other| other == id).expect("there") as u32,
                        history.values[at],
                    )
                })
                .collect();
            expected.sort_by_key(|&(column, _)| column);
            let (columns, values) = shard.sparse("history").expect("there").row(row);
            assert_eq!(
                columns.iter().copied().zip(values.iter().copied()).collect::<Vec<_>>(),
                expected
            );
        }
        let unknown = bundle.shards().iter().all(|shard| shard.items().find("unknown").is_none());
        assert!(
            unknown
                && bundle.shards().iter().all(|shard| shard.items().row_of_ordinal(100).is_none())
        );
        let mapped: u64 = bundle.shards().iter().map(BundleShard::bytes_mapped).sum();
        assert_eq!(mapped, manifest.files.iter().map(|file| file.bytes).sum::<u64>());
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (a, b) = (dir.path().join("a"), dir.path().join("deep/b"));
    let mut given = input(400, 60, 8, 2);
    let index = IndexOptions { mode: IndexMode::Always, ..IndexOptions::default() };
    given.dense[0].index = Some(index.clone());
    given.dense[1].index = Some(IndexOptions { kind: IndexKind::Hnsw, ..index });
    write(given.clone(), &a);
    write(given, &b);
    assert_eq!(files(&a), files(&b));
    assert!(files(&a).iter().any(|path| path.ends_with("item_factors.cells")));
    assert!(files(&a).iter().any(|path| path.ends_with("user_factors.graph")));
    for path in files(&a) {
        assert!(
            std::fs::read(a.join(&path)).expect("read")
                == std::fs::read(b.join(&path)).expect("read"),
            "{path:?}"
        );
    }
    assert_eq!(
        std::fs::read_dir(dir.path()).expect("listed").count(),
        2,
        "no temporary directory is left"
    );
}

#[test]
fn terms_come_back_with_their_rows_and_columns() {
    for shards in [1, 3] {
        let given = with_terms(input(20, 15, 2, shards), 11);
        let dir = tempfile::tempdir().expect("temporary directory");
        let manifest = write(given.clone(), &dir.path().join("b"));
        assert_eq!(manifest.counts.terms, 11);
        let bundle = open(&dir.path().join("b")).expect("opened");
        let of = |id: &str| &bundle.shards()[shard_of(id, shards) as usize];
        let ordinal = |id: &str| {
            let terms = of(id).ids(Entity::Term);
            terms.ordinal(terms.find(id).expect("found"))
        };
        for (at, term) in given.terms.iter().enumerate() {
            let shard = of(term);
            let row = shard.ids(Entity::Term).find(term).expect("found");
            let topics = shard.dense("term_topics").expect("there");
            assert_eq!(topics.row(row), &given.dense[2].data[at * 3..][..3]);
            // Every shard has the row, and the one that has the item its entry.
            let item = &given.items[at * 5 % 20].id;
            let items = of(item).items();
            let profile = of(item).sparse("profile").expect("there");
            let (columns, values) = profile.row(ordinal(term));
            assert_eq!(
                (columns, values),
                (&[items.find(item).expect("found")][..], &[at as f32 + 0.5][..])
            );
        }
        for (at, user) in given.users.iter().enumerate() {
            let row = of(user).users().find(user).expect("found");
            let (columns, values) = of(user).sparse("user_terms").expect("there").row(row);
            let term = &given.terms[at * 5 % 11];
            assert_eq!((columns, values), (&[ordinal(term)][..], &[at as f32 + 0.5][..]));
        }
    }
    // A bundle without terms has no file of them, and knows none.
    let dir = tempfile::tempdir().expect("temporary directory");
    let manifest = write(input(5, 5, 2, 1), &dir.path().join("b"));
    assert!(manifest.files.iter().all(|file| !file.path.contains("terms")));
    let text = serde_json::to_string(&manifest).expect("text");
    assert!(!text.contains("terms"), "as it was before there were terms");
    let bundle = open(&dir.path().join("b")).expect("opened");
    assert_eq!(bundle.shards()[0].ids(Entity::Term).find("word:x"), None);
}
