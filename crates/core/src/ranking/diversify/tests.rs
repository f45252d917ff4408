use super::*;
use proptest::prelude::*;

fn list(ids: &[&str]) -> Vec<Candidate> {
    let item = |(place, id): (usize, &&str)| Candidate {
        item_id: (*id).into(),
        score: 9.0 - place as f64,
        ..Candidate::default()
    };
    ids.iter().enumerate().map(item).collect()
}

fn features(vector: &[f32], tags: &[&str]) -> ItemFeatures {
    ItemFeatures { vector: vector.into(), tags: tags.iter().map(|tag| (*tag).into()).collect() }
}

fn order(list: &[Candidate]) -> String {
    list.iter().map(|item| item.item_id.as_str()).collect::<Vec<_>>().join(" ")
}

fn mmr(lambda: f64) -> Diversity {
    Diversity { mmr_lambda: Some(lambda), ..Diversity::default() }
}

/// `a` and `b` are twins, `c` is at right angles to them, `d` is the opposite of `a`.
fn four() -> Vec<ItemFeatures> {
    vec![
        features(&[1.0, 0.0], &[]),
        features(&[2.0, 0.0], &[]),
        features(&[0.0, 3.0], &[]),
        features(&[-1.0, 0.0], &[]),
    ]
}

#[test]
fn by_hand() {
    let spread = |lambda| order(&diversify(list(&["a", "b", "c", "d"]), &four(), &mmr(lambda), 4));
    // Relevance is 1, 3/4, 1/2, 1/4. After `a`, with λ = 1/2: b 3/8 − 1/2 = −1/8, c 1/4, d 1/8 + 1/2 = 5/8.
    // After `d`, the greatest likeness of b is still 1 and c's 0: c, then b.
    assert_eq!(spread(0.5), "a d c b");
    // λ = 0.8: b 0.6 − 0.2 = 0.4, c 0.4, d 0.2 + 0.2 = 0.4: all alike but for rounding; a little more, and b leads.
    assert_eq!(spread(0.81), "a b c d");
    // λ = 0.7: b 0.525 − 0.3, c 0.35, d 0.175 + 0.3 = 0.475; then b as before, c 0.35.
    assert_eq!(spread(0.7), "a d c b");
    assert_eq!(spread(1.0), "a b c d");
    let short = diversify(list(&["a", "b", "c", "d"]), &four(), &mmr(0.5), 2);
    assert_eq!(order(&short), "a d");
    assert_eq!(short[1].score, 6.0, "scores stay");
}

#[test]
fn caps_hold_and_single_tags_may_have_their_own() {
    let tags: [&[&str]; 6] = [&["war"], &["war", "sea"], &["war"], &["sea"], &[], &["love", "sea"]];
    let features: Vec<ItemFeatures> = tags.iter().map(|tags| features(&[], tags)).collect();
    let all = || list(&["a", "b", "c", "d", "e", "f"]);
    let one = Diversity { max_per_tag: Some(1), ..Diversity::default() };
    // b is of a genre that has its one; f is of sea, which d took.
    assert_eq!(order(&diversify(all(), &features, &one, 6)), "a d e");
    let war = Diversity { tag_caps: [("war".into(), 2)].into(), ..one.clone() };
    assert_eq!(order(&diversify(all(), &features, &war, 6)), "a b e");
    let sea = Diversity { max_per_tag: None, tag_caps: [("sea".into(), 1)].into(), ..one };
    assert_eq!(order(&diversify(all(), &features, &sea, 6)), "a b c e");
    assert_eq!(order(&diversify(all(), &features, &sea, 3)), "a b c");
}

#[test]
fn what_is_not_known_is_like_nothing() {
    let strange = [
        features(&[1.0, 0.0], &[]),
        features(&[], &[]),
        features(&[0.0, 0.0], &[]),
        features(&[1.0], &[]),
    ];
    assert_eq!(order(&diversify(list(&["a", "b", "c", "d"]), &strange, &mmr(0.1), 4)), "a b c d");
    assert!(diversify(vec![], &[], &mmr(0.5), 5).is_empty());
}

#[test]
fn numbers_have_bounds() {
    let caps = |tag: &str, cap| Diversity { tag_caps: [(tag.into(), cap)].into(), ..mmr(0.5) };
    assert_eq!(caps("war", 1).check(), Ok(()));
    let many = (0..101).map(|n| (n.to_string(), 1)).collect();
    for (how, says) in [
        (Diversity::default(), "it does nothing"),
        (mmr(0.0), "mmr_lambda is 0"),
        (mmr(1.5), "mmr_lambda is 1.5"),
        (mmr(f64::NAN), "mmr_lambda is NaN"),
        (Diversity { max_per_tag: Some(0), ..Diversity::default() }, "max_per_tag is 0"),
        (caps("war", 0), "0 items with \"war\""),
        (caps("", 1), "tag_caps.tag is empty"),
        (Diversity { tag_caps: many, ..Diversity::default() }, "tag_caps has 101 entries"),
    ] {
        let said = how.check().expect_err(says).to_string();
        assert!(said.contains(says), "{said}");
    }
}

fn candidates() -> impl Strategy<Value = Vec<ItemFeatures>> {
    let tags = prop::collection::btree_set(0u8..4, 0..3);
    let one = (prop::collection::vec(-3i8..4, 3), tags).prop_map(|(vector, tags)| ItemFeatures {
        vector: vector.into_iter().map(f32::from).collect(),
        tags: tags.into_iter().map(|tag| tag.to_string()).collect(),
    });
    prop::collection::vec(one, 0..40)
}

proptest! {
    #[test]
    fn every_step_takes_the_best_that_caps_allow(
        features in candidates(), lambda in 0.05f64..1.0, cap in prop::option::of(1u32..4), count in 0usize..50,
    ) {
        let how = Diversity { mmr_lambda: Some(lambda), max_per_tag: cap, ..Diversity::default() };
        let names: Vec<String> = (0..features.len()).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let spread = diversify(list(&names), &features, &how, count);
        let taken: Vec<usize> = spread.iter().map(|it| it.item_id.parse().expect("a number")).collect();
        let cosine = |a: usize, b: usize| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let (a, b) = (&features[a].vector, &features[b].vector);
            let length = dot(a, a).sqrt() * dot(b, b).sqrt();
            if length > 0.0 { dot(a, b) / length } else { 0.0 }
        };
        let allowed = |at: usize, before: &[usize]| {
            !before.contains(&at) && features[at].tags.iter().all(|tag| {
                let has = before.iter().filter(|&&other| features[other].tags.contains(tag)).count();
                cap.is_none_or(|cap| has < cap as usize)
            })
        };
        let value = |at: usize, before: &[usize]| {
            let like = before.iter().map(|&other| cosine(at, other)).reduce(f64::max).unwrap_or(0.0);
            lambda * (1.0 - at as f64 / features.len() as f64) - (1.0 - lambda) * like
        };
        for (n, &at) in taken.iter().enumerate() {
            let before = &taken[..n];
            prop_assert!(allowed(at, before));
            for other in (0..features.len()).filter(|&other| allowed(other, before)) {
                prop_assert!(value(at, before) >= value(other, before) - 1e-9);
            }
        }
        let rest = (0..features.len()).any(|at| allowed(at, &taken));
        prop_assert!(taken.len() == count || !rest, "nothing is left out without a reason");
        let longer = diversify(list(&names), &features, &how, usize::MAX);
        prop_assert_eq!(&longer[..spread.len()], &spread[..], "a short list begins a long one");
    }
}
