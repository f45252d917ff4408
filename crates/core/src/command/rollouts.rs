//! Commands on rollouts: start, move, advance, judge, and rollouts that begin by themselves.

use super::error::CommandError;
use super::reply::Reply;
use crate::bounds::MAX_NAMED;
use crate::id::{ModelVersion, check_name};
use crate::plan::{Automatic, Plan, Surface};
use crate::planted::{PlantedBug, is_planted};
use crate::rollout::experiment::ExperimentState;
use crate::rollout::external::ExternalAnswer;
use crate::rollout::judge::{AllEvidence, Judgement, clearance, note_answer, record};
use crate::rollout::window::Window;
use crate::rollout::{
    Rollout, RolloutMove, RolloutStep, Terms, automatic_steps, check_steps, check_terms,
};

/// How many missing replicas the reason of an abort names: it is kept in a history.
const MAX_MISSING_NAMED: usize = 12;

pub(super) fn start(
    plan: &mut Plan,
    surface_name: &str,
    candidate: &str,
    steps: &[RolloutStep],
    terms: &Terms,
    now_ms: u64,
) -> Result<Reply, CommandError> {
    check_name("surface", surface_name)?;
    check_terms(terms, steps)?;
    if plan.ensemble_named(candidate).is_none() {
        return Err(CommandError::UnknownCandidate { candidate: candidate.into() });
    }
    if !plan.surfaces.contains_key(surface_name) && plan.surfaces.len() >= MAX_NAMED {
        return Err(CommandError::Full { what: "surfaces", bound: MAX_NAMED });
    }
    let experiment = plan
        .experiments
        .iter()
        .find(|it| it.surface == surface_name && it.state != ExperimentState::Stopped);
    if let Some(experiment) = experiment {
        let (surface, experiment_id) = (surface_name.into(), experiment.id.clone());
        return Err(CommandError::ExperimentRunning { surface, experiment_id });
    }
    let surface = plan.surfaces.entry(surface_name.into()).or_default();
    if let Some(running) = &surface.rollout_id {
        let running = running.clone();
        return Err(running_on(plan, surface_name, &running));
    }
    match &surface.ensemble {
        Some(live) if live == candidate => {
            let (surface, candidate) = (surface_name.into(), candidate.into());
            return Err(CommandError::AlreadyLive { surface, candidate });
        }
        Some(_) => check_steps(steps)?,
        // Without a baseline there is nothing to share users with, so steps may be left out.
        None if steps.is_empty() => {}
        None => check_steps(steps)?,
    }
    let id = format!("{surface_name}-{}", plan.next_rollout);
    plan.next_rollout += 1;
    surface.rollout_id = Some(id.clone());
    let rollout = Rollout::start(
        id,
        surface_name.into(),
        surface.ensemble.clone(),
        candidate.into(),
        steps.to_vec(),
        terms.clone(),
        now_ms,
    );
    plan.rollouts.push(rollout.clone());
    Ok(Reply::Rollout(Box::new(rollout)))
}

/// Why nothing else starts on a surface with this rollout.
pub(super) fn running_on(plan: &Plan, surface_name: &str, rollout_id: &str) -> CommandError {
    let (surface, id) = (surface_name.into(), rollout_id.to_owned());
    if plan.rollout(rollout_id).is_some_and(Rollout::may_be_undone) {
        CommandError::RolloutWatched { surface, rollout_id: id }
    } else {
        CommandError::RolloutRunning { surface, rollout_id: id }
    }
}

/// Does what an operator asks. Resuming accepts what paused the rollout.
pub(super) fn apply_move(
    plan: &mut Plan,
    evidence: &mut AllEvidence,
    rollout_id: &str,
    requested: RolloutMove,
    reason: &str,
    now_ms: u64,
) -> Result<Reply, CommandError> {
    let at = position(plan, rollout_id)?;
    let missing = plan.missing(&plan.rollouts[at].candidate);
    let rollout = &mut plan.rollouts[at];
    rollout.apply_move(requested, reason, missing.as_deref(), now_ms)?;
    if requested == RolloutMove::Resume
        && let Some(of_rollout) = evidence.get_mut(rollout_id)
    {
        of_rollout.accept(rollout);
    }
    Ok(Reply::Rollout(Box::new(rollout.clone())))
}

/// Does the one thing that is due of a rollout, if any.
pub(super) fn advance(
    plan: &mut Plan,
    evidence: &AllEvidence,
    rollout_id: &str,
    now_ms: u64,
) -> Result<Reply, CommandError> {
    let at = position(plan, rollout_id)?;
    let missing = plan.missing_up_to(&plan.rollouts[at].candidate, MAX_MISSING_NAMED);
    let missing = missing.filter(|_| !is_planted(PlantedBug::CandidateNotLoaded));
    let rollout = &mut plan.rollouts[at];
    let clearance = clearance(rollout, evidence.get(rollout_id), now_ms);
    rollout.advance(missing.as_deref(), &clearance, now_ms);
    Ok(Reply::Rollout(Box::new(rollout.clone())))
}

