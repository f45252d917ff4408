//! Every bound of every request, and the words of each refusal.

use super::*;

fn user(id: &str) -> v1::RecommendRequest {
    v1::RecommendRequest { user_id: id.into(), ..Default::default() }
}

fn filtered(filter: v1::Filter) -> v1::RecommendRequest {
    v1::RecommendRequest { filter: Some(filter), ..user("u") }
}

fn range(min: Option<f64>, max: Option<f64>) -> v1::Filter {
    let range = v1::AttributeRange { attribute: "year".into(), min, max };
    v1::Filter { ranges: vec![range], ..Default::default() }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

fn refusal(request: v1::RecommendRequest) -> String {
    Recommend::from_wire(request).expect_err("must be refused").to_string()
}

#[test]
fn absent_values_have_their_defaults() {
    let checked = Recommend::from_wire(user("u")).expect("valid");
    assert_eq!((checked.count, checked.surface.as_str()), (10, "default"));
    assert_eq!(checked.min_coverage, 0.0);
    assert!(checked.filter.lets_all_pass() && !checked.filter.include_seen);
}

#[test]
fn the_bounds_themselves_are_allowed() {
    let longest = "x".repeat(256);
    let filter = v1::Filter {
        include_item_ids: names(1_000),
        exclude_item_ids: names(1_000),
        include_tags: vec![longest.clone(); 1_000],
        exclude_tags: names(1_000),
        ranges: vec![range(Some(1.0), Some(1.0)).ranges[0].clone(); 1_000],
        include_seen: true,
    };
    let request = v1::RecommendRequest {
        user_id: longest.clone(),
        count: 1_000,
        surface: "s".repeat(128),
        recent_item_ids: names(1_000),
        min_coverage: 1.0,
        ..filtered(filter)
    };
    let checked = Recommend::from_wire(request.clone()).expect("valid");
    assert_eq!(checked.count, 1_000);
    let shard = checked.filter.to_shard();
    assert!(!shard.include_seen);
    assert_eq!(v1::Filter { include_seen: true, ..shard }, request.filter.expect("was given"));
    let open = range(Some(f64::NEG_INFINITY), None);
    assert!(Recommend::from_wire(filtered(open)).is_ok());
}

#[test]
fn every_refusal_names_the_field_and_its_bound() {
    let filter = |change: fn(&mut v1::Filter)| {
        let mut filter = v1::Filter::default();
        change(&mut filter);
        filtered(filter)
    };
    for (request, says) in [
        (user(""), "user_id is empty: give 1 to 256 bytes"),
        (user(&"x".repeat(10_240)), "user_id has 10240 bytes: at most 256 are allowed"),
        (
            v1::RecommendRequest { count: 1_001, ..user("u") },
            "count is 1001: 1 to 1000 are allowed, and 0 means 10",
        ),
        (
            v1::RecommendRequest { surface: "s".repeat(129), ..user("u") },
            "surface has 129 bytes: at most 128 are allowed",
        ),
        (
            v1::RecommendRequest { recent_item_ids: names(1_001), ..user("u") },
            "recent_item_ids has 1001 entries: at most 1000 are allowed",
        ),
        (
            v1::RecommendRequest { recent_item_ids: vec!["a".into(), String::new()], ..user("u") },
            "recent_item_ids[1] is empty: give 1 to 256 bytes",
        ),
        (
            v1::RecommendRequest {
                user_attributes: names(33).into_iter().map(|n| (n, "x".into())).collect(),
                ..user("u")
            },
            "user_attributes has 33 entries: at most 32 are allowed",
        ),
        (
            v1::RecommendRequest {
                user_attributes: [("zip".into(), "1".repeat(129))].into(),
                ..user("u")
            },
            "user_attributes[\"zip\"] has 129 bytes: at most 128 are allowed",
        ),
        (
            v1::RecommendRequest { min_coverage: f64::NAN, ..user("u") },
            "min_coverage is NaN: a share from 0 to 1 is allowed",
        ),
        (
            v1::RecommendRequest { min_coverage: 1.5, ..user("u") },
            "min_coverage is 1.5: a share from 0 to 1 is allowed",
        ),
        (
            v1::RecommendRequest { min_coverage: -0.1, ..user("u") },
            "min_coverage is -0.1: a share from 0 to 1 is allowed",
        ),
        (
            filtered(range(Some(f64::NAN), None)),
            "filter.ranges[0].min is NaN: give a number, or leave it out",
        ),
        (
            filtered(range(Some(1.0), Some(f64::NAN))),
            "filter.ranges[0].max is NaN: give a number, or leave it out",
        ),
        (
            filtered(range(Some(2_000.0), Some(1_990.0))),
            "filter.ranges[0].max is 1990, below min, which is 2000: nothing can be in such a range",
        ),
        (
            filter(|f| f.ranges = vec![v1::AttributeRange::default()]),
            "filter.ranges[0].attribute is empty: give 1 to 256 bytes",
        ),
        (
            filter(|f| f.ranges = vec![v1::AttributeRange::default(); 1_001]),
            "filter.ranges has 1001 entries: at most 1000 are allowed",
        ),
        (
            filter(|f| f.include_item_ids = names(1_001)),
            "filter.include_item_ids has 1001 entries: at most 1000 are allowed",
        ),
        (
            filter(|f| f.exclude_item_ids = vec!["x".repeat(257)]),
            "filter.exclude_item_ids[0] has 257 bytes: at most 256 are allowed",
        ),
        (
            filter(|f| f.include_tags = vec![String::new()]),
            "filter.include_tags[0] is empty: give 1 to 256 bytes",
        ),
        (
            filter(|f| f.exclude_tags = names(1_001)),
            "filter.exclude_tags has 1001 entries: at most 1000 are allowed",
        ),
    ] {
        assert_eq!(refusal(request), says);
    }
}

#[test]
fn a_batch_names_the_request() {
    let check = |requests| Recommend::batch_from_wire(v1::BatchRecommendRequest { requests });
    let says = |requests| check(requests).expect_err("must be refused").to_string();
    assert_eq!(check(vec![user("a"), user("b")]).expect("valid").len(), 2);
    assert_eq!(check(vec![user("a"); 1_000]).expect("valid").len(), 1_000);
    assert_eq!(says(vec![]), "requests is empty: give 1 to 1000 entries");
    assert_eq!(says(vec![user("a"); 1_001]), "requests has 1001 entries: at most 1000 are allowed");
    assert_eq!(
        says(vec![user("a"), user("")]),
        "requests[1].user_id is empty: give 1 to 256 bytes"
    );
    assert_eq!(
        says(vec![filtered(range(Some(2.0), Some(1.0)))]),
        "requests[0].filter.ranges[0].max is 1, below min, which is 2: nothing can be in such a range"
    );
}

#[test]
fn attributes_and_texts_become_terms() {
    let given = [("Region", "North"), ("age", "34"), ("region", "north "), ("empty", "")];
    let user_attributes = given.map(|(name, value)| (name.into(), value.into())).into();
    let request = v1::RecommendRequest { user_attributes, ..user("u") };
    let checked = Recommend::from_wire(request).expect("valid");
    assert_eq!(checked.attributes, ["user:age=30", "user:region=north"]);

    let search = |text: &str| {
        let request = v1::SearchItemsRequest { text: text.into(), ..Default::default() };
        SearchItems::from_wire(request).map_err(|error| error.to_string())
    };
    let found = search("Toy story, a TOY").expect("valid");
    assert_eq!((found.words, found.count), (vec!["word:story".into(), "word:toy".into()], 10));
    assert_eq!(search("?!").expect("valid").words, Vec::<String>::new());
    assert_eq!(search(""), Err("text is empty: give 1 to 1024 bytes".into()));
    let long = "x ".repeat(513);
    assert_eq!(search(&long), Err("text has 1026 bytes: at most 1024 are allowed".into()));
    let many: Vec<String> = (10..110).map(|n| n.to_string()).collect();
    assert_eq!(search(&many.join(" ")).expect("valid").words.len(), 64);
}

#[test]
fn items_are_checked_as_well() {
    let similar = |item_id: &str, count| {
        let request =
            v1::SimilarItemsRequest { item_id: item_id.into(), count, ..Default::default() };
        SimilarItems::from_wire(request).map_err(|error| error.to_string())
    };
    assert_eq!(similar("i", 0).map(|s| (s.count, s.surface)), Ok((10, "default".into())));
    assert_eq!(similar("", 0), Err("item_id is empty: give 1 to 256 bytes".into()));
    assert!(similar("i", 1_001).is_err());

    let rank = |item_ids| {
        let request = v1::RankItemsRequest { user_id: "u".into(), item_ids, ..Default::default() };
        RankItems::from_wire(request).map_err(|error| error.to_string())
    };
    assert!(rank(names(10_000)).is_ok());
    assert_eq!(rank(vec![]), Err("item_ids is empty: give 1 to 10000 entries".into()));
    assert_eq!(
        rank(names(10_001)),
        Err("item_ids has 10001 entries: at most 10000 are allowed".into())
    );
    assert_eq!(rank(vec![String::new()]), Err("item_ids[0] is empty: give 1 to 256 bytes".into()));
    assert!(RankItems::from_wire(v1::RankItemsRequest::default()).is_err());
}
