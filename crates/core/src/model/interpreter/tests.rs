//! Plans and decisions by hand, and that the rows that are looked up are all that plans read.

use super::*;
use crate::model::recipe::{
    FoldIn, HISTORY_MATRIX, HISTORY_ORDER_MATRIX, HistoryWeights, NeighbourSearch, Profile, Recipe,
    Seen,
};
use proptest::prelude::*;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of one version, written down.
#[derive(Clone, Debug, Default)]
struct Known {
    ordinals: BTreeMap<RowOf, u32>,
    vectors: BTreeMap<(RowOf, String), Vec<f32>>,
    history: Vec<Seen>,
    terms: Vec<u32>,
    is_unavailable: bool,
}

impl KnownRows for Known {
    fn ordinal(&self, of: RowOf) -> Option<u32> {
        self.ordinals.get(&of).copied()
    }

    fn vector(&self, of: RowOf, matrix: &str) -> Option<&[f32]> {
        self.vectors.get(&(of, matrix.into())).map(Vec::as_slice)
    }

    fn history(&self) -> Cow<'_, [Seen]> {
        Cow::Borrowed(&self.history)
    }

    fn terms(&self, _: &str) -> &[u32] {
        &self.terms
    }

    fn is_subject_unavailable(&self) -> bool {
        self.is_unavailable
    }
}

impl Known {
    /// A user whom the version knows, with this history.
    fn user(history: Vec<Seen>) -> Self {
        Self { ordinals: [(RowOf::Subject, 9)].into(), history, ..Self::default() }
    }

    fn with_vector(mut self, of: RowOf, matrix: &str, vector: &[f32]) -> Self {
        self.vectors.insert((of, matrix.into()), vector.into());
        self
    }

    /// Recent items with these ordinals, the newest last.
    fn with_recents(mut self, ordinals: &[u32]) -> Self {
        for (place, &ordinal) in ordinals.iter().enumerate() {
            self.ordinals.insert(RowOf::Recent(place), ordinal);
        }
        self
    }

    /// What is left if only these rows were looked up.
    fn restricted(&self, needs: &[RowNeed<'_>]) -> Self {
        let known: BTreeSet<RowOf> = needs.iter().map(|need| need.of).collect();
        let has = |part: RowPart<'_>| {
            needs.iter().any(|need| need.of == RowOf::Subject && need.part == part)
        };
        let mut left = self.clone();
        left.ordinals.retain(|of, _| known.contains(of));
        left.vectors.retain(|(of, matrix), _| {
            needs.iter().any(|need| need.of == *of && need.part == RowPart::Dense(matrix))
        });
        if !has(RowPart::Sparse(HISTORY_MATRIX)) {
            left.history.clear();
        }
        if !has(RowPart::Sparse(HISTORY_ORDER_MATRIX)) {
            left.history.iter_mut().for_each(|seen| seen.age = 0);
        }
        if !has(RowPart::Sparse("user_terms")) {
            left.terms.clear();
        }
        left
    }
}

fn seen(ordinal: u32, value: f32, age: u32) -> Seen {
    Seen { ordinal, value, age }
}

fn mf() -> Recipe {
    Recipe::MatrixFactorisation {
        user_factors: "users".into(),
        item_factors: "items".into(),
        fold_in: Some(FoldIn { matrix: "fold".into(), confidence: 3.0 }),
    }
}

fn content(history: Option<HistoryWeights>) -> Recipe {
    Recipe::Content {
        user_topics: "user_topics".into(),
        item_topics: "item_topics".into(),
        term_topics: Some("term_topics".into()),
        history,
    }
}

fn item_rows(decay: f64, newest: Option<u32>) -> Recipe {
    let history = HistoryWeights { decay, newest, ..HistoryWeights::default() };
    Recipe::ItemRows { matrix: "rules".into(), history }
}

fn neighbours(by: NeighbourSearch) -> Recipe {
    Recipe::UserNeighbours { by, histories: "histories".into(), neighbours: 5 }
}

fn by_histories(decay: f64) -> Recipe {
    let history = HistoryWeights { decay, ..HistoryWeights::default() };
    neighbours(NeighbourSearch::Histories { matrix: "by_item".into(), history })
}

