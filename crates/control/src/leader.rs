//! What only the leader does: it takes proposals, keeps the roster, and proposes what is due.
//!
//! Every control node runs this; it is idle where the voter does not lead. Nothing here needs to
//! survive: the leader proposes what core's pure functions say of the plan at this moment, and
//! proposing it twice, or by two nodes that both think they lead, does no harm.

use crate::bundles::delete_bundle;
use crate::clock::{Monotonic, wall_ms};
use crate::consensus::driver::Consensus;
use crate::consensus::event::{Refused, VoterStatus};
use crate::duties::{LeaderDuties, judgement};
use crate::roster::ReportNews;
use marquee_bundle::BundleRoots;
use marquee_core::audit::Actor;
use marquee_core::command::{Action, Command, CommandOutcome, Reply};
use marquee_core::plan::retention::{bundles_to_delete, retired};
use marquee_core::plan::{AnswerSecret, Plan, SECRET_BYTES};
use marquee_core::rollout::judge::AllEvidence;
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
    duties: Mutex<LeaderDuties>,
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
        let (duties, clock) = (Mutex::default(), Monotonic::start());
        Self { consensus, plan, evidence, duties, clock, bundle_roots }
    }

    fn duties(&self) -> MutexGuard<'_, LeaderDuties> {
        // Sums of counts, and times that are updated in one insert: at worst a panic elsewhere leaves one window half added.
        self.duties.lock().unwrap_or_else(PoisonError::into_inner)
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
            let mut duties = self.duties();
            duties.lead(status.term);
            match duties.take_report(&plan, command, self.clock.ms()) {
                ReportNews::Unchanged => return Ok(Ok(Reply::Done)),
                ReportNews::Refused(refusal) => return Ok(Err(refusal)),
                ReportNews::Changed => {}
            }
        }
        self.commit(command).await
    }

    /// Adds what a router has measured. Refused when this node does not lead.
    pub(crate) fn observe(&self, measured: &(Scope, u32), window: &Window) -> Result<(), Refused> {
        let status = self.status();
        if !status.leads() {
            let leader = Some(status.leader).filter(|&leader| leader != 0);
            return Err(Refused::NotLeader { leader });
        }
        let mut duties = self.duties();
        duties.lead(status.term);
        duties.observe(&self.plan.borrow(), measured, window, self.clock.ms());
        Ok(())
    }

    /// Judges what was measured, and commits the judgements.
    async fn judge_rollout(&self) {
        let due_windows = self.duties().take_due_windows(self.clock.ms());
        for (measured, window) in due_windows {
            let (plan, evidence) = (self.plan.borrow().clone(), self.evidence.borrow().clone());
            let known = evidence.get(&measured.0);
            let Some(action) = judgement(&plan, known, &measured, &window) else { continue };
            let command = duty(wall_ms(), action);
            if let Err(refused) = self.commit(&command).await {
                tracing::debug!(%refused, "a judgement must wait");
                self.duties().keep_window(measured, &window, self.clock.ms());
            }
        }
    }

    /// Commits the traffic of surfaces. A window that cannot be committed is dropped: the next one comes
    /// soon.
    async fn record_traffic(&self) {
        let traffic = self.duties().take_traffic(self.clock.ms(), wall_ms());
        let Some(action) = traffic else { return };
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
                self.duties().retire();
                continue;
            }
            self.judge_rollout().await;
            self.record_traffic().await;
            let now = plan.borrow_and_update().clone();
            for action in self.due(&now, term) {
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

    fn due(&self, plan: &Plan, term: u64) -> Vec<Action> {
        let evidence = self.evidence.borrow().clone();
        let mut duties = self.duties();
        duties.lead(term);
        duties.due(plan, &evidence, self.clock.ms(), wall_ms(), draw_secret)
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
