//! Experiments, retention and automatic rollouts of `marquee.control.v1` ↔ core. See
//! [`crate::convert_control`] for what the modules share.

use crate::control::v1 as pb;
use crate::convert_control::{
    ConvertError, Result, step_from_pb, step_to_pb, terms_from_pb, version_from_pb, version_to_pb,
};
use crate::convert_telemetry::{
    gate_to_pb, measure_from_pb, measure_to_pb, pace_to_pb, shadow_from_pb, shadow_to_pb,
};
use marquee_core::plan::Automatic;
use marquee_core::plan::retention::Retention;
use marquee_core::rollout::experiment::{
    Allocation, Arm, Effect, Experiment, ExperimentState, Report,
};
use marquee_core::rollout::gate::default_gates;
use marquee_core::rollout::{DEFAULT_SHADOW, Terms};

/// To the wire. `waiting_for` is for whoever knows the plan to say.
pub fn experiment_to_pb(experiment: &Experiment, waiting_for: String) -> pb::Experiment {
    let Experiment {
        id,
        surface,
        layer,
        from_basis_points,
        share_basis_points,
        arms,
        allocation,
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
        thompson: thompson_to_pb(*allocation),
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

/// From the wire. `waiting_for` follows from the rest and is not kept.
pub fn experiment_from_pb(experiment: pb::Experiment) -> Result<Experiment> {
    let pb::Experiment {
        experiment_id,
        surface,
        layer,
        from_basis_points,
        share_basis_points,
        arms,
        thompson,
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
        allocation: allocation_from_pb(thompson)?,
        state: match pb::ExperimentState::try_from(state) {
            Ok(pb::ExperimentState::Preparing) => ExperimentState::Preparing,
            Ok(pb::ExperimentState::Running) => ExperimentState::Running,
            Ok(pb::ExperimentState::Stopped) => ExperimentState::Stopped,
            Ok(pb::ExperimentState::Unspecified) | Err(_) => {
                return Err(ConvertError::Enum { field: "experiment.state".into(), value: state });
            }
        },
        started_at_ms,
        stopped_at_ms,
        reason,
    })
}

/// To the wire.
pub fn arm_to_pb(arm: &Arm) -> pb::ExperimentArm {
    let Arm { name, ensemble, weight_basis_points } = arm.clone();
    pb::ExperimentArm { name, ensemble, weight_basis_points }
}

/// From the wire.
pub fn arm_from_pb(arm: pb::ExperimentArm) -> Arm {
    let pb::ExperimentArm { name, ensemble, weight_basis_points } = arm;
    Arm { name, ensemble, weight_basis_points }
}

/// To the wire: none where weights are fixed.
pub fn thompson_to_pb(allocation: Allocation) -> Option<pb::Thompson> {
    match allocation {
        Allocation::Fixed => None,
        Allocation::Thompson { reward, floor_basis_points } => {
            let reward = measure_to_pb(reward) as i32;
            Some(pb::Thompson { reward, floor_basis_points })
        }
    }
}

/// From the wire.
pub fn allocation_from_pb(thompson: Option<pb::Thompson>) -> Result<Allocation> {
    match thompson {
        None => Ok(Allocation::Fixed),
        Some(pb::Thompson { reward, floor_basis_points }) => {
            Ok(Allocation::Thompson { reward: measure_from_pb(reward)?, floor_basis_points })
        }
    }
}

/// To the wire.
pub fn report_to_pb(report: &Report, windows: u64, automated: u64) -> pb::ExperimentReport {
    let Report { effects, users, mismatch, is_mismatched } = report;
    pb::ExperimentReport {
        windows,
        effects: effects.iter().map(effect_to_pb).collect(),
        users: users.clone(),
        mismatch_e_value: *mismatch,
        sample_ratio_mismatch: *is_mismatched,
        automated,
    }
}

fn effect_to_pb(found: &Effect) -> pb::Effect {
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

/// To the wire.
pub fn retention_to_pb(model: &str, retention: Retention) -> pb::Retention {
    let Retention { keep_versions, keep_seconds, delete_bundles } = retention;
    pb::Retention { model: model.into(), keep_versions, keep_seconds, delete_bundles }
}

/// From the wire, with the model's name.
pub fn retention_from_pb(retention: pb::Retention) -> (String, Retention) {
    let pb::Retention { model, keep_versions, keep_seconds, delete_bundles } = retention;
    (model, Retention { keep_versions, keep_seconds, delete_bundles })
}

/// To the wire.
pub fn automatic_to_pb(automatic: &Automatic) -> pb::AutomaticRollout {
    let Automatic { model, steps, terms: Terms { gates, shadow, pace }, pending } = automatic;
    pb::AutomaticRollout {
        model: model.clone(),
        steps: steps.iter().map(step_to_pb).collect(),
        gates: gates.iter().map(gate_to_pb).collect(),
        without_gates: gates.is_empty(),
        shadow: Some(shadow_to_pb(*shadow)),
        pace: pace_to_pb(*pace) as i32,
        pending: pending.as_ref().map(version_to_pb),
    }
}

/// From the wire; what is left out has the defaults of a rollout.
pub fn automatic_from_pb(automatic: pb::AutomaticRollout) -> Result<Automatic> {
    let pb::AutomaticRollout { model, steps, gates, without_gates, shadow, pace, pending } =
        automatic;
    Ok(Automatic {
        model,
        steps: steps.into_iter().map(step_from_pb).collect(),
        terms: wanted_terms(gates, without_gates, shadow, pace)?,
        pending: match pending {
            None => None,
            pending => Some(version_from_pb(pending, "automatic.pending")?),
        },
    })
}

/// The terms of a request to start rollouts: without gates of its own it has Marquee's.
pub fn wanted_terms(
    gates: Vec<pb::Gate>,
    without_gates: bool,
    shadow: Option<pb::Shadow>,
    pace: i32,
) -> Result<Terms> {
    if without_gates && !gates.is_empty() {
        return Err(ConvertError::Value {
            field: "without_gates".into(),
            what: "gates are given too: leave one of the two out".into(),
        });
    }
    let guards_itself = !gates.is_empty() || without_gates;
    let mut terms = terms_from_pb(gates, pb::Shadow::default(), pace)?;
    terms.shadow = shadow.map_or(DEFAULT_SHADOW, shadow_from_pb);
    if !guards_itself {
        terms.gates = default_gates();
    }
    Ok(terms)
}
