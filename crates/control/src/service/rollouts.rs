//! Rollouts as operators see them: starting, moving, finding.

use super::api::{ControlApi, unexpected};
use super::reason::check_reason;
use super::status::IntoStatus as _;
use crate::clock::wall_ms;
use marquee_core::command::{Action, Reply, waiting_for};
use marquee_core::plan::{DEFAULT_SURFACE, Plan};
use marquee_core::rollout::judge::{AllEvidence, predict_at_start};
use marquee_core::rollout::tried::try_gates;
use marquee_core::rollout::{ListedUsers, Rollout, RolloutMove, Terms};
use marquee_proto::control::v1 as pb;
use marquee_proto::convert::evidence::prediction_to_pb;
use marquee_proto::convert::gate::gate_from_pb;
use marquee_proto::convert::record::tried_to_pb;
use marquee_proto::convert::rollout::wanted_terms;
use marquee_proto::convert::rollout::{rollout_to_pb, step_from_pb};
use tonic::Status;

fn unknown(id: &str) -> Status {
    Status::not_found(format!("there is no rollout {id:?}: list them to see the ids"))
}

/// The rollout of this id, or NOT_FOUND.
pub(super) fn find(plan: &Plan, evidence: &AllEvidence, id: &str) -> Result<pb::Rollout, Status> {
    let rollout = plan.rollout(id).ok_or_else(|| unknown(id))?;
    Ok(rollout_to_pb(rollout, waiting_for(plan, evidence, rollout, wall_ms())))
}

/// The rollouts of a surface, or all where none is named, newest first.
pub(super) fn list(
    plan: &Plan,
    evidence: &AllEvidence,
    surface: &str,
) -> Result<Vec<pb::Rollout>, Status> {
    let mut listed = Vec::new();
    for rollout in plan.rollouts.iter().rev() {
        if surface.is_empty() || rollout.surface == surface {
            let waiting_for = waiting_for(plan, evidence, rollout, wall_ms());
            listed.push(rollout_to_pb(rollout, waiting_for));
        }
    }
    if !surface.is_empty() && listed.is_empty() && !plan.surfaces.contains_key(surface) {
        return Err(Status::not_found(format!(
            "surface {surface:?} is unknown: no rollout was ever started on it"
        )));
    }
    Ok(listed)
}

/// What is wrong with a change of a rollout that names none: which one is never guessed.
fn missing_id(plan: &Plan) -> String {
    let running = plan.rollouts.iter().filter(|rollout| !rollout.state.is_over());
    let known: Vec<String> = running
        .map(|rollout| format!("{} (surface {}, {})", rollout.id, rollout.surface, rollout.state))
        .collect();
    match known.as_slice() {
        [] => "rollout_id is missing, and no rollout is running".into(),
        known => format!("rollout_id is missing: name one of {}", known.join(", ")),
    }
}

impl ControlApi {
    /// Starts a rollout, with defaults for what the request leaves out, and says what its gates will find.
    pub(super) async fn start(
        &self,
        request: pb::StartRolloutRequest,
    ) -> Result<pb::StartRolloutResponse, Status> {
        let pb::StartRolloutRequest {
            request_id,
            surface,
            candidate,
            steps,
            gates,
            without_gates,
            shadow,
            pace,
            safety,
            always_candidate_user_ids,
            never_candidate_user_ids,
            interleave,
            external_gates,
        } = request;
        let surface = if surface.is_empty() { DEFAULT_SURFACE.to_owned() } else { surface };
        let steps = steps.into_iter().map(step_from_pb).collect();
        let terms =
            wanted_terms(gates, without_gates, external_gates, shadow, interleave, pace, safety);
        let mut terms = terms.map_err(|error| error.into_status())?;
        self.check_external_urls(&terms)?;
        terms.listed = ListedUsers::of_ids(&always_candidate_user_ids, &never_candidate_user_ids)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let action = Action::StartRollout { surface, candidate, steps, terms };
        let rollout = self.rollout_after(request_id, action).await?;
        let all = self.parts().traffic.borrow().clone();
        let windows = all.get(&rollout.surface).into_iter().flatten();
        let found = predict_at_start(&rollout.terms.gates, &rollout.steps, windows);
        let predictions = found.iter().map(prediction_to_pb).collect();
        Ok(pb::StartRolloutResponse { rollout: Some(self.shown(&rollout).await), predictions })
    }

    /// Refuses external gates that the leader would not ask. All nodes have the same config; the leader looks at its own again.
    pub(super) fn check_external_urls(&self, terms: &Terms) -> Result<(), Status> {
        let allowed = &self.parts().outbound.external_urls;
        for (n, gate) in terms.external_gates.iter().enumerate() {
            allowed.check(gate.question.url()).map_err(|refused| {
                Status::invalid_argument(format!("external_gates[{n}].url: {refused}"))
            })?;
        }
        Ok(())
    }

    /// Says what other gates would have said of a rollout.
    pub(super) async fn try_other_gates(
        &self,
        request: pb::TryGatesRequest,
    ) -> Result<pb::TryGatesResponse, Status> {
        let pb::TryGatesRequest { rollout_id, gates } = request;
        let plan = self.fresh_plan().await?;
        let rollout = plan.rollout(&rollout_id).ok_or_else(|| unknown(&rollout_id))?;
        let gates = gates.into_iter().map(gate_from_pb).collect::<Result<Vec<_>, _>>();
        let gates = gates.map_err(|error| error.into_status())?;
        let all = self.evidence();
        let known = all.get(&rollout_id);
        let recorded = known.map_or(&[][..], |known| &known.recorded);
        let tried = try_gates(rollout, &gates, recorded).map_err(|error| error.into_status())?;
        Ok(pb::TryGatesResponse {
            gates: tried.iter().map(tried_to_pb).collect(),
            windows: known.map_or(0, |known| known.windows),
            recorded: recorded.len() as u32,
        })
    }

    /// Does what an operator asks of a rollout, and returns the rollout after it.
    pub(super) async fn move_rollout(
        &self,
        requested: RolloutMove,
        request_id: String,
        rollout_id: String,
        reason: String,
    ) -> Result<pb::Rollout, Status> {
        check_reason(&reason).map_err(|error| error.into_status())?;
        if rollout_id.is_empty() {
            return Err(Status::invalid_argument(missing_id(&self.plan())));
        }
        let action = Action::MoveRollout { rollout_id, requested, reason };
        let rollout = self.rollout_after(request_id, action).await?;
        Ok(self.shown(&rollout).await)
    }

    /// Has an action applied, and returns the rollout after it.
    async fn rollout_after(
        &self,
        request_id: String,
        action: Action,
    ) -> Result<Box<Rollout>, Status> {
        match self.write(request_id, action).await? {
            Reply::Rollout(rollout) => Ok(rollout),
            other => Err(unexpected(&other)),
        }
    }

    /// A rollout as it is shown, with what it waits for.
    async fn shown(&self, rollout: &Rollout) -> pb::Rollout {
        // Where the leader is elsewhere, the plan here may not have the rollout yet.
        let plan = self.fresh_plan().await.unwrap_or_else(|_| self.plan());
        rollout_to_pb(rollout, waiting_for(&plan, &self.evidence(), rollout, wall_ms()))
    }
}
