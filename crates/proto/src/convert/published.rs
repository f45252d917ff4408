//! Published versions, their placement, and retention ↔ `marquee.control.v1`.

use super::error::{ConvertError, Result, map_of_unique_keys, required};
use super::recipe::{recipe_from_pb, recipe_to_pb};
use super::version::{version_from_pb, version_to_pb};
use crate::generated::control::v1 as pb;
use marquee_core::id::ModelVersion;
use marquee_core::plan::Retention;
use marquee_core::plan::{Placement, PlannedReplica, PublishedVersion, Quality, ReplicaState};

/// The wire form of a published version.
pub fn published_to_pb(
    version: &ModelVersion,
    published: &PublishedVersion,
) -> pb::PublishedVersion {
    let PublishedVersion {
        bundle_uri,
        manifest_digest,
        recipe,
        shards,
        users,
        items,
        bytes,
        quality,
        forgotten_up_to,
        signed_counter,
        published_at_ms,
        placements,
    } = published;
    pb::PublishedVersion {
        version: Some(version_to_pb(version)),
        bundle_uri: bundle_uri.clone(),
        manifest_digest: manifest_digest.clone(),
        recipe: Some(recipe_to_pb(recipe)),
        shards: *shards,
        users: *users,
        items: *items,
        bytes: *bytes,
        quality: Some(quality_to_pb(quality)),
        published_at_ms: *published_at_ms,
        placements: placements.iter().map(placement_to_pb).collect(),
        forgotten_up_to: *forgotten_up_to,
        signed_counter: *signed_counter,
    }
}

/// Reads a published version from its wire form: the version and what it is.
pub fn published_from_pb(
    published: pb::PublishedVersion,
) -> Result<(ModelVersion, PublishedVersion)> {
    let pb::PublishedVersion {
        version,
        bundle_uri,
        manifest_digest,
        recipe,
        shards,
        users,
        items,
        bytes,
        quality,
        published_at_ms,
        placements,
        forgotten_up_to,
        signed_counter,
    } = published;
    let published = PublishedVersion {
        bundle_uri,
        manifest_digest,
        recipe: recipe_from_pb(required(recipe, "version.recipe")?)?,
        shards,
        users,
        items,
        bytes,
        quality: quality_from_pb(quality.unwrap_or_default()),
        forgotten_up_to,
        signed_counter,
        published_at_ms,
        placements: placements.into_iter().map(placement_from_pb).collect::<Result<_>>()?,
    };
    Ok((version_from_pb(version, "version")?, published))
}

fn quality_to_pb(quality: &Quality) -> pb::Quality {
    let Quality { recall_at_20, ndcg_at_20, popularity_recall_at_20, popularity_ndcg_at_20 } =
        *quality;
    pb::Quality { recall_at_20, ndcg_at_20, popularity_recall_at_20, popularity_ndcg_at_20 }
}

fn quality_from_pb(quality: pb::Quality) -> Quality {
    let pb::Quality { recall_at_20, ndcg_at_20, popularity_recall_at_20, popularity_ndcg_at_20 } =
        quality;
    Quality { recall_at_20, ndcg_at_20, popularity_recall_at_20, popularity_ndcg_at_20 }
}

fn placement_to_pb(placement: &Placement) -> pb::Placement {
    let Placement { node_ids, replicas } = placement;
    pb::Placement {
        node_ids: node_ids.clone(),
        replicas: replicas
            .iter()
            .map(|(node_id, PlannedReplica { state, reason })| pb::Replica {
                node_id: node_id.clone(),
                state: replica_state_to_pb(*state) as i32,
                reason: reason.clone(),
            })
            .collect(),
    }
}

fn placement_from_pb(placement: pb::Placement) -> Result<Placement> {
    let pb::Placement { node_ids, replicas } = placement;
    let replicas = replicas.into_iter().map(|pb::Replica { node_id, state, reason }| {
        Ok((node_id, PlannedReplica { state: replica_state_from_pb(state)?, reason }))
    });
    Ok(Placement { node_ids, replicas: map_of_unique_keys("placement.replicas", replicas)? })
}

/// The wire form of the state of a replica.
pub(crate) fn replica_state_to_pb(state: ReplicaState) -> pb::ReplicaState {
    match state {
        ReplicaState::Loading => pb::ReplicaState::Loading,
        ReplicaState::Available => pb::ReplicaState::Available,
        ReplicaState::Unloading => pb::ReplicaState::Unloading,
        ReplicaState::Failed => pb::ReplicaState::Failed,
    }
}

/// Reads the state of a replica from its wire form.
pub(crate) fn replica_state_from_pb(state: i32) -> Result<ReplicaState> {
    match pb::ReplicaState::try_from(state) {
        Ok(pb::ReplicaState::Loading) => Ok(ReplicaState::Loading),
        Ok(pb::ReplicaState::Available) => Ok(ReplicaState::Available),
        Ok(pb::ReplicaState::Unloading) => Ok(ReplicaState::Unloading),
        Ok(pb::ReplicaState::Failed) => Ok(ReplicaState::Failed),
        Ok(pb::ReplicaState::Unspecified) | Err(_) => {
            Err(ConvertError::UnknownEnumValue { field: "replicas.state".into(), value: state })
        }
    }
}

/// The wire form of a retention policy.
pub fn retention_to_pb(model: &str, retention: Retention) -> pb::Retention {
    let Retention { keep_versions, keep_seconds, delete_bundles } = retention;
    pb::Retention { model: model.into(), keep_versions, keep_seconds, delete_bundles }
}

/// Reads a retention policy from its wire form, with the model's name.
pub fn retention_from_pb(retention: pb::Retention) -> (String, Retention) {
    let pb::Retention { model, keep_versions, keep_seconds, delete_bundles } = retention;
    (model, Retention { keep_versions, keep_seconds, delete_bundles })
}
