//! Experiments and their reports ↔ `marquee.control.v1`.

use super::error::{ConvertError, Result};
use super::measured_sums::measure_to_pb;
use crate::generated::control::v1 as pb;
use marquee_core::rollout::experiment::{
    Arm, Effect, Experiment, ExperimentState, Report, SegmentReport,
};

/// The wire form of an experiment. `waiting_for` says what it waits for: the caller knows the plan.
pub fn experiment_to_pb(experiment: &Experiment, waiting_for: String) -> pb::Experiment {
    let Experiment {
        id,
        surface,
        layer,
        from_basis_points,
        share_basis_points,
        arms,
        state,
        started_at_ms,
        stopped_at_ms,
        reason,
    } = experiment;
    pb::Experiment {
        experiment_id: id.clone(),
        surface: surface.clone(),
        layer: layer.clone(),
        from_basis_points: *from_basis_points,
        share_basis_points: *share_basis_points,
        arms: arms.iter().map(arm_to_pb).collect(),
        state: match state {
            ExperimentState::Preparing => pb::ExperimentState::Preparing,
            ExperimentState::Running => pb::ExperimentState::Running,
            ExperimentState::Stopped => pb::ExperimentState::Stopped,
        } as i32,
        started_at_ms: *started_at_ms,
        stopped_at_ms: *stopped_at_ms,
        reason: reason.clone(),
        waiting_for,
    }
}

/// Reads an experiment from its wire form. `waiting_for` follows from the rest and is not kept.
pub fn experiment_from_pb(experiment: pb::Experiment) -> Result<Experiment> {
    let pb::Experiment {
        experiment_id,
        surface,
        layer,
        from_basis_points,
        share_basis_points,
        arms,
        state,
        started_at_ms,
        stopped_at_ms,
        reason,
        waiting_for: _,
    } = experiment;
    Ok(Experiment {
        id: experiment_id,
        surface,
        layer,
        from_basis_points,
        share_basis_points,
        arms: arms.into_iter().map(arm_from_pb).collect(),
        state: match pb::ExperimentState::try_from(state) {
            Ok(pb::ExperimentState::Preparing) => ExperimentState::Preparing,
            Ok(pb::ExperimentState::Running) => ExperimentState::Running,
            Ok(pb::ExperimentState::Stopped) => ExperimentState::Stopped,
            Ok(pb::ExperimentState::Unspecified) | Err(_) => {
                return Err(ConvertError::UnknownEnumValue {
                    field: "experiment.state".into(),
                    value: state,
                });
            }
        },
        started_at_ms,
        stopped_at_ms,
        reason,
    })
}

/// The wire form of an arm of an experiment.
pub fn arm_to_pb(arm: &Arm) -> pb::ExperimentArm {
    let Arm { name, ensemble, weight_basis_points } = arm.clone();
    pb::ExperimentArm { name, ensemble, weight_basis_points }
}

/// Reads an arm of an experiment from its wire form.
pub fn arm_from_pb(arm: pb::ExperimentArm) -> Arm {
    let pb::ExperimentArm { name, ensemble, weight_basis_points } = arm;
    Arm { name, ensemble, weight_basis_points }
}

/// The wire form of the report of an experiment.
pub fn report_to_pb(report: &Report, windows: u64, automated: u64) -> pb::ExperimentReport {
    let Report { effects, users, mismatch, is_mismatched, segments } = report;
    pb::ExperimentReport {
        windows,
        effects: effects.iter().map(effect_to_pb).collect(),
        users: users.clone(),
        mismatch_e_value: *mismatch,
        sample_ratio_mismatch: *is_mismatched,
        automated,
        segments: segments.iter().map(segment_report_to_pb).collect(),
    }
}

/// The wire form of the arms compared within a segment.
pub fn segment_report_to_pb(report: &SegmentReport) -> pb::SegmentReport {
    let SegmentReport { name, effects } = report;
    pb::SegmentReport { name: name.clone(), effects: effects.iter().map(effect_to_pb).collect() }
}

/// The wire form of one arm compared with the first.
pub fn effect_to_pb(found: &Effect) -> pb::Effect {
    let Effect { measure, arm, samples, mean, effect, interval, e_value, p_value } = *found;
    pb::Effect {
        measure: measure_to_pb(measure) as i32,
        arm: arm as u32,
        samples,
        mean,
        effect,
        low: interval.map(|(low, _)| low),
        high: interval.map(|(_, high)| high),
        e_value,
        p_value,
    }
}
