//! Evaluation inside training: factors and popularity against the interactions held out.

use super::metrics::{Cutoffs, MetricTally, Metrics, Place};
use super::rank::{rank_by_factors, rank_by_popularity};
use crate::als::Factors;
use crate::random::shuffle;
use crate::split::HoldOut;

/// The cutoff of the metrics in a manifest.
pub const CUTOFF: usize = 20;
/// Multiply-adds that an evaluation may take before it draws a sample: about a CPU second.
const MAX_MULTIPLY_ADDS: usize = 30_000_000_000;
/// Users that are evaluated however many items there are: recall is then known to ±0.003.
const MIN_SAMPLE: usize = 10_000;

/// The users to evaluate, ascending: all who have something held out, or a sample of them by seed
/// where all would take long. `wanted` decides where it is given.
pub fn users_to_evaluate(
    split: &HoldOut,
    rank: usize,
    wanted: Option<usize>,
    seed: u64,
) -> Vec<u32> {
    let mut sample: Vec<u32> = (0..split.test.users.len() as u32)
        .filter(|&user| !split.test.items_of(user as usize).is_empty())
        .collect();
    let affordable = MAX_MULTIPLY_ADDS / (split.train.items.len() * rank).max(1);
    let count = wanted.unwrap_or(affordable.max(MIN_SAMPLE));
    if count < sample.len() {
        shuffle(&mut sample, seed);
        sample.truncate(count);
        sample.sort_unstable();
    }
    sample
}

/// Full ranking by factors over all items of train and test, less the user's train items.
pub fn evaluate_factors(
    split: &HoldOut,
    factors: &Factors,
    users: &[u32],
    cutoff: usize,
) -> Metrics {
    let rank = factors.rank;
    let vector = |n: usize| factors.users.chunks_exact(rank).nth(users[n] as usize);
    let known = |n: usize| split.train.items_of(users[n] as usize);
    let lists = rank_by_factors(users.len(), vector, &factors.items, rank, known, cutoff);
    score(split, users, &lists, cutoff)
}

/// The most popular items of train, less the user's own.
pub fn evaluate_popularity(split: &HoldOut, users: &[u32], cutoff: usize) -> Metrics {
    let counts: Vec<f32> =
        split.train.item_counts().into_iter().map(|count| count as f32).collect();
    let lists = rank_by_popularity(
        users.len(),
        &counts,
        |n| split.train.items_of(users[n] as usize),
        cutoff,
    );
    score(split, users, &lists, cutoff)
}

/// Lists from anywhere, the n-th for the n-th of `users`, best first, by the items of `split`.
pub(crate) fn evaluate_lists(
    split: &HoldOut,
    users: &[u32],
    lists: &[Vec<u32>],
    cutoff: usize,
) -> Metrics {
    score(split, users, lists, cutoff)
}

fn score(split: &HoldOut, users: &[u32], lists: &[Vec<u32>], cutoff: usize) -> Metrics {
    let HoldOut { train, test, .. } = split;
    let train_users = (0..train.users.len()).filter(|&user| !train.rows_of(user).is_empty());
    let mut tally =
        MetricTally::new(&Cutoffs::one(cutoff), &train.item_counts(), train_users.count());
    let mut places = Vec::with_capacity(cutoff);
    for (&user, list) in users.iter().zip(lists) {
        let held_out = test.items_of(user as usize);
        places.clear();
        places.extend(
            list.iter()
                .map(|item| Place { hit: held_out.binary_search(item).is_ok(), item: Some(*item) }),
        );
        tally.add(&places, held_out.len());
    }
    tally.finish().swap_remove(0)
}
