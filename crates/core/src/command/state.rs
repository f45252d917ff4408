//! What control nodes replicate, and how a command changes it.

use super::action::{Action, Command};
use super::consequences::apply_consequences;
use super::describe::describe;
use super::due::due;
use super::error::CommandError;
use super::reply::{CommandOutcome, Reply};
use super::{deletion, experiments, models, nodes, notifications, rollouts, surfaces, users};
use crate::audit::AuditTrail;
use crate::bounds::{MAX_EVIDENCE_OF_FINISHED, MAX_RECORDED_OF_FINISHED, MAX_REMEMBERED_REQUESTS};
use crate::notification::{self, AllTold};
use crate::plan::Plan;
use crate::planted::{PlantedBug, is_planted};
use crate::rollout::experiment::ExperimentState;
use crate::rollout::judge::AllEvidence;
use crate::rollout::traffic::AllTraffic;
use std::collections::{BTreeSet, VecDeque};

/// What control nodes replicate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// What all nodes follow.
    pub plan: Plan,
    /// Outcomes by request id, oldest first, at most [`MAX_REMEMBERED_REQUESTS`].
    pub outcomes: VecDeque<(String, CommandOutcome)>,
    /// What was measured of rollouts and experiments. It is no part of the plan, which would otherwise have a
    /// new epoch for every window.
    pub evidence: AllEvidence,
    /// What the answers on each surface were like in the last minutes.
    pub traffic: AllTraffic,
    /// How far those who are told of rollouts have been told.
    pub told: AllTold,
    /// Who changed what: the newest entries, and how far the chain is.
    pub audit: AuditTrail,
}

impl State {
    /// An empty cluster that wants `replication_factor` replicas of each shard.
    pub fn new(replication_factor: u32) -> Self {
        let plan = Plan {
            replication_factor: replication_factor.max(1),
            next_rollout: 1,
            ..Plan::default()
        };
        Self { plan, ..Self::default() }
    }

    /// A state with this plan and nothing else: for trying a command out.
    pub fn of_plan(plan: Plan) -> Self {
        Self { plan, ..Self::default() }
    }

    /// Applies the command at raft index `index`. A refused command changes nothing.
    pub fn apply(&mut self, index: u64, command: &Command) -> CommandOutcome {
        let Command { request_id, now_ms, actor, action } = command;
        let before = self.outcomes.iter().find(|(id, _)| id == request_id && !id.is_empty());
        if let Some((_, outcome)) = before
            && !is_planted(PlantedBug::RequestIdForgotten)
        {
            return outcome.clone();
        }
        let epoch_before = self.plan.epoch;
        let mut plan = self.plan.clone();
        let acted = apply_action(&mut plan, self, action, *now_ms);
        if acted.is_ok() {
            apply_consequences(&mut plan, *now_ms);
            if plan != self.plan {
                if !is_planted(PlantedBug::EpochNotRaised) || index.is_multiple_of(2) {
                    plan.epoch = index;
                }
                self.plan = plan;
                self.forget_evidence();
                notification::forget(&self.plan, &mut self.told);
                self.traffic.retain(|surface, _| self.plan.surfaces.contains_key(surface));
            }
        }
        let outcome: CommandOutcome = acted.map_err(Into::into);
        let epochs = (epoch_before, self.plan.epoch);
        if epochs.0 != epochs.1 || !request_id.is_empty() {
            let came_to = match &outcome {
                Ok(_) => "done".to_owned(),
                Err(refusal) => format!("refused: {}", refusal.message),
            };
            self.audit.add(*now_ms, actor.clone(), describe(action), epochs, came_to);
        }
        if !request_id.is_empty() {
            if self.outcomes.len() == MAX_REMEMBERED_REQUESTS {
                self.outcomes.pop_front();
            }
            self.outcomes.push_back((request_id.clone(), outcome.clone()));
        }
        outcome
    }

    /// Forgets the evidence of rollouts and experiments that the plan has forgotten, and of all but the
    /// newest that are over.
    fn forget_evidence(&mut self) {
        let Self { plan, evidence, .. } = self;
        let finished_rollouts: Vec<&str> = plan
            .rollouts
            .iter()
            .filter(|rollout| rollout.state.is_over() && evidence.contains_key(&rollout.id))
            .map(|rollout| rollout.id.as_str())
            .collect();
        let stopped_experiments: Vec<&str> = plan
            .experiments
            .iter()
            .filter(|it| it.state == ExperimentState::Stopped && evidence.contains_key(&it.id))
            .map(|it| it.id.as_str())
            .collect();
        let mut too_old = BTreeSet::new();
        for finished in [finished_rollouts, stopped_experiments] {
            let excess = finished.len().saturating_sub(MAX_EVIDENCE_OF_FINISHED);
            too_old.extend(finished[..excess].iter().map(|id| (*id).to_owned()));
        }
        evidence.retain(|id, _| {
            let is_known = plan.rollout(id).is_some() || plan.experiment(id).is_some();
            is_known && !too_old.contains(id)
        });
        let finished = plan.rollouts.iter().filter(|rollout| rollout.state.is_over());
        for rollout in finished.rev().skip(MAX_RECORDED_OF_FINISHED) {
            if let Some(of_rollout) = evidence.get_mut(&rollout.id) {
                of_rollout.recorded.clear();
            }
        }
    }

    /// What the leader should propose at `now_ms`; see [`due`].
    pub fn due(&self, now_ms: u64) -> Vec<Action> {
        due(&self.plan, &self.evidence, now_ms)
    }
}

