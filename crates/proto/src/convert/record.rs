//! What is kept of how a rollout went ↔ `marquee.control.v1`.

use super::error::{ConvertError, Result, required};
use super::gate::gate_to_pb;
use super::gate_evidence::{gate_evidence_from_pb, gate_evidence_to_pb};
use super::window::{window_from_pb, window_to_pb};
use crate::generated::control::v1 as pb;
use marquee_core::rollout::judge::{ArmSums, EvidencePoint, RecordedWindow, StepEvidence};
use marquee_core::rollout::tried::TriedGate;

fn arm_sums_to_pb(sums: &ArmSums) -> pb::ArmSums {
    let ArmSums {
        requests,
        failed,
        log_latency,
        latencies,
        clicks,
        answers_for_clicks,
        play_seconds,
        answers_for_plays,
    } = *sums;
    pb::ArmSums {
        requests,
        failed,
        log_latency,
        latencies,
        clicks,
        answers_for_clicks,
        play_seconds,
        answers_for_plays,
    }
}

fn arm_sums_from_pb(sums: pb::ArmSums) -> ArmSums {
    let pb::ArmSums {
        requests,
        failed,
        log_latency,
        latencies,
        clicks,
        answers_for_clicks,
        play_seconds,
        answers_for_plays,
    } = sums;
    ArmSums {
        requests,
        failed,
        log_latency,
        latencies,
        clicks,
        answers_for_clicks,
        play_seconds,
        answers_for_plays,
    }
}

fn both_arms(arms: Vec<pb::ArmSums>, field: &str) -> Result<[ArmSums; 2]> {
    let arms: Vec<ArmSums> = arms.into_iter().map(arm_sums_from_pb).collect();
    <[ArmSums; 2]>::try_from(arms).map_err(|arms| {
        ConvertError::invalid(field, format!("{} arms: a rollout has two", arms.len()))
    })
}

/// The wire form of what was measured on a stage or step.
pub(super) fn step_evidence_to_pb(step: &StepEvidence) -> pb::StepEvidence {
    let StepEvidence { stage, step, weight_basis_points, from_ms, until_ms, windows, arms, gates } =
        step;
    pb::StepEvidence {
        stage: stage.clone(),
        step: *step,
        weight_basis_points: *weight_basis_points,
        from_ms: *from_ms,
        until_ms: *until_ms,
        windows: *windows,
        arms: arms.iter().map(arm_sums_to_pb).collect(),
        gates: gates.iter().map(gate_evidence_to_pb).collect(),
    }
}

/// Reads what was measured on a stage or step from its wire form.
pub(super) fn step_evidence_from_pb(step: pb::StepEvidence) -> Result<StepEvidence> {
    let pb::StepEvidence {
        stage,
        step,
        weight_basis_points,
        from_ms,
        until_ms,
        windows,
        arms,
        gates,
    } = step;
    Ok(StepEvidence {
        stage,
        step,
        weight_basis_points,
        from_ms,
        until_ms,
        windows,
        arms: both_arms(arms, "steps.arms")?,
        gates: gates.into_iter().map(gate_evidence_from_pb).collect::<Result<_>>()?,
    })
}

/// The wire form of a point of a plot.
pub(super) fn point_to_pb(point: &EvidencePoint) -> pb::EvidencePoint {
    let EvidencePoint { until_ms, weight_basis_points, windows, arms, log_evidence, log_required } =
        point;
    pb::EvidencePoint {
        until_ms: *until_ms,
        weight_basis_points: *weight_basis_points,
        windows: *windows,
        arms: arms.iter().map(arm_sums_to_pb).collect(),
        log_evidence: log_evidence.clone(),
        log_required: log_required.clone(),
    }
}

/// Reads a point of a plot from its wire form.
pub(super) fn point_from_pb(point: pb::EvidencePoint) -> Result<EvidencePoint> {
    let pb::EvidencePoint {
        until_ms,
        weight_basis_points,
        windows,
        arms,
        log_evidence,
        log_required,
    } = point;
    let arms = both_arms(arms, "points.arms")?;
    Ok(EvidencePoint { until_ms, weight_basis_points, windows, arms, log_evidence, log_required })
}

/// The wire form of a recorded window.
pub(super) fn recorded_to_pb(recorded: &RecordedWindow) -> pb::RecordedWindow {
    let RecordedWindow { until_ms, weight_basis_points, windows, window } = recorded;
    pb::RecordedWindow {
        until_ms: *until_ms,
        weight_basis_points: *weight_basis_points,
        windows: *windows,
        window: Some(window_to_pb(window)),
    }
}

/// Reads a recorded window from its wire form.
pub(super) fn recorded_from_pb(recorded: pb::RecordedWindow) -> Result<RecordedWindow> {
    let pb::RecordedWindow { until_ms, weight_basis_points, windows, window } = recorded;
    let window = window_from_pb(required(window, "recorded.window")?)?;
    Ok(RecordedWindow { until_ms, weight_basis_points, windows, window })
}

/// The wire form of what a gate would have said.
pub fn tried_to_pb(tried: &TriedGate) -> pb::TriedGate {
    let TriedGate { gate, evidence, acts_at } = tried;
    let (acts_at_ms, acts_at_weight_basis_points) = acts_at.unwrap_or_default();
    pb::TriedGate {
        gate: Some(gate_to_pb(gate)),
        evidence: Some(gate_evidence_to_pb(evidence)),
        acts_at_ms,
        acts_at_weight_basis_points,
    }
}
