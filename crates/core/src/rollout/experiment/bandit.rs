//! The weights of a bandit: Thompson sampling.

use super::definition::{Allocation, Experiment, SPREAD};
use crate::bounds::FULL_WEIGHT_BASIS_POINTS;
use crate::rollout::judge::Evidence;
use crate::rollout::sequential::Estimate;

/// Draws from what is known of the arms, to see how often each is best.
const DRAWS: usize = 1_000;

/// The weights that a bandit gives its arms, in 1/10,000: each arm's chance of being the best, and no less
/// than the floor. `normal` draws from a standard normal. None before all arms are known well enough, and for
/// fixed weights.
pub fn thompson(
    experiment: &Experiment,
    evidence: &Evidence,
    mut normal: impl FnMut() -> f64,
) -> Option<Vec<u32>> {
    let Allocation::Thompson { reward, floor_basis_points } = experiment.allocation else {
        return None;
    };
    let estimates: Vec<Estimate> = evidence
        .total
        .arms
        .iter()
        .map(|arm| Estimate::of_population(arm.measures.get(&reward)?, SPREAD))
        .collect::<Option<_>>()?;
    if estimates.len() != experiment.arms.len() {
        return None;
    }
    let mut best = vec![0u32; estimates.len()];
    for _ in 0..DRAWS {
        let drawn = estimates.iter().map(|it| it.value + it.variance.sqrt() * normal());
        let winner = drawn.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        best[winner?.0] += 1;
    }
    // What is above the floors is shared out by the chances; the first arm gets what rounding leaves.
    let arms = estimates.len() as u32;
    let free = FULL_WEIGHT_BASIS_POINTS - floor_basis_points * arms;
    let mut weights: Vec<u32> =
        best.iter().map(|wins| floor_basis_points + free * wins / DRAWS as u32).collect();
    weights[0] += FULL_WEIGHT_BASIS_POINTS - weights.iter().sum::<u32>();
    Some(weights)
}
