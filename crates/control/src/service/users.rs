//! Users: forgotten, and the keys that they are named by.

use super::api::{ControlApi, unexpected};
use marquee_core::bounds::MAX_ID_BYTES;
use marquee_core::command::{Action, Reply};
use marquee_proto::control::v1 as pb;
use marquee_proto::convert::privacy::{privacy_to_pb, tombstone_to_pb};
use marquee_proto::convert::version::version_to_pb;
use tonic::Status;

impl ControlApi {
    /// Forgets a user. The id goes no further than this: the command has a keyed hash of it.
    pub(super) async fn forget(
        &self,
        request: pb::ForgetUserRequest,
    ) -> Result<pb::ForgetUserResponse, Status> {
        let pb::ForgetUserRequest { request_id, user_id } = request;
        if user_id.is_empty() || user_id.len() > MAX_ID_BYTES {
            return Err(Status::invalid_argument(format!(
                "user_id has {} bytes: 1 to {MAX_ID_BYTES} are allowed",
                user_id.len()
            )));
        }
        let Some(user) = self.fresh_plan().await?.privacy.pseudonym(&user_id) else {
            return Err(Status::failed_precondition(
                "the cluster has drawn no key yet that users are named by: try again in some seconds",
            ));
        };
        match self.write(request_id, Action::ForgetUser { user }).await? {
            Reply::Done => {}
            other => return Err(unexpected(&other)),
        }
        let plan = self.fresh_plan().await?;
        let tombstone = plan.privacy.tombstones.get(&user).copied();
        // A retry of long ago: the tombstone may have aged since.
        let number = tombstone.map_or(0, |tombstone| tombstone.number);
        let knew = plan.versions.iter().filter(|(_, it)| it.forgotten_up_to < number);
        Ok(pb::ForgetUserResponse {
            forgotten: tombstone.map(|tombstone| tombstone_to_pb(&user, &tombstone)),
            versions: knew.map(|(version, _)| version_to_pb(version)).collect(),
        })
    }

    /// The keys and tombstones.
    pub(super) async fn user_privacy(&self) -> Result<pb::GetUserPrivacyResponse, Status> {
        let plan = self.fresh_plan().await?;
        let versions = plan.versions.iter().map(|(version, published)| pb::TrainedVersion {
            version: Some(version_to_pb(version)),
            forgotten_up_to: published.forgotten_up_to,
        });
        Ok(pb::GetUserPrivacyResponse {
            versions: versions.collect(),
            privacy: Some(privacy_to_pb(&plan.privacy)),
            list_id: plan.privacy.list_id(),
        })
    }
}
