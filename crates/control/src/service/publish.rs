//! Publishing: from a URI to a version of a model.

use super::api::{ControlApi, unexpected};
use super::status::IntoStatus as _;
use crate::bundles::{DescribedBundle, check_coverage, check_expiry, check_index, check_quality};
use crate::clock::wall_ms;
use marquee_core::command::{Action, Reply};
use marquee_core::id::ModelVersion;
use marquee_proto::control::v1 as pb;
use tonic::Status;

impl ControlApi {
    pub(super) async fn publish(
        &self,
        request: pb::PublishModelRequest,
    ) -> Result<pb::PublishModelResponse, Status> {
        let pb::PublishModelRequest { request_id, bundle_uri, force, allow_older } = request;
        let manifests = self.parts().manifests.clone();
        // The manifest is on a disk, possibly across a network.
        let read = tokio::task::spawn_blocking(move || manifests.read(&bundle_uri)).await;
        let read =
            read.map_err(|e| Status::internal(format!("reading the manifest failed: {e}")))?;
        let DescribedBundle {
            model,
            mut version,
            index_recall_at_100,
            forgotten_list,
            expires_at_ms,
        } = read.map_err(|error| error.into_status())?;
        check_expiry(expires_at_ms, wall_ms()).map_err(|error| error.into_status())?;
        let plan = self.fresh_plan().await?;
        if forgotten_list != plan.privacy.list_id() {
            // The number is one of another cluster's list.
            version.forgotten_up_to = 0;
        }
        if !force {
            check_coverage(&plan, &model, &version).map_err(|error| error.into_status())?;
            check_quality(&version.recipe, &version.quality)
                .and_then(|()| check_index(index_recall_at_100, self.parts().min_index_recall))
                .map_err(|error| error.into_status())?;
        }
        let action = Action::PublishVersion { model, version: Box::new(version), allow_older };
        match self.write(request_id, action).await? {
            Reply::Version(ModelVersion { model, version }) => {
                Ok(pb::PublishModelResponse { model, version })
            }
            other => Err(unexpected(&other)),
        }
    }
}
