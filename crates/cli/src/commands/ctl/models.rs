//! `marquee ctl models`: the published versions.

use super::context::Context;
use crate::message;
use crate::output;
use marquee_proto::control::v1::{ListModelsRequest, PublishedVersion, Quality, ReplicaState};
use std::process::ExitCode;

/// Prints a table of the published versions.
pub(super) async fn run(context: &mut Context) -> anyhow::Result<ExitCode> {
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
