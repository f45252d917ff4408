//! What the RPCs of `ControlService` share: the plan, and commands that are brought to the leader.

use super::followers::Followers;
use super::reports::Reports;
use super::speaker::actor;
use super::status::IntoStatus;
use crate::audit_file::AuditFile;
use crate::bundles::ManifestSource;
use crate::clock::wall_ms;
use crate::consensus::driver::Consensus;
use crate::consensus::event::VoterStatus;
use crate::outbound::{LastErrors, NotificationTarget, OutboundConfig};
use crate::roll_call::RollCall;
use crate::submit::Submitter;
use marquee_core::audit::Actor;
use marquee_core::command::{Action, Command, Reply};
use marquee_core::duration_counts::CountedDurations;
use marquee_core::notification::{AllTold, waiting};
use marquee_core::plan::Plan;
use marquee_core::rollout::judge::AllEvidence;
use marquee_core::rollout::traffic::AllTraffic;
use marquee_core::trouble::{NodeReport, Trouble};
use marquee_proto::control::v1 as pb;
use marquee_proto::status::DetailedStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::watch::Receiver;
use tonic::{Request, Status};

/// Bytes of a request id: a UUID has 36.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// `ControlService` on one control node. Cheap to clone; usable without a socket through the
/// generated trait.
#[derive(Clone)]
pub struct ControlApi {
    inner: Arc<Inner>,
    /// Who is served.
    actor: Actor,
}

/// What a control node gives its `ControlService`.
pub(crate) struct ControlParts {
    /// This node's raft id.
    pub(crate) id: u64,
    /// A number that all nodes of the group have in common.
    pub(crate) cluster: u64,
    /// Where the voters are.
    pub(crate) roll_call: RollCall,
    /// The recall@100 that the index of a bundle must have to be published, 0 to 1.
    pub(crate) min_index_recall: f64,
    /// This node's voter.
    pub(crate) consensus: Consensus,
    /// Brings commands to the leader.
    pub(crate) submitter: Submitter,
    /// The plan as far as this node has applied it.
    pub(crate) plan: Receiver<Arc<Plan>>,
    /// What was measured, as far as this node has applied it.
    pub(crate) evidence: Receiver<Arc<AllEvidence>>,
    /// What answers were like, as far as this node has applied it.
    pub(crate) traffic: Receiver<Arc<AllTraffic>>,
    /// How far others have been told of rollouts, as far as this node has applied it.
    pub(crate) told: Receiver<Arc<AllTold>>,
    /// Why the last attempts to tell them failed.
    pub(crate) errors: LastErrors,
    /// Whom control may ask, and whom it tells.
    pub(crate) outbound: OutboundConfig,
    /// Who changed what.
    pub(crate) audit: Arc<AuditFile>,
    /// Where manifests are read.
    pub(crate) manifests: Arc<dyn ManifestSource>,
    /// A number that no earlier start of this node had.
    pub(crate) incarnation: u64,
}

struct Inner {
    parts: ControlParts,
    followers: Followers,
    reports: Reports,
    /// How many request ids were made, for callers who gave none.
    made_ids: AtomicU64,
}

impl ControlApi {
    pub(crate) fn new(parts: ControlParts) -> Self {
        let (followers, reports) = (Followers::default(), Reports::default());
        let inner = Arc::new(Inner { parts, followers, reports, made_ids: AtomicU64::new(0) });
        Self { inner, actor: Actor::default() }
    }

    /// The same service, whose changes are those of the caller of a request.
    pub(super) fn serving<T>(&self, request: &Request<T>) -> Self {
        Self { inner: Arc::clone(&self.inner), actor: actor(request) }
    }

    /// Who is served.
    pub(super) fn actor(&self) -> Actor {
        self.actor.clone()
    }

    pub(super) fn parts(&self) -> &ControlParts {
        &self.inner.parts
    }

    /// The open streams of the plan at this node.
    pub(super) fn followers(&self) -> &Followers {
        &self.inner.followers
    }

    /// The last reports of nodes.
    pub(super) fn reports(&self) -> &Reports {
        &self.inner.reports
    }

    /// Shows what the node of this process says of itself, in the place of what it said before.
    pub fn note_own_report(&self, report: NodeReport) {
        self.reports().keep_own(report, Instant::now());
    }