/// Does what an action says. An action that is refused may leave `plan` half changed; the caller drops it
/// then.
fn apply_action(
    plan: &mut Plan,
    state: &mut State,
    action: &Action,
    now_ms: u64,
) -> Result<Reply, CommandError> {
    let State { evidence, traffic, told, .. } = state;
    match action {
        Action::PublishVersion { model, version, allow_older } => {
            models::publish(plan, model, version, *allow_older, now_ms)
        }
        Action::PutEnsemble { name, root } => models::put_ensemble(plan, name, root),
        Action::DeleteEnsemble { name } => deletion::delete_ensemble(plan, name),
        Action::DeleteModel { model, version } => {
            deletion::delete_model(plan, model, *version, now_ms)
        }
        Action::SetRetention { model, retention } => models::set_retention(plan, model, *retention),
        Action::RetireVersions => Ok(models::retire_versions(plan, now_ms)),
        Action::StartRollout { surface, candidate, steps, terms } => {
            rollouts::start(plan, surface, candidate, steps, terms, now_ms)
        }
        Action::MoveRollout { rollout_id, requested, reason } => {
            rollouts::apply_move(plan, evidence, rollout_id, *requested, reason, now_ms)
        }
        Action::AdvanceRollout { rollout_id } => {
            rollouts::advance(plan, evidence, rollout_id, now_ms)
        }
        Action::JudgeRollout { rollout_id, number, weight_basis_points, window, judgement } => {
            let weight = *weight_basis_points;
            rollouts::apply_judgement(
                plan, evidence, rollout_id, *number, weight, window, judgement, now_ms,
            )
        }
        Action::AnswerQuestion { rollout_id, gate, number, asked_at_ms, answer } => {
            let (number, asked_at_ms) = (*number, *asked_at_ms);
            rollouts::answer_question(
                plan,
                evidence,
                rollout_id,
                gate,
                number,
                asked_at_ms,
                answer,
                now_ms,
            )
        }
        Action::SetNotificationTargets { targets } => {
            notifications::set_targets(plan, told, targets)
        }
        Action::ConfirmNotification { target, rollout_id, number, dropped } => {
            notification::confirm(told, target, rollout_id, *number, *dropped);
            Ok(Reply::Done)
        }
        Action::SetAutomaticRollout { surface, automatic } => {
            rollouts::set_automatic(plan, surface, automatic.as_ref())
        }
        Action::StartExperiment { surface, layer, share_basis_points, arms } => {
            let share = *share_basis_points;
            experiments::start(plan, surface, layer, share, arms, now_ms)
        }
        Action::AdvanceExperiment { experiment_id } => experiments::advance(plan, experiment_id),
        Action::StopExperiment { experiment_id, reason } => {
            experiments::stop(plan, experiment_id, reason, now_ms)
        }
        Action::ObserveExperiment { experiment_id, number, window } => {
            experiments::observe(plan, evidence, experiment_id, *number, window, now_ms)
        }
        Action::AddAnswerKey { secret } => {
            plan.answer_keys.add(secret.clone(), now_ms);
            Ok(Reply::Done)
        }
        Action::AddUserKey { secret } => {
            plan.privacy.add(secret.clone(), now_ms);
            Ok(Reply::Done)
        }
        Action::ForgetUser { user } => users::forget(plan, *user, now_ms),
        Action::RecordTraffic { surfaces } => Ok(surfaces::record_traffic(plan, traffic, surfaces)),
        Action::ChangeDenyList { surface, clear, remove, add } => {
            surfaces::change_deny_list(plan, surface, *clear, remove, add)
        }
        Action::SetSegments { surface, attributes } => {
            surfaces::set_segments(plan, surface, attributes)
        }
        Action::ReportNode { node_id, node, replicas } => {
            nodes::report(plan, node_id, node, replicas)
        }
        Action::SetNodeAlive { node_id, alive } => nodes::set_alive(plan, node_id, *alive),
        Action::AddNode { node_id, node } => nodes::add(plan, node_id, node),
        Action::RemoveNode { node_id } => nodes::remove(plan, node_id, now_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Actor, ChainPosition, check_chain};
    use crate::plan::{Node, Role};

    #[test]
    fn each_change_and_each_refusal_is_one_entry_and_a_retry_is_none() {
        let actor = |name: &str| Actor { name: name.into(), ..Actor::default() };
        let add = |name: &str| Action::AddNode {
            node_id: "shard-1".into(),
            node: Node {
                address: format!("http://{name}:1"),
                roles: [Role::Shard].into(),
                draining: false,
                memory_budget_bytes: 0,
                alive: false,
            },
        };
        let remove = || Action::RemoveNode { node_id: "unknown".into() };
        let mut state = State::new(1);
        let mut index = 0;
        for (request_id, by, action) in [
            ("a", "alice", add("x")),
            ("a", "alice", add("x")),
            ("b", "bob", remove()),
            // Nothing is due, and no operator asked.
            ("", "leader", Action::RetireVersions),
            ("", "leader", Action::SetNodeAlive { node_id: "shard-1".into(), alive: true }),
        ] {
            index += 1;
            let request_id = request_id.to_owned();
            let command = Command { request_id, now_ms: index, actor: actor(by), action };
            state.apply(index, &command).ok();
        }
        let found: Vec<_> = state
            .audit
            .entries
            .iter()
            .map(|it| {
                (it.actor.name.as_str(), it.epoch_before, it.epoch_after, it.outcome.as_str())
            })
            .collect();
        let refused = found.get(1).map_or("", |entry| entry.3);
        assert!(refused.starts_with("refused: ") && refused.contains("unknown"), "{refused}");
        assert_eq!(
            found,
            [("alice", 0, 1, "done"), ("bob", 1, 1, refused), ("leader", 1, 5, "done")]
        );
        let end = state.audit.entries.iter().try_fold(ChainPosition::default(), check_chain);
        assert_eq!(end, Ok(state.audit.head));
    }
}
