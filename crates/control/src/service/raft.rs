//! `RaftService`: what the other voters say.

use crate::consensus::driver::Consensus;
use crate::consensus::event::{RaftEvent, Refused};
use crate::consensus::members::change::{ChangeRefused, VoterChange};
use crate::consensus::wire::is_wish_to_lead;
use crate::leader::Leader;
use crate::roll_call::RollCall;
use crate::service::speaker::{check_node, speaker};
use crate::service::status::IntoStatus as _;
use marquee_core::access::Principal;
use marquee_proto::convert::command::command_from_pb;
use marquee_proto::convert::outcome::outcome_to_pb;
use marquee_proto::convert::window::measured_from_pb;
use marquee_proto::raft::v1 as pb;
use marquee_proto::raft::v1::raft_service_server::RaftService;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// Serves the other voters of the group.
#[derive(Clone)]
pub struct RaftApi {
    cluster: u64,
    id: u64,
    roll_call: RollCall,
    consensus: Consensus,
    leader: Arc<Leader>,
}

impl RaftApi {
    pub(crate) fn new(
        cluster: u64,
        id: u64,
        roll_call: RollCall,
        consensus: Consensus,
        leader: Arc<Leader>,
    ) -> Self {
        Self { cluster, id, roll_call, consensus, leader }
    }

    /// Refuses a message that is not from the voter whose certificate came with it.
    fn check_sender(&self, speaker: Option<&Principal>, voter: u64) -> Result<(), Status> {
        match self.roll_call.node_id(voter) {
            Some(node_id) => check_node(speaker, &node_id, []),
            None if !self.roll_call.knows_node_ids() => Ok(()),
            None => Err(Status::permission_denied(format!("voter {voter} is not of this group"))),
        }
    }

    /// Refuses a node that is no voter of the group.
    fn check_voter(&self, speaker: Option<&Principal>) -> Result<(), Status> {
        let Some(speaker) = speaker else { return Ok(()) };
        if !self.roll_call.knows_node_ids() || self.roll_call.is_node_id(&speaker.name) {
            return Ok(());
        }
        let says = format!("node {:?} is none of this group's voters", speaker.name);
        Err(Status::permission_denied(says))
    }

    fn check_cluster(&self, cluster: u64) -> Result<(), Status> {
        if cluster == self.cluster {
            return Ok(());
        }
        Err(Status::permission_denied(format!(
            "voter {} is of another cluster: cluster_name, the voters' ids and replication_factor must be the same \
             in the config of every control node",
            self.id
        )))
    }
}

#[tonic::async_trait]
impl RaftService for RaftApi {
    async fn step(
        &self,
        request: Request<Streaming<pb::StepRequest>>,
    ) -> Result<Response<pb::StepResponse>, Status> {
        let speaker = speaker(&request);
        self.check_voter(speaker.as_deref())?;
        let mut messages = request.into_inner();
        let mut status = self.consensus.status();
        loop {
            let next = tokio::select! {
                next = messages.message() => next?,
                // Only the end of the voter interests: the stream must not outlive it.
                changed = status.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Err(Status::unavailable("this control node shuts down")),
                },
            };
            let Some(pb::StepRequest { cluster, message }) = next else {
                return Ok(Response::new(pb::StepResponse {}));
            };
            self.check_cluster(cluster)?;
            let message = message.ok_or_else(|| Status::invalid_argument("message is missing"))?;
            if message.to != self.id {
                return Err(Status::permission_denied(format!(
                    "this is voter {}, not {}: check the addresses in control.voters",
                    self.id, message.to
                )));
            }
            // A voter passes the wish of another one on to the leader, in the other one's name.
            if !is_wish_to_lead(&message) {
                self.check_sender(speaker.as_deref(), message.from)?;
            }
            self.consensus.tell(RaftEvent::Message(Box::new(message)));
        }
    }

    async fn forward_telemetry(
        &self,
        request: Request<pb::ForwardTelemetryRequest>,
    ) -> Result<Response<pb::ForwardTelemetryResponse>, Status> {
        self.check_voter(speaker(&request).as_deref())?;
        let pb::ForwardTelemetryRequest { cluster, window } = request.into_inner();
        self.check_cluster(cluster)?;
        let window = window.ok_or_else(|| Status::invalid_argument("window is missing"))?;
        let (measured, window) = measured_from_pb(window).map_err(|error| error.into_status())?;
        match self.leader.observe(&measured, &window) {
            Ok(()) => Ok(Response::new(pb::ForwardTelemetryResponse {})),
            Err(refused @ Refused::NotLeader { .. }) => {
                Err(Status::failed_precondition(refused.to_string()))
            }
            Err(refused) => Err(refused.into_status()),
        }
    }

    async fn change_voters(
        &self,
        request: Request<pb::ChangeVotersRequest>,
    ) -> Result<Response<pb::ChangeVotersResponse>, Status> {
        self.check_voter(speaker(&request).as_deref())?;
        let pb::ChangeVotersRequest { cluster, change } = request.into_inner();
        self.check_cluster(cluster)?;
        let change = change.ok_or_else(|| Status::invalid_argument("change is missing"))?;
        match self.consensus.change_voters(VoterChange::from_wire(change)).await {
            Ok(members) => {
                Ok(Response::new(pb::ChangeVotersResponse { members: Some(members.to_wire()) }))
            }
            Err(refused @ Refused::NotLeader { .. }) => {
                Err(Status::failed_precondition(refused.to_string()))
            }
            // Leadership is handed over: the caller asks the next leader.
            Err(refused @ Refused::Change(ChangeRefused::Leads(_))) => {
                Err(Status::unavailable(refused.to_string()))
            }
            // Told apart from what another leader could do.
            Err(refused @ (Refused::Change(_) | Refused::Lost)) => {
                Err(Status::aborted(refused.to_string()))
            }
            Err(refused) => Err(refused.into_status()),
        }
    }

    async fn propose(
        &self,
        request: Request<pb::ProposeRequest>,
    ) -> Result<Response<pb::ProposeResponse>, Status> {
        self.check_voter(speaker(&request).as_deref())?;
        let pb::ProposeRequest { cluster, command } = request.into_inner();
        self.check_cluster(cluster)?;
        let command = command.ok_or_else(|| Status::invalid_argument("command is missing"))?;
        let command = command_from_pb(command).map_err(|error| error.into_status())?;
        match self.leader.accept(&command).await {
            Ok(outcome) => {
                let outcome = Some(outcome_to_pb(&outcome));
                Ok(Response::new(pb::ProposeResponse { outcome }))
            }
            Err(refused @ Refused::NotLeader { .. }) => {
                Err(Status::failed_precondition(refused.to_string()))
            }
            Err(refused) => Err(refused.into_status()),
        }
    }
}
