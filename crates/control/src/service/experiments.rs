//! Experiments, automatic rollouts and retention, as operators see them.

use super::api::{ControlApi, required, unexpected};
use super::reason::check_reason;
use super::status::IntoStatus as _;
use marquee_core::bounds::FULL_WEIGHT_BASIS_POINTS;
use marquee_core::command::{Action, Reply, missing_arms};
use marquee_core::plan::{DEFAULT_SURFACE, Plan};
use marquee_core::rollout::experiment::{Experiment, ExperimentState, report};
use marquee_proto::control::v1 as pb;
use marquee_proto::convert::experiment::{arm_from_pb, experiment_to_pb, report_to_pb};
use marquee_proto::convert::plan::segmented_from_pb;
use marquee_proto::convert::published::retention_from_pb;
use marquee_proto::convert::rollout::automatic_from_pb;
use tonic::Status;

fn named(surface: String) -> String {
    if surface.is_empty() { DEFAULT_SURFACE.to_owned() } else { surface }
}

fn shown(plan: &Plan, experiment: &Experiment) -> pb::Experiment {
    let waits = experiment.state == ExperimentState::Preparing;
    let waiting_for = if waits { missing_arms(plan, experiment) } else { None };
    experiment_to_pb(experiment, waiting_for.unwrap_or_default())
}

impl ControlApi {
    pub(super) async fn begin_experiment(
        &self,
        request: pb::StartExperimentRequest,
    ) -> Result<pb::Experiment, Status> {
        let pb::StartExperimentRequest { request_id, surface, layer, share_basis_points, arms } =
            request;
        let surface = named(surface);
        let action = Action::StartExperiment {
            layer: if layer.is_empty() { surface.clone() } else { layer },
            surface,
            share_basis_points: match share_basis_points {
                0 => FULL_WEIGHT_BASIS_POINTS,
                share => share,
            },
            arms: arms.into_iter().map(arm_from_pb).collect(),
        };
        self.experiment_after(request_id, action).await
    }

    pub(super) async fn end_experiment(
        &self,
        request: pb::StopExperimentRequest,
    ) -> Result<pb::Experiment, Status> {
        let pb::StopExperimentRequest { request_id, experiment_id, reason } = request;
        check_reason(&reason).map_err(|error| error.into_status())?;
        let action = Action::StopExperiment { experiment_id, reason };
        self.experiment_after(request_id, action).await
    }

    async fn experiment_after(
        &self,
        request_id: String,
        action: Action,
    ) -> Result<pb::Experiment, Status> {
        match self.write(request_id, action).await? {
            Reply::Experiment(experiment) => {
                // Where the leader is elsewhere, the plan here may not have it yet.
                let plan = self.fresh_plan().await.unwrap_or_else(|_| self.plan());
                Ok(shown(&plan, &experiment))
            }
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn experiment_and_report(
        &self,
        experiment_id: &str,
    ) -> Result<pb::GetExperimentResponse, Status> {
        let (plan, all) = (self.fresh_plan().await?, self.evidence());
        let experiment = plan.experiment(experiment_id).ok_or_else(|| {
            Status::not_found(format!(
                "there is no experiment {experiment_id:?}: list them to see the ids"
            ))
        })?;
        let evidence = all.get(experiment_id);
        let windows = evidence.map_or(0, |evidence| evidence.windows);
        let automated = evidence.map_or(0, |evidence| evidence.total.automated);
        Ok(pb::GetExperimentResponse {
            experiment: Some(shown(&plan, experiment)),
            report: Some(report_to_pb(&report(experiment, evidence), windows, automated)),
        })
    }

    pub(super) async fn all_experiments(&self) -> Result<Vec<pb::Experiment>, Status> {
        let plan = self.fresh_plan().await?;
        Ok(plan.experiments.iter().rev().map(|experiment| shown(&plan, experiment)).collect())
    }

    pub(super) async fn automate(
        &self,
        request: pb::SetAutomaticRolloutRequest,
    ) -> Result<(), Status> {
        let pb::SetAutomaticRolloutRequest { request_id, surface, automatic } = request;
        let automatic = automatic.map(automatic_from_pb).transpose();
        let automatic = automatic.map_err(|error| error.into_status())?;
        if let Some(automatic) = &automatic {
            self.check_external_urls(&automatic.terms)?;
        }
        let action = Action::SetAutomaticRollout { surface: named(surface), automatic };
        self.done(request_id, action).await
    }

    pub(super) async fn deny(&self, request: pb::ChangeDenyListRequest) -> Result<(), Status> {
        let pb::ChangeDenyListRequest {
            request_id,
            surface,
            clear,
            remove_item_ids: remove,
            add_item_ids: add,
        } = request;
        let surface = named(surface);
        self.done(request_id, Action::ChangeDenyList { surface, clear, remove, add }).await
    }

    pub(super) async fn segment(&self, request: pb::SetSegmentsRequest) -> Result<(), Status> {
        let pb::SetSegmentsRequest { request_id, surface, attributes } = request;
        let attributes = attributes.into_iter().map(segmented_from_pb).collect();
        self.done(request_id, Action::SetSegments { surface: named(surface), attributes }).await
    }

    pub(super) async fn retain(&self, request: pb::SetRetentionRequest) -> Result<(), Status> {
        let pb::SetRetentionRequest { request_id, retention, keep_everything } = request;
        let (model, retention) = retention_from_pb(required(retention, "retention")?);
        let retention = (!keep_everything).then_some(retention);
        self.done(request_id, Action::SetRetention { model, retention }).await
    }

    async fn done(&self, request_id: String, action: Action) -> Result<(), Status> {
        match self.write(request_id, action).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}
