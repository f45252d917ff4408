//! A blend of families, weighed by what they are worth on held-out interactions.
//!
//! The last fifth of each user's interactions by time is held out, every family that the data allow is
//! fitted to the rest, and weights are searched by coordinates for the greatest nDCG@20 on what was held out,
//! with lists scaled and added as they are when a request is answered: by their standard deviations, so that a member
//! with a few items far ahead of the others is not drowned. Members that get no weight are
//! dropped; the others are fitted again to everything.
//!
//! Where the blend is not clearly better than the best member alone, that member has all the weight. How much better it
//! is, is measured on users whom the weights were not fitted on: each half of the users by the weights of the other.
//!
//! Which families are members, and with which settings, may be given (`marquee train --config`, as
//! `marquee tune` writes it), or chosen before ([`choice`](crate::choice)). Weights are fitted unless they were chosen, too.
//!
//! Weights, not a ranker: eight numbers from thousands of users can hardly fit to chance.

use super::definition::{Family, HybridMember, TrainingInput};
use super::part::TrainedPart;
use super::score::{Ranker, Scored, scaled};
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::settings::SettingInfo;
use crate::split::hold_out::{HoldOut, hold_out_over_all};
use crate::weight::Weight;
use marquee_core::model::recipe::{BLEND_DEPTH, BlendMember, MAX_BLEND_MEMBERS, Recipe};
use rayon::prelude::*;
use std::borrow::Borrow;
use std::collections::BTreeMap;

/// Weights that are tried of each member, beside the largest at 1.
const GRID: [f64; 9] = [0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0];
/// Sweeps over the members; the search ends before when nothing gets better.
const SWEEPS: usize = 4;
/// Gain in nDCG below which a weight is not moved: less is chance.
const MIN_GAIN: f64 = 1e-5;
/// Users whose lists the weights are chosen on.
const MAX_USERS: usize = 4_000;
/// Of each member's list only the first so many can get into the blend's first places.
const CANDIDATES: usize = 150;
/// The places that count.
const CUTOFF: usize = 20;

/// The family `hybrid`.
pub(super) struct Hybrid;

impl Family for Hybrid {
    fn name(&self) -> &'static str {
        "hybrid"
    }

    fn summary(&self) -> &'static str {
        "A blend of the others, whose weights are fitted on held-out interactions"
    }

    fn settings(&self) -> Vec<SettingInfo> {
        Vec::new()
    }

    fn recommends_unseen_items(&self) -> bool {
        true
    }

    fn predicts_cold_items(&self) -> bool {
        true
    }

    fn train(&self, input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
        train(input)
    }
}

fn train(input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
    let chosen: Option<Vec<f64>> = input.members.iter().map(|member| member.weight).collect();
    let weights = match chosen {
        Some(weights) if !weights.is_empty() => weights,
        _ => choose(input)?,
    };
    let mut part = TrainedPart::new(Recipe::Popularity);
    let mut members = Vec::new();
    let mut without_weight = Vec::new();
    for (of, weight) in input.members.iter().zip(weights) {
        let kind = of.family.name();
        if weight <= 0.0 {
            without_weight.push(kind);
            continue;
        }
        let member = train_member(of, input, input.rows)?;
        members.push(BlendMember { recipe: member.recipe, weight });
        part.dense.extend(member.dense);
        part.sparse.extend(member.sparse);
        // Only content has words.
        debug_assert!(part.terms.is_empty() || member.terms.is_empty());
        part.terms.extend(member.terms);
        part.notes.extend(member.notes);
        part = part.parameter(&format!("weight of {kind}"), weight);
        for (name, value) in member.parameters {
            part = part.parameter(&format!("{kind}.{name}"), value);
        }
    }
    let listed: Vec<String> = members
        .iter()
        .map(|member| format!("{} {:.3}", member.recipe.name(), member.weight))
        .collect();
    part.notes.push(match listed.as_slice() {
        [one] => format!(
            "hybrid: no blend is clearly better on held-out rows than one member alone, {one}"
        ),
        several => format!("hybrid: blended by weight, {}", several.join(", ")),
    });
    if !without_weight.is_empty() {
        let names = without_weight.join(", ");
        part.notes.push(format!("hybrid: left out for want of a gain on held-out rows: {names}"));
    }
    part.recipe = Recipe::Blend { members };
    Ok(part)
}

