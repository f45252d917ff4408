//! The replicated state machine of control: core's [`State`], its encoding, and the plan it shows.

use crate::audit_file::AuditFile;
use crate::machine::{Machine, MachineError};
use marquee_core::command::State;
use marquee_core::plan::Plan;
use marquee_core::rollout::judge::AllEvidence;
use marquee_core::rollout::traffic::AllTraffic;
use marquee_proto::convert::command::command_from_pb;
use marquee_proto::convert::outcome::outcome_to_pb;
use marquee_proto::convert::state::{state_from_pb, state_to_pb};
use marquee_proto::raft::v1 as pb;
use prost::Message as _;
use std::sync::Arc;
use tokio::sync::watch;

/// Where a machine shows what it has become.
#[derive(Clone)]
pub(crate) struct Shown {
    /// The plan, to all who follow it.
    pub(crate) plan: Arc<watch::Sender<Arc<Plan>>>,
    /// What was measured, to this node's services and to the leader's judge.
    pub(crate) evidence: Arc<watch::Sender<Arc<AllEvidence>>>,
    /// What answers were like, to this node's services.
    pub(crate) traffic: Arc<watch::Sender<Arc<AllTraffic>>>,
    /// Who changed what, to this voter's disk.
    pub(crate) audit: Arc<AuditFile>,
}

/// Commands change the state; the plan and the evidence in it are shown to all who watch.
pub(crate) struct PlanMachine {
    state: State,
    shown: Shown,
}

impl PlanMachine {
    /// An empty cluster that shows its plans to `shown`.
    pub(crate) fn new(replication_factor: u32, shown: Shown) -> Self {
        Self { state: State::new(replication_factor), shown }
    }

    /// The snapshot that all founding voters begin with.
    pub(crate) fn genesis(replication_factor: u32) -> Vec<u8> {
        state_to_pb(&State::new(replication_factor)).encode_to_vec()
    }
}

/// Shows a value if it is another one than before.
fn show<T: Clone + PartialEq>(sender: &watch::Sender<Arc<T>>, now: &T) {
    sender.send_if_modified(|shown| {
        let is_new = **shown != *now;
        if is_new {
            *shown = Arc::new(now.clone());
        }
        is_new
    });
}

fn parse(snapshot: &[u8]) -> Result<State, MachineError> {
    let decoded = pb::State::decode(snapshot).map_err(|e| MachineError(e.to_string()))?;
    state_from_pb(decoded).map_err(|e| MachineError(e.to_string()))
}

impl Machine for PlanMachine {
    fn apply(&mut self, index: u64, command: &[u8]) -> Result<Vec<u8>, MachineError> {
        let decoded = pb::Command::decode(command).map_err(|e| MachineError(e.to_string()))?;
        let command = command_from_pb(decoded).map_err(|e| MachineError(e.to_string()))?;
        let outcome = self.state.apply(index, &command);
        Ok(outcome_to_pb(&outcome).encode_to_vec())
    }

    fn snapshot(&self) -> Vec<u8> {
        state_to_pb(&self.state).encode_to_vec()
    }

    fn check(&self, snapshot: &[u8]) -> Result<(), MachineError> {
        parse(snapshot).map(drop)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), MachineError> {
        self.state = parse(snapshot)?;
        Ok(())
    }

    fn batch_applied(&mut self) {
        let State { plan, evidence, traffic, audit, outcomes: _ } = &self.state;
        // Before anyone sees the change.
        self.shown.audit.catch_up(audit);
        show(&self.shown.evidence, evidence);
        show(&self.shown.traffic, traffic);
        // A voter that was opened again from its disk catches up from behind what it has shown.
        self.shown.plan.send_if_modified(|shown| {
            let newer = plan.epoch > shown.epoch;
            if newer {
                *shown = Arc::new(plan.clone());
            }
            newer
        });
    }
}
