//! The plan ↔ `marquee.control.v1.Plan`.
//!
//! A plan from the wire is checked for references that lead nowhere: core follows them without looking.

use super::ensemble::{ensemble_from_pb, ensemble_to_pb};
use super::error::{ConvertError, Result, map_of_unique_keys, non_empty};
use super::experiment::{experiment_from_pb, experiment_to_pb};
use super::node::{node_from_pb, node_to_pb};
use super::privacy::{privacy_from_pb, privacy_to_pb};
use super::published::{published_from_pb, published_to_pb, retention_from_pb, retention_to_pb};
use super::rollout::{automatic_from_pb, automatic_to_pb, rollout_from_pb, rollout_to_pb};
use super::secret::secret_from_pb;
use crate::generated::control::v1 as pb;
use crate::generated::v1;
use marquee_core::command::missing_arms;
use marquee_core::ensemble::validate;
use marquee_core::plan::{AnswerKey, AnswerKeys, Plan, SegmentedAttribute, Segments, Surface};
use marquee_core::rollout::experiment::ExperimentState;
use std::collections::BTreeSet;

/// The wire form of the plan.
pub fn plan_to_pb(plan: &Plan) -> pb::Plan {
    let Plan {
        epoch,
        replication_factor,
        nodes,
        versions,
        ensembles,
        surfaces,
        rollouts,
        next_versions,
        next_rollout,
        experiments,
        retention,
        signed_counters,
        answer_keys,
        privacy,
    } = plan;
    let waiting = |it| missing_arms(plan, it).unwrap_or_default();
    pb::Plan {
        epoch: *epoch,
        replication_factor: *replication_factor,
        nodes: nodes.iter().map(|(id, node)| node_to_pb(id, node)).collect(),
        versions: versions.iter().map(|(version, it)| published_to_pb(version, it)).collect(),
        ensembles: ensembles.iter().map(|(name, root)| ensemble_to_pb(name, root)).collect(),
        surfaces: surfaces.iter().map(|(name, it)| surface_to_pb(name, it)).collect(),
        rollouts: rollouts.iter().map(|it| rollout_to_pb(it, plan.waiting_for(it))).collect(),
        next_versions: next_versions
            .iter()
            .map(|(model, next)| v1::ModelVersion { model: model.clone(), version: *next })
            .collect(),
        next_rollout: *next_rollout,
        experiments: experiments.iter().map(|it| experiment_to_pb(it, waiting(it))).collect(),
        retention: retention.iter().map(|(model, it)| retention_to_pb(model, *it)).collect(),
        answer_keys: answer_keys.iter().map(answer_key_to_pb).collect(),
        privacy: Some(privacy_to_pb(privacy)),
        signed_counters: signed_counters
            .iter()
            .map(|(model, counter)| pb::SignedCounter { model: model.clone(), counter: *counter })
            .collect(),
    }
}

/// Reads the plan from its wire form. `waiting_for` of its rollouts follows from the rest and is not kept.
pub fn plan_from_pb(plan: pb::Plan) -> Result<Plan> {
    let pb::Plan {
        epoch,
        replication_factor,
        nodes,
        versions,
        ensembles,
        surfaces,
        rollouts,
        next_versions,
        next_rollout,
        experiments,
        retention,
        signed_counters,
        answer_keys,
        privacy,
    } = plan;
    let keys = answer_keys.into_iter().map(answer_key_from_pb).collect::<Result<Vec<_>>>()?;
    let next = next_versions.into_iter().map(|next| Ok((next.model, next.version)));
    let plan = Plan {
        epoch,
        replication_factor,
        nodes: map_of_unique_keys("plan.nodes", nodes.into_iter().map(node_from_pb))?,
        versions: map_of_unique_keys("plan.versions", versions.into_iter().map(published_from_pb))?,
        ensembles: map_of_unique_keys(
            "plan.ensembles",
            ensembles.into_iter().map(ensemble_from_pb),
        )?,
        surfaces: map_of_unique_keys("plan.surfaces", surfaces.into_iter().map(surface_from_pb))?,
        rollouts: rollouts.into_iter().map(rollout_from_pb).collect::<Result<_>>()?,
        next_versions: map_of_unique_keys("plan.next_versions", next)?,
        next_rollout,
        experiments: experiments.into_iter().map(experiment_from_pb).collect::<Result<_>>()?,
        retention: map_of_unique_keys(
            "plan.retention",
            retention.into_iter().map(|it| Ok(retention_from_pb(it))),
        )?,
        answer_keys: AnswerKeys::of(keys),
        privacy: privacy_from_pb(privacy.unwrap_or_default())?,
        signed_counters: map_of_unique_keys(
            "plan.signed_counters",
            signed_counters.into_iter().map(|it| Ok((it.model, it.counter))),
        )?,
    };
    check_references(&plan)?;
    Ok(plan)
}

