//! Rollouts, their steps and terms, and automatic rollouts ↔ `marquee.control.v1`.

use super::error::{ConvertError, Result, non_empty, required};
use super::gate::{gate_from_pb, gate_to_pb};
use super::version::{version_from_pb, version_to_pb};
use crate::generated::control::v1 as pb;
use marquee_core::plan::Automatic;
use marquee_core::rollout::gate::default_gates;
use marquee_core::rollout::{
    DEFAULT_SHADOW, Pace, Rollout, RolloutEvent, RolloutState, RolloutStep, Shadow, Terms,
};

/// The wire form of a rollout. `waiting_for` is the plan's to say (`Plan::waiting_for`).
pub fn rollout_to_pb(rollout: &Rollout, waiting_for: String) -> pb::Rollout {
    let Rollout {
        id,
        surface,
        baseline,
        candidate,
        steps,
        terms: Terms { gates, shadow, pace },
        state,
        resumes_to,
        awaits_approval_of,
        approved_step,
        step,
        step_started_at_ms,
        held_ms,
        started_at_ms,
        finished_at_ms,
        history,
    } = rollout;
    pb::Rollout {
        rollout_id: id.clone(),
        surface: surface.clone(),
        baseline: baseline.clone().unwrap_or_default(),
        candidate: candidate.clone(),
        steps: steps.iter().map(step_to_pb).collect(),
        state: rollout_state_to_pb(*state) as i32,
        step: *step,
        weight_basis_points: rollout.weight_basis_points(),
        step_started_at_ms: *step_started_at_ms,
        held_ms: *held_ms,
        started_at_ms: *started_at_ms,
        finished_at_ms: *finished_at_ms,
        history: history.iter().map(event_to_pb).collect(),
        waiting_for,
        gates: gates.iter().map(gate_to_pb).collect(),
        shadow: Some(shadow_to_pb(*shadow)),
        pace: pace_to_pb(*pace) as i32,
        resumes_to: rollout_state_to_pb(*resumes_to) as i32,
        awaits_approval_of: *awaits_approval_of,
        approved_step: *approved_step,
    }
}

/// Reads a rollout from its wire form. What follows from the rest (`weight_basis_points`, `waiting_for`) is not kept.
pub fn rollout_from_pb(rollout: pb::Rollout) -> Result<Rollout> {
    let pb::Rollout {
        rollout_id,
        surface,
        baseline,
        candidate,
        steps,
        state,
        step,
        weight_basis_points: _,
        step_started_at_ms,
        held_ms,
        started_at_ms,
        finished_at_ms,
        history,
        waiting_for: _,
        gates,
        shadow,
        pace,
        resumes_to,
        awaits_approval_of,
        approved_step,
    } = rollout;
    Ok(Rollout {
        id: rollout_id,
        surface,
        baseline: non_empty(baseline),
        candidate,
        steps: steps.into_iter().map(step_from_pb).collect(),
        terms: terms_from_pb(gates, required(shadow, "rollout.shadow")?, pace)?,
        state: rollout_state_from_pb(state)?,
        resumes_to: rollout_state_from_pb(resumes_to)?,
        awaits_approval_of,
        approved_step,
        step,
        step_started_at_ms,
        held_ms,
        started_at_ms,
        finished_at_ms,
        history: history.into_iter().map(event_from_pb).collect::<Result<_>>()?,
    })
}

/// The wire form of a step of a rollout.
pub fn step_to_pb(step: &RolloutStep) -> pb::RolloutStep {
    let RolloutStep { weight_basis_points, hold_seconds, min_samples, requires_approval } = *step;
    pb::RolloutStep { weight_basis_points, hold_seconds, min_samples, requires_approval }
}

/// Reads a step of a rollout from its wire form.
pub fn step_from_pb(step: pb::RolloutStep) -> RolloutStep {
    let pb::RolloutStep { weight_basis_points, hold_seconds, min_samples, requires_approval } =
        step;
    RolloutStep { weight_basis_points, hold_seconds, min_samples, requires_approval }
}

