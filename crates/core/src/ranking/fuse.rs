//! How the lists of an ensemble's members become one.
//!
//! There are five functions: [`reciprocal_rank`] and [`weighted_score`] for parallels, [`standard_score`] for the members
//! of a blend, [`product`] for products and [`rerank`] for sequences. All take lists that are sorted best first, name items by their external
//! ids (members may be of different bundles, whose ordinals do not compare), break ties by the
//! canonical order of ids, and keep what each member said of an item, so that an answer can be
//! explained.
//!
//! Scores of different models do not compare either. Where scores are joined they are first scaled
//! within each list: to 0..1 ([`weighted_score`], [`product`]) or by their standard deviation ([`standard_score`]). Ranks
//! need no scaling.
//!
//! A member that failed is simply not among the arguments: the rest is fused as if the member
//! were not there. Deliberately missing: any knowledge of which member it was and why.

use crate::id::compare_ids;
use std::collections::HashMap;

/// How much the first ranks weigh against later ones in [`reciprocal_rank`]: Cormack, Clarke and
/// Büttcher 2009 found 60 and that little depends on it.
pub const RECIPROCAL_RANK_OFFSET: f64 = 60.0;

/// Members of fusions and the first of a sequence propose this many times the number of items that is wanted: an
/// item that several members have just below their best shall win over one that a single member has at the top.
const DEPTH_FACTOR: usize = 3;
/// Members propose at most this many, unless more are wanted: what is ranked lower hardly rises to the top.
const MAX_DEPTH: usize = 1_000;

/// How many items a member must list so that `count` can be chosen well, at least `least`.
pub fn depth(count: usize, least: usize) -> usize {
    (count * DEPTH_FACTOR).clamp(least, MAX_DEPTH.max(count))
}

/// An item in a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidate {
    /// Its external id, unique in a list.
    pub item_id: String,
    /// Its title; empty if it has none.
    pub title: String,
    /// Its score, which can be compared within one list only.
    pub score: f64,
    /// The scores and ranks that leaves gave it.
    pub contributions: Vec<Contribution>,
}

/// The score and the rank that one leaf of the ensemble gave an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// The leaf, by a number that the caller gave.
    pub leaf: usize,
    /// The leaf's own score.
    pub score: f64,
    /// The item's 1-based rank in the leaf's own list.
    pub rank: u32,
}

/// The list of one member of a parallel.
#[derive(Clone, Debug, PartialEq)]
pub struct FusedMember {
    /// How much the member counts.
    pub weight: f64,
    /// The member's items, best first.
    pub list: Vec<Candidate>,
}

/// The best `count` by Σ weight / (60 + rank).
pub fn reciprocal_rank(members: Vec<FusedMember>, count: usize) -> Vec<Candidate> {
    let mut sums = Sums::default();
    for FusedMember { weight, list } in members {
        for (rank, candidate) in (1_u32..).zip(list) {
            let points = weight / (RECIPROCAL_RANK_OFFSET + f64::from(rank));
            sums.add(candidate, points);
        }
    }
    sums.best(count)
}

/// The best `count` by Σ weight × score, scores scaled to 0..1 within each list.
pub fn weighted_score(members: Vec<FusedMember>, count: usize) -> Vec<Candidate> {
    let mut sums = Sums::default();
    for FusedMember { weight, list } in members {
        let scale = Scale::of(&list);
        for candidate in list {
            let points = weight * scale.apply(candidate.score);
            sums.add(candidate, points);
        }
    }
    sums.best(count)
}

/// The best `count` by Σ weight × score, with the scores of each list as standard deviations above its last. Unlike
/// a scale of 0..1, a few items far ahead of the others do not press those together.
pub fn standard_score(members: Vec<FusedMember>, count: usize) -> Vec<Candidate> {
    let mut sums = Sums::default();
    for FusedMember { weight, list } in members {
        let scores: Vec<f64> = list.iter().map(|candidate| candidate.score).collect();
        for (candidate, scaled) in list.into_iter().zip(in_deviations(&scores)) {
            sums.add(candidate, weight * scaled);
        }
    }
    sums.best(count)
}

