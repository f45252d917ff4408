//! Rollouts as operators see them: starting, moving, finding.

use super::status::IntoStatus as _;
use super::{ControlApi, unexpected};
use marquee_core::command::{Action, AllEvidence, Reply, waiting_for};
use marquee_core::plan::{DEFAULT_SURFACE, Plan};
use marquee_core::rollout::{Rollout, RolloutMove};
use marquee_proto::control::v1 as pb;
use marquee_proto::convert::rollout::wanted_terms;
use marquee_proto::convert::rollout::{rollout_to_pb, step_from_pb};
use tonic::Status;

/// Bytes of the reason that is kept in a rollout's history.
const MAX_REASON_BYTES: usize = 256;

/// The rollout of this id, or NOT_FOUND.
pub(super) fn find(plan: &Plan, evidence: &AllEvidence, id: &str) -> Result<pb::Rollout, Status> {
    let rollout = plan.rollout(id).ok_or_else(|| {
        Status::not_found(format!("there is no rollout {id:?}: list them to see the ids"))
    })?;
    Ok(rollout_to_pb(rollout, waiting_for(plan, evidence, rollout)))
}

/// The rollouts of a surface, or all where none is named, newest first.
pub(super) fn list(
    plan: &Plan,
    evidence: &AllEvidence,
    surface: &str,
) -> Result<Vec<pb::Rollout>, Status> {
    let known = |rollout: &&Rollout| rollout.surface == surface;
    if !surface.is_empty()
        && !plan.surfaces.contains_key(surface)
        && !plan.rollouts.iter().any(|rollout| known(&rollout))
    {
        let says = format!("surface {surface:?} is unknown: no rollout was ever started on it");
        return Err(Status::not_found(says));
    }
    let of_surface = plan.rollouts.iter().rev().filter(|r| surface.is_empty() || known(r));
    Ok(of_surface
        .map(|rollout| rollout_to_pb(rollout, waiting_for(plan, evidence, rollout)))
        .collect())
}

/// Refuses a reason that is too long for a history.
pub(super) fn check_reason(reason: &str) -> Result<(), Status> {
    match reason.len() {
        0..=MAX_REASON_BYTES => Ok(()),
        bytes => Err(Status::invalid_argument(format!(
            "reason has {bytes} bytes: at most {MAX_REASON_BYTES} are allowed"
        ))),
    }
}

impl ControlApi {
    pub(super) async fn start(
        &self,
        request: pb::StartRolloutRequest,
    ) -> Result<pb::Rollout, Status> {
        let pb::StartRolloutRequest {
            request_id,
            surface,
            candidate,
            steps,
            gates,
            without_gates,
            shadow,
            pace,
        } = request;
        let surface = if surface.is_empty() { DEFAULT_SURFACE.to_owned() } else { surface };
        let steps = steps.into_iter().map(step_from_pb).collect();
        let terms = wanted_terms(gates, without_gates, shadow, pace);
        let terms = terms.map_err(|error| error.into_status())?;
        let action = Action::StartRollout { surface, candidate, steps, terms };
        self.rollout_after(request_id, action).await
    }

    pub(super) async fn move_rollout(
        &self,
        request_id: String,
        rollout_id: String,
        wish: RolloutMove,
        reason: String,
    ) -> Result<pb::Rollout, Status> {
        check_reason(&reason)?;
        self.rollout_after(request_id, Action::MoveRollout { rollout_id, wish, reason }).await
    }

    async fn rollout_after(
        &self,
        request_id: String,
        action: Action,
    ) -> Result<pb::Rollout, Status> {
        match self.write(request_id, action).await? {
            Reply::Rollout(rollout) => {
                // Where the leader is elsewhere, the plan here may not have the rollout yet.
                let plan = self.fresh_plan().await.unwrap_or_else(|_| self.plan());
                let waiting_for = waiting_for(&plan, &self.evidence(), &rollout);
                Ok(rollout_to_pb(&rollout, waiting_for))
            }
            other => Err(unexpected(&other)),
        }
    }
}
