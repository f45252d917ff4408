//! A/B tests.

use super::{Action, Outcome, Refusal, Reply, full};
use crate::bounds::MAX_EXPERIMENTS;
use crate::id::check_name;
use crate::plan::{Plan, Surface};
use crate::rollout::experiment::{self, Allocation, Arm, Experiment, ExperimentState};

pub(super) fn start_experiment(
    plan: &mut Plan,
    surface: &str,
    layer: &str,
    share_basis_points: u32,
    arms: &[Arm],
    allocation: Allocation,
    now_ms: u64,
) -> Outcome {
    check_name("layer", layer).map_err(|e| Refusal::Invalid(e.to_string()))?;
    experiment::check(share_basis_points, arms, allocation).map_err(Refusal::Invalid)?;
    for arm in arms {
        if plan.ensemble_named(&arm.ensemble).is_none() {
            return Err(Refusal::NotFound(format!(
                "arm {:?}: {:?} is neither a stored ensemble nor a published model@version",
                arm.name, arm.ensemble
            )));
        }
    }
    match plan.surfaces.get(surface) {
        Some(Surface { rollout_id: Some(running), .. }) => {
            return Err(Refusal::FailedPrecondition(format!(
                "surface {surface:?} has a rollout running ({running}): promote it or roll it back first"
            )));
        }
        Some(Surface { ensemble: Some(_), .. }) => {}
        _ => {
            return Err(Refusal::FailedPrecondition(format!(
                "surface {surface:?} has no live model for those who take no part: start a rollout first"
            )));
        }
    }
    let running = || plan.experiments.iter().filter(|it| it.state != ExperimentState::Stopped);
    if let Some(other) = running().find(|it| it.surface == surface && it.layer != layer) {
        return Err(Refusal::FailedPrecondition(format!(
            "experiment {} runs on surface {surface:?} in layer {:?}: experiments of a surface share a layer, \
             so that nobody is in two of them",
            other.id, other.layer
        )));
    }
    let in_layer = running().filter(|it| it.layer == layer);
    let Some(from_basis_points) = experiment::free_slice(in_layer, share_basis_points) else {
        return Err(Refusal::FailedPrecondition(format!(
            "layer {layer:?} has no {share_basis_points} basis points left side by side: stop an experiment, \
             ask for less, or use another layer on another surface"
        )));
    };
    if running().count() >= MAX_EXPERIMENTS {
        return Err(full("running experiments", MAX_EXPERIMENTS));
    }
    let id = format!("{surface}-ab-{}", plan.next_rollout);
    plan.next_rollout += 1;
    let experiment = Experiment {
        id,
        surface: surface.into(),
        layer: layer.into(),
        from_basis_points,
        share_basis_points,
        arms: arms.to_vec(),
        allocation,
        state: ExperimentState::Preparing,
        started_at_ms: now_ms,
        stopped_at_ms: 0,
        reason: String::new(),
    };
    plan.experiments.push(experiment.clone());
    Ok(Reply::Experiment(Box::new(experiment)))
}

pub(super) fn change_experiment(
    plan: &mut Plan,
    experiment_id: &str,
    change: impl FnOnce(&mut Experiment) -> Result<(), Refusal>,
) -> Outcome {
    let experiment =
        plan.experiments.iter_mut().find(|it| it.id == experiment_id).ok_or_else(|| {
            Refusal::NotFound(format!(
                "there is no experiment {experiment_id:?}: list them to see the ids"
            ))
        })?;
    change(experiment)?;
    Ok(Reply::Experiment(Box::new(experiment.clone())))
}

pub(super) fn experiments_that_are_ready(plan: &Plan) -> impl Iterator<Item = Action> {
    plan.experiments
        .iter()
        .filter(|experiment| experiment.state == ExperimentState::Preparing)
        .filter(|experiment| missing_arms(plan, experiment).is_none())
        .map(|experiment| Action::AdvanceExperiment { experiment_id: experiment.id.clone() })
}

/// What keeps an experiment's arms from having traffic, in words.
pub fn missing_arms(plan: &Plan, experiment: &Experiment) -> Option<String> {
    experiment.arms.iter().find_map(|arm| plan.missing(&arm.ensemble))
}
