//! Commands that delete what nothing needs: ensembles and published versions.
//!
//! What is needed is refused with the name of what needs it. A plan that was in order stays so: every name in it leads to
//! something. The number that a model's next version gets stays, also when all versions are gone: numbers are in ids,
//! logs and reports, and must not come to mean another bundle.

use super::error::CommandError;
use super::reply::Reply;
use crate::ensemble::EnsembleNode;
use crate::id::{ModelVersion, check_name};
use crate::plan::Plan;
use crate::plan::retention::kept_by_policy;
use crate::rollout::experiment::ExperimentState;

/// Something of the plan that names an ensemble, and what to do before the ensemble can be deleted.
struct EnsembleUser<'a> {
    /// The ensemble that it names: a stored one or `model@version`.
    ensemble: &'a str,
    /// What it is.
    name: String,
    /// What to do first.
    instead: &'static str,
}

/// Forgets a stored ensemble.
pub(super) fn delete_ensemble(plan: &mut Plan, name: &str) -> Result<Reply, CommandError> {
    check_name("name", name)?;
    if !plan.ensembles.contains_key(name) {
        return Err(CommandError::UnknownEnsemble { name: name.into() });
    }
    let in_use = |user: String, instead| {
        let what = format!("ensemble {name:?}");
        Err(CommandError::InUse { what, user, instead })
    };
    if let Some(user) = users_of_ensembles(plan).into_iter().find(|user| user.ensemble == name) {
        return in_use(user.name, user.instead);
    }
    let referring = plan.ensembles.iter().find(|(_, root)| refers_to(root, name));
    if let Some((other, _)) = referring {
        return in_use(format!("ensemble {other:?}"), "delete that one first");
    }
    plan.ensembles.remove(name);
    Ok(Reply::Done)
}

/// Forgets one version of a model, or all of them: either every one of them can go, or none goes.
pub(super) fn delete_model(
    plan: &mut Plan,
    model: &str,
    version: Option<u64>,
    now_ms: u64,
) -> Result<Reply, CommandError> {
    check_name("model", model)?;
    let of_model = plan.versions.keys().filter(|known| known.model == model);
    let doomed: Vec<ModelVersion> = of_model
        .filter(|known| version.is_none_or(|number| known.version == number))
        .cloned()
        .collect();
    if doomed.is_empty() {
        return Err(match version {
            Some(number) => {
                CommandError::UnknownVersion { version: ModelVersion::new(model, number) }
            }
            None => CommandError::UnknownModel { model: model.into() },
        });
    }
    let retained = kept_by_policy(plan, model, now_ms);
    for one in &doomed {
        if let Some((user, instead)) = user_of_version(plan, one) {
            return Err(CommandError::InUse { what: one.to_string(), user, instead });
        }
        if retained.contains(one) {
            return Err(CommandError::Retained { version: one.clone() });
        }
    }
    for one in &doomed {
        plan.versions.remove(one);
    }
    Ok(Reply::Deleted(doomed))
}

/// What needs a version, and what to do before it can be deleted; none if nothing does.
fn user_of_version(plan: &Plan, version: &ModelVersion) -> Option<(String, &'static str)> {
    let users = users_of_ensembles(plan);
    let user = users.into_iter().find(|user| plan.versions_of(user.ensemble).contains(version));
    if let Some(EnsembleUser { name, instead, .. }) = user {
        return Some((name, instead));
    }
    if let Some(name) = plan.ensembles.keys().find(|name| plan.versions_of(name).contains(version))
    {
        return Some((format!("ensemble {name:?}"), "delete that one first"));
    }
    let waits = plan.surfaces.iter().find(|(_, surface)| {
        surface.automatic.as_ref().is_some_and(|it| it.pending.as_ref() == Some(version))
    });
    waits.map(|(name, _)| {
        let user = format!("the automatic rollouts of surface {name:?}, where it is next");
        (user, "stop them first, or let its rollout end")
    })
}

/// All that names ensembles, but other ensembles.
fn users_of_ensembles(plan: &Plan) -> Vec<EnsembleUser<'_>> {
    let mut users = Vec::new();
    for (name, surface) in &plan.surfaces {
        let live = surface.ensemble.iter().map(|ensemble| EnsembleUser {
            ensemble,
            name: format!("surface {name:?}, where it is live"),
            instead: "move its traffic to another ensemble first",
        });
        let before = surface.previous.iter().map(|ensemble| EnsembleUser {
            ensemble,
            name: format!("surface {name:?}, where it was live before"),
            instead: "it is kept for the way back: it can go once another rollout was promoted there",
        });
        users.extend(live.chain(before));
    }
    for rollout in plan.rollouts.iter().filter(|rollout| !rollout.state.is_over()) {
        let named = rollout.baseline.iter().chain([&rollout.candidate]);
        users.extend(named.map(|ensemble| EnsembleUser {
            ensemble,
            name: format!("rollout {}", rollout.id),
            instead: "end it first, with its holdout and its watch",
        }));
    }
    for experiment in plan.experiments.iter().filter(|it| it.state != ExperimentState::Stopped) {
        users.extend(experiment.arms.iter().map(|arm| EnsembleUser {
            ensemble: &arm.ensemble,
            name: format!("experiment {}", experiment.id),
            instead: "stop it first",
        }));
    }
    users
}

/// Whether an ensemble has a reference to another one.
fn refers_to(root: &EnsembleNode, name: &str) -> bool {
    let mut found = false;
    root.visit(&mut |node| {
        if let EnsembleNode::Reference(other) = node {
            found |= other == name;
        }
    });
    found
}