fn by_vectors() -> Recipe {
    neighbours(NeighbourSearch::Vectors { user_factors: "users".into() })
}

fn profile() -> Profile {
    Profile { matrix: "profile".into(), users: "user_terms".into() }
}

fn leaf(recipe: &Recipe) -> Leaf<'_> {
    Leaf { version: 0, recipe, is_chained: false }
}

fn sum<'p>(matrix: &'p str, rows: &[u32], weights: &[f32]) -> MatrixSearch<'p> {
    MatrixSearch::RowSum { matrix, rows: rows.into(), weights: weights.into() }
}

/// The decision of one version without a profile.
fn decide_one<'p>(
    recipe: &'p Recipe,
    request: UserRequest,
    rows: &Known,
    profile: Option<&'p Profile>,
) -> DecidedLeaves<'p> {
    let models = BTreeMap::from([(0, Model { profile, rows: rows.clone() })]);
    decide(&Request::User(request), &[leaf(recipe)], &models)
}

fn vector_of(plan: &LeafPlan<'_>) -> Vec<f32> {
    match plan {
        LeafPlan::Search(MatrixSearch::DenseTopK { vector, .. }) => vector.clone(),
        other => panic!("no search by a vector: {other:?}"),
    }
}

fn assert_near(found: &[f32], expected: &[f32]) {
    let is_near = found.len() == expected.len()
        && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(is_near, "{found:?} is not {expected:?}");
}

/// Watched in the order 3, 5, 7; then 5 again and 1. That is the history 3, 7, 5, 1.
#[test]
fn a_recent_item_of_the_history_leaves_no_gap_in_the_ages() {
    let stored = vec![seen(3, 1.0, 2), seen(5, 1.0, 1), seen(7, 1.0, 0)];
    let rows = Known::user(stored).with_recents(&[5, 1]);
    let history = UserHistory::of(&rows, 2);
    let trained = [seen(1, 1.0, 0), seen(3, 1.0, 3), seen(5, 1.0, 1), seen(7, 1.0, 2)];
    assert_eq!(history.all(), trained);
    let recipe = item_rows(0.5, Some(3));
    let plan = plan_for_user(&recipe, &rows, &history);
    assert_eq!(plan, LeafPlan::Search(sum("rules", &[1, 5, 7], &[1.0, 0.5, 0.25])));
}

#[test]
fn an_item_that_is_recent_twice_counts_by_its_newest_mention() {
    let rows = Known::user(vec![seen(8, 3.0, 0)]).with_recents(&[1, 2, 1, 4]);
    let history = UserHistory::of(&rows, 4);
    let expected = [seen(1, 3.0, 1), seen(2, 3.0, 2), seen(4, 3.0, 0), seen(8, 3.0, 3)];
    assert_eq!(history.all(), expected);
}

/// Recent items that the version does not know do not count.
#[test]
fn unknown_recent_items_have_no_age() {
    let mut rows = Known::user(vec![seen(8, 0.0, 0)]).with_recents(&[1, 2, 3]);
    rows.ordinals.remove(&RowOf::Recent(1));
    let expected = [seen(1, 1.0, 1), seen(3, 1.0, 0), seen(8, 0.0, 2)];
    assert_eq!(UserHistory::of(&rows, 3).all(), expected);
}

#[test]
fn a_fold_in_takes_each_new_item_once() {
    let recipe = mf();
    let item = |rows: Known, of: RowOf| {
        rows.with_vector(of, "items", &[1.0, 0.5]).with_vector(of, "fold", &[0.5, 0.1])
    };
    let of = |history: Vec<Seen>, recents: &[u32]| {
        let mut rows = Known::user(history).with_recents(recents).with_vector(
            RowOf::Subject,
            "users",
            &[0.2, 0.1],
        );
        for place in 0..recents.len() {
            rows = item(rows, RowOf::Recent(place));
        }
        vector_of(&plan_for_user(&recipe, &rows, &UserHistory::of(&rows, recents.len())))
    };
    let once = of(vec![], &[4]);
    assert!(once[0] > 0.3, "{once:?} has moved");
    for times in 2..9 {
        assert_eq!(of(vec![], &vec![4; times]), once);
    }
    // The stored vector was fitted to what is stored as liked, and to nothing that was disliked.
    assert_eq!(of(vec![seen(4, 1.0, 0)], &[4]), [0.2, 0.1]);
    assert_eq!(of(vec![seen(4, 0.0, 0)], &[4]), once);
}

