//! What only the leader does: it takes proposals, keeps the roster, and proposes what is due.
//!
//! Every control node runs this; it is idle where the voter does not lead. Nothing here needs to
//! survive: the leader proposes what core's pure functions say of the plan at this moment, and
//! proposing it twice, or by two nodes that both think they lead, does no harm.

use crate::bundles::delete_bundle;
use crate::clock::{Monotonic, wall_ms};
use crate::consensus::driver::Consensus;
use crate::consensus::event::{Refused, VoterStatus};
use crate::roster::{ReportNews, Roster};
use crate::windows::{Measured, Windows};
use marquee_bundle::BundleRoots;
use marquee_core::audit::Actor;
use marquee_core::command::{Action, Command, CommandOutcome, Reply, due};
use marquee_core::plan::retention::{bundles_to_delete, retired};
use marquee_core::plan::{AnswerSecret, Plan, SECRET_BYTES};
use marquee_core::rollout::experiment::ExperimentState;
use marquee_core::rollout::judge::{AllEvidence, Evidence, judge_rollout};
use marquee_core::rollout::window::{Scope, Window};
use marquee_proto::convert::command::command_to_pb;
use marquee_proto::convert::outcome::outcome_from_pb;
use marquee_proto::raft::v1 as pb;
use prost::Message as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// How often the leader looks whether something is due: rollouts hold for seconds.
const DUTIES_TICK: Duration = Duration::from_millis(100);

/// The leader's part of a control node, whether it leads or not.
pub(crate) struct Leader {
    consensus: Consensus,
    plan: watch::Receiver<Arc<Plan>>,
    evidence: watch::Receiver<Arc<AllEvidence>>,
    roster: Mutex<Roster>,
    windows: Mutex<Windows>,
    clock: Monotonic,
    /// Below which bundles may be deleted.
    bundle_roots: BundleRoots,
}

impl Leader {
    pub(crate) fn new(
        consensus: Consensus,
        plan: watch::Receiver<Arc<Plan>>,
        evidence: watch::Receiver<Arc<AllEvidence>>,
        bundle_roots: BundleRoots,
    ) -> Self {
        let (roster, windows) = (Mutex::default(), Mutex::default());
        let clock = Monotonic::start();
        Self { consensus, plan, evidence, roster, windows, clock, bundle_roots }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        // It is replaced as a whole or updated in one insert: no panic leaves it half done.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        // Sums of counts: at worst a panic elsewhere leaves one window half added.
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this node leads now.
    pub(crate) fn leads(&self) -> bool {
        self.status().leads()
    }

    fn status(&self) -> VoterStatus {
        *self.consensus.status().borrow()
    }

    /// Commits a command and waits for its outcome. Refused when this node does not lead.
    pub(crate) async fn accept(&self, command: &Command) -> Result<CommandOutcome, Refused> {
        let status = self.status();
        if !status.leads() {
            let leader = Some(status.leader).filter(|&leader| leader != 0);
            return Err(Refused::NotLeader { leader });
        }
        if matches!(command.action, Action::ReportNode { .. }) {
            let plan = self.plan.borrow().clone();
            let mut roster = self.roster();
            roster.lead(status.term);
            match roster.add_report(&plan, command, self.clock.ms()) {
                ReportNews::Unchanged => return Ok(Ok(Reply::Done)),
                ReportNews::Refused(refusal) => return Ok(Err(refusal)),
                ReportNews::Changed => {}
            }
        }
        self.commit(command).await
    }

    /// Adds what a router has measured. Refused when this node does not lead.
    pub(crate) fn observe(
        &self,
        (scope, weight_basis_points): &(Scope, u32),
        window: &Window,
    ) -> Result<(), Refused> {
        let status = self.status();
        if !status.leads() {
            let leader = Some(status.leader).filter(|&leader| leader != 0);
            return Err(Refused::NotLeader { leader });
        }
        let mut windows = self.windows();
        windows.lead(status.term);
        let now_ms = self.clock.ms();
        windows.add(&self.plan.borrow(), scope, *weight_basis_points, window, now_ms);
        Ok(())
    }

    /// Judges what was measured, and commits the judgements.
    async fn judge_rollout(&self) {
        let due_windows = self.windows().take_due(self.clock.ms());
        for (measured, window) in due_windows {
            let (plan, evidence) = (self.plan.borrow().clone(), self.evidence.borrow().clone());
            let known = evidence.get(&measured.0);
            let Some(action) = judgement(&plan, known, &measured, &window) else { continue };
            let command = duty(wall_ms(), action);
            if let Err(refused) = self.commit(&command).await {
                tracing::debug!(%refused, "a judgement must wait");
                self.windows().keep(measured, &window, self.clock.ms());
            }
        }
    }

    /// Commits the traffic of surfaces. A window that cannot be committed is dropped: the next one comes
    /// soon.
    async fn record_traffic(&self) {
        let traffic = self.windows().traffic(self.clock.ms(), wall_ms());
        let Some(surfaces) = traffic else { return };
        let action = Action::RecordTraffic { surfaces };
        let command = duty(wall_ms(), action);
        if let Err(refused) = self.commit(&command).await {
            tracing::debug!(%refused, "a window of traffic was dropped");
        }
    }

    /// Forgets the versions that nothing needs, and deletes their bundles if the policy says so.
    async fn retire(&self) -> Result<(), Refused> {
        let now_ms = wall_ms();
        let plan = self.plan.borrow().clone();
        let doomed = bundles_to_delete(&plan, &retired(&plan, now_ms));
        let action = Action::RetireVersions;
        self.commit(&duty(now_ms, action)).await?.ok();
        let plan = self.plan.borrow().clone();
        for (uri, digest) in doomed {
            // Published again meanwhile, or not forgotten after all.
            let needed = plan.versions.values();
            if needed.clone().all(|kept| kept.bundle_uri != uri && kept.manifest_digest != digest) {
                let (at, roots) = (uri.clone(), self.bundle_roots.clone());
                let kept: Vec<String> = needed.map(|kept| kept.bundle_uri.clone()).collect();
                let deleting = move || delete_bundle(&roots, &at, &digest, &kept);
                match tokio::task::spawn_blocking(deleting).await {
                    Ok(Ok(())) => tracing::info!(uri, "deleted a bundle that nothing needs"),
                    Ok(Err(why)) => tracing::warn!(uri, %why, "a bundle is left where it is"),
                    Err(panic) => tracing::error!(uri, %panic, "deleting a bundle"),
                }
            }
        }
        Ok(())
    }

    /// Commits a command of the leader's own and waits for its outcome.
    pub(crate) async fn commit(&self, command: &Command) -> Result<CommandOutcome, Refused> {
        let (index, bytes) = self.consensus.propose(command_to_pb(command).encode_to_vec()).await?;
        let unreadable = |why: String| {
            Refused::Stopped(format!("the outcome of entry {index} is unreadable: {why}"))
        };
        let decoded = pb::CommandOutcome::decode(bytes.as_slice())
            .map_err(|error| unreadable(error.to_string()))?;
        outcome_from_pb(decoded).map_err(|error| unreadable(error.to_string()))
    }

    /// Does the leader's duties for as long as the node runs.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut plan = self.plan.clone();
        let mut status = self.consensus.status();
        let mut tick = tokio::time::interval(DUTIES_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // An advance may make the next one due at once, so a new plan is looked at at once.
            let running = tokio::select! {
                _ = tick.tick() => true,
                changed = plan.changed() => changed.is_ok(),
                changed = status.changed() => changed.is_ok(),
            };
            if !running {
                return;
            }
            let VoterStatus { term, .. } = *status.borrow_and_update();
            if !self.status().leads() {
                self.roster().retire();
                self.windows().retire();
                continue;
            }
            self.judge_rollout().await;
            self.record_traffic().await;
            let now = plan.borrow_and_update().clone();
            for action in self.duties(&now, term) {
                if action == Action::RetireVersions {
                    if let Err(refused) = self.retire().await {
                        tracing::debug!(%refused, "retiring versions must wait");
                        break;
                    }
                    continue;
                }
                let command = duty(wall_ms(), action);
                if let Err(refused) = self.commit(&command).await {
                    tracing::debug!(%refused, action = ?command.action, "a duty must wait");
                    break;
                }
            }
        }
    }

