//! What of a window a gate compares, and in which unit.

use super::comparison::{GateComparison, WindowValues};
use crate::bounds::FULL_WEIGHT_BASIS_POINTS;
use crate::rollout::gate::{Bound, Gate, Metric};
use crate::rollout::window::{
    ArmStats, GroupedSum, LATENCY_SLACK_MICROS, Measure, MirrorStats, Window,
};

/// Half of the answers to mirrored requests are the candidate's.
const MIRRORED_BASIS_POINTS: u32 = FULL_WEIGHT_BASIS_POINTS / 2;

/// Adds a window to what a gate is judged by. `weight_basis_points`: the candidate's share while it was measured.
pub(super) fn add_window(
    gate: &Gate,
    known: &mut GateComparison,
    weight_basis_points: u32,
    window: &Window,
) {
    let MirrorStats { arms: mirrored, overlap, rank_biased_overlap, .. } = &window.mirror;
    let Some(measure) = gate.metric.measure() else {
        if gate.metric == Metric::Preference {
            return known.live.add_alone(&window.interleaved.clicks);
        }
        let is_ranked = gate.metric == Metric::RankBiasedOverlap;
        let of_pairs = if is_ranked { rank_biased_overlap } else { overlap };
        return known.mirrored.add_alone(of_pairs);
    };
    let mirrored_arms = [&mirrored[0], &mirrored[1]];
    match (gate.bound, &window.arms[..]) {
        (Bound::Max(_) | Bound::Min(_), [_, candidate]) => {
            known.live.add_alone(&sums_of(candidate, measure));
            known.mirrored.add_alone(&sums_of(&mirrored[1], measure));
        }
        (Bound::MaxRatio(_) | Bound::MinRatio(_), [baseline, candidate]) => {
            let live_arms = [baseline, candidate];
            let is_paired = false;
            known.live.add(values_of(gate, measure, weight_basis_points, live_arms, is_paired));
            let (weight, is_paired) = (MIRRORED_BASIS_POINTS, true);
            known.mirrored.add(values_of(gate, measure, weight, mirrored_arms, is_paired));
        }
        // A rollout has two arms.
        _ => {}
    }
}

fn values_of(
    gate: &Gate,
    measure: Measure,
    weight_basis_points: u32,
    arms: [&ArmStats; 2],
    is_paired: bool,
) -> WindowValues {
    let mut values = arms.map(|arm| sums_of(arm, measure));
    if gate.metric == Metric::LatencyMean {
        // Logarithms are compared by differences.
        let allowed = gate.bound.value().ln();
        let [_, candidate] = &mut values;
        for (sum, &count) in candidate.sum.iter_mut().zip(&candidate.count) {
            *sum -= allowed * count as f64;
        }
    }
    let counts_users =
        Measure::FAULTS.contains(&measure) && matches!(gate.bound, Bound::MaxRatio(_));
    WindowValues {
        weight_basis_points,
        is_paired,
        ratio: compared_ratio(gate),
        values,
        before: measure.before().map(|before| arms.map(|arm| sums_of(arm, before))),
        users: counts_users
            .then(|| arms.map(|arm| arm.users_with.get(&measure).cloned().unwrap_or_default())),
    }
}

/// The ratio, or constant, that the candidate's mean is compared by, in the unit of the measure.
pub(super) fn compared_ratio(gate: &Gate) -> f64 {
    match (gate.metric, gate.bound) {
        // The bound of a quantile is in what counts as slow, that of a mean of logarithms in the values.
        (Metric::LatencyP50 | Metric::LatencyP95 | Metric::LatencyP99, Bound::MaxRatio(_))
        | (Metric::LatencyMean, Bound::MaxRatio(_) | Bound::MinRatio(_)) => 1.0,
        (metric, Bound::Max(_)) if metric.tail().is_some() => metric.tail().unwrap_or_default(),
        (Metric::LatencyMean, Bound::Max(millis) | Bound::Min(millis)) => {
            (millis * 1_000.0 + LATENCY_SLACK_MICROS as f64).ln()
        }
        (_, bound) => bound.value(),
    }
}

/// A measure's mean in the unit of its metric.
pub(super) fn from_measure(metric: Metric, mean: f64) -> f64 {
    match metric {
        Metric::LatencyMean => (mean.exp() - LATENCY_SLACK_MICROS as f64) / 1_000.0,
        _ => mean,
    }
}

/// The counts and sums of a measure by group; all zero where it was not measured.
pub(super) fn sums_of(arm: &ArmStats, measure: Measure) -> GroupedSum {
    arm.measures.get(&measure).cloned().unwrap_or_default()
}