/// Liked in the order a, b, c with a decay of 1/2 and something disliked between; then d, and b again.
#[test]
fn topics_are_what_training_would_add_up() {
    let topics = |ordinal: u32| [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [3.0, -1.0]][ordinal as usize];
    let trained = |liked: &[u32]| {
        let mut sum = [0.0, 0.0];
        for (age, &item) in liked.iter().rev().enumerate() {
            for (sum, x) in sum.iter_mut().zip(topics(item)) {
                *sum += 0.5f32.powi(age as i32) * x;
            }
        }
        sum
    };
    let recipe = content(Some(HistoryWeights { decay: 0.5, ..HistoryWeights::default() }));
    let of = |recents: &[u32]| {
        let stored = vec![seen(0, 1.0, 3), seen(1, 1.0, 1), seen(2, 1.0, 0), seen(9, 0.0, 2)];
        let mut rows = Known::user(stored).with_recents(recents).with_vector(
            RowOf::Subject,
            "user_topics",
            &trained(&[0, 1, 2]),
        );
        for (place, &ordinal) in recents.iter().enumerate() {
            rows = rows.with_vector(RowOf::Recent(place), "item_topics", &topics(ordinal));
        }
        let history = UserHistory::of(&rows, recents.len());
        let plan = plan_for_user(&recipe, &rows, &history);
        let basis = Basis::of(&recipe, &plan, &rows, &history).expect("a sum");
        // The parts of a vector add up to it.
        let rows: std::collections::HashMap<u32, Vec<f32>> =
            (0..4).map(|item| (item, topics(item).to_vec())).collect();
        let (vector, item) = (vector_of(&plan), topics(3));
        let score: f32 = vector.iter().zip(item).map(|(x, y)| x * y).sum();
        let shares = basis.shares(&rows, &rows, &[(&item, f64::from(score))]).remove(0);
        let all: f64 = shares.iter().map(|(_, share)| share).sum();
        let are_all = basis.ordinals().len() == shares.len() && score != 0.0;
        assert!(!are_all || (all - 1.0).abs() < 1e-5, "{shares:?} of {recents:?}");
        vector
    };
    assert_near(&of(&[]), &trained(&[0, 1, 2]));
    assert_near(&of(&[3]), &trained(&[0, 1, 2, 3]));
    assert_near(&of(&[3, 3]), &trained(&[0, 1, 2, 3]));
    // The order counts, and what training has absorbed already is not new.
    assert_near(&of(&[2]), &trained(&[0, 1, 2]));
    assert_near(&of(&[1, 2]), &trained(&[0, 1, 2]));
    assert_near(&of(&[2, 1]), &trained(&[0, 2, 1]));
    assert_near(&of(&[1, 2, 3]), &trained(&[0, 1, 2, 3]));
    let reversed = of(&[3, 2, 1]);
    assert_near(&reversed, &trained(&[0, 3, 2, 1]));
}

#[test]
fn what_a_text_is_about_is_the_sum_of_its_words() {
    let recipe = content(None);
    let rows = Known::default()
        .with_vector(RowOf::Term(0), "term_topics", &[1.0, 2.0])
        .with_vector(RowOf::Term(2), "term_topics", &[0.5, 0.0]);
    let models = BTreeMap::from([(0, Model { profile: None, rows })]);
    let decision = decide(&Request::Text { words: 3 }, &[leaf(&recipe)], &models);
    let (matrix, measure) = ("item_topics", VectorMeasure::Cosine);
    let search = MatrixSearch::DenseTopK { matrix, vector: vec![1.5, 2.0], measure };
    assert_eq!(decision.plans, [LeafPlan::Search(search)]);
    let rules = item_rows(1.0, None);
    let unknown = decide(&Request::Text { words: 3 }, &[leaf(&rules)], &models);
    assert_eq!(unknown.plans, [LeafPlan::Nothing]);
    assert_eq!((unknown.filling, unknown.fallback), (None, None));
}

