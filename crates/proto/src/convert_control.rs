//! `marquee.control.v1` ↔ core: the plan and everything in it, checked.
//!
//! To the wire is infallible. From the wire, a message that lacks what core needs, or that says what no
//! release of this protocol means, is refused with the path of the field. Both directions name every
//! field of both sides, so that a new one does not compile until it is carried.
//!
//! Bounds on sizes and names of requests are not checked here: the replicated state machine does, and says so in
//! an outcome that retries find again.

use crate::control::v1 as pb;
use crate::convert_ensemble::{ensemble_from_pb, ensemble_to_pb};
use crate::convert_experiment::{
    automatic_from_pb, automatic_to_pb, experiment_from_pb, experiment_to_pb, retention_from_pb,
    retention_to_pb,
};
use crate::convert_recipe::{recipe_from_pb, recipe_to_pb};
use crate::convert_telemetry::{
    gate_from_pb, gate_to_pb, pace_from_pb, pace_to_pb, shadow_from_pb, shadow_to_pb,
};
use crate::v1;
use marquee_core::command::{ReplicaReport, missing_arms};
use marquee_core::ensemble::validate;
use marquee_core::id::ModelVersion;
use marquee_core::plan::{
    Node, Placement, Plan, PublishedVersion, Quality, Replica, ReplicaState, Role, Surface,
};
use marquee_core::rollout::experiment::ExperimentState;
use marquee_core::rollout::{Rollout, RolloutEvent, RolloutState, RolloutStep, Terms};
use std::collections::{BTreeMap, BTreeSet};

/// Why a message does not say what core can hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// Something that is needed is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// A number of an enum that this release does not know, or its zero.
    #[error("{field}: {value} is not one of its values; a newer marquee may have more")]
    Enum {
        /// Which field.
        field: String,
        /// What it has.
        value: i32,
    },
    /// A value outside what the field means.
    #[error("{field}: {what}")]
    Value {
        /// Which field.
        field: String,
        /// What is wrong.
        what: String,
    },
    /// The same key twice.
    #[error("{field}: {key:?} is there twice")]
    Twice {
        /// Which field.
        field: String,
        /// The key.
        key: String,
    },
}

pub(crate) type Result<T> = std::result::Result<T, ConvertError>;

pub(crate) fn missing(field: &str) -> ConvertError {
    ConvertError::Missing(field.into())
}

pub(crate) fn needed<T>(value: Option<T>, field: &str) -> Result<T> {
    value.ok_or_else(|| missing(field))
}

/// Collects a keyed list, refusing a key that is there twice.
pub(crate) fn keyed<K: Ord + ToString, V>(
    field: &str,
    items: impl Iterator<Item = Result<(K, V)>>,
) -> Result<BTreeMap<K, V>> {
    let mut map = BTreeMap::new();
    for item in items {
        let (key, value) = item?;
        if map.contains_key(&key) {
            return Err(ConvertError::Twice { field: field.into(), key: key.to_string() });
        }
        map.insert(key, value);
    }
    Ok(map)
}

// ---- model versions ---------------------------------------------------------------------------

/// To the wire.
pub fn version_to_pb(version: &ModelVersion) -> v1::ModelVersion {
    let ModelVersion { model, version } = version;
    v1::ModelVersion { model: model.clone(), version: *version }
}

/// From the wire; `field` names it in errors.
pub fn version_from_pb(version: Option<v1::ModelVersion>, field: &str) -> Result<ModelVersion> {
    let v1::ModelVersion { model, version } = needed(version, field)?;
    Ok(ModelVersion { model, version })
}

// ---- the plan ---------------------------------------------------------------------------------

/// To the wire.
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
    }
}