fn train_member(
    member: &HybridMember,
    input: TrainingInput<'_>,
    rows: &Interactions,
) -> Result<TrainedPart, TrainError> {
    member.family.train(TrainingInput { rows, settings: &member.settings, members: &[], ..input })
}

/// The weights, of which all but the `count` greatest are 0; of equal ones the first stay.
fn heaviest(weights: Vec<f64>, count: usize) -> Vec<f64> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    let mut kept = vec![0.0; weights.len()];
    for &member in order.iter().take(count) {
        kept[member] = weights[member];
    }
    kept
}

/// A weight for each member, the largest 1; all 1 where no user has interactions enough to hold some out.
fn choose(input: TrainingInput<'_>) -> Result<Vec<f64>, TrainError> {
    let TrainingInput { rows, options, members, .. } = input;
    let Some(split) = hold_out_over_all(rows, options.seed) else {
        return Ok(vec![1.0; members.len()]);
    };
    let users = split.sample_of_users(options.seed, MAX_USERS);
    let mut lists = BlendLists::new(&split, &users);
    for member in members {
        lists.add(&train_member(member, input, &split.train)?, options.weight);
    }
    Ok(fit_weights(&lists))
}

/// The lists of members for users who have something held out.
pub(crate) struct BlendLists<'a> {
    split: &'a HoldOut,
    users: &'a [u32],
    popularity: Vec<f32>,
    /// Of each member, the list of each user, best first.
    members: Vec<Vec<Vec<Scored>>>,
}

impl<'a> BlendLists<'a> {
    /// Of no member yet.
    pub(crate) fn new(split: &'a HoldOut, users: &'a [u32]) -> Self {
        let counts = split.train.item_counts();
        let popularity = counts.into_iter().map(|count| count as f32).collect();
        Self { split, users, popularity, members: Vec::new() }
    }

    /// Adds a member that was trained on what is not held out.
    pub(crate) fn add(&mut self, part: &TrainedPart, weight: Weight) {
        let known = part.known_users(&self.split.train, self.users, weight);
        self.members.push(Ranker::new(part, &self.popularity).leaf_lists(&known, BLEND_DEPTH));
    }
}

/// A weight for each member, the largest 1.
pub(crate) fn fit_weights(lists: &BlendLists<'_>) -> Vec<f64> {
    let held_out_users: Vec<HeldOutUser> = lists
        .users
        .par_iter()
        .enumerate()
        .map(|(n, &user)| {
            let of_user: Vec<&[Scored]> =
                lists.members.iter().map(|lists| lists[n].as_slice()).collect();
            HeldOutUser::new(&of_user, lists.split.test.items_of(user as usize))
        })
        .collect();
    weigh(&held_out_users, lists.members.len())
}

/// The weights of a blend, or of its best member alone where the blend is not clearly better.
fn weigh(users: &[HeldOutUser], members: usize) -> Vec<f64> {
    let weights = heaviest(search(users, members), MAX_BLEND_MEMBERS);
    if weights.iter().filter(|weight| **weight > 0.0).count() < 2 {
        return weights;
    }
    let Some(best) = order_of_singles(users, members).first().copied() else { return weights };
    let single = weight_of_one(best, members);
    let mut gains = Vec::with_capacity(users.len());
    let mut scratch = Vec::new();
    for half in 0..2 {
        // Users alternate, so that both halves are alike whatever the order of users means.
        let (mut fitted_on, mut measured_on) = (Vec::new(), Vec::new());
        for (n, user) in users.iter().enumerate() {
            if n % 2 == half { fitted_on.push(user) } else { measured_on.push(user) }
        }
        let of_half = heaviest(search(&fitted_on, members), MAX_BLEND_MEMBERS);
        for user in measured_on {
            gains.push(user.ndcg(&of_half, &mut scratch) - user.ndcg(&single, &mut scratch));
        }
    }
    if is_clearly_above_zero(&gains) { weights } else { single }
}

