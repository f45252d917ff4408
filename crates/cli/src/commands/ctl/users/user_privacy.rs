//! The keys that users are named by, and who is forgotten, as the cluster says.

use crate::commands::ctl::context::Context;
use marquee_client::CallError;
use marquee_proto::control::v1::{GetUserPrivacyRequest, GetUserPrivacyResponse};

/// The cluster's keys and tombstones.
pub(super) async fn user_privacy(
    context: &mut Context,
) -> Result<GetUserPrivacyResponse, CallError> {
    context
        .client
        .call(GetUserPrivacyRequest {}, |mut control, request| async move {
            control.get_user_privacy(request).await
        })
        .await
}