/// From the wire. `waiting_for` of its rollouts follows from the rest and is not kept.
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
    } = plan;
    let next = next_versions.into_iter().map(|next| Ok((next.model, next.version)));
    let plan = Plan {
        epoch,
        replication_factor,
        nodes: keyed("plan.nodes", nodes.into_iter().map(node_from_pb))?,
        versions: keyed("plan.versions", versions.into_iter().map(published_from_pb))?,
        ensembles: keyed("plan.ensembles", ensembles.into_iter().map(ensemble_from_pb))?,
        surfaces: keyed("plan.surfaces", surfaces.into_iter().map(surface_from_pb))?,
        rollouts: rollouts.into_iter().map(rollout_from_pb).collect::<Result<_>>()?,
        next_versions: keyed("plan.next_versions", next)?,
        next_rollout,
        experiments: experiments.into_iter().map(experiment_from_pb).collect::<Result<_>>()?,
        retention: keyed(
            "plan.retention",
            retention.into_iter().map(|it| Ok(retention_from_pb(it))),
        )?,
    };
    check_references(&plan)?;
    Ok(plan)
}

/// What a plan names it must hold: core follows references without looking.
fn check_references(plan: &Plan) -> Result<()> {
    let refused = |field: &str, what: String| ConvertError::Value { field: field.into(), what };
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

/// To the wire.
pub fn node_to_pb(node_id: &str, node: &Node) -> pb::Node {
    let Node { address, roles, draining, memory_budget_bytes, alive } = node;
    pb::Node {
        node_id: node_id.into(),
        address: address.clone(),
        roles: roles.iter().map(|role| role_to_pb(*role) as i32).collect(),
        draining: *draining,
        memory_budget_bytes: *memory_budget_bytes,
        alive: *alive,
    }
}

/// From the wire: the node's id and the node.
pub fn node_from_pb(node: pb::Node) -> Result<(String, Node)> {
    let pb::Node { node_id, address, roles, draining, memory_budget_bytes, alive } = node;
    let roles = roles.into_iter().map(role_from_pb).collect::<Result<_>>()?;
    Ok((node_id, Node { address, roles, draining, memory_budget_bytes, alive }))
}

fn role_to_pb(role: Role) -> pb::Role {
    match role {
        Role::Control => pb::Role::Control,
        Role::Shard => pb::Role::Shard,
        Role::Router => pb::Role::Router,
    }
}

/// From the wire.
pub fn role_from_pb(role: i32) -> Result<Role> {
    match pb::Role::try_from(role) {
        Ok(pb::Role::Control) => Ok(Role::Control),
        Ok(pb::Role::Shard) => Ok(Role::Shard),
        Ok(pb::Role::Router) => Ok(Role::Router),
        Ok(pb::Role::Unspecified) | Err(_) => {
            Err(ConvertError::Enum { field: "roles".into(), value: role })
        }
    }
}

fn surface_to_pb(name: &str, surface: &Surface) -> pb::Surface {
    let Surface { ensemble, rollout_id, previous, automatic, denied } = surface;
    pb::Surface {
        name: name.into(),
        ensemble: ensemble.clone().unwrap_or_default(),
        rollout_id: rollout_id.clone().unwrap_or_default(),
        previous: previous.clone().unwrap_or_default(),
        automatic: automatic.as_ref().map(automatic_to_pb),
        denied_item_ids: denied.to_vec(),
    }
}

fn surface_from_pb(surface: pb::Surface) -> Result<(String, Surface)> {
    let pb::Surface { name, ensemble, rollout_id, previous, automatic, denied_item_ids } = surface;
    let surface = Surface {
        ensemble: non_empty(ensemble),
        rollout_id: non_empty(rollout_id),
        previous: non_empty(previous),
        automatic: automatic.map(automatic_from_pb).transpose()?,
        denied: BTreeSet::from_iter(denied_item_ids).into_iter().collect(),
    };
    Ok((name, surface))
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

// ---- published versions -----------------------------------------------------------------------

/// To the wire.
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
    }
}

/// From the wire: the version and what it is.
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
    } = published;
    let published = PublishedVersion {
        bundle_uri,
        manifest_digest,
        recipe: recipe_from_pb(needed(recipe, "version.recipe")?)?,
        shards,
        users,
        items,
        bytes,
        quality: quality_from_pb(quality.unwrap_or_default()),
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
            .map(|(node_id, Replica { state, reason })| pb::Replica {
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
        Ok((node_id, Replica { state: replica_state_from_pb(state)?, reason }))
    });
    Ok(Placement { node_ids, replicas: keyed("placement.replicas", replicas)? })
}

