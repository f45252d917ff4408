//! Commands on published versions and ensembles.

use super::error::CommandError;
use super::reply::Reply;
use super::rollouts::await_rollouts;
use crate::bounds::{MAX_MODELS, MAX_NAMED, MAX_SHARDS, MAX_VERSIONS};
use crate::ensemble::{EnsembleNode, validate};
use crate::id::{ModelVersion, check_name};
use crate::plan::retention::retired;
use crate::plan::{Plan, PublishedVersion, ReplicaState, Retention};

/// Gives a bundle the model's next version number; a bundle that is published already keeps its own. Where a replica of it has
/// failed, the place that is published now takes the old one's: it was read a moment ago. One whose signature does not
/// count further than all that were published is an old one that comes back, and must be allowed.
pub(super) fn publish(
    plan: &mut Plan,
    model: &str,
    bundle: &PublishedVersion,
    allow_older: bool,
    now_ms: u64,
) -> Result<Reply, CommandError> {
    check_name("model", model)?;
    if bundle.shards == 0 || bundle.shards > MAX_SHARDS {
        return Err(CommandError::ShardCount { shards: bundle.shards });
    }
    let same = plan.versions.iter_mut().find(|(version, published)| {
        version.model == model && published.manifest_digest == bundle.manifest_digest
    });
    if let Some((version, published)) = same {
        if has_failed(published) {
            published.bundle_uri.clone_from(&bundle.bundle_uri);
        }
        return Ok(Reply::Version(version.clone()));
    }
    let newest = plan.signed_counters.get(model).copied().unwrap_or(0);
    let counter = bundle.signed_counter;
    if newest > 0 && counter <= newest && !allow_older {
        return Err(CommandError::OlderSignature { model: model.into(), counter, newest });
    }
    if plan.versions.len() >= MAX_VERSIONS {
        return Err(CommandError::Full { what: "published versions", bound: MAX_VERSIONS });
    }
    if !plan.next_versions.contains_key(model) && plan.next_versions.len() >= MAX_MODELS {
        return Err(CommandError::Full { what: "names of models", bound: MAX_MODELS });
    }
    let next = plan.next_versions.entry(model.into()).or_insert(1);
    let version = ModelVersion::new(model, *next);
    *next += 1;
    let published =
        PublishedVersion { published_at_ms: now_ms, placements: Vec::new(), ..bundle.clone() };
    plan.versions.insert(version.clone(), published);
    if counter > newest {
        plan.signed_counters.insert(model.into(), counter);
    }
    await_rollouts(plan, &version);
    Ok(Reply::Version(version))
}

/// Whether a replica of the version could not be loaded.
fn has_failed(published: &PublishedVersion) -> bool {
    let mut replicas =
        published.placements.iter().flat_map(|placement| placement.replicas.values());
    replicas.any(|replica| replica.state == ReplicaState::Failed)
}

/// Stores an ensemble under a name that is free, or that means the same already.
pub(super) fn put_ensemble(
    plan: &mut Plan,
    name: &str,
    root: &EnsembleNode,
) -> Result<Reply, CommandError> {
    validate(name, root, plan)?;
    match plan.ensembles.get(name) {
        Some(stored) if stored == root => {}
        Some(_) => return Err(CommandError::EnsembleExists { name: name.into() }),
        None if plan.ensembles.len() >= MAX_NAMED => {
            return Err(CommandError::Full { what: "ensembles", bound: MAX_NAMED });
        }
        None => {
            plan.ensembles.insert(name.into(), root.clone());
        }
    }
    Ok(Reply::Ensemble { name: name.into(), root: root.clone() })
}

pub(super) fn set_retention(
    plan: &mut Plan,
    model: &str,
    retention: Option<Retention>,
) -> Result<Reply, CommandError> {
    if !plan.next_versions.contains_key(model) {
        return Err(CommandError::UnknownModel { model: model.into() });
    }
    match retention {
        Some(Retention { keep_versions: 0, .. }) => return Err(CommandError::KeepsNoVersion),
        Some(retention) => plan.retention.insert(model.into(), retention),
        None => plan.retention.remove(model),
    };
    Ok(Reply::Done)
}

/// Forgets the versions that nothing needs and no policy keeps.
pub(super) fn retire_versions(plan: &mut Plan, now_ms: u64) -> Reply {
    for version in retired(plan, now_ms) {
        plan.versions.remove(&version);
    }
    Reply::Done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::recipe::Recipe;
    use crate::plan::{Placement, PlannedReplica, Quality};

    fn bundle(bundle_uri: &str) -> PublishedVersion {
        PublishedVersion {
            bundle_uri: bundle_uri.into(),
            manifest_digest: "d".into(),
            recipe: Recipe::Popularity,
            shards: 1,
            users: 1,
            items: 1,
            bytes: 1,
            quality: Quality::default(),
            published_at_ms: 0,
            placements: Vec::new(),
            forgotten_up_to: 0,
            signed_counter: 0,
        }
    }

    #[test]
    fn an_intact_copy_takes_the_place_of_a_broken_bundle() {
        let mut plan = Plan::default();
        let version = ModelVersion::new("films", 1);
        let publish_at = |plan: &mut Plan, uri: &str| {
            let reply = publish(plan, "films", &bundle(uri), false, 0);
            assert_eq!(reply, Ok(Reply::Version(version.clone())), "it keeps its number");
            plan.versions[&version].bundle_uri.clone()
        };
        assert_eq!(publish_at(&mut plan, "file:///a"), "file:///a");
        assert_eq!(publish_at(&mut plan, "file:///b"), "file:///a", "nothing is wrong with it");
        let state = ReplicaState::Failed;
        let failed = PlannedReplica { state, reason: "a checksum".into() };
        let placement =
            Placement { replicas: [("n".to_owned(), failed)].into(), ..Placement::default() };
        plan.versions.get_mut(&version).expect("published").placements = vec![placement.clone()];
        assert_eq!(publish_at(&mut plan, "file:///b"), "file:///b");
        assert_eq!(plan.versions[&version].placements, [placement], "control knows what is where");
    }
}