/// Whether the mean is above its standard error.
fn is_clearly_above_zero(gains: &[f64]) -> bool {
    let count = gains.len() as f64;
    let mean = gains.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = gains.iter().map(|gain| (gain - mean).powi(2)).sum();
    mean > (squares / (count - 1.0).max(1.0) / count.max(1.0)).sqrt()
}

/// One user on whom weights are tried.
struct HeldOutUser {
    /// Candidates × members: the scaled scores.
    scores: Vec<f64>,
    /// Whether each candidate was held out.
    hits: Vec<bool>,
    /// The gain of a perfect list.
    ideal: f64,
}

impl HeldOutUser {
    /// Candidates are what any member has among its first, in the order of items.
    fn new(lists: &[&[Scored]], held_out: &[u32]) -> Self {
        let mut candidates: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for list in lists {
            for &(item, _) in list.iter().take(CANDIDATES) {
                candidates.entry(item).or_insert_with(|| vec![0.0; lists.len()]);
            }
        }
        for (member, list) in lists.iter().enumerate() {
            for (item, score) in scaled(list) {
                if let Some(scores) = candidates.get_mut(&item) {
                    scores[member] = score;
                }
            }
        }
        Self {
            hits: candidates.keys().map(|item| held_out.binary_search(item).is_ok()).collect(),
            scores: candidates.into_values().flatten().collect(),
            ideal: (0..held_out.len().min(CUTOFF)).map(discount).sum(),
        }
    }

    fn ndcg(&self, weights: &[f64], scratch: &mut Vec<(f64, usize)>) -> f64 {
        let members = weights.len();
        scratch.clear();
        for (at, scores) in self.scores.chunks_exact(members).enumerate() {
            scratch.push((scores.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>(), at));
        }
        if scratch.len() > CUTOFF {
            scratch.select_nth_unstable_by(CUTOFF, by_falling_score);
            scratch.truncate(CUTOFF);
        }
        scratch.sort_unstable_by(by_falling_score);
        // What no member with a weight lists is no recommendation.
        let places =
            scratch.iter().enumerate().filter(|(_, (score, at))| *score > 0.0 && self.hits[*at]);
        places.map(|(place, _)| discount(place)).sum::<f64>() / self.ideal
    }
}

/// Orders candidates, each a score and a place, by falling score, equal ones by place.
fn by_falling_score(a: &(f64, usize), b: &(f64, usize)) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// The gain of a hit at a place, counted from 0.
fn discount(place: usize) -> f64 {
    1.0 / (place as f64 + 2.0).log2()
}

/// Mean nDCG over the users.
fn mean_ndcg<U: Borrow<HeldOutUser> + Sync>(users: &[U], weights: &[f64]) -> f64 {
    let each: Vec<f64> = users
        .par_iter()
        .map_init(Vec::new, |scratch, user| user.borrow().ndcg(weights, scratch))
        .collect();
    each.iter().sum::<f64>() / users.len().max(1) as f64
}

/// The weights of which this member has all.
fn weight_of_one(member: usize, members: usize) -> Vec<f64> {
    let mut weights = vec![0.0; members];
    weights[member] = 1.0;
    weights
}

/// The members, that which is best alone first.
fn order_of_singles<U: Borrow<HeldOutUser> + Sync>(users: &[U], members: usize) -> Vec<usize> {
    let singles: Vec<f64> =
        (0..members).map(|member| mean_ndcg(users, &weight_of_one(member, members))).collect();
    let mut order: Vec<usize> = (0..members).collect();
    order.sort_by(|&a, &b| singles[b].total_cmp(&singles[a]));
    order
}