    fn duties(&self, plan: &Plan, term: u64) -> Vec<Action> {
        let mut roster = self.roster();
        roster.lead(term);
        let unreported =
            roster.unreported_nodes(plan, self.clock.ms()).into_iter().map(|node_id| {
                tracing::warn!(node_id, "a node does not report");
                Action::SetNodeAlive { node_id, alive: false }
            });
        let now_ms = wall_ms();
        let key = plan.answer_keys.is_due(now_ms).then(draw_secret).flatten();
        let key = key.map(|secret| Action::AddAnswerKey { secret });
        let user_key = plan.privacy.is_due(now_ms).then(draw_secret).flatten();
        let user_key = user_key.map(|secret| Action::AddUserKey { secret });
        unreported
            .chain(due(plan, &self.evidence.borrow(), now_ms))
            .chain(key)
            .chain(user_key)
            .collect()
    }
}

/// A secret that nobody can guess; none where the system has no randomness to give, which is tried again.
fn draw_secret() -> Option<AnswerSecret> {
    let mut bytes = [0; SECRET_BYTES];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Some(AnswerSecret(bytes)),
        Err(error) => {
            tracing::warn!(%error, "no secret for a key could be drawn");
            None
        }
    }
}

/// A command of the leader itself. It may be applied again.
pub(crate) fn duty(now_ms: u64, action: Action) -> Command {
    Command { request_id: String::new(), now_ms, actor: Actor::leader(), action }
}

/// The action that adds a window to the evidence; none where its trial is over.
fn judgement(
    plan: &Plan,
    known: Option<&Evidence>,
    (trial, weight_basis_points): &Measured,
    window: &Window,
) -> Option<Action> {
    let nothing = Evidence::default();
    let known = known.unwrap_or(&nothing);
    let (number, window) = (known.windows + 1, Box::new(window.clone()));
    if let Some(rollout) = plan.rollout(trial).filter(|rollout| !rollout.state.is_over()) {
        let judgement = Box::new(judge_rollout(rollout, known, *weight_basis_points, &window));
        return Some(Action::JudgeRollout {
            rollout_id: trial.clone(),
            number,
            weight_basis_points: *weight_basis_points,
            window,
            judgement,
        });
    }
    let experiment = plan.experiment(trial)?;
    if experiment.state != ExperimentState::Running {
        return None;
    }
    let experiment_id = trial.clone();
    Some(Action::ObserveExperiment { experiment_id, number, window })
}