/// The scores of one list, in any order, as standard deviations above the lowest; 1 for all where all are equal.
pub fn in_deviations(scores: &[f64]) -> Vec<f64> {
    let count = scores.len().max(1) as f64;
    let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let mean = scores.iter().sum::<f64>() / count;
    let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / count;
    let deviation = variance.sqrt();
    // Equal scores may have a deviation by rounding.
    let is_varied = scores.iter().any(|score| *score > lowest) && deviation > 0.0;
    let scale = |score: &f64| if is_varied { (score - lowest) / deviation } else { 1.0 };
    scores.iter().map(scale).collect()
}

/// The best `count` by the product of scores scaled to 0..1 within each list. An item that a member
/// does not list has 0 there: it comes last, and still fills a list that would be too short.
pub fn product(lists: Vec<Vec<Candidate>>, count: usize) -> Vec<Candidate> {
    let members = lists.len();
    let mut sums = Sums::default();
    // Products of what lists have in common, in the place where sums would be.
    let mut products: HashMap<usize, (usize, f64)> = HashMap::new();
    for list in lists {
        let scale = Scale::of(&list);
        for candidate in list {
            let scaled = scale.apply(candidate.score);
            let place = sums.add(candidate, 0.0);
            let (seen, product) = products.entry(place).or_insert((0, 1.0));
            *seen += 1;
            *product *= scaled;
        }
    }
    for (place, (seen, product)) in products {
        sums.items[place].score = if seen == members { product } else { 0.0 };
    }
    sums.best(count)
}

/// The best `count` of `candidates` in the order of `scored`, a later member's list over them. What
/// that member does not know follows in the order it had, with scores below all others.
pub fn rerank(candidates: Vec<Candidate>, scored: Vec<Candidate>, count: usize) -> Vec<Candidate> {
    let Some(lowest) = scored.last().map(|last| last.score) else {
        return truncated(candidates, count);
    };
    let mut known: HashMap<String, Candidate> = HashMap::with_capacity(candidates.len());
    let mut order = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        order.push(candidate.item_id.clone());
        known.insert(candidate.item_id.clone(), candidate);
    }
    let mut reranked = Vec::with_capacity(order.len());
    for scored in scored {
        // A member scores only the items that it was given.
        if let Some(mut candidate) = known.remove(&scored.item_id) {
            candidate.score = scored.score;
            candidate.contributions.extend(scored.contributions);
            reranked.push(candidate);
        }
    }
    let rest = order.into_iter().filter_map(|id| known.remove(&id));
    for (below, mut candidate) in (1_u32..).zip(rest) {
        candidate.score = lowest - f64::from(below);
        reranked.push(candidate);
    }
    truncated(reranked, count)
}

/// Min-max scaling of one list's scores.
struct Scale {
    lowest: f64,
    width: f64,
}

impl Scale {
    fn of(list: &[Candidate]) -> Self {
        let lowest = list.iter().map(|c| c.score).fold(f64::INFINITY, f64::min);
        let highest = list.iter().map(|c| c.score).fold(f64::NEG_INFINITY, f64::max);
        Self { lowest, width: highest - lowest }
    }

    /// 1 for the best of the list and 0 for its last; 1 for all where all are equal.
    fn apply(&self, score: f64) -> f64 {
        if self.width > 0.0 { (score - self.lowest) / self.width } else { 1.0 }
    }
}

/// Items in the order they were first seen, and their sums. Sums grow in the order of members, so
/// the same lists give the same bits.
#[derive(Default)]
struct Sums {
    items: Vec<Candidate>,
    places: HashMap<String, usize>,
}

impl Sums {
    /// Adds to an item's sum and says where the item is.
    fn add(&mut self, candidate: Candidate, points: f64) -> usize {
        if let Some(&place) = self.places.get(&candidate.item_id) {
            let item = &mut self.items[place];
            item.score += points;
            item.contributions.extend(candidate.contributions);
            if item.title.is_empty() {
                item.title = candidate.title;
            }
            return place;
        }
        let place = self.items.len();
        self.places.insert(candidate.item_id.clone(), place);
        self.items.push(Candidate { score: points, ..candidate });
        place
    }

    fn best(self, count: usize) -> Vec<Candidate> {
        let mut items = self.items;
        items.sort_by(|a, b| {
            b.score.total_cmp(&a.score).then_with(|| compare_ids(&a.item_id, &b.item_id))
        });
        truncated(items, count)
    }
}

