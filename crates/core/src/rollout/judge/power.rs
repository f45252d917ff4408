//! How much traffic a comparison needs before it finds an effect.

use super::comparison::{Comparison, WEIGHT_OF_SHARE, WEIGHT_OF_WHOLE};
use super::examine::scales_of;
use super::false_alarm::alpha_of;
use super::measured::compared_ratio;
use crate::bounds::FULL_WEIGHT_BASIS_POINTS;
use crate::rollout::gate::{Bound, Gate, Metric, maturity_seconds};
use crate::rollout::sequential::{Estimate, mean_above_by_scales, required_log_evidence};
use crate::rollout::terms::RolloutStep;
use crate::rollout::traffic::{LIVE, SurfaceTraffic};
use crate::rollout::window::{GROUPS, Measure};

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
        let share = share_of(comparison.open.weight_basis_points);
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

/// What a rollout will find of a reward, said before it begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The metric of the gate that looks for it.
    pub metric: Metric,
    /// After how many answers of both variants on the steps a loss of [`PREDICTED_LOSS`] is found with a chance of
    /// [`PREDICTED_POWER`]; where the steps end before, how many the step that says most would need alone.
    pub answers: f64,
    /// How long after the first step began, in seconds, with the time that answers have for the reward; none where the
    /// steps end before.
    pub seconds: Option<f64>,
}

/// What the gates of rewards will find on these steps if the traffic stays as it was in these windows; nothing of
/// rewards that nobody earned in them. An answer says as much as `share · (1 − share)` of the step it is on: evidence
/// of steps adds up.
pub fn predict_at_start<'w>(
    gates: &[Gate],
    steps: &[RolloutStep],
    windows: impl Iterator<Item = &'w SurfaceTraffic> + Clone,
) -> Vec<Prediction> {
    let measured_ms: u64 =
        windows.clone().map(|window| window.until_ms.saturating_sub(window.from_ms)).sum();
    let live = windows.filter_map(|window| window.variants.get(LIVE));
    let requests: u64 = live.clone().map(|variant| variant.requests).sum();
    let answers_per_second = requests as f64 * 1_000.0 / measured_ms.max(1) as f64;
    let predict_gate = |gate: &Gate| {
        let (Bound::MinRatio(ratio), true) = (gate.bound, gate.metric.is_reward()) else {
            return None;
        };
        let reward = gate.metric.measure()?;
        let mut spread = AnswerSpread { mean: 0.0, variance: 0.0 };
        for variant in live.clone() {
            let part = variant.requests as f64 / requests.max(1) as f64;
            let mean = match reward {
                Measure::Clicks => variant.clicks_per_answer,
                Measure::PlaySeconds => variant.play_seconds_per_answer,
                Measure::Purchases => variant.purchases_per_answer,
                _ => return None,
            };
            spread.mean += part * mean.unwrap_or_default();
            let variance = variant.reward_variances.get(&reward).copied();
            spread.variance += part * variance.unwrap_or_default();
        }
        let of_half = answers_needed(spread, 0.5, ratio, alpha_of(gate, gates))?;
        let mature = f64::from(maturity_seconds(gates, reward));
        Some(along_steps(gate.metric, of_half * 0.25, steps, answers_per_second, mature))
    };
    gates.iter().filter_map(predict_gate).collect()
}

/// When the steps have brought `wanted` answers, each counted as `share · (1 − share)` of its step.
fn along_steps(
    metric: Metric,
    wanted: f64,
    steps: &[RolloutStep],
    answers_per_second: f64,
    mature: f64,
) -> Prediction {
    let (mut had, mut seconds, mut most_split) = (0.0, 0.0, f64::MIN_POSITIVE);
    for step in steps {
        let share = share_of(step.weight_basis_points);
        let split = share * (1.0 - share);
        let held = step.hold_seconds as f64;
        let gained = held * answers_per_second * split;
        if had + gained >= wanted {
            seconds += (wanted - had) / (answers_per_second * split);
            let answers = seconds * answers_per_second;
            return Prediction { metric, answers, seconds: Some(seconds + mature) };
        }
        (had, seconds) = (had + gained, seconds + held);
        most_split = split.max(most_split);
    }
    Prediction { metric, answers: wanted / most_split, seconds: None }
}

/// A share of 1/10,000 as a part of one.
fn share_of(weight_basis_points: u32) -> f64 {
    f64::from(weight_basis_points) / f64::from(FULL_WEIGHT_BASIS_POINTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::traffic::VariantTraffic;

    #[test]
    fn what_will_be_found_is_said_at_the_start() {
        // A hundred answers a second, one click in ten answers. Half of the users on one step need 57,000 answers or so.
        let live = VariantTraffic {
            requests: 1_000,
            clicks_per_answer: Some(0.1),
            reward_variances: [(Measure::Clicks, 0.09)].into(),
            ..VariantTraffic::default()
        };
        let window = |from_ms| SurfaceTraffic {
            from_ms,
            until_ms: from_ms + 10_000,
            variants: [(LIVE.to_owned(), live.clone())].into(),
            ..SurfaceTraffic::default()
        };
        let windows = [window(0), window(10_000)];
        let gates = [Gate::new(Metric::ClicksPerAnswer, Bound::MinRatio(0.98))];
        let predict = |steps: &[(u32, u64)]| {
            let steps: Vec<_> = steps.iter().map(|&(w, hold)| RolloutStep::new(w, hold)).collect();
            let found = predict_at_start(&gates, &steps, windows.iter());
            assert_eq!((found.len(), found[0].metric), (1, Metric::ClicksPerAnswer));
            found[0]
        };
        let spread = AnswerSpread { mean: 0.1, variance: 0.09 };
        let needed = answers_needed(spread, 0.5, 0.98, alpha_of(&gates[0], &gates)).expect("some");
        let of_one_step = predict(&[(5_000, 100_000), (10_000, 0)]);
        assert_eq!(of_one_step.answers.round(), needed.round());
        assert_eq!(of_one_step.seconds.map(f64::round), Some((needed / 100.0 + 60.0).round()));
        // An hour at a tenth brings .09 of .25 of what it brings at a half.
        let of_two = predict(&[(1_000, 360), (5_000, 100_000), (10_000, 0)]);
        let wanted = needed - 36_000.0 * 0.09 / 0.25 + 36_000.0;
        assert_eq!(of_two.answers.round(), wanted.round());
        let too_short = predict(&[(1_000, 60), (5_000, 60), (10_000, 0)]);
        assert_eq!((too_short.seconds, too_short.answers.round()), (None, needed.round()));
        let of_all = predict(&[(10_000, 60)]);
        assert_eq!(of_all.seconds, None, "nobody is left to compare with");
        assert!(predict_at_start(&gates, &[], [].iter()).is_empty(), "nothing was measured");
    }

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
