//! What only the leader does: take proposals in, keep the roster, and propose what is due.
//!
//! Every control node runs this; it is idle where the voter does not lead. Nothing here needs to
//! survive: the steward proposes what core's pure functions say of the plan at this moment, and
//! proposing it twice, or by two nodes that both think they lead, does no harm.

use crate::clock::{Monotonic, wall_ms};
use crate::consensus::driver::Consensus;
use crate::consensus::event::{Refused, VoterStatus};
use crate::roster::{News, Roster};
use crate::windows::{Measured, Windows};
use marquee_core::command::{Action, AllEvidence, Command, Outcome, Reply, due};
use marquee_core::judge::judge;
use marquee_core::plan::Plan;
use marquee_core::telemetry::Window;
use marquee_proto::convert_raft::{command_to_pb, outcome_from_pb};
use marquee_proto::raft::v1 as pb;
use prost::Message as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// How often the leader looks whether something is due: rollouts hold for seconds.
const STEWARD_TICK: Duration = Duration::from_millis(100);

/// The leader's part of a control node, whether it leads or not.
pub(crate) struct Leader {
    consensus: Consensus,
    plan: watch::Receiver<Arc<Plan>>,
    evidence: watch::Receiver<Arc<AllEvidence>>,
    roster: Mutex<Roster>,
    windows: Mutex<Windows>,
    clock: Monotonic,
}

impl Leader {
    pub(crate) fn new(
        consensus: Consensus,
        plan: watch::Receiver<Arc<Plan>>,
        evidence: watch::Receiver<Arc<AllEvidence>>,
    ) -> Self {
        let (roster, windows) = (Mutex::default(), Mutex::default());
        Self { consensus, plan, evidence, roster, windows, clock: Monotonic::start() }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        // It is replaced as a whole or updated in one insert: no panic leaves it half done.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        // Sums of counts: at worst a panic elsewhere leaves one window half added.
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> VoterStatus {
        *self.consensus.status().borrow()
    }

    /// Commits a command and waits for what it comes to. Refuses when this node does not lead.
    pub(crate) async fn accept(&self, command: &Command) -> Result<Outcome, Refused> {
        let status = self.status();
        if !status.leads() {
            let leader = Some(status.leader).filter(|&leader| leader != 0);
            return Err(Refused::NotLeader { leader });
        }
        if matches!(command.action, Action::ReportNode { .. }) {
            let plan = self.plan.borrow().clone();
            let mut roster = self.roster();
            roster.lead(status.term);
            match roster.hear(&plan, command, self.clock.ms()) {
                News::None => return Ok(Ok(Reply::Done)),
                News::Refused(refusal) => return Ok(Err(refusal)),
                News::Some => {}
            }
        }
        self.commit(command).await
    }

    /// Takes in what a router has measured. Refuses when this node does not lead.
    pub(crate) fn observe(&self, measured: Measured, window: &Window) -> Result<(), Refused> {
        let status = self.status();
        if !status.leads() {
            let leader = Some(status.leader).filter(|&leader| leader != 0);
            return Err(Refused::NotLeader { leader });
        }
        let mut windows = self.windows();
        windows.lead(status.term);
        windows.hear(&self.plan.borrow(), measured, window, self.clock.ms());
        Ok(())
    }

    /// Has what was measured judged and committed.
    async fn judge(&self) {
        let ripe = self.windows().ripe(self.clock.ms());
        for (measured, window) in ripe {
            let (rollout_id, weight_basis_points) = measured.clone();
            let (plan, evidence) = (self.plan.borrow().clone(), self.evidence.borrow().clone());
            let Some(rollout) = plan.rollout(&rollout_id) else { continue };
            if rollout.state.is_over() {
                continue;
            }
            let known = evidence.get(&rollout_id).cloned().unwrap_or_default();
            let judgement = judge(rollout, &known, weight_basis_points, &window);
            let action = Action::JudgeRollout {
                rollout_id,
                number: known.windows + 1,
                weight_basis_points,
                window: Box::new(window.clone()),
                judgement: Box::new(judgement),
            };
            let command = Command { request_id: String::new(), now_ms: wall_ms(), action };
            if let Err(refused) = self.commit(&command).await {
                tracing::debug!(%refused, "a judgement must wait");
                self.windows().keep(measured, window, self.clock.ms());
            }
        }
    }

    async fn commit(&self, command: &Command) -> Result<Outcome, Refused> {
        let (index, bytes) = self.consensus.propose(command_to_pb(command).encode_to_vec()).await?;
        let outcome = pb::Outcome::decode(bytes.as_slice()).map_err(|e| e.to_string());
        let outcome =
            outcome.and_then(|outcome| outcome_from_pb(outcome).map_err(|e| e.to_string()));
        outcome.map_err(|why| {
            Refused::Stopped(format!("the outcome of entry {index} is unreadable: {why}"))
        })
    }

    /// Does the leader's duties for as long as the node runs.
    pub(crate) async fn steward(self: Arc<Self>) {
        let mut plan = self.plan.clone();
        let mut status = self.consensus.status();
        let mut tick = tokio::time::interval(STEWARD_TICK);
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
            self.judge().await;
            let now = plan.borrow_and_update().clone();
            for action in self.duties(&now, term) {
                let command = Command { request_id: String::new(), now_ms: wall_ms(), action };
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
        let silent = roster.silent(plan, self.clock.ms()).into_iter().map(|node_id| {
            tracing::warn!(node_id, "a node does not report");
            Action::SetNodeAlive { node_id, alive: false }
        });
        silent.chain(due(plan, &self.evidence.borrow(), wall_ms())).collect()
    }
}
