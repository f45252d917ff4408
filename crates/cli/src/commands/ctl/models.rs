//! `marquee ctl models`: the published versions.

use super::context::Context;
use crate::message;
use crate::output;
use anyhow::bail;
use clap::{Args, Subcommand};
use marquee_client::request_id;
use marquee_core::id::ModelVersion;
use marquee_proto::control::v1::{
    DeleteModelRequest, ListModelsRequest, PublishedVersion, Quality, ReplicaState,
};
use std::process::ExitCode;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee ctl models
  marquee ctl models --json
  marquee ctl models delete films@3")]
pub(super) struct ModelsArgs {
    #[command(subcommand)]
    command: Option<ModelsCommand>,
}

#[derive(Subcommand, Debug)]
enum ModelsCommand {
    /// Forget one version of a model, or all of them; what is in use is refused, and bundles stay where they are
    #[command(after_help = "Examples:
  marquee ctl models delete films@3
  marquee ctl models delete films --all-versions

Numbers are not given again: the next version of films is films@4 though films@3 was deleted.")]
    Delete {
        /// A version, `model@version`, or with --all-versions a model
        name: String,
        /// Delete every version of the model
        #[arg(long)]
        all_versions: bool,
    },
}

/// Prints a table of the published versions, or deletes some.
pub(super) async fn run(context: &mut Context, args: ModelsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        None => list(context).await,
        Some(ModelsCommand::Delete { name, all_versions }) => {
            delete(context, name, all_versions).await
        }
    }
}

async fn delete(
    context: &mut Context,
    name: String,
    all_versions: bool,
) -> anyhow::Result<ExitCode> {
    let (model, version) = match (name.parse::<ModelVersion>(), all_versions) {
        (Ok(ModelVersion { model, version }), false) => (model, version),
        (Ok(_), true) => {
            bail!("{name} is one version: leave out --all-versions, or name the model")
        }
        (Err(_), true) => (name, 0),
        (Err(_), false) => {
            bail!("{name:?} is no version such as films@3: name one, or add --all-versions")
        }
    };
    let request = DeleteModelRequest { request_id: request_id(), model, version };
    let deleted = context
        .client
        .call(request, |mut control, request| async move { control.delete_model(request).await })
        .await?;
    if context.json {
        output::json(&message::to_json("marquee.control.v1.DeleteModelResponse", &deleted))?;
        return Ok(ExitCode::SUCCESS);
    }
    for version in deleted.versions {
        output::line(format!("deleted {}@{}", version.model, version.version))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(context: &mut Context) -> anyhow::Result<ExitCode> {
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

/// `available/wanted` replicas, or `-` for a version that is not in use.
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
