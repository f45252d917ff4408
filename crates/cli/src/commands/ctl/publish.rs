//! `marquee ctl publish`: a bundle as the next version of its model.

use super::context::Context;
use crate::message;
use crate::output;
use clap::Args;
use marquee_client::{bundle_uri, request_id};
use marquee_proto::control::v1::PublishModelRequest;
use std::process::ExitCode;

#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee ctl publish bundles/films-v2")]
pub(super) struct PublishArgs {
    /// A bundle's directory, or a URI such as file:///srv/bundles/films-v2, that every control and
    /// shard node can read
    bundle: String,
    /// Publish even if the model did not beat popularity on its hold-out, or was never measured
    #[arg(long)]
    force: bool,
    /// Publish even if a newer signature of the model was published: an old bundle comes back. It is noted who did so
    #[arg(long)]
    allow_older: bool,
}

/// Publishes a bundle and prints its version.
pub(super) async fn run(context: &mut Context, args: PublishArgs) -> anyhow::Result<ExitCode> {
    let request = PublishModelRequest {
        request_id: request_id(),
        bundle_uri: bundle_uri(&args.bundle)?,
        force: args.force,
        allow_older: args.allow_older,
    };
    let published = context
        .client
        .call(request, |mut control, request| async move { control.publish_model(request).await })
        .await?;
    if context.json {
        output::json(&message::to_json("marquee.control.v1.PublishModelResponse", &published))?;
    } else {
        let version = format!("{}@{}", published.model, published.version);
        output::line(format!("published {version}; it has no traffic yet"))?;
        output::line(format!(
            "next: marquee ctl rollout start --candidate {version} --steps 1%:60s,10%:5m,100%:0s --watch"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
