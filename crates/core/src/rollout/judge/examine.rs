//! What is known of one gate.

use super::comparison::{Comparison, GateComparison, Sums};
use super::gate_evidence::{GateEvidence, Verdict};
use super::measured::{compared_ratio, from_measure, sums_of};
use crate::rollout::gate::{Bound, Gate, Metric};
use crate::rollout::sequential::{
    Estimate, join, join_weighted, mean_above_by_scales, required_log_evidence,
};
use crate::rollout::window::{Measure, Window};

/// The chance of error that is accepted for leaving a step early.
const PROOF_ALPHA: f64 = 0.05;
/// The chance that the interval of an effect ever misses the truth.
const EFFECT_ALPHA: f64 = 0.05;
/// Effects of these sizes are looked for, with these weights, as a part of the baseline's value.
const SIZES_OF_EFFECTS: [(f64, f64); 3] = [(0.35, 0.05), (0.4, 0.2), (0.15, 0.8)];
/// The weight of effects that are plain to see, whatever the baseline's value.
const WEIGHT_OF_PLAIN_EFFECTS: f64 = 0.1;
/// Intervals are narrowest for effects of this size, as a part of the baseline's value.
const SIZE_OF_INTERVALS: f64 = 0.1;
/// The weight of the test that counts users, for faults: it is exact, and the sooner of the two where a fault is rare.
const WEIGHT_OF_USERS: f64 = 0.7;
/// How much more often than allowed a fault may happen where it is proven not to happen too often: without it nothing
/// could be proven of what never happens.
const NEGLIGIBLE_RATE: f64 = 0.001;
/// The part of the baseline's rewards by which the candidate may miss its bound where it is proven to keep it: a bound
/// close to the baseline could be proven by the largest surfaces only.
const NEGLIGIBLE_LOSS: f64 = 0.08;
/// A baseline that is less personal than this says nothing of which user a list is meant for.
const LEAST_PERSONALISATION: f64 = 0.05;
/// Requests after which a breach of the error rate is believed, whatever the gate's `min_samples`: users
/// should not have to fail a hundred times before it is noticed.
const MIN_REQUESTS_FOR_ERRORS: u64 = 10;

/// What a gate's comparison says, after `before`. `total`: the sum of all windows; `alpha`: the chance of a false alarm.
pub(super) fn examine(
    gate: &Gate,
    alpha: f64,
    before: GateEvidence,
    known: &GateComparison,
    total: &Window,
) -> GateEvidence {
    let mut found = GateEvidence {
        log_required: required_log_evidence(alpha),
        breaches: before.breaches,
        accepted: before.accepted,
        ..GateEvidence::default()
    };
    let ratio = compared_ratio(gate);
    let live = known.live.sums(ratio);
    let mirrored = known.mirrored.sums(ratio);
    let (mut against, mut in_favour) = (Vec::new(), Vec::new());
    for (comparison, sums) in [(&known.live, &live), (&known.mirrored, &mirrored)] {
        against.extend(evidence_against(gate, comparison, sums));
        in_favour.extend(evidence_for(gate, sums));
    }
    (found.log_evidence_against, found.log_evidence_for) = (join(&against), join(&in_favour));
    found.effect = effect(gate, &live);
    note_values(gate, &mut found, &[&live, &mirrored], total);
    let is_breached = found.log_evidence_against >= found.log_required;
    let least = match gate.metric {
        // Errors speak sooner than their absence.
        Metric::ErrorRate if is_breached => MIN_REQUESTS_FOR_ERRORS.min(gate.min_samples),
        _ => gate.min_samples,
    };
    found.verdict = if against.is_empty() || !has_enough_samples(gate, &found, least) {
        Verdict::Inconclusive
    } else if is_breached {
        Verdict::Breached
    } else if found.log_evidence_for >= required_log_evidence(PROOF_ALPHA) {
        Verdict::Proven
    } else {
        Verdict::Holds
    };
    found.breaches = match found.verdict {
        Verdict::Breached => found.breaches.saturating_add(1),
        Verdict::Inconclusive | Verdict::Holds | Verdict::Proven => 0,
    };
    found
}

