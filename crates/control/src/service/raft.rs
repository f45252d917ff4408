//! `RaftService`: what the other voters say.

use crate::consensus::driver::Consensus;
use crate::consensus::event::{RaftEvent, Refused};
use crate::consensus::wire::is_wish_to_lead;
use crate::leader::Leader;
use crate::service::speaker::{check_node, speaker};
use crate::service::status::IntoStatus as _;
use marquee_core::access::Principal;
use marquee_proto::convert::command::command_from_pb;
use marquee_proto::convert::outcome::outcome_to_pb;
use marquee_proto::convert::window::measured_from_pb;
use marquee_proto::raft::v1 as pb;
use marquee_proto::raft::v1::raft_service_server::RaftService;
use std::collections::BTreeMap;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// Serves the other voters of the group.
#[derive(Clone)]
pub struct RaftApi {
    cluster: u64,
    id: u64,
    /// The node ids of voters, as their certificates have them.
    node_ids: Arc<BTreeMap<u64, String>>,
    consensus: Consensus,
    leader: Arc<Leader>,
}

impl RaftApi {
    pub(crate) fn new(
        cluster: u64,
        id: u64,
        node_ids: BTreeMap<u64, String>,
        consensus: Consensus,
        leader: Arc<Leader>,
    ) -> Self {
        Self { cluster, id, node_ids: Arc::new(node_ids), consensus, leader }
    }

    /// Refuses a message that is not from the voter whose certificate came with it.
    fn check_sender(&self, speaker: Option<&Principal>, voter: u64) -> Result<(), Status> {
        match self.node_ids.get(&voter) {
            Some(node_id) => check_node(speaker, node_id, []),
            None if self.node_ids.is_empty() => Ok(()),
            None => Err(Status::permission_denied(format!("voter {voter} is not of this group"))),
        }
    }

    /// Refuses a node that is no voter of the group.
    fn check_voter(&self, speaker: Option<&Principal>) -> Result<(), Status> {
        let Some(speaker) = speaker else { return Ok(()) };
        if self.node_ids.is_empty() || self.node_ids.values().any(|id| *id == speaker.name) {
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
