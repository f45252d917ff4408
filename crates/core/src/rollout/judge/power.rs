//! How much traffic a comparison needs before it finds an effect.

use super::comparison::{Comparison, WEIGHT_OF_SHARE, WEIGHT_OF_WHOLE};
use super::examine::scales_of;
use super::measured::compared_ratio;
use crate::rollout::gate::{Bound, Gate};
use crate::rollout::sequential::{Estimate, mean_above_by_scales, required_log_evidence};
use crate::rollout::window::GROUPS;

/// The loss whose discovery is predicted, as a part of the baseline's value.
pub const PREDICTED_LOSS: f64 = 0.1;
/// The chance with which it is found by then.
pub const PREDICTED_POWER: f64 = 0.8;
/// The normal deviate that is below this one with [`PREDICTED_POWER`].
const DEVIATE_OF_POWER: f64 = 0.8416;
/// Predictions beyond are none: nobody waits for so many answers.
const MAX_ANSWERS: f64 = 1e12;

/// What is known of one answer of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnswerSpread {
    /// The mean over the answers of the baseline.
    pub mean: f64,
    /// The variance of a mean over `n` answers, times `n`: with what users have in common, more than the variance
    /// of one answer.
    pub variance: f64,
}

impl AnswerSpread {
    /// What was measured of the answers of both variants; none before there are some.
    pub(super) fn of(comparison: &Comparison, ratio: f64) -> Option<Self> {
        let sums = comparison.sums(ratio).metric;
        let share = f64::from(comparison.open.weight_basis_points)
            / f64::from(crate::bounds::FULL_WEIGHT_BASIS_POINTS);
        let weight = sums.total_weight();
        if weight <= 0.0 || share <= 0.0 || share >= 1.0 {
            return None;
        }
        // Residuals are scaled by √(share·(1 − share)), and the weight is share·(1 − share) of all answers.
        let scale = share * (1.0 - share);
        let squares: f64 = sums.residual.iter().map(|residual| residual * residual).sum();
        let answers = weight / scale;
        Some(Self { mean: sums.baseline_mean()?, variance: squares / scale / answers })
    }
}

/// How many answers a gate of rewards needs at this share, by what was measured so far; none for other gates.
pub(super) fn predict(gate: &Gate, alpha: f64, live: &Comparison, share: f64) -> Option<f64> {
    match gate.bound {
        Bound::MinRatio(ratio) if gate.metric.is_reward() => {
            answers_needed(AnswerSpread::of(live, compared_ratio(gate))?, share, ratio, alpha)
        }
        Bound::MinRatio(_) | Bound::MaxRatio(_) | Bound::Max(_) | Bound::Min(_) => None,
    }
}

/// How many answers of both variants together are needed until a candidate whose mean is [`PREDICTED_LOSS`] below the baseline's
/// is found with a chance of [`PREDICTED_POWER`] to be below `ratio` times it. `share`: of users that have the candidate;
/// `alpha`: the chance of a false alarm. None where it would take for ever.
pub fn answers_needed(spread: AnswerSpread, share: f64, ratio: f64, alpha: f64) -> Option<f64> {
    let excess = (ratio - (1.0 - PREDICTED_LOSS)) * spread.mean;
    let split = share * (1.0 - share);
    if !(excess > 0.0 && spread.variance > 0.0 && split > 0.0) {
        return None;
    }
    let scales = scales_of(spread.mean);
    let required = required_log_evidence(alpha * (WEIGHT_OF_WHOLE + WEIGHT_OF_SHARE));
    let is_found = |answers: f64| {
        let variance = spread.variance / (answers * split);
        let value = excess - DEVIATE_OF_POWER * variance.sqrt();
        let freedom = GROUPS as f64 - 1.0;
        let estimate = Estimate { value, variance, freedom, of: answers };
        mean_above_by_scales(estimate, &scales) >= required
    };
    let mut most = 100.0;
    while !is_found(most) {
        most *= 2.0;
        if most > MAX_ANSWERS {
            return None;
        }
    }
    let mut least = most / 2.0;
    while most / least > 1.01 {
        let middle = (least * most).sqrt();
        if is_found(middle) { most = middle } else { least = middle }
    }
    Some(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_fewer_clicks_by_hand() {
        // One click in ten answers, split in half, users who are all alike: variance 0.09. A test with a fixed number of
        // answers and alpha 5 % needs (1.645 + 0.84)² · 0.09 · 4 / 0.008² = 34,700 for the distance from 0.98 to 0.9.
        let spread = AnswerSpread { mean: 0.1, variance: 0.09 };
        let found = answers_needed(spread, 0.5, 0.98, 0.05).expect("a number");
        let fixed = 34_700.0;
        assert!((1.2 * fixed..3.0 * fixed).contains(&found), "{found}");
        let at_one_per_cent = answers_needed(spread, 0.01, 0.98, 0.05).expect("a number");
        assert!((at_one_per_cent / found - 25.0).abs() < 2.0, "{at_one_per_cent}");
        assert_eq!(answers_needed(spread, 0.5, 0.9, 0.05), None, "a loss that is allowed");
        let never = AnswerSpread { mean: 0.0, variance: 0.0 };
        assert_eq!(answers_needed(never, 0.5, 0.98, 0.05), None, "nobody clicks");
    }
}