/// Natural logarithm of the evidence that the bound is broken; none where too little was measured.
fn evidence_against(gate: &Gate, comparison: &Comparison, sums: &Sums) -> Option<f64> {
    let scales = scales(gate, sums);
    let starts: Vec<(f64, f64)> = comparison
        .by_start(sums)
        .into_iter()
        .filter_map(|(weight, since)| {
            let excess = signed(gate, excess(gate, &since)?);
            Some((weight, mean_above_by_scales(excess, &scales)))
        })
        .collect();
    let of_means = (!starts.is_empty()).then(|| {
        // What is not known yet speaks neither for nor against.
        let rest = 1.0 - starts.iter().map(|(weight, _)| weight).sum::<f64>();
        join_weighted(starts.iter().copied().chain([(rest.max(0.0), 0.0)]))
    });
    let first_times = [&comparison.first_times, &comparison.first_times_at_share];
    let of_users = (!comparison.first_times.seen.is_empty())
        .then(|| join(&first_times.map(|it| it.test.log_evidence_above())));
    match (of_means, of_users) {
        (Some(means), Some(users)) => {
            let weighted = [(1.0 - WEIGHT_OF_USERS, means), (WEIGHT_OF_USERS, users)];
            Some(join_weighted(weighted.into_iter()))
        }
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => None,
    }
}

/// Natural logarithm of the evidence that the bound is kept; none where too little was measured.
fn evidence_for(gate: &Gate, sums: &Sums) -> Option<f64> {
    let slack = if is_fault(gate.metric) {
        NEGLIGIBLE_RATE
    } else if gate.metric.is_reward() && gate.bound.is_ratio() {
        NEGLIGIBLE_LOSS * sums.metric.baseline_mean()?
    } else {
        0.0
    };
    let excess = signed(gate, excess(gate, sums)?).minus_constant(slack);
    Some(mean_above_by_scales(excess.negated(), &scales(gate, sums)))
}

/// How far the candidate's mean is above the bound; none where too little was measured.
fn excess(gate: &Gate, sums: &Sums) -> Option<Estimate> {
    let ratio = compared_ratio(gate);
    // Nothing is less than nothing: without any rewards at all there is nothing to compare, nor with a baseline that
    // gives all users the same.
    let least = match gate.metric {
        Metric::Personalisation => LEAST_PERSONALISATION,
        _ => 0.0,
    };
    let needs_more = gate.metric.is_reward() || gate.metric == Metric::Personalisation;
    if needs_more && gate.bound.is_ratio() && sums.metric.baseline_mean()? <= least {
        return None;
    }
    sums.metric.excess(ratio, sums.covariate.as_ref(), spread(gate.metric))
}

/// An excess over an upper bound, or its opposite for a lower one: positive where the bound is broken.
fn signed(gate: &Gate, excess: Estimate) -> Estimate {
    match gate.bound {
        Bound::MaxRatio(_) | Bound::Max(_) => excess,
        Bound::MinRatio(_) | Bound::Min(_) => excess.negated(),
    }
}

/// The sizes of differences that are looked for, in the unit of the measure.
fn scales(gate: &Gate, sums: &Sums) -> Vec<(f64, f64)> {
    let plain = plain_effect(gate.metric);
    if gate.metric == Metric::LatencyMean {
        return vec![(0.3, 0.1 * plain), (0.4, 0.3 * plain), (0.3, plain)];
    }
    let usual = if gate.bound.is_ratio() {
        sums.metric.baseline_mean().unwrap_or_default()
    } else {
        compared_ratio(gate)
    };
    let mut scales = scales_of(usual.abs());
    scales.retain(|&(_, scale)| scale > 0.0);
    // Where the baseline is next to nothing, a part of it is no effect that anybody would see.
    let rest = if scales.is_empty() { 1.0 } else { WEIGHT_OF_PLAIN_EFFECTS };
    scales.push((rest, plain));
    scales
}

/// The sizes of differences that are looked for in a mean of this size, with their weights.
pub(super) fn scales_of(usual: f64) -> Vec<(f64, f64)> {
    SIZES_OF_EFFECTS.iter().map(|&(weight, size)| (weight, size * usual)).collect()
}

/// The difference between candidate and baseline, as an interval in parts of the baseline.
fn effect(gate: &Gate, sums: &Sums) -> Option<(f64, f64)> {
    if !gate.bound.is_ratio() || gate.metric.tail().is_some() {
        return None;
    }
    let (usual, theirs) = (sums.metric.baseline_mean()?, sums.metric.candidate_mean()?);
    let (metric, covariate) = (&sums.metric, sums.covariate.as_ref());
    if gate.metric == Metric::LatencyMean {
        let difference = metric.excess(1.0, covariate, spread(gate.metric))?;
        let half = difference.half_width(SIZE_OF_INTERVALS, EFFECT_ALPHA);
        let value = difference.value + gate.bound.value().ln();
        return Some(((value - half).exp() - 1.0, (value + half).exp() - 1.0));
    }
    if usual == 0.0 {
        return None;
    }
    // Around the ratio that was seen, so that the baseline's own uncertainty is in it.
    let seen = metric.excess(theirs / usual, covariate, spread(gate.metric))?;
    let half = seen.half_width(SIZE_OF_INTERVALS * usual.abs(), EFFECT_ALPHA) / usual.abs();
    let value = (theirs + seen.value) / usual - 1.0;
    Some((value - half, value + half))
}