    /// What is wrong with this node's voter and its files.
    pub fn troubles(&self) -> Vec<Trouble> {
        let ControlParts { consensus, audit, .. } = self.parts();
        let failure = consensus.failure().map(|reason| Trouble::VoterFailed { reason });
        let audit = audit.failure().map(|reason| Trouble::AuditFailed { reason });
        failure.into_iter().chain(audit).collect()
    }

    /// The state of this node's voter.
    pub fn voter_status(&self) -> VoterStatus {
        *self.parts().consensus.status().borrow()
    }

    /// How long commands that this node proposed took to be applied here.
    pub fn commits(&self) -> CountedDurations {
        self.parts().consensus.commits().read()
    }

    /// What was measured of rollouts, as far as this node has applied it.
    pub fn measured_evidence(&self) -> Arc<AllEvidence> {
        self.evidence()
    }

    /// What answers were like, as far as this node has applied it.
    pub fn measured_traffic(&self) -> Arc<AllTraffic> {
        self.parts().traffic.borrow().clone()
    }

    /// The plan as far as this node has applied it.
    pub(super) fn plan(&self) -> Arc<Plan> {
        self.parts().plan.borrow().clone()
    }

    /// What was measured, as far as this node has applied it.
    pub(super) fn evidence(&self) -> Arc<AllEvidence> {
        self.parts().evidence.borrow().clone()
    }

    /// The plan with everything in it that was committed before the call.
    pub(super) async fn fresh_plan(&self) -> Result<Arc<Plan>, Status> {
        self.parts().consensus.catch_up().await.map_err(IntoStatus::into_status)?;
        Ok(self.plan())
    }

    /// How far those who are told of rollouts have been told.
    pub(super) fn notifications(&self, plan: &Plan) -> Vec<pb::NotificationStatus> {
        let ControlParts { told, errors, outbound, .. } = self.parts();
        let all_told = told.borrow();
        let status = |target: &NotificationTarget| {
            let of_target = all_told.get(&target.name);
            pb::NotificationStatus {
                target: target.name.clone(),
                waiting: of_target.map_or(0, |told| waiting(plan, told, &target.surfaces)),
                dropped: of_target.map_or(0, |told| told.dropped),
                last_error: errors.of(&target.name),
            }
        };
        outbound.notifications.iter().map(status).collect()
    }

    /// Passes one window of a router to the leader, as `ReportTelemetry` does.
    pub async fn take_telemetry(&self, request: pb::ReportTelemetryRequest) -> Result<(), Status> {
        let pb::ReportTelemetryRequest { node_id, window } = request;
        let window = required(window, "window")?;
        self.parts().submitter.observe(window).await.map_err(|error| {
            tracing::debug!(node_id, %error, "a window of telemetry was dropped");
            error.into_status()
        })
    }

    /// Has a command applied, once for its request id.
    pub(super) async fn write(&self, request_id: String, action: Action) -> Result<Reply, Status> {
        if request_id.len() > MAX_REQUEST_ID_BYTES {
            let says = format!(
                "request_id has {} bytes: at most {MAX_REQUEST_ID_BYTES} are allowed",
                request_id.len()
            );
            return Err(DetailedStatus::of_field("request_id", says).into());
        }
        let request_id = if request_id.is_empty() { self.make_id() } else { request_id };
        let command = Command { request_id, now_ms: wall_ms(), actor: self.actor(), action };
        let outcome =
            self.parts().submitter.submit(&command).await.map_err(IntoStatus::into_status)?;
        outcome.map_err(IntoStatus::into_status)
    }

    fn make_id(&self) -> String {
        let ControlParts { id, incarnation, .. } = self.parts();
        let n = self.inner.made_ids.fetch_add(1, Ordering::Relaxed);
        format!("control-{id}-{incarnation:016x}-{n}")
    }
}

/// The error for a reply of another kind than the command's: the state machine contradicts itself.
pub(super) fn unexpected(reply: &Reply) -> Status {
    Status::internal(format!("the state machine answered something else: {reply:?}"))
}

/// The value of a field that must be set; `field` names it in the error.
pub(super) fn required<T>(value: Option<T>, field: &str) -> Result<T, Status> {
    value.ok_or_else(|| DetailedStatus::of_field(field, format!("{field} is missing")).into())
}
