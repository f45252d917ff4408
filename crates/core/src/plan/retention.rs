//! Which published versions may be forgotten, and their bundles deleted.

use crate::id::ModelVersion;
use crate::plan::Plan;
use std::collections::BTreeSet;

/// What is kept of a model besides all that something needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// So many of the newest versions, at least 1.
    pub keep_versions: u32,
    /// And every version for this long after it was published.
    pub keep_seconds: u64,
    /// Delete the bundles of versions that are forgotten.
    pub delete_bundles: bool,
}

/// The bundles to delete once the versions are forgotten: where they are, and their manifests' digests. What
/// another version uses too stays.
pub fn doomed_bundles(plan: &Plan, retired: &BTreeSet<ModelVersion>) -> Vec<(String, String)> {
    let deletes = |version: &ModelVersion| {
        plan.retention.get(&version.model).is_some_and(|policy| policy.delete_bundles)
    };
    let kept: BTreeSet<&str> = plan
        .versions
        .iter()
        .filter(|(version, _)| !retired.contains(version))
        .map(|(_, published)| published.bundle_uri.as_str())
        .collect();
    plan.versions
        .iter()
        .filter(|(version, _)| retired.contains(version) && deletes(version))
        .map(|(_, published)| (published.bundle_uri.clone(), published.manifest_digest.clone()))
        .filter(|(uri, _)| !kept.contains(uri.as_str()))
        .collect()
}

/// The versions that their models' policies give up and nothing needs: no surface, no rollout that runs
/// or is paused (its baseline included, for its rollback), no experiment, no stored ensemble, nothing that was
/// live before and may be wanted back.
pub fn retired(plan: &Plan, now_ms: u64) -> BTreeSet<ModelVersion> {
    let mut retired = BTreeSet::new();
    if plan.retention.is_empty() {
        return retired;
    }
    let needed = needed(plan);
    for (model, policy) in &plan.retention {
        let newest_first =
            plan.versions.iter().rev().filter(|(version, _)| version.model == *model);
        let beyond = newest_first.skip(policy.keep_versions.max(1) as usize);
        for (version, published) in beyond {
            let age_ms = now_ms.saturating_sub(published.published_at_ms);
            let is_old = age_ms >= policy.keep_seconds.saturating_mul(1_000);
            if is_old && !needed.contains(version) {
                retired.insert(version.clone());
            }
        }
    }
    retired
}

fn needed(plan: &Plan) -> BTreeSet<ModelVersion> {
    let mut needed = plan.live_versions();
    let before = plan.surfaces.values().filter_map(|surface| surface.previous.as_ref());
    for ensemble in before.chain(plan.ensembles.keys()) {
        needed.extend(plan.versions_of(ensemble));
    }
    needed.extend(plan.surfaces.values().filter_map(|surface| {
        surface.automatic.as_ref().and_then(|automatic| automatic.pending.clone())
    }));
    needed
}
