//! Vectors for items without interactions, from what they are about.
//!
//! A ridge regression from the topics of an item's texts to its factors, fitted to the items that have
//! both (Gantner et al. 2010, "Learning attribute-to-feature mappings for cold-start recommendations", its
//! linear mapping with squared loss): with T items × topics and Y items × rank, `W = (TᵀT + λI)⁻¹ TᵀY`, and
//! the vector of a new item is its topics times W. Like all ridge regressions it shrinks: an item of which only
//! its text is known comes after one of as good a fit that users have liked.

use super::lsa::{TermWeight, Texts, TopicVectors, is_described};
use crate::als::{Factors, scores};
use crate::error::TrainError;
use crate::interactions::Interactions;
use faer::linalg::solvers::DenseSolveCore as _;
use faer::{Mat, Side};
use marquee_bundle::ItemRecord;

/// Topics: more than `content` has; a regression finds which of them say anything.
const TOPICS: usize = 100;
/// λ relative to the mean squared length of the topics: a tenth.
const RELATIVE_RIDGE: f64 = 0.1;

/// Gives those items their vectors that have none; says how many.
///
/// # Errors
/// Nothing is known of the items, or only of those without interactions.
pub(super) fn predict(
    factors: &mut Factors,
    rows: &Interactions,
    items: &[ItemRecord],
    seed: u64,
) -> Result<usize, TrainError> {
    let problem = "the items' titles and tags have no words in common: leave --cold-items out";
    let Texts { words, matrix, .. } = Texts::of(items, TermWeight::Count);
    if !is_described(items) || words.is_empty() {
        return Err(TrainError::option("--cold-items", problem));
    }
    let topics = TopicVectors::of(&matrix, TOPICS, seed)?;
    let (width, rank) = (topics.rank, factors.rank);
    // As they are: a ridge regression shrinks weak topics by itself.
    let topics = topics.items(1.0);
    let counts = rows.item_counts();
    let topics_of = |item: usize| &topics[item * width..(item + 1) * width];
    let (mut gram, mut right) = (Mat::<f64>::zeros(width, width), Mat::<f64>::zeros(width, rank));
    let (mut square, mut warm) = (0.0, 0);
    for item in (0..counts.len()).filter(|&item| counts[item] > 0) {
        let (from, to) = (topics_of(item), &factors.items[item * rank..(item + 1) * rank]);
        for (a, &x) in from.iter().enumerate() {
            from.iter().enumerate().for_each(|(b, &y)| gram[(b, a)] += x * y);
            to.iter().enumerate().for_each(|(b, &y)| right[(a, b)] += x * f64::from(y));
        }
        square += from.iter().map(|x| x * x).sum::<f64>();
        warm += 1;
    }
    if square == 0.0 {
        return Err(TrainError::option("--cold-items", problem));
    }
    let lambda = RELATIVE_RIDGE * square / f64::from(warm);
    (0..width).for_each(|n| gram[(n, n)] += lambda);
    let factor = gram.llt(Side::Lower).map_err(|_| {
        TrainError::Diverged("the topics of items have no inverse: leave --cold-items out".into())
    })?;
    let weights = factor.inverse() * right;
    // rank × topics, so that a vector is inner products with its rows.
    let weights: Vec<f32> = (0..rank)
        .flat_map(|column| (0..width).map(move |row| (row, column)))
        .map(|at| weights[at] as f32)
        .collect();
    let cold: Vec<usize> = (0..counts.len()).filter(|&item| counts[item] == 0).collect();
    for &item in &cold {
        let from: Vec<f32> = topics_of(item).iter().map(|&x| x as f32).collect();
        scores(&from, &weights, width, &mut factors.items[item * rank..(item + 1) * rank]);
    }
    Ok(cold.len())
}
