//! `marquee ctl retain`: which versions of a model are kept.

use super::context::Context;
use super::units::parse_seconds;
use crate::message;
use crate::output;
use clap::Args;
use marquee_client::request_id;
use marquee_proto::control::v1::{Retention, SetRetentionRequest};
use std::process::ExitCode;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee ctl retain films --keep 5 --for 30d
  marquee ctl retain films --keep 3 --delete-bundles
  marquee ctl retain films --everything

Versions that are live, were live before, or are part of a rollout, an experiment or a stored ensemble are
kept in any case.")]
pub(super) struct RetainArgs {
    /// The model whose versions are kept or forgotten
    model: String,
    /// How many of the newest versions are kept
    #[arg(long, value_name = "N", required_unless_present = "everything")]
    keep: Option<u32>,
    /// Keep every version for this long after it was published, such as 30d
    #[arg(long = "for", default_value = "0s", value_parser = parse_seconds, value_name = "TIME")]
    keep_for: u64,
    /// Delete the bundles of versions that are no longer kept, if the leader can reach them
    #[arg(long, conflicts_with = "everything")]
    delete_bundles: bool,
    /// Keep every version
    #[arg(long, conflicts_with = "keep")]
    everything: bool,
}

/// Sets the retention of a model.
pub(super) async fn run(context: &mut Context, args: RetainArgs) -> anyhow::Result<ExitCode> {
    let RetainArgs { model, keep, keep_for: keep_seconds, delete_bundles, everything } = args;
    let keep_versions = keep.unwrap_or_default();
    let retention = Retention { model: model.clone(), keep_versions, keep_seconds, delete_bundles };
    let request = SetRetentionRequest {
        request_id: request_id(),
        retention: Some(retention.clone()),
        keep_everything: everything,
    };
    context
        .client
        .call(request, |mut control, request| async move { control.set_retention(request).await })
        .await?;
    if context.json {
        output::json(&message::to_json("marquee.control.v1.Retention", &retention))?;
    } else if everything {
        output::line(format!("every version of {model} is kept"))?;
    } else {
        let versions = output::count(u64::from(keep_versions), "version");
        output::line(format!(
            "the newest {versions} of {model} are kept, and all that are in use"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
