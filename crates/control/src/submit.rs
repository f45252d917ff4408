//! Brings a command to the leader, wherever it is, and applies it once.
//!
//! Any control node takes a command. It is proposed here if this node leads and sent to the leader
//! otherwise. When leadership moves meanwhile it is sent again, which is safe because the state
//! machine remembers the outcome of a request id. So a caller sees a short delay, not an error, when a
//! leader dies.

use crate::consensus::driver::Consensus;
use crate::consensus::event::Refused;
use crate::consensus::members::Membership;
use crate::consensus::members::change::{ChangeRefused, VoterChange};
use crate::consensus::transport::Peers;
use crate::leader::Leader;
use marquee_core::command::{Command, CommandOutcome};
use marquee_proto::control::v1::TelemetryWindow;
use marquee_proto::convert::command::command_to_pb;
use marquee_proto::convert::outcome::outcome_from_pb;
use marquee_proto::convert::window::measured_from_pb;
use marquee_proto::raft::v1 as pb;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Code;

/// How long a command may take, all attempts together: longer than two elections.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one attempt at a leader elsewhere may take, so that a hung one is not waited for when
/// another has been elected.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// Wait between attempts when nothing is known to have changed.
const RETRY_WAIT: Duration = Duration::from_millis(50);

/// Why a command has no outcome. It may have been applied all the same.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubmitError {
    /// No leader took it in time.
    #[error("no leader: {0}; retry with the same request id")]
    NoLeader(String),
    /// It cannot be proposed.
    #[error(transparent)]
    Refused(Refused),
    /// The leader does not change the members so.
    #[error("{0}")]
    Change(String),
    /// The leader cannot read it.
    #[error("the leader refused the command: {0}")]
    Protocol(String),
}

/// Brings commands to the leader, wherever it is.
pub(crate) struct Submitter {
    cluster: u64,
    consensus: Consensus,
    leader: Arc<Leader>,
    peers: Arc<Peers>,
}

/// What came of one attempt to have a command applied.
enum Attempt<R = CommandOutcome> {
    Done(R),
    Failed(SubmitError),
    /// It failed for this reason, and another attempt may succeed.
    Again(String),
}

impl Submitter {
    pub(crate) fn new(
        cluster: u64,
        consensus: Consensus,
        leader: Arc<Leader>,
        peers: Arc<Peers>,
    ) -> Self {
        Self { cluster, consensus, leader, peers }
    }

    /// Has a command applied, whichever node leads, and returns its outcome.
    pub(crate) async fn submit(&self, command: &Command) -> Result<CommandOutcome, SubmitError> {
        let deadline = Instant::now() + SUBMIT_TIMEOUT;
        let mut status = self.consensus.status();
        loop {
            let now = *status.borrow_and_update();
            let attempt = match now.leader {
                0 => Attempt::Again("the control nodes have not agreed on one".into()),
                _ if now.leads() => self.submit_here(command, deadline).await,
                leader => self.submit_to(leader, command, deadline).await,
            };
            let why = match attempt {
                Attempt::Done(outcome) => return Ok(outcome),
                Attempt::Failed(error) => return Err(error),
                Attempt::Again(why) => why,
            };
            if Instant::now() >= deadline {
                return Err(SubmitError::NoLeader(why));
            }
            // Without a leader only a change of status can help. With one, it is asked again soon.
            let wait =
                if now.leader == 0 { deadline } else { deadline.min(Instant::now() + RETRY_WAIT) };
            tokio::select! {
                changed = status.changed() => {
                    if changed.is_err() {
                        return Err(SubmitError::Refused(Refused::Stopped("it has been shut down".into())));
                    }
                }
                () = sleep_until(wait) => {}
            }
        }
    }