/// Notes which values are compared, with how many samples of the baseline and the candidate.
fn note_values(gate: &Gate, found: &mut GateEvidence, sums: &[&Sums; 2], total: &Window) {
    let metric = gate.metric;
    let Some(measure) = metric.measure() else {
        // Pairs of mirrored answers, or clicks on interleaved ones, which callers got.
        let [live, mirrored] = sums;
        let pairs = if metric == Metric::Preference { live } else { mirrored };
        found.candidate = pairs.metric.candidate_mean();
        found.samples = [pairs.metric.total_weight() as u64; 2];
        found.allowed = Some(gate.bound.value());
        return;
    };
    let measured = sums.iter().find(|sums| sums.metric.total_weight() > 0.0);
    let shift = match (metric, gate.bound) {
        (Metric::LatencyMean, Bound::MaxRatio(ratio) | Bound::MinRatio(ratio)) => ratio.ln(),
        _ => 0.0,
    };
    let value = |mean: f64| from_measure(metric, mean);
    found.candidate =
        measured.and_then(|it| it.metric.candidate_mean()).map(|it| value(it + shift));
    if gate.bound.is_ratio() {
        found.baseline = measured.and_then(|it| it.metric.baseline_mean()).map(value);
    }
    if let Some(tail) = metric.tail() {
        let millis = |arm: usize| {
            let mut latencies = total.arms.get(arm)?.latencies.clone();
            latencies.absorb(&total.mirror.arms[arm].latencies);
            latencies.quantile(1.0 - tail).map(|micros| micros as f64 / 1_000.0)
        };
        (found.baseline, found.candidate) = (millis(0), millis(1));
    }
    found.allowed = match gate.bound {
        Bound::MaxRatio(ratio) | Bound::MinRatio(ratio) => found.baseline.map(|it| ratio * it),
        Bound::Max(bound) | Bound::Min(bound) => Some(bound),
    };
    let samples = |arm: usize| {
        let live = total.arms.get(arm).map_or(0, |it| sums_of(it, measure).total());
        live + sums_of(&total.mirror.arms[arm], measure).total()
    };
    found.samples = [samples(0), samples(1)];
}

/// Whether each variant that the gate compares has `least` samples, and at least one.
fn has_enough_samples(gate: &Gate, found: &GateEvidence, least: u64) -> bool {
    let [baseline, candidate] = found.samples;
    candidate >= least.max(1) && (!gate.bound.is_ratio() || baseline >= least.max(1))
}

/// Whether the metric is how often something bad happens.
fn is_fault(metric: Metric) -> bool {
    metric.measure().is_some_and(|measure| Measure::FAULTS.contains(&measure))
}

/// How far a single value may plausibly be from the mean, in the unit of the measure.
fn spread(metric: Metric) -> f64 {
    match metric {
        Metric::ErrorRate
        | Metric::EmptyRate
        | Metric::PartialRate
        | Metric::FallbackRate
        | Metric::LatencyP50
        | Metric::LatencyP95
        | Metric::LatencyP99
        | Metric::LatencyMean
        | Metric::ListSimilarity
        | Metric::Personalisation
        | Metric::Overlap
        | Metric::RankBiasedOverlap
        | Metric::Preference
        | Metric::ClicksPerAnswer
        | Metric::PurchasesPerAnswer
        | Metric::Score => 1.0,
        Metric::PlaySecondsPerAnswer => 600.0,
    }
}

/// A difference that is plain to see, in the unit of the measure.
fn plain_effect(metric: Metric) -> f64 {
    match metric {
        Metric::LatencyMean => 0.7,
        Metric::ErrorRate
        | Metric::EmptyRate
        | Metric::PartialRate
        | Metric::FallbackRate
        | Metric::LatencyP50
        | Metric::LatencyP95
        | Metric::LatencyP99
        | Metric::ListSimilarity
        | Metric::Personalisation
        | Metric::Overlap
        | Metric::RankBiasedOverlap
        | Metric::Preference => 0.3,
        Metric::ClicksPerAnswer | Metric::PurchasesPerAnswer | Metric::Score => 0.1,
        Metric::PlaySecondsPerAnswer => 60.0,
    }
}
