//! What follows from any change of the plan.

use super::rollouts::start_pending;
use super::users::drop_aged;
use crate::bounds::{MAX_EXPERIMENTS, MAX_FINISHED_ROLLOUTS};
use crate::plan::{Plan, Surface};
use crate::planted::{PlantedBug, is_planted};
use crate::rollout::RolloutState;
use crate::rollout::experiment::ExperimentState;
use std::collections::BTreeSet;

/// Brings the plan up to date after a change: surfaces follow their rollouts, pending rollouts start, shards
/// are placed, and drained nodes, old rollouts and experiments, and tombstones that aged are forgotten.
pub(super) fn apply_consequences(plan: &mut Plan, now_ms: u64) {
    follow_finished_rollouts(plan);
    plan.surfaces.retain(|_, surface| *surface != Surface::default());
    start_pending(plan, now_ms);
    let excess_experiments = plan.experiments.len().saturating_sub(MAX_EXPERIMENTS);
    forget_oldest(&mut plan.experiments, excess_experiments, |it| {
        it.state == ExperimentState::Stopped
    });
    let finished = plan.rollouts.iter().filter(|rollout| rollout.state.is_over()).count();
    let excess_rollouts = finished.saturating_sub(MAX_FINISHED_ROLLOUTS);
    forget_oldest(&mut plan.rollouts, excess_rollouts, |rollout| rollout.state.is_over());
    plan.place_live_versions();
    forget_drained_nodes(plan);
    drop_aged(plan, now_ms);
}

/// A surface whose rollout is over has none any more, and serves the candidate if it was promoted.
fn follow_finished_rollouts(plan: &mut Plan) {
    for (name, surface) in &mut plan.surfaces {
        let over = plan
            .rollouts
            .iter()
            .find(|rollout| Some(&rollout.id) == surface.rollout_id.as_ref())
            .filter(|rollout| rollout.state.is_over());
        if let Some(rollout) = over {
            debug_assert_eq!(&rollout.surface, name);
            if rollout.state == RolloutState::Promoted || is_planted(PlantedBug::RollbackPromotes) {
                surface.previous = surface.ensemble.replace(rollout.candidate.clone());
            }
            surface.rollout_id = None;
        }
    }
}

/// Drops the first `how_many` of a list that are over.
fn forget_oldest<T>(list: &mut Vec<T>, mut how_many: usize, is_over: impl Fn(&T) -> bool) {
    list.retain(|it| {
        let drop = how_many > 0 && is_over(it);
        how_many -= usize::from(drop);
        !drop
    });
}

/// Forgets draining nodes that nothing needs. A node that still reports stays known as draining: forgotten
/// too early, its next report would put it back to work.
fn forget_drained_nodes(plan: &mut Plan) {
    let drained: BTreeSet<String> = plan
        .nodes
        .iter()
        .filter(|(id, node)| node.draining && !node.alive && plan.wanted_on(id).is_empty())
        .map(|(id, _)| id.clone())
        .collect();
    for id in &drained {
        plan.nodes.remove(id);
        forget_replicas_on(plan, id);
    }
}

/// Takes all replicas on a node out of the plan.
pub(super) fn forget_replicas_on(plan: &mut Plan, node_id: &str) {
    for published in plan.versions.values_mut() {
        for placement in &mut published.placements {
            placement.replicas.remove(node_id);
        }
    }
}
