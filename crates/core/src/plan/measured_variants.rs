//! What is measured on a surface: the variants of its answers.

use super::contents::Plan;
use crate::rollout::experiment::Experiment;
use crate::rollout::traffic::LIVE;
use crate::rollout::window::Scope;

/// The surface that a scope is measured on, and the names of its variants, one for each arm; none if the plan
/// does not know the scope.
pub fn measured_variants<'a>(plan: &'a Plan, scope: &'a Scope) -> Option<(&'a str, Vec<&'a str>)> {
    match scope {
        Scope::Surface(name) => {
            plan.surfaces.contains_key(name).then(|| (name.as_str(), vec![LIVE]))
        }
        Scope::Trial(id) => match (plan.rollout(id), plan.experiment(id)) {
            (Some(rollout), _) => Some((&rollout.surface, vec!["baseline", "candidate"])),
            (None, Some(Experiment { surface, arms, .. })) => {
                Some((surface, arms.iter().map(|arm| arm.name.as_str()).collect()))
            }
            (None, None) => None,
        },
    }
}
