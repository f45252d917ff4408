//! `ctl publish` and `ctl models`.

use super::context::Context;
use super::steps;
use crate::message;
use crate::output;
use clap::Args;
use marquee_client::{bundle_uri, request_id};
use marquee_proto::control::v1::{
    ListModelsRequest, PublishModelRequest, PublishedVersion, Quality, ReplicaState, Retention,
    SetRetentionRequest,
};
use std::path::Path;
use std::process::ExitCode;

#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee ctl publish bundles/films-v2")]
pub(super) struct PublishArgs {
    /// A bundle's directory, or a URI such as file:///srv/bundles/films-v2, that every control and
    /// shard node can read
    bundle: String,
    /// Publish though the model did not beat popularity on its hold-out, or was never measured
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee ctl retain films --keep 5 --for 30d
  marquee ctl retain films --keep 3 --delete-bundles
  marquee ctl retain films --everything

Versions that are live, were live before, or are part of a rollout, an experiment or a stored ensemble are
kept in any case.")]
pub(super) struct RetainArgs {
    /// The model
    model: String,
    /// So many of the newest versions
    #[arg(long, value_name = "N", required_unless_present = "everything")]
    keep: Option<u32>,
    /// And every version for this long after it was published, such as 30d
    #[arg(long = "for", default_value = "0s", value_parser = steps::seconds, value_name = "TIME")]
    keep_for: u64,
    /// Delete the bundles of versions that are forgotten, where the leader can reach them
    #[arg(long, conflicts_with = "everything")]
    delete_bundles: bool,
    /// Keep everything again
    #[arg(long, conflicts_with = "keep")]
    everything: bool,
}

pub(super) async fn retain(context: &mut Context, args: RetainArgs) -> anyhow::Result<ExitCode> {
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
            "of {model} the newest {versions} are kept, and what anything needs"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn publish(context: &mut Context, args: PublishArgs) -> anyhow::Result<ExitCode> {
    let request = PublishModelRequest {
        request_id: request_id(),
        bundle_uri: bundle_uri(&args.bundle)?,
        force: args.force,
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

pub(super) async fn list(context: &mut Context) -> anyhow::Result<ExitCode> {
    let models = context
        .client
        .call(ListModelsRequest {}, |mut control, request| async move {
            control.list_models(request).await
        })
        .await?;
    if context.json {
        output::json(&message::to_json("marquee.control.v1.ListModelsResponse", &models))?;
        return Ok(ExitCode::SUCCESS);
    }
    if models.versions.is_empty() {
        output::line("no models: publish one with `marquee ctl publish DIR`")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = output::table(&[
        "MODEL",
        "SHARDS",
        "USERS",
        "ITEMS",
        "SIZE",
        "RECALL@20",
        "POPULARITY",
        "REPLICAS",
        "PUBLISHED",
        "BUNDLE",
    ]);
    for version in &models.versions {
        let quality = version.quality.unwrap_or_default();
        table.add_row([
            name(version),
            version.shards.to_string(),
            output::thousands(version.users),
            output::thousands(version.items),
            output::bytes(version.bytes),
            metric(quality.recall_at_20),
            popularity(&quality),
            replicas(version),
            output::moment(version.published_at_ms),
            version.bundle_uri.clone(),
        ]);
    }
    output::line(output::lines_of(&table))?;
    Ok(ExitCode::SUCCESS)
}

fn name(version: &PublishedVersion) -> String {
    version.version.as_ref().map_or_else(String::new, |v| format!("{}@{}", v.model, v.version))
}

fn metric(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.4}"))
}

fn popularity(quality: &Quality) -> String {
    metric(quality.popularity_recall_at_20)
}

/// `available/wanted`, or `-` for a version that nothing needs.
pub(super) fn replicas(version: &PublishedVersion) -> String {
    let wanted: usize = version.placements.iter().map(|placement| placement.node_ids.len()).sum();
    let there = version
        .placements
        .iter()
        .flat_map(|placement| {
            placement.replicas.iter().filter(|replica| {
                replica.state() == ReplicaState::Available
                    && placement.node_ids.contains(&replica.node_id)
            })
        })
        .count();
    match wanted {
        0 => "-".into(),
        _ => format!("{there}/{wanted}"),
    }
}