#[test]
fn items_are_like_an_item_by_its_own_row() {
    let rows = Known::user(vec![]).with_vector(RowOf::Subject, "items", &[1.0, 0.0]);
    let models = BTreeMap::from([(0, Model { profile: None, rows })]);
    let (by_factors, by_rules, by_users) = (mf(), item_rows(1.0, None), by_vectors());
    let leaves = [leaf(&by_factors), leaf(&by_rules), leaf(&by_users)];
    let decision = decide(&Request::Item, &leaves, &models);
    let (matrix, measure) = ("items", VectorMeasure::Cosine);
    let nearest = MatrixSearch::DenseTopK { matrix, vector: vec![1.0, 0.0], measure };
    let expected = [
        LeafPlan::Search(nearest),
        LeafPlan::Search(sum("rules", &[9], &[1.0])),
        LeafPlan::Nothing,
    ];
    assert_eq!(decision.plans, expected);
    assert_eq!(decision.seen[&0][..], [9]);
}

#[test]
fn similar_users_without_anything_in_common_say_nothing() {
    let recipe = by_histories(1.0);
    let rows = Known::user(vec![seen(3, 2.0, 0)]);
    let plan = plan_for_user(&recipe, &rows, &UserHistory::of(&rows, 0));
    let LeafPlan::Neighbours(found) = plan else { panic!("{plan:?}") };
    assert_eq!((found.count, found.user), (5, Some(9)));
    assert_eq!(found.search, sum("by_item", &[3], &[1.0]));
    let items = found.items(&[(4, 0.5), (2, 0.0), (1, -0.5)]);
    assert_eq!(items, sum("histories", &[4], &[0.5]));
}

#[test]
fn without_a_preference_the_reason_says_why() {
    use FallbackReason::{NoHistory, RecentItems, UnknownUser, UserShardUnavailable};
    let recipe = item_rows(1.0, Some(2));
    let of = |rows: Known, recents| {
        let request = UserRequest { recents, ..UserRequest::default() };
        let DecidedLeaves { mut plans, fallback, .. } = decide_one(&recipe, request, &rows, None);
        let plan = plans.remove(0);
        assert!(plan.answers());
        (fallback, plan == LeafPlan::Popularity)
    };
    let liked = vec![seen(1, 0.0, 1), seen(2, 1.0, 0)];
    assert_eq!(of(Known::user(liked.clone()), 0), (None, false));
    assert_eq!(of(Known::default(), 0), (Some(UnknownUser), true));
    assert_eq!(of(Known::user(vec![]), 0), (Some(NoHistory), true));
    assert_eq!(of(Known::user(vec![]).with_recents(&[4]), 1), (Some(RecentItems), false));
    assert_eq!(of(Known::default().with_recents(&[4]), 1), (Some(RecentItems), false));
    let unavailable = || Known { is_unavailable: true, ..Known::default() };
    assert_eq!(of(unavailable(), 0), (Some(UserShardUnavailable), true));
    assert_eq!(of(unavailable().with_recents(&[4]), 1), (Some(UserShardUnavailable), false));
    // What is liked is older than the newest two, which are disliked: nothing is known that has a weight.
    let disliked = vec![seen(1, 0.0, 0), seen(2, 0.0, 1), seen(3, 1.0, 2)];
    assert_eq!(of(Known::user(disliked.clone()), 0), (Some(NoHistory), true));
    assert_eq!(of(Known::user(disliked).with_recents(&[4]), 1), (Some(RecentItems), false));
    // Recent items in front of a liked history do not make it a fallback.
    assert_eq!(of(Known::user(liked).with_recents(&[4, 5, 6]), 3), (None, false));
}

