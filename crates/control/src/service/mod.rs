//! The services of a control node.
//!
//! [`ControlApi`] is `marquee.control.v1.ControlService`, for operators, routers and shards;
//! [`RaftApi`](raft::RaftApi) is `marquee.raft.v1.RaftService`, for the other voters. Both are thin:
//! a request becomes a command of the replicated state machine or a look at the plan, and an outcome
//! becomes a response. The state machine decides what is refused and why, so that it is the same on every
//! node and at every retry.

mod api;
mod experiments;
mod followers;
mod publish;
pub mod raft;
mod reason;
mod reports;
mod rollouts;
mod speaker;
mod status;
mod users;
mod voters;
mod watch;

pub use api::ControlApi;
pub(crate) use api::ControlParts;

use crate::clock::wall_ms;
use crate::consensus::event::RaftEvent;
use crate::consensus::members::change::VoterChange;
use api::{required, unexpected};
use marquee_core::audit::AuditLine;
use marquee_core::bounds::MAX_NAME_BYTES;
use marquee_core::command::{Action, Command, Reply};
use marquee_core::id::check_name;
use marquee_core::plan::Node;
use marquee_core::rollout::RolloutMove;
use marquee_core::rollout::experiment::{compare_arms, compare_segments};
use marquee_core::trouble::NodeReport;
use marquee_proto::control::v1 as pb;
use marquee_proto::control::v1::control_service_server::ControlService;
use marquee_proto::convert::audit::{audit_entry_to_pb, missing_entries_to_pb};
use marquee_proto::convert::ensemble::{ensemble_from_pb, ensemble_to_pb};
use marquee_proto::convert::evidence::evidence_to_pb;
use marquee_proto::convert::experiment::{effect_to_pb, segment_report_to_pb};
use marquee_proto::convert::node::{node_to_pb, replica_report_from_pb, role_from_pb};
use marquee_proto::convert::plan::plan_without_secrets;
use marquee_proto::convert::published::published_to_pb;
use marquee_proto::convert::traffic::all_traffic_to_pb;
use marquee_proto::convert::trouble::node_report_from_pb;
use marquee_proto::convert::version::version_to_pb;
use marquee_proto::status::DetailedStatus;
use speaker::{actor, check_node, speaker};
use status::IntoStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::{Request, Response, Status};
use watch::BoxStream;

/// Bytes of a node's address.
const MAX_ADDRESS_BYTES: usize = 512;
/// Entries of the log of changes in one answer: a megabyte at most.
const MAX_LISTED_ENTRIES: usize = 1_000;
/// How long a transfer of leadership may take: the new leader must catch up and win an election.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(3);
/// After how long a transfer is asked for again: raft gives one up after an election timeout.
const TRANSFER_RETRY: Duration = Duration::from_millis(600);

type RpcResult<T> = Result<Response<T>, Status>;

/// A node as it is registered, after its id, address and roles were checked.
fn checked_node(
    node_id: &str,
    address: String,
    roles: Vec<i32>,
    memory_budget_bytes: u64,
) -> Result<Node, Status> {
    check_name("node_id", node_id).map_err(IntoStatus::into_status)?;
    let url = address.parse::<tonic::transport::Uri>().ok();
    let is_url = url.is_some_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.port_u16().is_some()
    });
    if address.len() > MAX_ADDRESS_BYTES || !is_url {
        let shown: String = address.chars().take(MAX_ADDRESS_BYTES).collect();
        let says =
            format!("address {shown:?} is not of the form http://host:port or https://host:port");
        return Err(DetailedStatus::of_field("address", says).into());
    }
    let known_roles = roles.into_iter().map(role_from_pb).collect::<Result<_, _>>();
    let roles = known_roles.map_err(IntoStatus::into_status)?;
    Ok(Node { address, roles, draining: false, memory_budget_bytes, alive: true })
}

#[tonic::async_trait]
impl ControlService for ControlApi {
    type WatchPlanStream = BoxStream<pb::WatchPlanResponse>;
    type WatchRolloutStream = BoxStream<pb::WatchRolloutResponse>;
    type BackUpStream = BoxStream<pb::BackUpResponse>;

    async fn publish_model(
        &self,
        request: Request<pb::PublishModelRequest>,
    ) -> RpcResult<pb::PublishModelResponse> {
        self.serving(&request).publish(request.into_inner()).await.map(Response::new)
    }

