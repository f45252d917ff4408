//! The replicated state machine of control: core's [`State`], its encoding, and the plan it shows.

use crate::audit_file::AuditFile;
use crate::machine::{Machine, MachineError};
use marquee_core::command::{Command, Refusal, RefusalKind, State};
use marquee_core::notification::AllTold;
use marquee_core::plan::Plan;
use marquee_core::planted::{PlantedBug, is_planted};
use marquee_core::rollout::judge::AllEvidence;
use marquee_core::rollout::traffic::AllTraffic;
use marquee_proto::convert::command::command_from_pb;
use marquee_proto::convert::outcome::outcome_to_pb;
use marquee_proto::convert::state::{state_from_pb, state_to_pb};
use marquee_proto::raft::v1 as pb;
use prost::Message as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::watch;

/// Where a machine shows what it has become.
#[derive(Clone, Default)]
pub struct Shown {
    /// The plan, to all who follow it.
    pub plan: Arc<watch::Sender<Arc<Plan>>>,
    /// What was measured, to this node's services and to the leader's judge.
    pub evidence: Arc<watch::Sender<Arc<AllEvidence>>>,
    /// What answers were like, to this node's services.
    pub traffic: Arc<watch::Sender<Arc<AllTraffic>>>,
    /// How far others have been told of rollouts, to the leader who tells them.
    pub told: Arc<watch::Sender<Arc<AllTold>>>,
    /// Who changed what, to this voter's disk; none: it is kept nowhere else.
    pub audit: Option<Arc<AuditFile>>,
}

/// Commands change the state; the plan and the evidence in it are shown to all who watch.
pub struct PlanMachine {
    state: State,
    shown: Shown,
    /// How many commands it has applied since it was made.
    applied_here: u64,
}

impl PlanMachine {
    /// An empty cluster that shows its plans to `shown`.
    pub fn new(replication_factor: u32, shown: Shown) -> Self {
        Self { state: State::new(replication_factor), shown, applied_here: 0 }
    }

    /// A snapshot with its plan as of another index: what a group begins with that is made of a backup.
    pub(crate) fn as_of(snapshot: &[u8], index: u64) -> Result<Vec<u8>, MachineError> {
        let mut state = parse(snapshot)?;
        state.plan.epoch = index;
        Ok(state_to_pb(&state).encode_to_vec())
    }

    /// The state, as far as it is applied.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The snapshot that all founding voters begin with.
    pub fn genesis(replication_factor: u32) -> Vec<u8> {
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

fn parse_command(command: &[u8]) -> Result<Command, MachineError> {
    let decoded = pb::Command::decode(command).map_err(|e| MachineError(e.to_string()))?;
    command_from_pb(decoded).map_err(|e| MachineError(e.to_string()))
}

/// Whether `newer`, the state at raft index `index`, may have come of `older` by further commands.
fn check_descent(older: &Plan, newer: &Plan, index: u64) -> Result<(), String> {
    if newer.replication_factor != older.replication_factor {
        return Err("it is of a cluster with another replication factor".into());
    }
    if newer.epoch > index {
        return Err(format!("its epoch {} is beyond its index {index}", newer.epoch));
    }
    // Every change has a new epoch, so plans of one epoch are the same.
    if newer.epoch < older.epoch || (newer.epoch == older.epoch && newer != older) {
        return Err(format!("its epoch {} is not newer than ours", newer.epoch));
    }
    // Numbers are never given twice, not even those of a model whose versions were all deleted.
    let forgets = |(model, next): (&String, &u64)| {
        newer.next_versions.get(model).is_none_or(|theirs| theirs < next)
    };
    if newer.next_rollout < older.next_rollout || older.next_versions.iter().any(forgets) {
        return Err("it forgets versions or rollouts that were there".into());
    }
    Ok(())
}

impl Machine for PlanMachine {
    fn apply(&mut self, index: u64, command: &[u8]) -> Result<Vec<u8>, MachineError> {
        let mut command = parse_command(command)?;
        if is_planted(PlantedBug::StateOfVotersDiffers) {
            // As a voter does that reads its own clock.
            command.now_ms += self.applied_here;
        }
        self.applied_here += 1;
        // A command that shows a bug does so on every voter. It must not stop all of them for ever, so it is refused:
        // the plan is replaced last, and is whole.
        let applied = catch_unwind(AssertUnwindSafe(|| self.state.apply(index, &command)));
        let outcome = applied.unwrap_or_else(|_| {
            tracing::error!(index, "a command met a bug and was refused: please report it");
            let message = format!("the command met a bug of this release, at index {index}");
            Err(Refusal { kind: RefusalKind::Invalid, message })
        });
        Ok(outcome_to_pb(&outcome).encode_to_vec())
    }

    fn check_command(&self, command: &[u8]) -> Result<(), MachineError> {
        parse_command(command).map(drop)
    }

    fn snapshot(&self) -> Vec<u8> {
        if is_planted(PlantedBug::SnapshotWithoutOutcomes) {
            let outcomes = Default::default();
            return state_to_pb(&State { outcomes, ..self.state.clone() }).encode_to_vec();
        }
        state_to_pb(&self.state).encode_to_vec()
    }

    fn check_snapshot(&self, index: u64, snapshot: &[u8]) -> Result<(), MachineError> {
        check_descent(&self.state.plan, &parse(snapshot)?.plan, index).map_err(MachineError)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), MachineError> {
        self.state = parse(snapshot)?;
        Ok(())
    }

    fn batch_applied(&mut self) {
        let State { plan, evidence, traffic, told, audit, outcomes: _ } = &self.state;
        // Before anyone sees the change.
        if let Some(file) = &self.shown.audit {
            file.catch_up(audit);
        }
        show(&self.shown.evidence, evidence);
        show(&self.shown.traffic, traffic);
        show(&self.shown.told, told);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_keeps_the_numbers_of_models_whose_versions_were_deleted() {
        let with = |epoch: u64, next: &[(&str, u64)]| Plan {
            epoch,
            replication_factor: 1,
            next_versions: next.iter().map(|(model, next)| ((*model).to_owned(), *next)).collect(),
            ..Plan::default()
        };
        let older = with(5, &[("films", 4), ("games", 2)]);
        let descends = |newer: &Plan| check_descent(&older, newer, 9).is_ok();
        assert!(descends(&older));
        assert!(descends(&with(6, &[("films", 4), ("games", 3), ("books", 2)])));
        assert!(!descends(&with(6, &[("films", 3), ("games", 2)])), "it went back");
        assert!(!descends(&with(6, &[("films", 4)])), "it was forgotten");
        assert!(!descends(&with(6, &[])), "all were");
    }
}
