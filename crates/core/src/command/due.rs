//! What the leader should propose, and what rollouts wait for.

use super::action::Action;
use super::experiments::loaded_experiments;
use crate::plan::Plan;
use crate::plan::retention::retired;
use crate::planted::{PlantedBug, is_planted};
use crate::rollout::judge::{AllEvidence, clearance};
use crate::rollout::{Clearance, Rollout, RolloutState};

/// What the leader should propose at `now_ms`: to advance each rollout with something due, to begin each
/// experiment whose ensembles are loaded, and to forget versions that nothing needs.
pub fn due(plan: &Plan, evidence: &AllEvidence, now_ms: u64) -> Vec<Action> {
    let mut actions = Vec::new();
    for rollout in plan.rollouts.iter().filter(|rollout| !rollout.state.is_over()) {
        let clearance = clearance(rollout, evidence.get(&rollout.id), now_ms);
        let is_due = |is_ready| rollout.is_due(is_ready, &clearance, now_ms);
        // Whether it is loaded is looked up only where that decides.
        let may_be_due = is_due(true) || is_due(false);
        let is_loaded = || {
            is_planted(PlantedBug::CandidateNotLoaded) || plan.missing(&rollout.candidate).is_none()
        };
        if may_be_due && is_due(is_loaded()) {
            actions.push(Action::AdvanceRollout { rollout_id: rollout.id.clone() });
        }
    }
    for experiment in loaded_experiments(plan) {
        actions.push(Action::AdvanceExperiment { experiment_id: experiment.id.clone() });
    }
    if !retired(plan, now_ms).is_empty() {
        actions.push(Action::RetireVersions);
    }
    actions
}

/// Why a rollout waits at `now_ms`, in words; empty when it does not.
pub fn waiting_for(plan: &Plan, evidence: &AllEvidence, rollout: &Rollout, now_ms: u64) -> String {
    let of_plan = plan.waiting_for(rollout);
    let is_measured = matches!(
        rollout.state,
        RolloutState::Shadow | RolloutState::Interleave | RolloutState::Canary
    );
    match clearance(rollout, evidence.get(&rollout.id), now_ms) {
        Clearance::Unsettled(why) if of_plan.is_empty() => why,
        Clearance::Unsettled(why)
            if rollout.may_be_undone() && rollout.state != RolloutState::Paused =>
        {
            format!("{of_plan}, and for {why}")
        }
        Clearance::Wait(why) if of_plan.is_empty() && is_measured => why,
        _ => of_plan,
    }
}
