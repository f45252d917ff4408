//! Gates of means: of measures of both variants, and of overlaps between them.

use super::compare::{has_enough_samples, note_values, sums_of, variants};
use super::evidence::GateEvidence;
use super::tolerances::{PROOF_ALPHA, SCALE_OF_EFFECTS};
use crate::rollout::gate::{Bound, Gate, Metric};
use crate::rollout::sequential::{Estimate, join, mean_above};
use crate::rollout::window::{GroupedSum, LATENCY_SLACK_MICROS, Measure, Window};

/// What a metric is the mean of.
enum MeanOf {
    /// A measure of each answer of both variants.
    Measure(Measure),
    /// The overlap of the two answers to a mirrored request.
    Overlap,
    /// The rank-biased overlap of the two answers to a mirrored request.
    RankBiasedOverlap,
    /// The metric is no mean.
    Nothing,
}

/// Sets what is known of a gate from the sums of all windows, and says whether there are enough samples.
pub(super) fn examine_mean(gate: &Gate, found: &mut GateEvidence, after: &Window) -> bool {
    let mut sources: Vec<(Option<GroupedSum>, GroupedSum)> = Vec::new();
    match mean_of(gate.metric) {
        MeanOf::Measure(measure) => {
            for (baseline, candidate) in variants(after) {
                sources.push((Some(sums_of(baseline, measure)), sums_of(candidate, measure)));
            }
        }
        MeanOf::Overlap => sources.push((None, after.mirror.overlap.clone())),
        MeanOf::RankBiasedOverlap => sources.push((None, after.mirror.rank_biased_overlap.clone())),
        MeanOf::Nothing => return false,
    }
    let (mut against, mut in_favour) = (Vec::new(), Vec::new());
    let (mut all_baseline, mut all_candidate) = (GroupedSum::default(), GroupedSum::default());
    for (baseline, candidate) in &sources {
        all_candidate.absorb(candidate);
        if let Some(baseline) = baseline {
            all_baseline.absorb(baseline);
        }
        let Some((excess, scale)) = excess(gate, baseline.as_ref(), candidate) else { continue };
        against.push(mean_above(excess, scale));
        in_favour.push(mean_above(excess.negated(), scale));
    }
    (found.log_evidence_against, found.log_evidence_for) = (join(&against), join(&in_favour));
    found.effect = match &sources[0] {
        (Some(baseline), candidate) => effect(gate.metric, baseline, candidate),
        (None, _) => None,
    };
    let value_of = |sums: &GroupedSum| sums.mean().map(|mean| from_measure(gate.metric, mean));
    let samples = if gate.metric.is_of_pairs() {
        [all_candidate.total(); 2]
    } else {
        [all_baseline.total(), all_candidate.total()]
    };
    note_values(gate, found, value_of(&all_baseline), value_of(&all_candidate), samples);
    !against.is_empty() && has_enough_samples(gate, found, gate.min_samples)
}

/// The interval of [`GateEvidence::effect`]; none where too few users were seen, or the baseline's mean is 0.
fn effect(metric: Metric, baseline: &GroupedSum, candidate: &GroupedSum) -> Option<(f64, f64)> {
    let spread = least_scale(metric);
    let usual = Estimate::of_population(baseline, spread)?;
    let theirs = Estimate::of_population(candidate, spread)?;
    let difference = theirs.as_wide_as(usual).minus(1.0, usual);
    let scale = (SCALE_OF_EFFECTS * usual.value.abs()).max(spread);
    let half = difference.half_width(scale, PROOF_ALPHA);
    let (low, high) = (difference.value - half, difference.value + half);
    match metric {
        // A difference of logarithms is a ratio.
        Metric::LatencyMean => Some((low.exp_m1(), high.exp_m1())),
        _ if usual.value == 0.0 => None,
        _ => Some((low / usual.value.abs(), high / usual.value.abs())),
    }
}

