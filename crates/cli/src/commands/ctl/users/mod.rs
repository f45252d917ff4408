//! `marquee ctl users`: users who are forgotten, and the keys that records name users by.

mod bytes_of_id;
mod forget;
mod keys;
mod verify;

use super::context::Context;
use clap::Subcommand;
use marquee_client::CallError;
use marquee_proto::control::v1::{GetUserPrivacyRequest, GetUserPrivacyResponse, TrainedVersion};
use marquee_proto::convert::privacy::privacy_from_pb;
use std::process::ExitCode;

/// Versions that a line names before it says only that there are more.
const MAX_NAMED_VERSIONS: usize = 10;

#[derive(Subcommand, Debug)]
pub(super) enum UsersCommand {
    /// Forget a user: in answers within seconds, in the logs of routers soon after, in the next trainings
    Forget(forget::ForgetArgs),
    /// Prove that a user is forgotten; exits 0 if so
    Verify(verify::VerifyArgs),
    /// Write the keys that records name users by, and the list of forgotten users, to a file for trainings and evaluations
    Keys(keys::KeysArgs),
}

pub(super) async fn run(context: &mut Context, command: UsersCommand) -> anyhow::Result<ExitCode> {
    match command {
        UsersCommand::Forget(args) => forget::run(context, args).await,
        UsersCommand::Verify(args) => verify::run(context, args).await,
        UsersCommand::Keys(args) => keys::run(context, args).await,
    }
}

/// The cluster's keys and tombstones.
async fn user_privacy(context: &mut Context) -> Result<GetUserPrivacyResponse, CallError> {
    context
        .client
        .call(GetUserPrivacyRequest {}, |mut control, request| async move {
            control.get_user_privacy(request).await
        })
        .await
}

/// The names of the versions that were not trained up to this tombstone.
fn trained_before(number: u64, versions: Vec<TrainedVersion>) -> Vec<String> {
    let before = versions.into_iter().filter(|it| it.forgotten_up_to < number);
    let versions = before.filter_map(|it| it.version);
    versions.map(|it| format!("{}@{}", it.model, it.version)).collect()
}

/// Some names, and that there are more.
fn named(versions: &[String]) -> String {
    let mut shown = versions[..versions.len().min(MAX_NAMED_VERSIONS)].join(", ");
    if versions.len() > MAX_NAMED_VERSIONS {
        shown.push_str(", …");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_proto::v1::ModelVersion;

    #[test]
    fn versions_that_were_trained_before_are_named() {
        let version = |version, forgotten_up_to| TrainedVersion {
            version: Some(ModelVersion { model: "films".into(), version }),
            forgotten_up_to,
        };
        let versions = vec![version(1, 0), version(2, 3), version(3, 4)];
        assert_eq!(trained_before(4, versions), ["films@1", "films@2"]);
        let many: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        assert_eq!(named(&many), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …");
    }
}