#[test]
fn attributes_come_before_popular_items() {
    let (recipe, profile) = (item_rows(1.0, None), profile());
    let of = |rows: &Known, terms| {
        let request = UserRequest { terms, ..UserRequest::default() };
        let decision = decide_one(&recipe, request, rows, Some(&profile));
        let plan = decision.plans[0].clone();
        (decision.fallback, plan, decision.filling)
    };
    let described = Known { terms: vec![0, 3], ..Known::user(vec![]) };
    let search = sum("profile", &[0, 3], &[1.0, 1.0]);
    let only_popular = Some(Filling { leaf: 0, profile: None });
    let expected =
        (Some(FallbackReason::Profile), LeafPlan::Profile(search.clone()), only_popular.clone());
    assert_eq!(of(&described, 0), expected);
    // Attributes of the request come first, if training knew any of them.
    let mut told = described.clone();
    told.ordinals.extend([(RowOf::Term(0), 0), (RowOf::Term(2), 5)]);
    assert_eq!(of(&told, 3).1, LeafPlan::Profile(sum("profile", &[0, 5], &[1.0, 1.0])));
    told.ordinals.remove(&RowOf::Term(2));
    assert_eq!(of(&told, 3), expected);
    // Every user has the first term: alone it says nothing.
    let of_all_users = Known { terms: vec![0], ..Known::user(vec![]) };
    let popular = (Some(FallbackReason::NoHistory), LeafPlan::Popularity, None);
    assert_eq!(of(&of_all_users, 0), popular);
    // With a preference they continue the list.
    let liking = Known { history: vec![seen(2, 1.0, 0)], ..described };
    let (fallback, plan, filling) = of(&liking, 0);
    assert_eq!((fallback, plan), (None, LeafPlan::Search(sum("rules", &[2], &[1.0]))));
    assert_eq!(filling, Some(Filling { leaf: 0, profile: Some(search) }));
    // A shard that does not answer is the better reason.
    let unavailable = Known { is_unavailable: true, terms: vec![0, 3], ..Known::default() };
    let (fallback, plan, _) = of(&unavailable, 0);
    assert_eq!(fallback, Some(FallbackReason::UserShardUnavailable));
    assert!(matches!(plan, LeafPlan::Profile(_)));
}

/// Version 0 is a blend of rules and popular items, version 1 has factors, and rules are chained to them.
#[test]
fn one_preference_is_enough_and_without_any_the_first_leaf_of_each_version_is_substituted() {
    let (rules, popular, factors) = (item_rows(1.0, None), Recipe::Popularity, mf());
    let leaves = [
        Leaf { version: 0, recipe: &rules, is_chained: false },
        Leaf { version: 0, recipe: &popular, is_chained: false },
        Leaf { version: 0, recipe: &rules, is_chained: false },
        Leaf { version: 1, recipe: &factors, is_chained: false },
        Leaf { version: 0, recipe: &rules, is_chained: true },
    ];
    let of = |first: Known, second: Known| {
        let models = BTreeMap::from([
            (0, Model { profile: None, rows: first }),
            (1, Model { profile: None, rows: second }),
        ]);
        decide(&Request::User(UserRequest::default()), &leaves, &models)
    };
    use LeafPlan::{Chained, Nothing, Popularity, Search};
    let unknown = of(Known::default(), Known::user(vec![]));
    assert_eq!(unknown.plans, [Popularity, Popularity, Nothing, Popularity, Nothing]);
    assert_eq!(unknown.fallback, Some(FallbackReason::NoHistory));
    let known = of(Known::user(vec![seen(6, 1.0, 0)]), Known::user(vec![seen(2, 1.0, 0)]));
    let search = || Search(sum("rules", &[6], &[1.0]));
    assert_eq!(known.plans, [search(), Popularity, search(), Nothing, Chained]);
    assert_eq!(known.fallback, None);
    assert_eq!(known.filling, Some(Filling { leaf: 0, profile: None }));
    assert_eq!((&known.seen[&0][..], &known.seen[&1][..]), (&[6][..], &[2][..]));
}

/// A recipe of one part.
fn recipes() -> impl Strategy<Value = Recipe> {
    let decay = prop_oneof![Just(1.0), Just(0.5)];
    let newest = prop_oneof![Just(None), Just(Some(1)), Just(Some(3))];
    prop_oneof![
        Just(mf()),
        Just(Recipe::MatrixFactorisation {
            user_factors: "users".into(),
            item_factors: "items".into(),
            fold_in: None
        }),
        Just(content(None)),
        decay.clone().prop_map(|decay| {
            content(Some(HistoryWeights { decay, ..HistoryWeights::default() }))
        }),
        (decay.clone(), newest).prop_map(|(decay, newest)| item_rows(decay, newest)),
        decay.prop_map(by_histories),
        Just(by_vectors()),
        Just(Recipe::Popularity),
        Just(Recipe::Trending { matrix: "trending".into() }),
    ]
}

