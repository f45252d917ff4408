//! Rollouts: started by operators, moved, and begun by themselves.

use super::{Outcome, Refusal, Reply, full};
use crate::bounds::MAX_NAMED;
use crate::id::{ModelVersion, check_name};
use crate::plan::{Automatic, Plan, Surface};
use crate::rollout::experiment::ExperimentState;
use crate::rollout::{Rollout, RolloutStep, Terms, check_steps, check_terms};

pub(super) fn start_rollout(
    plan: &mut Plan,
    surface_name: &str,
    candidate: &str,
    steps: &[RolloutStep],
    terms: &Terms,
    now_ms: u64,
) -> Outcome {
    check_name("surface", surface_name).map_err(|e| Refusal::Invalid(e.to_string()))?;
    check_terms(terms).map_err(Refusal::Invalid)?;
    if plan.ensemble_named(candidate).is_none() {
        return Err(Refusal::NotFound(format!(
            "candidate {candidate:?} is neither a stored ensemble nor a published model@version"
        )));
    }
    if !plan.surfaces.contains_key(surface_name) && plan.surfaces.len() >= MAX_NAMED {
        return Err(full("surfaces", MAX_NAMED));
    }
    let experiment = plan
        .experiments
        .iter()
        .find(|it| it.surface == surface_name && it.state != ExperimentState::Stopped);
    if let Some(experiment) = experiment {
        return Err(Refusal::FailedPrecondition(format!(
            "surface {surface_name:?} has an experiment running ({}): stop it first",
            experiment.id
        )));
    }
    let surface = plan.surfaces.entry(surface_name.into()).or_default();
    if let Some(running) = &surface.rollout_id {
        return Err(Refusal::FailedPrecondition(format!(
            "surface {surface_name:?} has a rollout running ({running}): promote it or roll it back first"
        )));
    }
    match &surface.ensemble {
        Some(live) if live == candidate => {
            return Err(Refusal::FailedPrecondition(format!(
                "{candidate} is live on surface {surface_name:?} already"
            )));
        }
        Some(_) => check_steps(steps).map_err(|e| Refusal::Invalid(e.to_string()))?,
        None if steps.is_empty() => {}
        None => check_steps(steps).map_err(|e| Refusal::Invalid(e.to_string()))?,
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

pub(super) fn change_rollout(
    plan: &mut Plan,
    rollout_id: &str,
    change: impl FnOnce(&mut Rollout, Option<String>) -> Result<(), Refusal>,
) -> Outcome {
    let at =
        plan.rollouts.iter().position(|rollout| rollout.id == rollout_id).ok_or_else(|| {
            Refusal::NotFound(format!(
                "there is no rollout {rollout_id:?}: list them to see the ids"
            ))
        })?;
    let missing = plan.missing(&plan.rollouts[at].candidate);
    change(&mut plan.rollouts[at], missing)?;
    Ok(Reply::Rollout(Box::new(plan.rollouts[at].clone())))
}

/// A new version has been published: it is next wherever rollouts of its model begin by themselves.
pub(super) fn await_rollouts(plan: &mut Plan, version: &ModelVersion) {
    let automatic = plan.surfaces.values_mut().filter_map(|surface| surface.automatic.as_mut());
    for automatic in automatic.filter(|automatic| automatic.model == version.model) {
        automatic.pending = Some(version.clone());
    }
}

/// Starts what is next on each surface where nothing runs.
pub(super) fn start_pending(plan: &mut Plan, now_ms: u64) {
    let waits =
        |surface: &Surface| surface.automatic.as_ref().is_some_and(|it| it.pending.is_some());
    let waiting: Vec<String> =
        plan.surfaces.iter().filter(|(_, it)| waits(it)).map(|(name, _)| name.clone()).collect();
    for name in waiting {
        let Some(automatic) = plan.surfaces[&name].automatic.clone() else { continue };
        let Automatic { steps, terms, pending: Some(version), .. } = automatic else { continue };
        // Refused while a rollout or an experiment runs there: it is tried again at every change.
        let started = start_rollout(plan, &name, &version.to_string(), &steps, &terms, now_ms);
        if let (Ok(_), Some(Surface { automatic: Some(automatic), .. })) =
            (started, plan.surfaces.get_mut(&name))
        {
            automatic.pending = None;
        }
    }
}

pub(super) fn set_automatic(plan: &mut Plan, name: &str, wanted: Option<&Automatic>) -> Outcome {
    check_name("surface", name).map_err(|e| Refusal::Invalid(e.to_string()))?;
    if let Some(Automatic { model, steps, terms, pending: _ }) = wanted {
        check_name("model", model).map_err(|e| Refusal::Invalid(e.to_string()))?;
        check_steps(steps).map_err(|e| Refusal::Invalid(e.to_string()))?;
        check_terms(terms).map_err(Refusal::Invalid)?;
    }
    if !plan.surfaces.contains_key(name) && plan.surfaces.len() >= MAX_NAMED {
        return Err(full("surfaces", MAX_NAMED));
    }
    let surface = plan.surfaces.entry(name.into()).or_default();
    surface.automatic = wanted.map(|wanted| Automatic { pending: None, ..wanted.clone() });
    Ok(Reply::Done)
}