    /// Passes what a router has measured to the leader. It tries once: the next window is worth more than this one
    /// too late.
    pub(crate) async fn observe(&self, measured: TelemetryWindow) -> Result<(), SubmitError> {
        let now = *self.consensus.status().borrow();
        match now.leader {
            0 => Err(SubmitError::NoLeader("the control nodes have not agreed on one".into())),
            _ if now.leads() => {
                let (measured, window) = measured_from_pb(measured)
                    .map_err(|error| SubmitError::Protocol(error.to_string()))?;
                self.leader.observe(&measured, &window).map_err(SubmitError::Refused)
            }
            leader => {
                let mut peer = self.peers.client(leader).ok_or_else(|| {
                    SubmitError::NoLeader(format!("voter {leader} is none of the group yet"))
                })?;
                let request =
                    pb::ForwardTelemetryRequest { cluster: self.cluster, window: Some(measured) };
                let until = Instant::now() + ATTEMPT_TIMEOUT;
                match timeout_at(until, peer.forward_telemetry(request)).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(status)) if status.code() == Code::InvalidArgument => {
                        Err(SubmitError::Protocol(status.message().into()))
                    }
                    Ok(Err(status)) => {
                        Err(SubmitError::NoLeader(format!("voter {leader}: {}", status.message())))
                    }
                    Err(_) => Err(SubmitError::NoLeader(format!("voter {leader} does not answer"))),
                }
            }
        }
    }

    /// Has the leader change the members, whichever node it is, and returns the members after it.
    pub(crate) async fn change_voters(
        &self,
        change: &VoterChange,
    ) -> Result<Membership, SubmitError> {
        let deadline = Instant::now() + SUBMIT_TIMEOUT;
        let mut status = self.consensus.status();
        loop {
            let now = *status.borrow_and_update();
            let attempt = match now.leader {
                0 => Attempt::Again("the control nodes have not agreed on one".into()),
                _ if now.leads() => self.change_here(change, deadline).await,
                leader => self.change_at(leader, change, deadline).await,
            };
            let why = match attempt {
                Attempt::Done(members) => return Ok(members),
                Attempt::Failed(error) => return Err(error),
                Attempt::Again(why) => why,
            };
            if Instant::now() >= deadline {
                return Err(SubmitError::NoLeader(why));
            }
            // A change may wait for another one, or for a leader that hands over.
            sleep_until(deadline.min(Instant::now() + RETRY_WAIT)).await;
        }
    }

    async fn change_here(&self, change: &VoterChange, deadline: Instant) -> Attempt<Membership> {
        match timeout_at(deadline, self.consensus.change_voters(change.clone())).await {
            Ok(Ok(members)) => Attempt::Done(members),
            Ok(Err(Refused::Change(ChangeRefused::Leads(_)))) => {
                Attempt::Again("the voter leads, and hands over".into())
            }
            Ok(Err(refused @ Refused::Change(_))) => Attempt::Failed(SubmitError::Refused(refused)),
            // It may be committed all the same, and asked for again it would be refused as done.
            Ok(Err(refused @ Refused::Lost)) => Attempt::Failed(SubmitError::Refused(refused)),
            Ok(Err(refused)) => Attempt::Again(refused.to_string()),
            Err(_) => {
                Attempt::Again("this node leads, but no majority has confirmed the change".into())
            }
        }
    }

    async fn change_at(
        &self,
        leader: u64,
        change: &VoterChange,
        deadline: Instant,
    ) -> Attempt<Membership> {
        let Some(mut peer) = self.peers.client(leader) else {
            return Attempt::Again(format!("voter {leader} leads and is none of the group yet"));
        };
        let request =
            pb::ChangeVotersRequest { cluster: self.cluster, change: Some(change.to_wire()) };
        let until = deadline.min(Instant::now() + ATTEMPT_TIMEOUT);
        match timeout_at(until, peer.change_voters(request)).await {
            Ok(Ok(response)) => {
                let members = response.into_inner().members.unwrap_or_default();
                match Membership::from_wire(members) {
                    Ok(members) => Attempt::Done(members),
                    Err(error) => Attempt::Failed(SubmitError::Protocol(error.to_string())),
                }
            }
            Ok(Err(status)) if status.code() == Code::Aborted => {
                Attempt::Failed(SubmitError::Change(status.message().into()))
            }
            Ok(Err(status)) if status.code() == Code::InvalidArgument => {
                Attempt::Failed(SubmitError::Protocol(status.message().into()))
            }
            Ok(Err(status)) => Attempt::Again(format!("voter {leader}: {}", status.message())),
            Err(_) => Attempt::Again(format!("voter {leader} does not answer")),
        }
    }

    async fn submit_here(&self, command: &Command, deadline: Instant) -> Attempt {
        match timeout_at(deadline, self.leader.accept(command)).await {
            Ok(Ok(outcome)) => Attempt::Done(outcome),
            Ok(Err(refused @ (Refused::TooLarge { .. } | Refused::Unreadable(_)))) => {
                Attempt::Failed(SubmitError::Refused(refused))
            }
            Ok(Err(refused)) => Attempt::Again(refused.to_string()),
            Err(_) => {
                Attempt::Again("this node leads, but no majority has confirmed the change".into())
            }
        }
    }

    async fn submit_to(&self, leader: u64, command: &Command, deadline: Instant) -> Attempt {
        let Some(mut peer) = self.peers.client(leader) else {
            return Attempt::Again(format!("voter {leader} leads and is none of the group yet"));
        };
        let request =
            pb::ProposeRequest { cluster: self.cluster, command: Some(command_to_pb(command)) };
        let until = deadline.min(Instant::now() + ATTEMPT_TIMEOUT);
        match timeout_at(until, peer.propose(request)).await {
            Ok(Ok(response)) => {
                let outcome = response.into_inner().outcome.unwrap_or_default();
                match outcome_from_pb(outcome) {
                    Ok(outcome) => Attempt::Done(outcome),
                    Err(error) => Attempt::Failed(SubmitError::Protocol(error.to_string())),
                }
            }
            Ok(Err(status)) if status.code() == Code::InvalidArgument => {
                Attempt::Failed(SubmitError::Protocol(status.message().into()))
            }
            Ok(Err(status)) => Attempt::Again(format!("voter {leader}: {}", status.message())),
            Err(_) => Attempt::Again(format!("voter {leader} does not answer")),
        }
    }
}