prop_compose! {
    /// What a version knows of a user with up to three recent items and two attributes, and how many there are.
    fn knowledge()(
        liked in prop::collection::btree_map(0u32..8, 0u8..3, 0..6),
        recents in prop::collection::vec(prop::option::of(0u32..8), 0..4),
        is_known in any::<bool>(),
        terms in prop::collection::vec(0u32..4, 0..3),
        components in prop::collection::vec(-2i8..3, 2),
    ) -> (Known, usize) {
        let mut known = Known::default();
        if is_known {
            known.ordinals.insert(RowOf::Subject, 9);
            let count = liked.len() as u32;
            let entries = liked.into_iter().zip(0..);
            known.history =
                entries.map(|((item, value), at)| seen(item, f32::from(value), count - 1 - at)).collect();
            let vector: Vec<f32> = components.into_iter().map(f32::from).collect();
            for matrix in ["users", "user_topics"] {
                known = known.with_vector(RowOf::Subject, matrix, &vector);
            }
            known.terms.clone_from(&terms);
        }
        for (n, term) in terms.into_iter().enumerate() {
            known.ordinals.insert(RowOf::Term(n), term);
            known = known.with_vector(RowOf::Term(n), "term_topics", &[1.0, term as f32]);
        }
        for (place, ordinal) in recents.iter().enumerate() {
            let Some(ordinal) = ordinal else { continue };
            let of = RowOf::Recent(place);
            known.ordinals.insert(of, *ordinal);
            for (matrix, factor) in [("items", 1.0), ("fold", 0.25), ("item_topics", 1.0)] {
                known = known.with_vector(of, matrix, &[factor * *ordinal as f32, factor]);
            }
        }
        (known, recents.len())
    }
}

proptest! {
    /// A caller that looks up only what is needed decides as one that knows all rows.
    #[test]
    fn the_rows_that_are_looked_up_are_all_that_plans_read(
        recipe in recipes(),
        (known, recents) in knowledge(),
        include_seen in any::<bool>(),
        explain in any::<bool>(),
        is_profiled in any::<bool>(),
    ) {
        let profile = profile();
        let profile = is_profiled.then_some(&profile);
        let user = UserRequest { recents, terms: 2, include_seen, explain };
        for request in [Request::User(user), Request::Item, Request::Text { words: 2 }] {
            let needs = rows_needed(&recipe, false, profile, &request);
            let decided = |rows: Known| {
                let models = BTreeMap::from([(0, Model { profile, rows })]);
                decide(&request, &[leaf(&recipe)], &models)
            };
            let (all, some) = (decided(known.clone()), decided(known.restricted(&needs)));
            prop_assert_eq!(all.plans, some.plans);
            prop_assert_eq!(all.bases, some.bases);
            prop_assert_eq!(all.filling, some.filling);
            if !matches!(request, Request::Item) || !needs.is_empty() {
                prop_assert_eq!(all.seen, some.seen);
            }
            // Of a recipe that needs no rows nothing is known, not even whether there is such a user.
            if recipe.is_personal() {
                prop_assert_eq!(all.fallback, some.fallback);
            }
        }
    }

    /// Ages count the items that are newer, whatever comes twice.
    #[test]
    fn ages_of_a_merged_history_are_those_of_training(
        watched in prop::collection::vec(0u32..12, 0..20),
        split in 0usize..20,
    ) {
        let entries = |watched: &[u32]| -> Vec<Seen> {
            let mut newest: Vec<u32> = Vec::new();
            for &item in watched.iter().rev() {
                if !newest.contains(&item) {
                    newest.push(item);
                }
            }
            let mut all: Vec<Seen> =
                newest.into_iter().zip(0..).map(|(item, age)| seen(item, 1.0, age)).collect();
            all.sort_by_key(|seen| seen.ordinal);
            all
        };
        let (before, after) = watched.split_at(split.min(watched.len()));
        let rows = Known::user(entries(before)).with_recents(after);
        let history = UserHistory::of(&rows, after.len());
        prop_assert_eq!(history.all(), entries(&watched));
    }
}
