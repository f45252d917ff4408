//! Which published versions may be forgotten, and their bundles deleted.

use super::contents::Plan;
use crate::id::ModelVersion;
use crate::planted::{PlantedBug, is_planted};
use std::collections::BTreeSet;

/// The bundles to delete once the versions are forgotten: their URIs and their manifests' digests. A bundle
/// that another version uses stays.
pub fn bundles_to_delete(plan: &Plan, retired: &BTreeSet<ModelVersion>) -> Vec<(String, String)> {
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

/// The versions that no policy keeps and nothing needs: no surface, no rollout that runs or is paused (its
/// baseline included, for its rollback), no experiment, no stored ensemble, no surface as what was live
/// before.
pub fn retired(plan: &Plan, now_ms: u64) -> BTreeSet<ModelVersion> {
    let mut retired = BTreeSet::new();
    if plan.retention.is_empty() {
        return retired;
    }
    let needed = versions_in_use(plan);
    for model in plan.retention.keys() {
        let kept = kept_by_policy(plan, model, now_ms);
        let all = plan.versions.keys().filter(|version| version.model == *model);
        let unneeded = all.filter(|version| {
            let is_needed = needed.contains(version) && !is_planted(PlantedBug::LiveVersionRetired);
            !kept.contains(version) && !is_needed
        });
        retired.extend(unneeded.cloned());
    }
    retired
}

/// The versions of a model that its retention keeps, whether anything needs them or not; none without one.
pub(crate) fn kept_by_policy(plan: &Plan, model: &str, now_ms: u64) -> BTreeSet<ModelVersion> {
    let Some(policy) = plan.retention.get(model) else { return BTreeSet::new() };
    let newest_first = plan.versions.iter().rev().filter(|(version, _)| version.model == model);
    let mut kept = BTreeSet::new();
    for (newer, (version, published)) in newest_first.enumerate() {
        let age_ms = now_ms.saturating_sub(published.published_at_ms);
        let is_young = age_ms < policy.keep_seconds.saturating_mul(1_000);
        if newer < policy.keep_versions.max(1) as usize || is_young {
            kept.insert(version.clone());
        }
    }
    kept
}

/// The versions that something needs.
fn versions_in_use(plan: &Plan) -> BTreeSet<ModelVersion> {
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