    async fn list_models(
        &self,
        _request: Request<pb::ListModelsRequest>,
    ) -> RpcResult<pb::ListModelsResponse> {
        let plan = self.fresh_plan().await?;
        let versions = plan.versions.iter().map(|(version, it)| published_to_pb(version, it));
        Ok(Response::new(pb::ListModelsResponse { versions: versions.collect() }))
    }

    async fn put_ensemble(
        &self,
        request: Request<pb::PutEnsembleRequest>,
    ) -> RpcResult<pb::PutEnsembleResponse> {
        let service = self.serving(&request);
        let pb::PutEnsembleRequest { request_id, ensemble } = request.into_inner();
        let (name, root) =
            ensemble_from_pb(required(ensemble, "ensemble")?).map_err(IntoStatus::into_status)?;
        match service.write(request_id, Action::PutEnsemble { name, root }).await? {
            Reply::Ensemble { name, root } => {
                let ensemble = Some(ensemble_to_pb(&name, &root));
                Ok(Response::new(pb::PutEnsembleResponse { ensemble }))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn delete_ensemble(
        &self,
        request: Request<pb::DeleteEnsembleRequest>,
    ) -> RpcResult<pb::DeleteEnsembleResponse> {
        let service = self.serving(&request);
        let pb::DeleteEnsembleRequest { request_id, name } = request.into_inner();
        match service.write(request_id, Action::DeleteEnsemble { name }).await? {
            Reply::Done => Ok(Response::new(pb::DeleteEnsembleResponse {})),
            other => Err(unexpected(&other)),
        }
    }

    async fn delete_model(
        &self,
        request: Request<pb::DeleteModelRequest>,
    ) -> RpcResult<pb::DeleteModelResponse> {
        let service = self.serving(&request);
        let pb::DeleteModelRequest { request_id, model, version } = request.into_inner();
        let version = (version != 0).then_some(version);
        match service.write(request_id, Action::DeleteModel { model, version }).await? {
            Reply::Deleted(versions) => {
                let versions = versions.iter().map(version_to_pb).collect();
                Ok(Response::new(pb::DeleteModelResponse { versions }))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn list_ensembles(
        &self,
        _request: Request<pb::ListEnsemblesRequest>,
    ) -> RpcResult<pb::ListEnsemblesResponse> {
        let plan = self.fresh_plan().await?;
        let ensembles = plan.ensembles.iter().map(|(name, root)| ensemble_to_pb(name, root));
        Ok(Response::new(pb::ListEnsemblesResponse { ensembles: ensembles.collect() }))
    }

    async fn start_rollout(
        &self,
        request: Request<pb::StartRolloutRequest>,
    ) -> RpcResult<pb::StartRolloutResponse> {
        let api = self.serving(&request);
        Ok(Response::new(api.start(request.into_inner()).await?))
    }

    async fn get_rollout(
        &self,
        request: Request<pb::GetRolloutRequest>,
    ) -> RpcResult<pb::GetRolloutResponse> {
        let plan = self.fresh_plan().await?;
        let (id, evidence) = (request.into_inner().rollout_id, self.evidence());
        let rollout = Some(rollouts::find(&plan, &evidence, &id)?);
        let known = evidence.get(&id);
        let holdout_effects = known.map_or_else(Vec::new, |known| compare_arms(&known.holdout));
        let holdout_effects = holdout_effects.iter().map(effect_to_pb).collect();
        let segments = known.map_or_else(Vec::new, |known| compare_segments(&known.segments));
        let segments = segments.iter().map(segment_report_to_pb).collect();
        let evidence = known.map(|known| pb::RolloutEvidence {
            comparisons: Vec::new(),
            recorded: Vec::new(),
            segments: None,
            ..evidence_to_pb(&id, known)
        });
        Ok(Response::new(pb::GetRolloutResponse { rollout, evidence, holdout_effects, segments }))
    }

    async fn try_gates(
        &self,
        request: Request<pb::TryGatesRequest>,
    ) -> RpcResult<pb::TryGatesResponse> {
        self.try_other_gates(request.into_inner()).await.map(Response::new)
    }

    async fn list_rollouts(
        &self,
        request: Request<pb::ListRolloutsRequest>,
    ) -> RpcResult<pb::ListRolloutsResponse> {
        let plan = self.fresh_plan().await?;
        let rollouts = rollouts::list(&plan, &self.evidence(), &request.into_inner().surface)?;
        Ok(Response::new(pb::ListRolloutsResponse { rollouts }))
    }

    async fn watch_rollout(
        &self,
        request: Request<pb::WatchRolloutRequest>,
    ) -> RpcResult<Self::WatchRolloutStream> {
        let id = request.into_inner().rollout_id;
        rollouts::find(&*self.fresh_plan().await?, &self.evidence(), &id)?;
        let api::ControlParts { plan, evidence, .. } = self.parts();
        Ok(Response::new(watch::rollout(plan.clone(), evidence.clone(), id)))
    }

    async fn pause_rollout(
        &self,
        request: Request<pb::PauseRolloutRequest>,
    ) -> RpcResult<pb::PauseRolloutResponse> {
        let service = self.serving(&request);
        let pb::PauseRolloutRequest { request_id, rollout_id, reason } = request.into_inner();
        let moved =
            service.move_rollout(RolloutMove::Pause, request_id, rollout_id, reason).await?;
        Ok(Response::new(pb::PauseRolloutResponse { rollout: Some(moved) }))
    }

    async fn resume_rollout(
        &self,
        request: Request<pb::ResumeRolloutRequest>,
    ) -> RpcResult<pb::ResumeRolloutResponse> {
        let service = self.serving(&request);
        let pb::ResumeRolloutRequest { request_id, rollout_id, reason } = request.into_inner();
        let moved =
            service.move_rollout(RolloutMove::Resume, request_id, rollout_id, reason).await?;
        Ok(Response::new(pb::ResumeRolloutResponse { rollout: Some(moved) }))
    }

    async fn promote_rollout(
        &self,
        request: Request<pb::PromoteRolloutRequest>,
    ) -> RpcResult<pb::PromoteRolloutResponse> {
        let service = self.serving(&request);
        let pb::PromoteRolloutRequest { request_id, rollout_id, reason } = request.into_inner();
        let moved =
            service.move_rollout(RolloutMove::Promote, request_id, rollout_id, reason).await?;
        Ok(Response::new(pb::PromoteRolloutResponse { rollout: Some(moved) }))
    }

    async fn roll_back_rollout(
        &self,
        request: Request<pb::RollBackRolloutRequest>,
    ) -> RpcResult<pb::RollBackRolloutResponse> {
        let service = self.serving(&request);
        let pb::RollBackRolloutRequest { request_id, rollout_id, reason } = request.into_inner();
        let moved =
            service.move_rollout(RolloutMove::RollBack, request_id, rollout_id, reason).await?;
        Ok(Response::new(pb::RollBackRolloutResponse { rollout: Some(moved) }))
    }

    async fn undo_rollout(
        &self,
        request: Request<pb::UndoRolloutRequest>,
    ) -> RpcResult<pb::UndoRolloutResponse> {
        let service = self.serving(&request);
        let pb::UndoRolloutRequest { request_id, rollout_id, reason } = request.into_inner();
        let moved = service.move_rollout(RolloutMove::Undo, request_id, rollout_id, reason).await?;
        Ok(Response::new(pb::UndoRolloutResponse { rollout: Some(moved) }))
    }

    async fn end_holdout(
        &self,
        request: Request<pb::EndHoldoutRequest>,
    ) -> RpcResult<pb::EndHoldoutResponse> {
        let service = self.serving(&request);
        let pb::EndHoldoutRequest { request_id, rollout_id, reason } = request.into_inner();
        let moved =
            service.move_rollout(RolloutMove::EndHoldout, request_id, rollout_id, reason).await?;
        Ok(Response::new(pb::EndHoldoutResponse { rollout: Some(moved) }))
    }

    async fn end_watch(
        &self,
        request: Request<pb::EndWatchRequest>,
    ) -> RpcResult<pb::EndWatchResponse> {
        let service = self.serving(&request);
        let pb::EndWatchRequest { request_id, rollout_id, reason } = request.into_inner();
        let moved =
            service.move_rollout(RolloutMove::EndWatch, request_id, rollout_id, reason).await?;
        Ok(Response::new(pb::EndWatchResponse { rollout: Some(moved) }))
    }

    async fn set_automatic_rollout(
        &self,
        request: Request<pb::SetAutomaticRolloutRequest>,
    ) -> RpcResult<pb::SetAutomaticRolloutResponse> {
        self.serving(&request).automate(request.into_inner()).await?;
        Ok(Response::new(pb::SetAutomaticRolloutResponse {}))
    }

    async fn change_deny_list(
        &self,
        request: Request<pb::ChangeDenyListRequest>,
    ) -> RpcResult<pb::ChangeDenyListResponse> {
        self.serving(&request).deny(request.into_inner()).await?;
        Ok(Response::new(pb::ChangeDenyListResponse {}))
    }

    async fn set_segments(
        &self,
        request: Request<pb::SetSegmentsRequest>,
    ) -> RpcResult<pb::SetSegmentsResponse> {
        self.serving(&request).segment(request.into_inner()).await?;
        Ok(Response::new(pb::SetSegmentsResponse {}))
    }

    async fn set_retention(
        &self,
        request: Request<pb::SetRetentionRequest>,
    ) -> RpcResult<pb::SetRetentionResponse> {
        self.serving(&request).retain(request.into_inner()).await?;
        Ok(Response::new(pb::SetRetentionResponse {}))
    }

    async fn forget_user(
        &self,
        request: Request<pb::ForgetUserRequest>,
    ) -> RpcResult<pb::ForgetUserResponse> {
        self.serving(&request).forget(request.into_inner()).await.map(Response::new)
    }

    async fn get_user_privacy(
        &self,
        _request: Request<pb::GetUserPrivacyRequest>,
    ) -> RpcResult<pb::GetUserPrivacyResponse> {
        self.user_privacy().await.map(Response::new)
    }

    async fn start_experiment(
        &self,
        request: Request<pb::StartExperimentRequest>,
    ) -> RpcResult<pb::StartExperimentResponse> {
        let experiment = Some(self.serving(&request).begin_experiment(request.into_inner()).await?);
        Ok(Response::new(pb::StartExperimentResponse { experiment }))
    }

    async fn stop_experiment(
        &self,
        request: Request<pb::StopExperimentRequest>,
    ) -> RpcResult<pb::StopExperimentResponse> {
        let experiment = Some(self.serving(&request).end_experiment(request.into_inner()).await?);
        Ok(Response::new(pb::StopExperimentResponse { experiment }))
    }

    async fn get_experiment(
        &self,
        request: Request<pb::GetExperimentRequest>,
    ) -> RpcResult<pb::GetExperimentResponse> {
        let id = request.into_inner().experiment_id;
        self.experiment_and_report(&id).await.map(Response::new)
    }

    async fn list_experiments(
        &self,
        _request: Request<pb::ListExperimentsRequest>,
    ) -> RpcResult<pb::ListExperimentsResponse> {
        let experiments = self.all_experiments().await?;
        Ok(Response::new(pb::ListExperimentsResponse { experiments }))
    }

    async fn get_plan(
        &self,
        request: Request<pb::GetPlanRequest>,
    ) -> RpcResult<pb::GetPlanResponse> {
        let pb::GetPlanRequest { as_known_here } = request.into_inner();
        let plan = if as_known_here { self.plan() } else { self.fresh_plan().await? };
        let plan = plan_without_secrets(&plan);
        Ok(Response::new(pb::GetPlanResponse { plan: Some(plan) }))
    }

    async fn watch_plan(
        &self,
        request: Request<pb::WatchPlanRequest>,
    ) -> RpcResult<Self::WatchPlanStream> {
        let speaker = speaker(&request);
        let node_id = request.into_inner().node_id;
        check_node(speaker.as_deref(), &node_id, [])?;
        if node_id.len() > MAX_NAME_BYTES {
            let says = format!("node_id has more than {MAX_NAME_BYTES} bytes");
            return Err(DetailedStatus::of_field("node_id", says).into());
        }
        let follower = self.followers().join(node_id)?;
        Ok(Response::new(watch::plan(self.parts().plan.clone(), follower)))
    }

    async fn get_status(
        &self,
        _request: Request<pb::GetStatusRequest>,
    ) -> RpcResult<pb::GetStatusResponse> {
        // As this node sees it, without a round to the leader: it must answer when there is no leader.
        let status = *self.parts().consensus.status().borrow();
        let plan = self.plan();
        Ok(Response::new(pb::GetStatusResponse {
            answered_by: self.parts().id,
            leader: status.leader,
            term: status.term,
            applied_index: status.applied,
            voters: self.voters(),
            nodes: plan.nodes.iter().map(|(id, node)| node_to_pb(id, node)).collect(),
            followers: self.followers().list(),
            notifications: self.notifications(&plan),
            reports: self.reports().list(Instant::now()),
            own_node_id: self.reports().own_id(),
        }))
    }

    async fn report_node(
        &self,
        request: Request<pb::ReportNodeRequest>,
    ) -> RpcResult<pb::ReportNodeResponse> {
        let (speaker, actor) = (speaker(&request), actor(&request));
        let pb::ReportNodeRequest {
            node_id,
            address,
            roles,
            memory_budget_bytes,
            replicas,
            report,
        } = request.into_inner();
        let node = checked_node(&node_id, address, roles, memory_budget_bytes)?;
        check_node(speaker.as_deref(), &node_id, &node.roles)?;
        if let Some(report) = report {
            // Before the leader is asked: what a node says of itself is wanted most when there is none.
            let (report, _) = node_report_from_pb(report);
            self.reports().keep(NodeReport { node_id: node_id.clone(), ..report }, Instant::now());
        }
        let replicas = replicas.into_iter().map(replica_report_from_pb).collect::<Result<_, _>>();
        let replicas = replicas.map_err(IntoStatus::into_status)?;
        let action = Action::ReportNode { node_id, node, replicas };
        // Without a request id: the next report replaces this one, so it may be applied twice.
        let command = Command { request_id: String::new(), now_ms: wall_ms(), actor, action };
        let outcome =
            self.parts().submitter.submit(&command).await.map_err(IntoStatus::into_status)?;
        outcome.map_err(IntoStatus::into_status)?;
        Ok(Response::new(pb::ReportNodeResponse { plan_epoch: self.plan().epoch }))
    }

    async fn get_traffic(
        &self,
        request: Request<pb::GetTrafficRequest>,
    ) -> RpcResult<pb::GetTrafficResponse> {
        let pb::GetTrafficRequest { surface } = request.into_inner();
        let plan = self.fresh_plan().await?;
        if !surface.is_empty() && !plan.surfaces.contains_key(&surface) {
            let says = format!("surface {surface:?} is unknown: leave it out to see them all");
            return Err(Status::not_found(says));
        }
        let windows = all_traffic_to_pb(&self.parts().traffic.borrow(), &surface);
        Ok(Response::new(pb::GetTrafficResponse { windows }))
    }

    async fn report_telemetry(
        &self,
        request: Request<tonic::Streaming<pb::ReportTelemetryRequest>>,
    ) -> RpcResult<pb::ReportTelemetryResponse> {
        let speaker = speaker(&request);
        let mut windows = request.into_inner();
        let mut status = self.parts().consensus.status();
        loop {
            let next = tokio::select! {
                next = windows.message() => next?,
                // The stream must not outlive the voter; other changes of its status do not matter here.
                changed = status.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Err(Status::unavailable("this control node shuts down")),
                },
            };
            let Some(window) = next else {
                return Ok(Response::new(pb::ReportTelemetryResponse {}));
            };
            check_node(speaker.as_deref(), &window.node_id, [])?;
            self.take_telemetry(window).await?;
        }
    }

    async fn add_node(
        &self,
        request: Request<pb::AddNodeRequest>,
    ) -> RpcResult<pb::AddNodeResponse> {
        let service = self.serving(&request);
        let pb::AddNodeRequest { request_id, node_id, address, roles, memory_budget_bytes } =
            request.into_inner();
        let node = checked_node(&node_id, address, roles, memory_budget_bytes)?;
        if node.roles.contains(&marquee_core::plan::Role::Control) {
            return Err(Status::failed_precondition(
                "roles: the voters of a group cannot be changed yet; leave ROLE_CONTROL out, and set the \
                 voters in the config of the control nodes before their first start",
            ));
        }
        match service.write(request_id, Action::AddNode { node_id, node }).await? {
            Reply::Node { node_id, node } => {
                let node = Some(node_to_pb(&node_id, &node));
                Ok(Response::new(pb::AddNodeResponse { node }))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn remove_node(
        &self,
        request: Request<pb::RemoveNodeRequest>,
    ) -> RpcResult<pb::RemoveNodeResponse> {
        let service = self.serving(&request);
        let pb::RemoveNodeRequest { request_id, node_id } = request.into_inner();
        check_name("node_id", &node_id).map_err(IntoStatus::into_status)?;
        match service.write(request_id, Action::RemoveNode { node_id }).await? {
            Reply::NodeRemoved { draining } => {
                Ok(Response::new(pb::RemoveNodeResponse { draining }))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn list_audit(
        &self,
        request: Request<pb::ListAuditRequest>,
    ) -> RpcResult<pb::ListAuditResponse> {
        let pb::ListAuditRequest { after_number, max_entries } = request.into_inner();
        let max = match max_entries as usize {
            0 => MAX_LISTED_ENTRIES,
            given => given.min(MAX_LISTED_ENTRIES),
        };
        self.fresh_plan().await?;
        let audit = Arc::clone(&self.parts().audit);
        let last = audit.head();
        let reading = move || audit.read(after_number, max);
        let read = tokio::task::spawn_blocking(reading).await;
        let lines = match read {
            Ok(Ok(lines)) => lines,
            Ok(Err(error)) => return Err(Status::data_loss(error.to_string())),
            Err(panic) => return Err(Status::internal(panic.to_string())),
        };
        let (mut entries, mut missing) = (Vec::new(), Vec::new());
        for line in &lines {
            match line {
                AuditLine::Entry(entry) => entries.push(audit_entry_to_pb(entry)),
                AuditLine::Missing(gap) => missing.push(missing_entries_to_pb(gap)),
            }
        }
        Ok(Response::new(pb::ListAuditResponse {
            entries,
            missing,
            last_number: last.number,
            last_hash: last.hash.0.to_vec(),
            answered_by: self.parts().id,
        }))
    }

    async fn list_voters(
        &self,
        _request: Request<pb::ListVotersRequest>,
    ) -> RpcResult<pb::ListVotersResponse> {
        let leader = self.parts().consensus.status().borrow().leader;
        let (voters, answered_by) = (self.voters(), self.parts().id);
        Ok(Response::new(pb::ListVotersResponse { voters, leader, answered_by }))
    }

    async fn add_voter(
        &self,
        request: Request<pb::AddVoterRequest>,
    ) -> RpcResult<pb::AddVoterResponse> {
        let api = self.serving(&request);
        let pb::AddVoterRequest { id, address, node_id } = request.into_inner();
        let voters = api.change_voters(VoterChange::Add { id, address, node_id }).await?;
        Ok(Response::new(pb::AddVoterResponse { voters }))
    }

    async fn remove_voter(
        &self,
        request: Request<pb::RemoveVoterRequest>,
    ) -> RpcResult<pb::RemoveVoterResponse> {
        let api = self.serving(&request);
        let pb::RemoveVoterRequest { id } = request.into_inner();
        let voters = api.change_voters(VoterChange::Remove { id }).await?;
        Ok(Response::new(pb::RemoveVoterResponse { voters }))
    }

    async fn replace_voter(
        &self,
        request: Request<pb::ReplaceVoterRequest>,
    ) -> RpcResult<pb::ReplaceVoterResponse> {
        let api = self.serving(&request);
        let pb::ReplaceVoterRequest { id, with, address, node_id } = request.into_inner();
        let voters = api.change_voters(VoterChange::Replace { id, with, address, node_id }).await?;
        Ok(Response::new(pb::ReplaceVoterResponse { voters }))
    }

    async fn back_up(&self, request: Request<pb::BackUpRequest>) -> RpcResult<Self::BackUpStream> {
        self.serving(&request).backup().await.map(Response::new)
    }

    async fn transfer_leadership(
        &self,
        request: Request<pb::TransferLeadershipRequest>,
    ) -> RpcResult<pb::TransferLeadershipResponse> {
        let pb::TransferLeadershipRequest { voter: to } = request.into_inner();
        let voters = self.parts().roll_call.view().members.voters();
        if !voters.contains(&to) {
            let says = format!("voter {to} is not one of the group's: {voters:?}");
            return Err(Status::not_found(says));
        }
        let mut status = self.parts().consensus.status();
        let moved = tokio::time::timeout(TRANSFER_TIMEOUT, async {
            loop {
                if status.borrow_and_update().leader == to {
                    return true;
                }
                self.parts().consensus.tell(RaftEvent::Transfer { to });
                let changed = tokio::time::timeout(TRANSFER_RETRY, status.changed());
                if let Ok(Err(_)) = changed.await {
                    return false;
                }
            }
        });
        match moved.await {
            Ok(true) => Ok(Response::new(pb::TransferLeadershipResponse { leader: to })),
            Ok(false) => Err(Status::unavailable("this control node shuts down")),
            Err(_) => Err(Status::unavailable(format!(
                "voter {to} did not take over within {} s: is it running, and connected to a majority?",
                TRANSFER_TIMEOUT.as_secs()
            ))),
        }
    }
}
