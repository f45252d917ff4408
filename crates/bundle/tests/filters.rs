//! Filters mean what the public API says, item by item.

mod support;

use marquee_bundle::*;
use proptest::prelude::*;
use support::{input, open, write};

/// Whether a filter allows an item, from the words of the API.
fn allows(filter: &FilterSpec, item: &ItemRecord) -> bool {
    let FilterSpec { include_ids, exclude_ids, include_tags, exclude_tags, ranges } = filter;
    let tagged = |tags: &[String]| tags.iter().any(|tag| item.tags.contains(tag));
    (include_ids.is_empty() || include_ids.contains(&item.id))
        && !exclude_ids.contains(&item.id)
        && (include_tags.is_empty() || tagged(include_tags))
        && !tagged(exclude_tags)
        && ranges.iter().all(|range| {
            let value = item.attributes.iter().find(|(name, _)| *name == range.attribute);
            value.is_some_and(|&(_, value)| {
                range.min.is_none_or(|min| min <= value) && range.max.is_none_or(|max| value <= max)
            })
        })
}

fn range() -> impl Strategy<Value = AttributeRange> {
    let bound = || prop::option::of((1940..2030).prop_map(f64::from));
    (prop::sample::select(vec!["year", "year", "length", "none"]), bound(), bound()).prop_map(
        |(name, a, b)| {
            let (min, max) = match (a, b) {
                (Some(a), Some(b)) => (Some(a.min(b)), Some(a.max(b))),
                other => other,
            };
            AttributeRange { attribute: name.into(), min, max }
        },
    )
}

prop_compose! {
    fn filter()(
        include_ids in prop::collection::vec(prop::sample::select(vec!["1", "2", "item-3", "40", "unknown", "2"]), 0..4),
        exclude_ids in prop::collection::vec(prop::sample::select(vec!["1", "5", "item-10", "unknown"]), 0..4),
        include_tags in prop::collection::vec(prop::sample::select(vec!["action", "drama", "été", "none"]), 0..3),
        exclude_tags in prop::collection::vec(prop::sample::select(vec!["comedy", "film noir", "none"]), 0..3),
        ranges in prop::collection::vec(range(), 0..3),
    ) -> FilterSpec {
        let owned = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
        FilterSpec {
            include_ids: owned(include_ids),
            exclude_ids: owned(exclude_ids),
            include_tags: owned(include_tags),
            exclude_tags: owned(exclude_tags),
            ranges,
        }
    }
}

#[test]
fn filters_agree_with_their_definition() {
    let mut given = input(60, 1, 2, 3);
    for (at, item) in given.items.iter_mut().enumerate() {
        if at % 4 == 0 {
            item.attributes.push(("length".into(), 1900.0 + at as f64));
        }
    }
    let dir = tempfile::tempdir().expect("temporary directory");
    write(given.clone(), &dir.path().join("b"));
    let bundle = open(&dir.path().join("b")).expect("opened");
    proptest!(ProptestConfig::with_cases(300), |(filter in filter())| {
        for shard in bundle.shards() {
            let rows = filter_rows(shard, &filter).expect("a fine filter");
            prop_assert_eq!(rows.is_none(), filter.is_empty());
            for item in &given.items {
                let Some(row) = shard.items().find(&item.id) else { continue };
                let allowed = rows.as_ref().is_none_or(|rows| rows.contains(row));
                prop_assert_eq!(allowed, allows(&filter, item), "{:?} {:?}", filter, item);
            }
        }
    });
}

#[test]
fn ranges_that_nothing_satisfies_are_errors() {
    let dir = tempfile::tempdir().expect("temporary directory");
    write(input(5, 1, 2, 1), &dir.path().join("b"));
    let bundle = open(&dir.path().join("b")).expect("opened");
    for (min, max, expected) in [
        (Some(f64::NAN), None, "not a number"),
        (None, Some(f64::NAN), "not a number"),
        (Some(2.0), Some(1.0), "min is above max"),
    ] {
        let ranges = vec![AttributeRange { attribute: "year".into(), min, max }];
        let error =
            filter_rows(&bundle.shards()[0], &FilterSpec { ranges, ..FilterSpec::default() });
        let error = error.expect_err(expected).to_string();
        assert!(error.contains(expected) && error.contains("year"), "{error}");
    }
    let ranges = vec![AttributeRange {
        attribute: "year".into(),
        min: Some(f64::NEG_INFINITY),
        max: Some(f64::INFINITY),
    }];
    let rows = filter_rows(&bundle.shards()[0], &FilterSpec { ranges, ..FilterSpec::default() })
        .expect("fine");
    assert_eq!(
        rows.expect("some").count(),
        3,
        "items without the attribute fail an open range too"
    );
}
