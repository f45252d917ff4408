//! A blend of families, weighed by what they are worth on held-out interactions.
//!
//! The last fifth of each user's interactions by time is held out, every family that the data allow is
//! fitted to the rest, and weights are searched by coordinates for the greatest nDCG@20 on what was held out,
//! with lists scaled and added as they are when a request is answered. Members that get no weight are
//! dropped; the others are fitted again to everything.
//!
//! Which families are members, and with which settings, may be given (`marquee train --config`, as
//! `marquee tune` writes it). Weights are always fitted.
//!
//! Weights, not a ranker: eight numbers from thousands of users can hardly fit to chance.

use super::definition::{Family, HybridMember, TrainingInput};
use super::part::TrainedPart;
use super::score::{Ranker, Scored, scaled};
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::random::shuffle;
use crate::settings::SettingInfo;
use crate::split::hold_out;
use marquee_core::model::recipe::{BLEND_DEPTH, BlendMember, MAX_BLEND_MEMBERS, Recipe};
use rayon::prelude::*;
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
    let weights = heaviest(choose(input)?, MAX_BLEND_MEMBERS);
    let mut part = TrainedPart::new(Recipe::Popularity);
    let mut members = Vec::new();
    for (of, weight) in input.members.iter().zip(weights).filter(|(_, weight)| *weight > 0.0) {
        let member = train_member(of, input, input.rows)?;
        members.push(BlendMember { recipe: member.recipe, weight });
        part.dense.extend(member.dense);
        part.sparse.extend(member.sparse);
        // Only content has words.
        debug_assert!(part.terms.is_empty() || member.terms.is_empty());
        part.terms.extend(member.terms);
        part.notes.extend(member.notes);
        let kind = of.family.name();
        part = part.parameter(&format!("weight of {kind}"), weight);
        for (name, value) in member.parameters {
            part = part.parameter(&format!("{kind}.{name}"), value);
        }
    }
    let listed: Vec<String> = members
        .iter()
        .map(|member| format!("{} {}", member.recipe.name(), member.weight))
        .collect();
    part.notes.push(format!("hybrid: blended by weight, {}", listed.join(", ")));
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
    let Some(held) = hold_out(rows, options.seed) else {
        return Ok(vec![1.0; members.len()]);
    };
    // Over all users and items: users with too few interactions to take part are trained on, too.
    let test = held.test.over(&rows.users, &rows.items);
    let train =
        rows.filter_rows(|user, row| test.items_of(user).binary_search(&rows.item[row]).is_err());
    let mut users: Vec<u32> = (0..rows.users.len() as u32)
        .filter(|&user| !test.items_of(user as usize).is_empty())
        .collect();
    shuffle(&mut users, options.seed);
    users.truncate(MAX_USERS);
    users.sort_unstable();
    let popularity: Vec<f32> = train.item_counts().into_iter().map(|count| count as f32).collect();
    let mut lists = Vec::with_capacity(members.len());
    for member in members {
        let part = train_member(member, input, &train)?;
        let known = part.known_users(&train, &users, options.weight);
        lists.push(Ranker::new(&part, &popularity).leaf_lists(&known, BLEND_DEPTH));
    }
    let held_out_users: Vec<HeldOutUser> = users
        .par_iter()
        .enumerate()
        .map(|(n, &user)| {
            let lists: Vec<&[Scored]> = lists.iter().map(|lists| lists[n].as_slice()).collect();
            HeldOutUser::new(&lists, test.items_of(user as usize))
        })
        .collect();
    Ok(search(&held_out_users, members.len()))
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
fn mean_ndcg(users: &[HeldOutUser], weights: &[f64]) -> f64 {
    let each: Vec<f64> =
        users.par_iter().map_init(Vec::new, |scratch, user| user.ndcg(weights, scratch)).collect();
    each.iter().sum::<f64>() / users.len().max(1) as f64
}

/// The weights of which this member has all.
fn weight_of_one(member: usize, members: usize) -> Vec<f64> {
    let mut weights = vec![0.0; members];
    weights[member] = 1.0;
    weights
}

/// From the best single member on, one weight at a time, as long as it helps.
fn search(users: &[HeldOutUser], members: usize) -> Vec<f64> {
    let singles: Vec<f64> =
        (0..members).map(|member| mean_ndcg(users, &weight_of_one(member, members))).collect();
    let mut order: Vec<usize> = (0..members).collect();
    order.sort_by(|&a, &b| singles[b].total_cmp(&singles[a]));
    let Some(&first) = order.first() else { return Vec::new() };
    let (mut weights, mut best) = (weight_of_one(first, members), singles[first]);
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

    /// One user of whom items 1 and 4 are held out. The first member lists 1 and then 2, scaled to 1 and 0; the
    /// second 3, 4 and 2, scaled to 1, 1/2 and 0.
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
            // 1 and 3 tie, and 1 is the smaller; then 4.
            ([1.0, 1.0], place(1.0) + place(3.0)),
            // 3 has 2, 1 has 1 and so has 4.
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

    #[test]
    fn a_member_that_only_misleads_gets_no_weight() {
        let user =
            HeldOutUser::new(&[&[(1, 2.0), (4, 1.5), (2, 1.0)], &[(7, 4.0), (8, 3.0)]], &[1, 4]);
        assert_eq!(search(&[user], 2), [1.0, 0.0]);
    }
}