/// Reads the terms of a rollout from its wire form.
pub fn terms_from_pb(gates: Vec<pb::Gate>, shadow: pb::Shadow, pace: i32) -> Result<Terms> {
    Ok(Terms {
        gates: gates.into_iter().map(gate_from_pb).collect::<Result<_>>()?,
        shadow: shadow_from_pb(shadow),
        pace: pace_from_pb(pace)?,
    })
}

fn event_to_pb(event: &RolloutEvent) -> pb::RolloutEvent {
    let RolloutEvent { at_ms, state, step, weight_basis_points, reason } = event;
    pb::RolloutEvent {
        at_ms: *at_ms,
        state: rollout_state_to_pb(*state) as i32,
        step: *step,
        weight_basis_points: *weight_basis_points,
        reason: reason.clone(),
    }
}

fn event_from_pb(event: pb::RolloutEvent) -> Result<RolloutEvent> {
    let pb::RolloutEvent { at_ms, state, step, weight_basis_points, reason } = event;
    Ok(RolloutEvent {
        at_ms,
        state: rollout_state_from_pb(state)?,
        step,
        weight_basis_points,
        reason,
    })
}

fn rollout_state_to_pb(state: RolloutState) -> pb::RolloutState {
    match state {
        RolloutState::Preparing => pb::RolloutState::Preparing,
        RolloutState::Shadow => pb::RolloutState::Shadow,
        RolloutState::Canary => pb::RolloutState::Canary,
        RolloutState::Paused => pb::RolloutState::Paused,
        RolloutState::Promoted => pb::RolloutState::Promoted,
        RolloutState::RolledBack => pb::RolloutState::RolledBack,
        RolloutState::Aborted => pb::RolloutState::Aborted,
    }
}

fn rollout_state_from_pb(state: i32) -> Result<RolloutState> {
    match pb::RolloutState::try_from(state) {
        Ok(pb::RolloutState::Preparing) => Ok(RolloutState::Preparing),
        Ok(pb::RolloutState::Shadow) => Ok(RolloutState::Shadow),
        Ok(pb::RolloutState::Canary) => Ok(RolloutState::Canary),
        Ok(pb::RolloutState::Paused) => Ok(RolloutState::Paused),
        Ok(pb::RolloutState::Promoted) => Ok(RolloutState::Promoted),
        Ok(pb::RolloutState::RolledBack) => Ok(RolloutState::RolledBack),
        Ok(pb::RolloutState::Aborted) => Ok(RolloutState::Aborted),
        Ok(pb::RolloutState::Unspecified) | Err(_) => {
            Err(ConvertError::UnknownEnumValue { field: "rollout.state".into(), value: state })
        }
    }
}

/// The wire form of the terms of mirroring.
pub fn shadow_to_pb(shadow: Shadow) -> pb::Shadow {
    let Shadow { mirror_basis_points, hold_seconds, min_samples } = shadow;
    pb::Shadow { mirror_basis_points, hold_seconds, min_samples }
}

/// Reads the terms of mirroring from its wire form.
pub fn shadow_from_pb(shadow: pb::Shadow) -> Shadow {
    let pb::Shadow { mirror_basis_points, hold_seconds, min_samples } = shadow;
    Shadow { mirror_basis_points, hold_seconds, min_samples }
}

/// The wire form of the pace of a rollout.
pub fn pace_to_pb(pace: Pace) -> pb::Pace {
    match pace {
        Pace::Fixed => pb::Pace::Fixed,
        Pace::Evidence => pb::Pace::Evidence,
    }
}

/// Reads the pace of a rollout from its wire form.
pub fn pace_from_pb(value: i32) -> Result<Pace> {
    match pb::Pace::try_from(value) {
        Ok(pb::Pace::Unspecified | pb::Pace::Fixed) => Ok(Pace::Fixed),
        Ok(pb::Pace::Evidence) => Ok(Pace::Evidence),
        Err(_) => Err(ConvertError::unknown("pace", value)),
    }
}

/// The wire form of an automatic rollout.
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

/// Reads an automatic rollout from its wire form; what is left out has the defaults of a rollout.
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
        return Err(ConvertError::InvalidValue {
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
