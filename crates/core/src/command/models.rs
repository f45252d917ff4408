//! What is published, and ensembles of it.

use super::rollouts::await_rollouts;
use super::{Outcome, Refusal, Reply, full};
use crate::bounds::{MAX_NAMED, MAX_SHARDS, MAX_VERSIONS};
use crate::ensemble::{EnsembleNode, validate};
use crate::id::{ModelVersion, check_name};
use crate::plan::{Plan, PublishedVersion};

pub(super) fn publish(
    plan: &mut Plan,
    model: &str,
    new: &PublishedVersion,
    now_ms: u64,
) -> Outcome {
    check_name("model", model).map_err(|e| Refusal::Invalid(e.to_string()))?;
    if new.shards == 0 || new.shards > MAX_SHARDS {
        let says = format!("the bundle has {} shards: 1 to {MAX_SHARDS} are allowed", new.shards);
        return Err(Refusal::Invalid(says));
    }
    let same = plan.versions.iter().find(|(version, published)| {
        version.model == model && published.manifest_digest == new.manifest_digest
    });
    if let Some((version, _)) = same {
        return Ok(Reply::Version(version.clone()));
    }
    if plan.versions.len() >= MAX_VERSIONS {
        return Err(full("published versions", MAX_VERSIONS));
    }
    let next = plan.next_versions.entry(model.into()).or_insert(1);
    let version = ModelVersion::new(model, *next);
    *next += 1;
    let published =
        PublishedVersion { published_at_ms: now_ms, placements: Vec::new(), ..new.clone() };
    plan.versions.insert(version.clone(), published);
    await_rollouts(plan, &version);
    Ok(Reply::Version(version))
}

pub(super) fn put_ensemble(plan: &mut Plan, name: &str, root: &EnsembleNode) -> Outcome {
    validate(name, root, plan).map_err(|e| Refusal::Invalid(e.to_string()))?;
    let reply = Reply::Ensemble { name: name.into(), root: root.clone() };
    match plan.ensembles.get(name) {
        Some(there) if there == root => return Ok(reply),
        Some(_) => {
            return Err(Refusal::AlreadyExists(format!(
                "ensemble {name:?} has another definition already, and ensembles never change: use a new name"
            )));
        }
        None if plan.ensembles.len() >= MAX_NAMED => return Err(full("ensembles", MAX_NAMED)),
        None => plan.ensembles.insert(name.into(), root.clone()),
    };
    Ok(reply)
}