/// The plan as operators see it: without the keys that ids are signed with and users are named by.
pub fn plan_without_secrets(plan: &Plan) -> pb::Plan {
    pb::Plan { answer_keys: Vec::new(), privacy: None, ..plan_to_pb(plan) }
}

fn answer_key_to_pb(key: &AnswerKey) -> pb::AnswerKey {
    let AnswerKey { number, secret, made_at_ms } = key;
    pb::AnswerKey { number: *number, secret: secret.0.to_vec(), made_at_ms: *made_at_ms }
}

fn answer_key_from_pb(key: pb::AnswerKey) -> Result<AnswerKey> {
    let pb::AnswerKey { number, secret, made_at_ms } = key;
    let secret = secret_from_pb(secret, "plan.answer_keys.secret")?;
    Ok(AnswerKey { number, secret, made_at_ms })
}

/// What a plan names it must hold: core follows references without looking.
fn check_references(plan: &Plan) -> Result<()> {
    let refused =
        |field: &str, what: String| ConvertError::InvalidValue { field: field.into(), what };
    for (name, root) in &plan.ensembles {
        validate(name, root, plan).map_err(|e| refused("plan.ensembles", e.to_string()))?;
    }
    for (version, published) in &plan.versions {
        let (placed, shards) = (published.placements.len(), published.shards);
        if shards == 0 || (placed != 0 && placed != shards as usize) {
            let what = format!("{version} has {shards} shards and {placed} placements");
            return Err(refused("plan.versions", what));
        }
    }
    let live = plan.surfaces.values().filter_map(|surface| surface.ensemble.as_ref());
    // What is over may name versions that have been forgotten.
    let moving = plan.rollouts.iter().filter(|rollout| !rollout.state.is_over());
    let moving = moving.flat_map(|r| r.baseline.iter().chain([&r.candidate]));
    let tested = plan.experiments.iter().filter(|it| it.state != ExperimentState::Stopped);
    let tested = tested.flat_map(|it| it.arms.iter().map(|arm| &arm.ensemble));
    for name in live.chain(moving).chain(tested) {
        if plan.ensemble_named(name).is_none() {
            return Err(refused(
                "plan",
                format!("{name:?} is neither an ensemble nor a version of it"),
            ));
        }
    }
    for rollout in plan.surfaces.values().filter_map(|surface| surface.rollout_id.as_ref()) {
        if plan.rollout(rollout).is_none() {
            return Err(refused("plan.surfaces", format!("there is no rollout {rollout:?}")));
        }
    }
    Ok(())
}

fn surface_to_pb(name: &str, surface: &Surface) -> pb::Surface {
    let Surface { ensemble, rollout_id, previous, automatic, denied, segments } = surface;
    pb::Surface {
        name: name.into(),
        ensemble: ensemble.clone().unwrap_or_default(),
        rollout_id: rollout_id.clone().unwrap_or_default(),
        previous: previous.clone().unwrap_or_default(),
        automatic: automatic.as_ref().map(automatic_to_pb),
        denied_item_ids: denied.to_vec(),
        segments: segments.attributes().iter().map(segmented_to_pb).collect(),
    }
}

fn surface_from_pb(surface: pb::Surface) -> Result<(String, Surface)> {
    let pb::Surface { name, ensemble, rollout_id, previous, automatic, denied_item_ids, segments } =
        surface;
    let segmented: Vec<SegmentedAttribute> = segments.into_iter().map(segmented_from_pb).collect();
    let surface = Surface {
        ensemble: non_empty(ensemble),
        rollout_id: non_empty(rollout_id),
        previous: non_empty(previous),
        automatic: automatic.map(automatic_from_pb).transpose()?,
        denied: BTreeSet::from_iter(denied_item_ids).into_iter().collect(),
        segments: Segments::new(&segmented)
            .map_err(|error| ConvertError::invalid("surface.segments", error.to_string()))?,
    };
    Ok((name, surface))
}

/// The wire form of an attribute whose values are segments.
pub fn segmented_to_pb(attribute: &SegmentedAttribute) -> pb::SegmentedAttribute {
    let SegmentedAttribute { name, values } = attribute.clone();
    pb::SegmentedAttribute { name, values }
}

/// Reads an attribute whose values are segments from its wire form. Nothing is checked.
pub fn segmented_from_pb(attribute: pb::SegmentedAttribute) -> SegmentedAttribute {
    let pb::SegmentedAttribute { name, values } = attribute;
    SegmentedAttribute { name, values }
}