/// Adds window `number` and what the judge made of it to the evidence, and does what the judge decided. A
/// window that is not the next one changes nothing: judged by two leaders, or twice by one, the first counts.
pub(super) fn apply_judgement(
    plan: &mut Plan,
    evidence: &mut AllEvidence,
    rollout_id: &str,
    number: u64,
    weight_basis_points: u32,
    window: &Window,
    judgement: &Judgement,
    now_ms: u64,
) -> Result<Reply, CommandError> {
    let at = position(plan, rollout_id)?;
    let rollout = &mut plan.rollouts[at];
    let known_windows = evidence.get(rollout_id).map_or(0, |evidence| evidence.windows);
    if !rollout.state.is_over() && number == known_windows + 1 {
        let of_rollout = evidence.entry(rollout_id.into()).or_default();
        of_rollout.absorb(rollout, weight_basis_points, window);
        of_rollout.windows = number;
        of_rollout.judged_at_ms = now_ms;
        let Judgement { gates, split, split_of_requests, decision } = judgement;
        of_rollout.gates.clone_from(gates);
        of_rollout.split = split.clone();
        of_rollout.split_of_requests = split_of_requests.clone();
        record(rollout, of_rollout, weight_basis_points, window, now_ms);
        let requests = of_rollout.stage.requests.iter().sum();
        rollout.adapt_mirroring(of_rollout.total.mirror.overlap.total(), requests, now_ms);
        rollout.apply_decision(decision, now_ms);
    }
    Ok(Reply::Rollout(Box::new(rollout.clone())))
}

/// Adds what question `number` of an external gate came to, and does what follows. A question that is not the next one changes
/// nothing, as with windows.
pub(super) fn answer_question(
    plan: &mut Plan,
    evidence: &mut AllEvidence,
    rollout_id: &str,
    gate: &str,
    number: u64,
    asked_at_ms: u64,
    answer: &ExternalAnswer,
    now_ms: u64,
) -> Result<Reply, CommandError> {
    let at = position(plan, rollout_id)?;
    let rollout = &mut plan.rollouts[at];
    if !rollout.state.is_over() {
        let of_rollout = evidence.entry(rollout_id.into()).or_default();
        let decision = note_answer(rollout, of_rollout, gate, number, asked_at_ms, answer);
        if let Some(decision) = decision {
            rollout.apply_decision(&decision, now_ms);
        }
    }
    Ok(Reply::Rollout(Box::new(rollout.clone())))
}

pub(super) fn set_automatic(
    plan: &mut Plan,
    surface_name: &str,
    automatic: Option<&Automatic>,
) -> Result<Reply, CommandError> {
    check_name("surface", surface_name)?;
    if let Some(Automatic { model, steps, terms, pending: _ }) = automatic {
        check_name("model", model)?;
        check_steps(steps)?;
        check_terms(terms, steps)?;
    }
    if !plan.surfaces.contains_key(surface_name) && plan.surfaces.len() >= MAX_NAMED {
        return Err(CommandError::Full { what: "surfaces", bound: MAX_NAMED });
    }
    let surface = plan.surfaces.entry(surface_name.into()).or_default();
    surface.automatic = automatic.map(|given| Automatic {
        steps: automatic_steps(&given.steps, &given.terms.safety),
        pending: None,
        ..given.clone()
    });
    Ok(Reply::Done)
}

/// Notes a new version as the next one wherever rollouts of its model begin by themselves.
pub(super) fn await_rollouts(plan: &mut Plan, version: &ModelVersion) {
    for surface in plan.surfaces.values_mut() {
        if let Some(automatic) = &mut surface.automatic
            && automatic.model == version.model
        {
            automatic.pending = Some(version.clone());
        }
    }
}

/// Starts the pending rollout of each surface where nothing runs.
pub(super) fn start_pending(plan: &mut Plan, now_ms: u64) {
    let names: Vec<String> = plan.surfaces.keys().cloned().collect();
    for name in names {
        let Some(automatic) = plan.surfaces[&name].automatic.clone() else { continue };
        let Automatic { steps, terms, pending: Some(version), .. } = automatic else { continue };
        // Refused while a rollout or an experiment runs there: it is tried again at every change.
        let started = start(plan, &name, &version.to_string(), &steps, &terms, now_ms);
        if started.is_ok()
            && let Some(Surface { automatic: Some(automatic), .. }) = plan.surfaces.get_mut(&name)
        {
            automatic.pending = None;
        }
    }
}

fn position(plan: &Plan, rollout_id: &str) -> Result<usize, CommandError> {
    plan.rollouts
        .iter()
        .position(|rollout| rollout.id == rollout_id)
        .ok_or_else(|| CommandError::UnknownRollout { rollout_id: rollout_id.into() })
}