fn replica_state_to_pb(state: ReplicaState) -> pb::ReplicaState {
    match state {
        ReplicaState::Loading => pb::ReplicaState::Loading,
        ReplicaState::Available => pb::ReplicaState::Available,
        ReplicaState::Unloading => pb::ReplicaState::Unloading,
        ReplicaState::Failed => pb::ReplicaState::Failed,
    }
}

fn replica_state_from_pb(state: i32) -> Result<ReplicaState> {
    match pb::ReplicaState::try_from(state) {
        Ok(pb::ReplicaState::Loading) => Ok(ReplicaState::Loading),
        Ok(pb::ReplicaState::Available) => Ok(ReplicaState::Available),
        Ok(pb::ReplicaState::Unloading) => Ok(ReplicaState::Unloading),
        Ok(pb::ReplicaState::Failed) => Ok(ReplicaState::Failed),
        Ok(pb::ReplicaState::Unspecified) | Err(_) => {
            Err(ConvertError::Enum { field: "replicas.state".into(), value: state })
        }
    }
}

/// To the wire.
pub fn replica_report_to_pb(report: &ReplicaReport) -> pb::ReplicaReport {
    let ReplicaReport { version, shard, replica: Replica { state, reason } } = report;
    pb::ReplicaReport {
        version: Some(version_to_pb(version)),
        shard: *shard,
        state: replica_state_to_pb(*state) as i32,
        reason: reason.clone(),
    }
}

/// From the wire.
pub fn replica_report_from_pb(report: pb::ReplicaReport) -> Result<ReplicaReport> {
    let pb::ReplicaReport { version, shard, state, reason } = report;
    Ok(ReplicaReport {
        version: version_from_pb(version, "replicas.version")?,
        shard,
        replica: Replica { state: replica_state_from_pb(state)?, reason },
    })
}

// ---- rollouts ---------------------------------------------------------------------------------

/// To the wire. `waiting_for` is the plan's to say ([`Plan::waiting_for`]).
pub fn rollout_to_pb(rollout: &Rollout, waiting_for: String) -> pb::Rollout {
    let Rollout {
        id,
        surface,
        baseline,
        candidate,
        steps,
        terms: Terms { gates, shadow, pace },
        state,
        resumes_to,
        awaits_approval_of,
        approved_step,
        step,
        step_started_at_ms,
        held_ms,
        started_at_ms,
        finished_at_ms,
        history,
    } = rollout;
    pb::Rollout {
        rollout_id: id.clone(),
        surface: surface.clone(),
        baseline: baseline.clone().unwrap_or_default(),
        candidate: candidate.clone(),
        steps: steps.iter().map(step_to_pb).collect(),
        state: rollout_state_to_pb(*state) as i32,
        step: *step,
        weight_basis_points: rollout.weight_basis_points(),
        step_started_at_ms: *step_started_at_ms,
        held_ms: *held_ms,
        started_at_ms: *started_at_ms,
        finished_at_ms: *finished_at_ms,
        history: history.iter().map(event_to_pb).collect(),
        waiting_for,
        gates: gates.iter().map(gate_to_pb).collect(),
        shadow: Some(shadow_to_pb(*shadow)),
        pace: pace_to_pb(*pace) as i32,
        resumes_to: rollout_state_to_pb(*resumes_to) as i32,
        awaits_approval_of: *awaits_approval_of,
        approved_step: *approved_step,
    }
}

