//! Rollouts, their steps and terms, and automatic rollouts ↔ `marquee.control.v1`.

use super::error::{ConvertError, Result, non_empty, required};
use super::external::{external_gate_from_pb, external_gate_to_pb};
use super::gate::{gate_from_pb, gate_to_pb};
use super::version::{version_from_pb, version_to_pb};
use crate::generated::control::v1 as pb;
use marquee_core::plan::Automatic;
use marquee_core::ranking::interleave::Interleaving;
use marquee_core::rollout::gate::{Metric, default_gates, default_preference_gate};
use marquee_core::rollout::{
    DEFAULT_HOLDOUT_SECONDS, DEFAULT_PREPARE_SECONDS, DEFAULT_SHADOW, Holdout, InterleaveStage,
    ListedUsers, Pace, Rollout, RolloutEvent, RolloutState, RolloutStep, Safety, Shadow, Terms,
};

/// The wire form of a rollout. `waiting_for` is the plan's to say (`Plan::waiting_for`).
pub fn rollout_to_pb(rollout: &Rollout, waiting_for: String) -> pb::Rollout {
    let Rollout {
        id,
        surface,
        baseline,
        candidate,
        steps,
        terms: Terms { gates, external_gates, shadow, interleave, pace, safety, listed },
        state,
        resumes_to,
        awaits_approval_of,
        approved_step,
        step,
        step_started_at_ms,
        held_ms,
        mirror_multiple,
        started_at_ms,
        finished_at_ms,
        history,
        transitions,
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
        mirror_multiple: *mirror_multiple,
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
        safety: Some(safety_to_pb(*safety)),
        listed: Some(listed_to_pb(listed)),
        interleave: interleave.map(interleave_to_pb),
        external_gates: external_gates.iter().map(external_gate_to_pb).collect(),
        transitions: *transitions,
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
        mirror_multiple,
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
        safety,
        listed,
        interleave,
        external_gates,
        transitions,
    } = rollout;
    // An older release did not count them.
    let transitions = transitions.max(history.len() as u64);
    Ok(Rollout {
        id: rollout_id,
        surface,
        baseline: non_empty(baseline),
        candidate,
        steps: steps.into_iter().map(step_from_pb).collect(),
        terms: terms_from_pb(
            gates,
            external_gates,
            required(shadow, "rollout.shadow")?,
            interleave,
            pace,
            required(safety, "rollout.safety")?,
            listed.unwrap_or_default(),
        )?,
        state: rollout_state_from_pb(state)?,
        resumes_to: rollout_state_from_pb(resumes_to)?,
        awaits_approval_of,
        approved_step,
        step,
        step_started_at_ms,
        held_ms,
        mirror_multiple,
        started_at_ms,
        finished_at_ms,
        history: history.into_iter().map(event_from_pb).collect::<Result<_>>()?,
        transitions,
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
pub fn terms_from_pb(
    gates: Vec<pb::Gate>,
    external_gates: Vec<pb::ExternalGate>,
    shadow: pb::Shadow,
    interleave: Option<pb::InterleaveStage>,
    pace: i32,
    safety: pb::RolloutSafety,
    listed: pb::ListedUsers,
) -> Result<Terms> {
    Ok(Terms {
        gates: gates.into_iter().map(gate_from_pb).collect::<Result<_>>()?,
        external_gates: external_gates
            .into_iter()
            .map(external_gate_from_pb)
            .collect::<Result<_>>()?,
        shadow: shadow_from_pb(shadow),
        interleave: interleave.map(interleave_from_pb).transpose()?,
        pace: pace_from_pb(pace)?,
        safety: safety_from_pb(safety),
        listed: listed_from_pb(listed)?,
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
        RolloutState::Interleave => pb::RolloutState::Interleave,
        RolloutState::Canary => pb::RolloutState::Canary,
        RolloutState::Paused => pb::RolloutState::Paused,
        RolloutState::Holdout => pb::RolloutState::Holdout,
        RolloutState::Watching => pb::RolloutState::Watching,
        RolloutState::Promoted => pb::RolloutState::Promoted,
        RolloutState::RolledBack => pb::RolloutState::RolledBack,
        RolloutState::Aborted => pb::RolloutState::Aborted,
    }
}

fn rollout_state_from_pb(state: i32) -> Result<RolloutState> {
    match pb::RolloutState::try_from(state) {
        Ok(pb::RolloutState::Preparing) => Ok(RolloutState::Preparing),
        Ok(pb::RolloutState::Shadow) => Ok(RolloutState::Shadow),
        Ok(pb::RolloutState::Interleave) => Ok(RolloutState::Interleave),
        Ok(pb::RolloutState::Canary) => Ok(RolloutState::Canary),
        Ok(pb::RolloutState::Paused) => Ok(RolloutState::Paused),
        Ok(pb::RolloutState::Holdout) => Ok(RolloutState::Holdout),
        Ok(pb::RolloutState::Watching) => Ok(RolloutState::Watching),
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

/// The wire form of the stage of interleaved answers.
pub fn interleave_to_pb(stage: InterleaveStage) -> pb::InterleaveStage {
    let InterleaveStage { share_basis_points, hold_seconds, min_samples, how } = stage;
    let interleaving = match how {
        Interleaving::TeamDraft => pb::Interleaving::TeamDraft,
        Interleaving::Balanced => pb::Interleaving::Balanced,
    };
    let interleaving = interleaving as i32;
    pb::InterleaveStage { share_basis_points, hold_seconds, min_samples, interleaving }
}

/// Reads the stage of interleaved answers from its wire form.
pub fn interleave_from_pb(stage: pb::InterleaveStage) -> Result<InterleaveStage> {
    let pb::InterleaveStage { share_basis_points, hold_seconds, min_samples, interleaving } = stage;
    let how = match pb::Interleaving::try_from(interleaving) {
        Ok(pb::Interleaving::Unspecified | pb::Interleaving::TeamDraft) => Interleaving::TeamDraft,
        Ok(pb::Interleaving::Balanced) => Interleaving::Balanced,
        Err(_) => return Err(ConvertError::unknown("interleave.interleaving", interleaving)),
    };
    Ok(InterleaveStage { share_basis_points, hold_seconds, min_samples, how })
}

/// The wire form of lists of users.
pub fn listed_to_pb(listed: &ListedUsers) -> pb::ListedUsers {
    pb::ListedUsers {
        always_candidate: listed.always().to_vec(),
        never_candidate: listed.never().to_vec(),
    }
}

/// Reads lists of users from their wire form.
pub fn listed_from_pb(listed: pb::ListedUsers) -> Result<ListedUsers> {
    let pb::ListedUsers { always_candidate, never_candidate } = listed;
    ListedUsers::of_hashes(always_candidate, never_candidate).map_err(|error| {
        ConvertError::InvalidValue { field: "listed".into(), what: error.to_string() }
    })
}

/// The wire form of what keeps a rollout safe besides its gates.
pub fn safety_to_pb(safety: Safety) -> pb::RolloutSafety {
    let Safety { prepare_seconds, allows_no_traffic, watch_seconds, holdout } = safety;
    let holdout = holdout.map(|Holdout { share_basis_points, hold_seconds }| pb::Holdout {
        share_basis_points,
        hold_seconds,
    });
    pb::RolloutSafety { prepare_seconds, allows_no_traffic, watch_seconds, holdout }
}

/// Reads what keeps a rollout safe besides its gates from its wire form.
pub fn safety_from_pb(safety: pb::RolloutSafety) -> Safety {
    let pb::RolloutSafety { prepare_seconds, allows_no_traffic, watch_seconds, holdout } = safety;
    let holdout = holdout.map(|pb::Holdout { share_basis_points, hold_seconds }| Holdout {
        share_basis_points,
        hold_seconds,
    });
    Safety { prepare_seconds, allows_no_traffic, watch_seconds, holdout }
}

/// What a request asks for to keep a rollout safe, with defaults for the times that it leaves out.
fn wanted_safety(safety: Option<pb::RolloutSafety>) -> Safety {
    let mut wanted = safety.map(safety_from_pb).unwrap_or_default();
    if wanted.prepare_seconds == 0 {
        wanted.prepare_seconds = DEFAULT_PREPARE_SECONDS;
    }
    if let Some(holdout) = &mut wanted.holdout
        && holdout.hold_seconds == 0
    {
        holdout.hold_seconds = DEFAULT_HOLDOUT_SECONDS;
    }
    wanted
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
    let Automatic { model, steps, terms, pending } = automatic;
    // Rollouts that begin by themselves list no users.
    let Terms { gates, external_gates, shadow, interleave, pace, safety, listed: _ } = terms;
    pb::AutomaticRollout {
        model: model.clone(),
        steps: steps.iter().map(step_to_pb).collect(),
        gates: gates.iter().map(gate_to_pb).collect(),
        without_gates: gates.is_empty(),
        shadow: Some(shadow_to_pb(*shadow)),
        pace: pace_to_pb(*pace) as i32,
        pending: pending.as_ref().map(version_to_pb),
        safety: Some(safety_to_pb(*safety)),
        interleave: interleave.map(interleave_to_pb),
        external_gates: external_gates.iter().map(external_gate_to_pb).collect(),
    }
}

/// Reads an automatic rollout from its wire form; what is left out has the defaults of a rollout.
pub fn automatic_from_pb(automatic: pb::AutomaticRollout) -> Result<Automatic> {
    let pb::AutomaticRollout {
        model,
        steps,
        gates,
        without_gates,
        shadow,
        pace,
        pending,
        safety,
        interleave,
        external_gates,
    } = automatic;
    Ok(Automatic {
        model,
        steps: steps.into_iter().map(step_from_pb).collect(),
        terms: wanted_terms(
            gates,
            without_gates,
            external_gates,
            shadow,
            interleave,
            pace,
            safety,
        )?,
        pending: match pending {
            None => None,
            pending => Some(version_from_pb(pending, "automatic.pending")?),
        },
    })
}

/// The terms of a request to start rollouts: without gates of its own it has Marquee's. Where answers are interleaved, a gate
/// judges them.
pub fn wanted_terms(
    gates: Vec<pb::Gate>,
    without_gates: bool,
    external_gates: Vec<pb::ExternalGate>,
    shadow: Option<pb::Shadow>,
    interleave: Option<pb::InterleaveStage>,
    pace: i32,
    safety: Option<pb::RolloutSafety>,
) -> Result<Terms> {
    if without_gates && !gates.is_empty() {
        return Err(ConvertError::InvalidValue {
            field: "without_gates".into(),
            what: "gates are given too: leave one of the two out".into(),
        });
    }
    let guards_itself = !gates.is_empty() || without_gates;
    let mut terms = terms_from_pb(
        gates,
        external_gates,
        pb::Shadow::default(),
        interleave,
        pace,
        pb::RolloutSafety::default(),
        pb::ListedUsers::default(),
    )?;
    terms.safety = wanted_safety(safety);
    terms.shadow = shadow.map_or(DEFAULT_SHADOW, shadow_from_pb);
    if !guards_itself {
        terms.gates = default_gates();
    }
    let judges_preference = terms.gates.iter().any(|gate| gate.metric == Metric::Preference);
    if terms.interleave.is_some() && !without_gates && !judges_preference {
        terms.gates.push(default_preference_gate());
    }
    Ok(terms)
}