fn truncated(mut list: Vec<Candidate>, count: usize) -> Vec<Candidate> {
    list.truncate(count);
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(leaf: usize, items: &[(&str, f64)]) -> Vec<Candidate> {
        (1..)
            .zip(items)
            .map(|(rank, (id, score))| Candidate {
                item_id: (*id).into(),
                title: String::new(),
                score: *score,
                contributions: vec![Contribution { leaf, score: *score, rank }],
            })
            .collect()
    }

    fn member(weight: f64, leaf: usize, items: &[(&str, f64)]) -> FusedMember {
        FusedMember { weight, list: list(leaf, items) }
    }

    fn ids(list: &[Candidate]) -> Vec<&str> {
        list.iter().map(|candidate| candidate.item_id.as_str()).collect()
    }

    fn scores(list: &[Candidate]) -> Vec<f64> {
        list.iter().map(|candidate| candidate.score).collect()
    }

    #[test]
    fn reciprocal_rank_rewards_agreement_and_breaks_ties_by_id() {
        let a = member(1.0, 0, &[("10", 9.0), ("7", 8.0), ("x", 7.0)]);
        let b = member(1.0, 1, &[("9", 0.3), ("7", 0.2), ("y", 0.1)]);
        let fused = reciprocal_rank(vec![a, b], 10);
        assert_eq!(ids(&fused), ["7", "9", "10", "x", "y"]);
        assert_eq!(fused[0].score, 1.0 / 62.0 + 1.0 / 62.0);
        let said: Vec<_> =
            fused[0].contributions.iter().map(|c| (c.leaf, c.score, c.rank)).collect();
        assert_eq!(said, [(0, 8.0, 2), (1, 0.2, 2)]);
    }

    #[test]
    fn weights_scale_what_a_member_says() {
        let a = || member(1.0, 0, &[("a", 30.0), ("b", 20.0), ("c", 10.0)]);
        let b = |weight| member(weight, 1, &[("c", 0.9), ("b", 0.8), ("a", 0.1)]);
        let fused = weighted_score(vec![a(), b(1.0)], 10);
        assert_eq!(ids(&fused), ["b", "a", "c"]);
        assert_eq!(scores(&fused), [1.375, 1.0, 1.0]);
        assert_eq!(ids(&weighted_score(vec![a(), b(8.0)], 2)), ["c", "b"]);
        assert_eq!(ids(&reciprocal_rank(vec![a(), b(3.0)], 1)), ["c"]);
    }

    #[test]
    fn equal_scores_scale_to_one() {
        let fused = weighted_score(vec![member(2.0, 0, &[("a", 5.0), ("b", 5.0)])], 10);
        assert_eq!(scores(&fused), [2.0, 2.0]);
    }

    #[test]
    fn a_product_wants_all_members_to_agree() {
        let a = list(0, &[("a", 3.0), ("b", 2.0), ("c", 1.0)]);
        let b = list(1, &[("b", 8.0), ("d", 7.0), ("a", 6.0), ("e", 0.0)]);
        let fused = product(vec![a, b], 10);
        assert_eq!(ids(&fused), ["a", "b", "c", "d", "e"]);
        assert_eq!(scores(&fused), [0.75, 0.5, 0.0, 0.0, 0.0]);
        assert_eq!(fused[0].contributions.len(), 2);
    }

    #[test]
    fn a_rerank_keeps_what_it_does_not_know_below() {
        let candidates = list(0, &[("a", 3.0), ("b", 2.0), ("c", 1.0), ("d", 0.5)]);
        let scored = list(1, &[("c", 0.9), ("unknown", 0.8), ("a", 0.7)]);
        let fused = rerank(candidates.clone(), scored, 10);
        assert_eq!(ids(&fused), ["c", "a", "b", "d"]);
        assert_eq!(scores(&fused), [0.9, 0.7, 0.7 - 1.0, 0.7 - 2.0]);
        let said: Vec<_> = fused[0].contributions.iter().map(|c| (c.leaf, c.rank)).collect();
        assert_eq!(said, [(0, 3), (1, 1)]);
        assert_eq!(rerank(candidates.clone(), vec![], 2), candidates[..2]);
    }

    #[test]
    fn standard_scores_do_not_press_together_what_one_item_is_far_ahead_of() {
        // A mean of 1 and a variance of 4; one of 0 and of 1.
        assert_eq!(in_deviations(&[5.0, 0.0, 0.0, 0.0, 0.0]), [2.5, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(in_deviations(&[1.0, -1.0]), [2.0, 0.0]);
        assert_eq!(in_deviations(&[0.1, 0.1, 0.1]), [1.0, 1.0, 1.0]);
        assert_eq!(in_deviations(&[]), [] as [f64; 0]);
        let far = member(1.0, 0, &[("a", 100.0), ("b", 12.0), ("c", 10.0), ("d", 0.0)]);
        let near = || member(0.5, 1, &[("c", 3.0), ("b", 2.0), ("e", 1.0)]);
        let fused = standard_score(vec![far, near()], 10);
        assert_eq!(ids(&fused), ["a", "c", "b", "d", "e"]);
        let [b, c] = [12.0, 10.0].map(|score| score / 1_630.75f64.sqrt());
        let step = 0.5 / (2.0f64 / 3.0).sqrt();
        assert!((fused[1].score - (c + 2.0 * step)).abs() < 1e-9, "{fused:?}");
        assert!((fused[2].score - (b + step)).abs() < 1e-9, "{fused:?}");
    }

    #[test]
    fn nothing_gives_nothing() {
        assert!(reciprocal_rank(vec![], 5).is_empty());
        assert!(weighted_score(vec![member(1.0, 0, &[])], 5).is_empty());
        assert!(product(vec![vec![], vec![]], 5).is_empty());
        assert!(rerank(vec![], list(0, &[("a", 1.0)]), 5).is_empty());
    }

    fn lists() -> impl Strategy<Value = Vec<Vec<Candidate>>> {
        let list = prop::collection::btree_map(0u32..30, -20i16..20, 0..20);
        prop::collection::vec(list, 1..5).prop_map(|lists| {
            lists
                .into_iter()
                .enumerate()
                .map(|(leaf, items)| {
                    let mut items: Vec<_> =
                        items.into_iter().map(|(id, s)| (id.to_string(), f64::from(s))).collect();
                    items.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| compare_ids(&a.0, &b.0)));
                    let borrowed: Vec<_> = items.iter().map(|(id, s)| (id.as_str(), *s)).collect();
                    self::list(leaf, &borrowed)
                })
                .collect()
        })
    }

    type FusionFn = fn(Vec<Vec<Candidate>>, usize) -> Vec<Candidate>;
    const FUSIONS: [FusionFn; 4] = [
        |lists, count| standard_score(weighted(lists), count),
        |lists, count| reciprocal_rank(weighted(lists), count),
        |lists, count| weighted_score(weighted(lists), count),
        product,
    ];

    fn weighted(lists: Vec<Vec<Candidate>>) -> Vec<FusedMember> {
        lists.into_iter().map(|list| FusedMember { weight: 1.5, list }).collect()
    }

    proptest! {
        #[test]
        fn every_item_is_there_once_in_order_and_a_short_list_begins_a_long_one(
            lists in lists(), count in 0usize..40,
        ) {
            let mut all: Vec<String> = lists.iter().flatten().map(|c| c.item_id.clone()).collect();
            all.sort();
            all.dedup();
            for fuse in FUSIONS {
                let fused = fuse(lists.clone(), usize::MAX);
                let mut seen: Vec<String> = fused.iter().map(|c| c.item_id.clone()).collect();
                seen.sort();
                prop_assert_eq!(&seen, &all);
                for pair in fused.windows(2) {
                    let order = pair[1].score.total_cmp(&pair[0].score);
                    let ids = compare_ids(&pair[0].item_id, &pair[1].item_id);
                    prop_assert!(order.then(ids).is_lt());
                }
                let short = fuse(lists.clone(), count);
                prop_assert_eq!(&short[..], &fused[..count.min(fused.len())]);
            }
        }

        #[test]
        fn a_sequence_answers_with_its_candidates_in_falling_order(lists in lists()) {
            let scored = lists.last().cloned().unwrap_or_default();
            let candidates = reciprocal_rank(weighted(lists), usize::MAX);
            let fused = rerank(candidates.clone(), scored, usize::MAX);
            prop_assert_eq!(fused.len(), candidates.len());
            prop_assert!(fused.windows(2).all(|pair| pair[0].score >= pair[1].score));
        }
    }
}