/// How far the candidate's mean is beyond its bound, and the size of difference to look for; none where too
/// few users were seen.
fn excess(
    gate: &Gate,
    baseline: Option<&GroupedSum>,
    candidate: &GroupedSum,
) -> Option<(Estimate, f64)> {
    let metric = gate.metric;
    let spread = least_scale(metric);
    let theirs = Estimate::of_population(candidate, spread)?;
    let usual = baseline.and_then(|sums| Estimate::of_population(sums, spread));
    let scale = |of: f64| (SCALE_OF_EFFECTS * of.abs()).max(spread);
    Some(match gate.bound {
        Bound::Max(value) => {
            (theirs.minus_constant(to_measure(metric, value)), scale(theirs.value))
        }
        Bound::Min(value) => {
            let above = theirs.minus_constant(to_measure(metric, value));
            (above.negated(), scale(theirs.value))
        }
        Bound::MaxRatio(ratio) => {
            let usual = usual?;
            (excess_over(metric, theirs.as_wide_as(usual), ratio, usual), scale(usual.value))
        }
        Bound::MinRatio(ratio) => {
            let usual = usual?;
            // Nothing is less than nothing: without any rewards at all there is nothing to compare.
            if metric.is_reward() && usual.value <= 0.0 {
                return None;
            }
            let above = excess_over(metric, theirs.as_wide_as(usual), ratio, usual);
            (above.negated(), scale(usual.value))
        }
    })
}

/// By how much `theirs` exceeds `ratio` times `usual`; logarithms are compared by differences.
fn excess_over(metric: Metric, theirs: Estimate, ratio: f64, usual: Estimate) -> Estimate {
    match metric {
        Metric::LatencyMean => theirs.minus(1.0, usual).minus_constant(ratio.ln()),
        _ => theirs.minus(ratio, usual),
    }
}

/// The least difference that counts as an effect, in the unit of what the mean is taken of.
fn least_scale(metric: Metric) -> f64 {
    match metric {
        Metric::LatencyMean => 0.2,
        Metric::ListSimilarity | Metric::Overlap | Metric::RankBiasedOverlap => 0.05,
        Metric::PlaySecondsPerAnswer => 1.0,
        Metric::EmptyRate
        | Metric::PartialRate
        | Metric::FallbackRate
        | Metric::Score
        | Metric::ClicksPerAnswer
        | Metric::PurchasesPerAnswer => 0.01,
        // These are no means.
        Metric::ErrorRate | Metric::LatencyP50 | Metric::LatencyP95 | Metric::LatencyP99 => 0.01,
    }
}

fn mean_of(metric: Metric) -> MeanOf {
    match metric {
        Metric::EmptyRate => MeanOf::Measure(Measure::Empty),
        Metric::PartialRate => MeanOf::Measure(Measure::Partial),
        Metric::FallbackRate => MeanOf::Measure(Measure::Fallback),
        Metric::LatencyMean => MeanOf::Measure(Measure::LogLatency),
        Metric::ListSimilarity => MeanOf::Measure(Measure::ListSimilarity),
        Metric::Score => MeanOf::Measure(Measure::Score),
        Metric::ClicksPerAnswer => MeanOf::Measure(Measure::Clicks),
        Metric::PlaySecondsPerAnswer => MeanOf::Measure(Measure::PlaySeconds),
        Metric::PurchasesPerAnswer => MeanOf::Measure(Measure::Purchases),
        Metric::Overlap => MeanOf::Overlap,
        Metric::RankBiasedOverlap => MeanOf::RankBiasedOverlap,
        Metric::ErrorRate | Metric::LatencyP50 | Metric::LatencyP95 | Metric::LatencyP99 => {
            MeanOf::Nothing
        }
    }
}

/// A metric's value in the unit of its measure.
fn to_measure(metric: Metric, value: f64) -> f64 {
    match metric {
        Metric::LatencyMean => (value * 1_000.0 + LATENCY_SLACK_MICROS as f64).ln(),
        _ => value,
    }
}

/// A measure's mean in the unit of its metric.
fn from_measure(metric: Metric, mean: f64) -> f64 {
    match metric {
        Metric::LatencyMean => (mean.exp() - LATENCY_SLACK_MICROS as f64) / 1_000.0,
        _ => mean,
    }
}