/// From the wire. What follows from the rest (`weight_basis_points`, `waiting_for`) is not kept.
pub fn rollout_from_pb(rollout: pb::Rollout) -> Result<Rollout> {
    let pb::Rollout {
        rollout_id,
        surface,
        baseline,
        candidate,
        steps,
        state,
        step,
        weight_basis_points: _,
        step_started_at_ms,
        held_ms,
        started_at_ms,
        finished_at_ms,
        history,
        waiting_for: _,
        gates,
        shadow,
        pace,
        resumes_to,
        awaits_approval_of,
        approved_step,
    } = rollout;
    Ok(Rollout {
        id: rollout_id,
        surface,
        baseline: non_empty(baseline),
        candidate,
        steps: steps.into_iter().map(step_from_pb).collect(),
        terms: terms_from_pb(gates, needed(shadow, "rollout.shadow")?, pace)?,
        state: rollout_state_from_pb(state)?,
        resumes_to: rollout_state_from_pb(resumes_to)?,
        awaits_approval_of,
        approved_step,
        step,
        step_started_at_ms,
        held_ms,
        started_at_ms,
        finished_at_ms,
        history: history.into_iter().map(event_from_pb).collect::<Result<_>>()?,
    })
}

/// To the wire.
pub fn step_to_pb(step: &RolloutStep) -> pb::RolloutStep {
    let RolloutStep { weight_basis_points, hold_seconds, min_samples, requires_approval } = *step;
    pb::RolloutStep { weight_basis_points, hold_seconds, min_samples, requires_approval }
}

/// From the wire.
pub fn step_from_pb(step: pb::RolloutStep) -> RolloutStep {
    let pb::RolloutStep { weight_basis_points, hold_seconds, min_samples, requires_approval } =
        step;
    RolloutStep { weight_basis_points, hold_seconds, min_samples, requires_approval }
}

/// From the wire.
pub fn terms_from_pb(gates: Vec<pb::Gate>, shadow: pb::Shadow, pace: i32) -> Result<Terms> {
    Ok(Terms {
        gates: gates.into_iter().map(gate_from_pb).collect::<Result<_>>()?,
        shadow: shadow_from_pb(shadow),
        pace: pace_from_pb(pace)?,
    })
}

fn event_to_pb(event: &RolloutEvent) -> pb::RolloutEvent {
    let RolloutEvent { at_ms, state, step, weight_basis_points, reason } = event;
    pb::RolloutEvent {
        at_ms: *at_ms,
        state: rollout_state_to_pb(*state) as i32,
        step: *step,
        weight_basis_points: *weight_basis_points,
        reason: reason.clone(),
    }
}

fn event_from_pb(event: pb::RolloutEvent) -> Result<RolloutEvent> {
    let pb::RolloutEvent { at_ms, state, step, weight_basis_points, reason } = event;
    Ok(RolloutEvent {
        at_ms,
        state: rollout_state_from_pb(state)?,
        step,
        weight_basis_points,
        reason,
    })
}

fn rollout_state_to_pb(state: RolloutState) -> pb::RolloutState {
    match state {
        RolloutState::Preparing => pb::RolloutState::Preparing,
        RolloutState::Shadow => pb::RolloutState::Shadow,
        RolloutState::Canary => pb::RolloutState::Canary,
        RolloutState::Paused => pb::RolloutState::Paused,
        RolloutState::Promoted => pb::RolloutState::Promoted,
        RolloutState::RolledBack => pb::RolloutState::RolledBack,
        RolloutState::Aborted => pb::RolloutState::Aborted,
    }
}

fn rollout_state_from_pb(state: i32) -> Result<RolloutState> {
    match pb::RolloutState::try_from(state) {
        Ok(pb::RolloutState::Preparing) => Ok(RolloutState::Preparing),
        Ok(pb::RolloutState::Shadow) => Ok(RolloutState::Shadow),
        Ok(pb::RolloutState::Canary) => Ok(RolloutState::Canary),
        Ok(pb::RolloutState::Paused) => Ok(RolloutState::Paused),
        Ok(pb::RolloutState::Promoted) => Ok(RolloutState::Promoted),
        Ok(pb::RolloutState::RolledBack) => Ok(RolloutState::RolledBack),
        Ok(pb::RolloutState::Aborted) => Ok(RolloutState::Aborted),
        Ok(pb::RolloutState::Unspecified) | Err(_) => {
            Err(ConvertError::Enum { field: "rollout.state".into(), value: state })
        }
    }
}