/// From the best single member on, one weight at a time, as long as it helps.
fn search<U: Borrow<HeldOutUser> + Sync>(users: &[U], members: usize) -> Vec<f64> {
    let order = order_of_singles(users, members);
    let Some(&first) = order.first() else { return Vec::new() };
    let mut weights = weight_of_one(first, members);
    let mut best = mean_ndcg(users, &weights);
    for _ in 0..SWEEPS {
        let before = best;
        for &member in &order {
            let mut chosen = weights[member];
            for weight in GRID {
                let mut tried = weights.clone();
                tried[member] = weight;
                if weight == weights[member] || tried.iter().all(|weight| *weight == 0.0) {
                    continue;
                }
                let ndcg = mean_ndcg(users, &tried);
                if ndcg > best + MIN_GAIN {
                    (best, chosen) = (ndcg, weight);
                }
            }
            weights[member] = chosen;
        }
        let largest = weights.iter().copied().fold(0.0, f64::max);
        weights.iter_mut().for_each(|weight| *weight /= largest);
        if best == before {
            break;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One user of whom items 1 and 4 are held out. The first member lists 1 and then 2, scaled to 2 and 0; the
    /// second 3, 4 and 2, scaled to √6, √6/2 and 0.
    fn user() -> HeldOutUser {
        HeldOutUser::new(&[&[(1, 9.0), (2, 5.0)], &[(3, 4.0), (4, 3.0), (2, 2.0)]], &[1, 4])
    }

    #[test]
    fn gains_of_weights_by_hand() {
        let (user, mut scratch) = (user(), Vec::new());
        let mut ndcg = |weights: [f64; 2]| user.ndcg(&weights, &mut scratch);
        let place = |place: f64| 1.0 / (place + 1.0).log2();
        let ideal = place(1.0) + place(2.0);
        for (weights, hits) in [
            // 1 alone: 4 is no candidate with a score.
            ([1.0, 0.0], place(1.0)),
            // 3, 4.
            ([0.0, 1.0], place(2.0)),
            // 3, 1, 4.
            ([1.0, 1.0], place(2.0) + place(3.0)),
            // 1, 3, 4.
            ([2.0, 1.0], place(1.0) + place(3.0)),
            // 3, 4, 1.
            ([1.0, 2.0], place(2.0) + place(3.0)),
        ] {
            let found = ndcg(weights);
            assert!((found - hits / ideal).abs() < 1e-12, "{weights:?}: {found}");
        }
        // The best there is: the first member's list with the second's behind it, found from either side.
        let weights = search(std::slice::from_ref(&user), 2);
        assert!((ndcg([weights[0], weights[1]]) - (place(1.0) + place(3.0)) / ideal).abs() < 1e-12);
        assert_eq!(weights[0], 1.0, "the largest is 1");
        assert!(weights[1] > 0.0, "the second helps");
    }

    #[test]
    fn a_blend_has_no_more_members_than_it_may() {
        assert_eq!(heaviest(vec![0.1, 1.0, 0.5, 0.5], 2), [0.0, 1.0, 0.5, 0.0]);
        assert_eq!(heaviest(vec![0.1, 1.0], 2), [0.1, 1.0]);
    }

    /// Users whose items 1 and 4 are found by both members, each in another place: a blend finds both.
    #[test]
    fn a_blend_that_is_not_clearly_better_is_its_best_member_alone() {
        let helped = || user();
        let blended = weigh(&[helped(), helped(), helped(), helped()], 2);
        assert!(blended[0] > 0.0 && blended[1] > 0.0, "{blended:?}");
        // Of these only the first is helped. The weights of the half without that user do nothing for it.
        let neutral = || HeldOutUser::new(&[&[(1, 9.0), (2, 8.9)], &[(2, 4.0), (5, 0.1)]], &[1]);
        let users = [helped(), neutral(), neutral(), neutral(), neutral(), neutral()];
        assert!(search(&users, 2)[1] > 0.0, "it is better on all users");
        assert_eq!(weigh(&users, 2), [1.0, 0.0]);
        assert!(is_clearly_above_zero(&[0.2, 0.1, 0.3]));
        assert!(!is_clearly_above_zero(&[0.2, -0.2, 0.1]));
        assert!(!is_clearly_above_zero(&[]));
    }

    #[test]
    fn a_member_that_only_misleads_gets_no_weight() {
        let user =
            HeldOutUser::new(&[&[(1, 2.0), (4, 1.5), (2, 1.0)], &[(7, 4.0), (8, 3.0)]], &[1, 4]);
        assert_eq!(search(&[user], 2), [1.0, 0.0]);
    }
}
