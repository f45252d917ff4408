//! Commands on A/B tests: start, advance, observe, stop.

use super::error::CommandError;
use super::reply::Reply;
use super::rollouts::running_on;
use crate::bounds::MAX_EXPERIMENTS;
use crate::id::check_name;
use crate::plan::{Plan, Surface};
use crate::rollout::experiment::{self, Arm, Experiment, ExperimentState};
use crate::rollout::judge::AllEvidence;
use crate::rollout::window::Window;

pub(super) fn start(
    plan: &mut Plan,
    surface: &str,
    layer: &str,
    share_basis_points: u32,
    arms: &[Arm],
    now_ms: u64,
) -> Result<Reply, CommandError> {
    check_name("layer", layer)?;
    experiment::check(share_basis_points, arms)?;
    for arm in arms {
        if plan.ensemble_named(&arm.ensemble).is_none() {
            let (arm, ensemble) = (arm.name.clone(), arm.ensemble.clone());
            return Err(CommandError::UnknownArmEnsemble { arm, ensemble });
        }
    }
    match plan.surfaces.get(surface) {
        Some(Surface { rollout_id: Some(running), .. }) => {
            return Err(running_on(plan, surface, running));
        }
        Some(Surface { ensemble: Some(_), .. }) => {}
        _ => return Err(CommandError::NoLiveModel { surface: surface.into() }),
    }
    let running: Vec<&Experiment> =
        plan.experiments.iter().filter(|it| it.state != ExperimentState::Stopped).collect();
    if let Some(other) = running.iter().find(|it| it.surface == surface && it.layer != layer) {
        return Err(CommandError::OtherLayer {
            surface: surface.into(),
            experiment_id: other.id.clone(),
            layer: other.layer.clone(),
        });
    }
    let in_layer = running.iter().copied().filter(|it| it.layer == layer);
    let Some(from_basis_points) = experiment::free_slice(in_layer, share_basis_points) else {
        return Err(CommandError::LayerFull { layer: layer.into(), share_basis_points });
    };
    if running.len() >= MAX_EXPERIMENTS {
        return Err(CommandError::Full { what: "running experiments", bound: MAX_EXPERIMENTS });
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
        state: ExperimentState::Preparing,
        started_at_ms: now_ms,
        stopped_at_ms: 0,
        reason: String::new(),
    };
    plan.experiments.push(experiment.clone());
    Ok(Reply::Experiment(Box::new(experiment)))
}

/// Lets an experiment run once its ensembles are loaded.
pub(super) fn advance(plan: &mut Plan, experiment_id: &str) -> Result<Reply, CommandError> {
    let at = position(plan, experiment_id)?;
    let is_loaded = missing_arms(plan, &plan.experiments[at]).is_none();
    let experiment = &mut plan.experiments[at];
    if experiment.state == ExperimentState::Preparing && is_loaded {
        experiment.state = ExperimentState::Running;
    }
    Ok(Reply::Experiment(Box::new(experiment.clone())))
}

pub(super) fn stop(
    plan: &mut Plan,
    experiment_id: &str,
    reason: &str,
    now_ms: u64,
) -> Result<Reply, CommandError> {
    let at = position(plan, experiment_id)?;
    let experiment = &mut plan.experiments[at];
    if experiment.state == ExperimentState::Stopped {
        return Err(CommandError::ExperimentOver { experiment_id: experiment_id.into() });
    }
    experiment.state = ExperimentState::Stopped;
    experiment.stopped_at_ms = now_ms;
    experiment.reason = reason.into();
    Ok(Reply::Experiment(Box::new(experiment.clone())))
}

/// Adds window `number` to the evidence. A window that is not the next one changes nothing.
pub(super) fn observe(
    plan: &Plan,
    evidence: &mut AllEvidence,
    experiment_id: &str,
    number: u64,
    window: &Window,
    now_ms: u64,
) -> Result<Reply, CommandError> {
    let at = position(plan, experiment_id)?;
    let experiment = &plan.experiments[at];
    let known_windows = evidence.get(experiment_id).map_or(0, |evidence| evidence.windows);
    if experiment.state != ExperimentState::Stopped && number == known_windows + 1 {
        let of_experiment = evidence.entry(experiment_id.into()).or_default();
        let last = experiment.arms.last().map_or(0, |arm| arm.weight_basis_points);
        of_experiment.absorb_experiment(last, window);
        of_experiment.windows = number;
        of_experiment.judged_at_ms = now_ms;
    }
    Ok(Reply::Experiment(Box::new(experiment.clone())))
}

/// The experiments that are being prepared and whose ensembles are loaded.
pub(super) fn loaded_experiments(plan: &Plan) -> impl Iterator<Item = &Experiment> {
    plan.experiments
        .iter()
        .filter(|experiment| experiment.state == ExperimentState::Preparing)
        .filter(|experiment| missing_arms(plan, experiment).is_none())
}

/// What keeps an experiment's arms from having traffic, in words.
pub fn missing_arms(plan: &Plan, experiment: &Experiment) -> Option<String> {
    experiment.arms.iter().find_map(|arm| plan.missing(&arm.ensemble))
}

fn position(plan: &Plan, experiment_id: &str) -> Result<usize, CommandError> {
    plan.experiments
        .iter()
        .position(|it| it.id == experiment_id)
        .ok_or_else(|| CommandError::UnknownExperiment { experiment_id: experiment_id.into() })
}
