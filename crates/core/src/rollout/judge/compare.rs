//! What all kinds of gates share: the answers that are compared, and whether there are enough.

use super::evidence::GateEvidence;
use crate::rollout::gate::{Bound, Gate};
use crate::rollout::window::{ArmStats, GroupedSum, Measure, MirrorStats, Window};

/// The baseline's and the candidate's answers: first the live ones, then the mirrored ones.
pub(super) fn variants(window: &Window) -> [(&ArmStats, &ArmStats); 2] {
    static NOTHING: std::sync::LazyLock<ArmStats> = std::sync::LazyLock::new(ArmStats::default);
    let arm = |n: usize| window.arms.get(n).unwrap_or(&NOTHING);
    let MirrorStats { arms: [baseline, candidate], .. } = &window.mirror;
    [(arm(0), arm(1)), (baseline, candidate)]
}

/// The counts and sums of a measure by group; all zero where it was not measured.
pub(super) fn sums_of(arm: &ArmStats, measure: Measure) -> GroupedSum {
    arm.measures.get(&measure).cloned().unwrap_or_default()
}

/// Notes which values a gate compares, with how many samples of the baseline and the candidate.
pub(super) fn note_values(
    gate: &Gate,
    found: &mut GateEvidence,
    baseline: Option<f64>,
    candidate: Option<f64>,
    samples: [u64; 2],
) {
    found.baseline = if gate.metric.is_of_pairs() { None } else { baseline };
    found.candidate = candidate;
    found.samples = samples;
    found.allowed = match gate.bound {
        Bound::MaxRatio(ratio) | Bound::MinRatio(ratio) => baseline.map(|value| ratio * value),
        Bound::Max(value) | Bound::Min(value) => Some(value),
    };
}

/// Whether each variant that the gate compares has `least` samples, and at least one.
pub(super) fn has_enough_samples(gate: &Gate, found: &GateEvidence, least: u64) -> bool {
    let [baseline, candidate] = found.samples;
    candidate >= least.max(1) && (!gate.bound.is_ratio() || baseline >= least.max(1))
}
