//! The plan: everything that routers and shards follow.
//!
//! Control commits it, everybody else only reads it. Questions that more than one role asks of it
//! are answered here, so that all give the same answer: which versions are live, what a node should
//! hold, whether an ensemble is ready for traffic, and what serves a user ([`Plan::route`]).

pub mod assignment;
pub mod placement;
pub mod retention;

use crate::ensemble::{EnsembleNode, Known, SplitMember, WeightedNode};
use crate::id::ModelVersion;
use crate::model::recipe::Recipe;
use crate::plan::placement::place;
use crate::plan::retention::Retention;
use crate::rollout::experiment::{Experiment, ExperimentState};
use crate::rollout::{Rollout, RolloutState, RolloutStep, Terms};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Where no surface is named.
pub const DEFAULT_SURFACE: &str = "default";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The raft index that made it.
    pub epoch: u64,
    /// Replicas wanted of each shard.
    pub replication_factor: u32,
    /// By node id.
    pub nodes: BTreeMap<String, Node>,
    /// Everything published.
    pub versions: BTreeMap<ModelVersion, PublishedVersion>,
    /// By name.
    pub ensembles: BTreeMap<String, EnsembleNode>,
    /// By name.
    pub surfaces: BTreeMap<String, Surface>,
    /// Running and finished, oldest first.
    pub rollouts: Vec<Rollout>,
    /// The number that each model's next version gets.
    pub next_versions: BTreeMap<String, u64>,
    /// The number that the next rollout or experiment gets.
    pub next_rollout: u64,
    /// Running and stopped, oldest first.
    pub experiments: Vec<Experiment>,
    /// By model: what is kept of it. Everything, where there is none.
    pub retention: BTreeMap<String, Retention>,
}

/// A shard or router node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `http://host:port`.
    pub address: String,
    /// What it does.
    pub roles: BTreeSet<Role>,
    /// It is being removed: its replicas move away.
    pub draining: bool,
    /// Bytes of bundles it may map; 0: unlimited.
    pub memory_budget_bytes: u64,
    /// It has reported lately.
    pub alive: bool,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A voter of the raft group.
    Control,
    /// Holds shards.
    Shard,
    /// Answers callers.
    Router,
}

/// A published bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedVersion {
    /// Where shards fetch it.
    pub bundle_uri: String,
    /// BLAKE3 of the manifest, hexadecimal.
    pub manifest_digest: String,
    /// How it answers.
    pub recipe: Recipe,
    /// How many shards it is cut into.
    pub shards: u32,
    /// How many users it knows.
    pub users: u64,
    /// How many items it knows.
    pub items: u64,
    /// Bytes of all its files.
    pub bytes: u64,
    /// How good it was at training.
    pub quality: Quality,
    /// When it was published.
    pub published_at_ms: u64,
    /// One for each shard while the version is live; else empty but for replicas still held.
    pub placements: Vec<Placement>,
}

/// Measured on the interactions held out at training; none where nothing was held out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// The model's recall@20.
    pub recall_at_20: Option<f64>,
    /// The model's nDCG@20.
    pub ndcg_at_20: Option<f64>,
    /// Popularity's recall@20 on the same hold-out.
    pub popularity_recall_at_20: Option<f64>,
    /// Popularity's nDCG@20 on the same hold-out.
    pub popularity_ndcg_at_20: Option<f64>,
}

/// Where one shard of a version is wanted, and what the nodes said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Wanted here, most wanted first.
    pub node_ids: Vec<String>,
    /// As reported, by node id; a node may still hold what is not wanted there any more.
    pub replicas: BTreeMap<String, Replica>,
}

/// A shard on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Where it is in its life.
    pub state: ReplicaState,
    /// Why it cannot be loaded; empty otherwise.
    pub reason: String,
}

/// Where a replica is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    /// Being fetched, verified, mapped and warmed.
    Loading,
    /// Answers.
    Available,
    /// On its way out.
    Unloading,
    /// Could not be loaded.
    Failed,
}

impl fmt::Display for ReplicaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loading => "LOADING",
            Self::Available => "AVAILABLE",
            Self::Unloading => "UNLOADING",
            Self::Failed => "FAILED",
        })
    }
}

/// A named place that callers ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surface {
    /// What is live; none until the first rollout is over.
    pub ensemble: Option<String>,
    /// The running rollout.
    pub rollout_id: Option<String>,
    /// What was live before, and may be wanted back.
    pub previous: Option<String>,
    /// Rollouts that begin by themselves.
    pub automatic: Option<Automatic>,
    /// Ids of items that are never in an answer here, ascending, at most
    /// [`MAX_DENIED_ITEMS`](crate::bounds::MAX_DENIED_ITEMS). Shared, since every route has them.
    pub denied: Arc<[String]>,
}

/// A rollout is to begin whenever a new version of a model is published.
#[derive(Clone, Debug, PartialEq)]
pub struct Automatic {
    /// The model.
    pub model: String,
    /// Its steps.
    pub steps: Vec<RolloutStep>,
    /// How it is guarded.
    pub terms: Terms,
    /// The newest version, published while another rollout was running: it is next.
    pub pending: Option<ModelVersion>,
}

/// What serves one user on a surface, under one epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The surface asked for.
    pub surface: String,
    /// The ensemble's name.
    pub ensemble: String,
    /// The running rollout.
    pub rollout_id: Option<String>,
    /// Which side of it.
    pub variant: Variant,
    /// The experiment that the user takes part in, and the name of the arm.
    pub experiment: Option<(String, String)>,
    /// What the answer counts for.
    pub trial: Option<Trial>,
    /// Ids of items that are never in an answer on the surface, ascending.
    pub denied: Arc<[String]>,
    /// What to execute: references followed and splits decided, so only models, sequences,
    /// parallels and products are left.
    pub root: EnsembleNode,
}

/// Which arm of which trial an answer belongs to; see [`crate::rollout::window`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Trial {
    /// The id of a rollout or an experiment.
    pub id: String,
    /// Arm 0 is the baseline.
    pub arm: usize,
    /// How many there are.
    pub arms: usize,
    /// The share of the last arm now: what is measured at another share is another window.
    pub weight_basis_points: u32,
}

/// Which side of a rollout serves a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// No rollout is running.
    None,
    /// The baseline.
    Baseline,
    /// The candidate.
    Candidate,
}

/// Why nothing serves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No rollout ever made it.
    #[error(
        "surface {0:?} is unknown: start a rollout on it first, or leave it out for \"default\""
    )]
    UnknownSurface(String),
    /// Its first ensemble is still being loaded.
    #[error("surface {0:?} has no live model yet: its first rollout is still preparing")]
    NotLive(String),
    /// The plan contradicts itself.
    #[error("the plan of epoch {epoch} names an ensemble {name:?} that it does not hold")]
    Broken {
        /// The plan's epoch.
        epoch: u64,
        /// The name.
        name: String,
    },
}

impl Known for Plan {
    fn recipe(&self, version: &ModelVersion) -> Option<&Recipe> {
        self.versions.get(version).map(|published| &published.recipe)
    }

    fn ensemble(&self, name: &str) -> Option<&EnsembleNode> {
        self.ensembles.get(name)
    }
}

impl Plan {
    /// The ensemble that `name` means: a stored one, or for `model@version` that version alone.
    pub fn ensemble_named(&self, name: &str) -> Option<EnsembleNode> {
        match name.parse::<ModelVersion>() {
            Ok(version) => {
                self.versions.contains_key(&version).then_some(EnsembleNode::Model(version))
            }
            Err(_) => self.ensembles.get(name).cloned(),
        }
    }

    /// The rollout of this id.
    pub fn rollout(&self, id: &str) -> Option<&Rollout> {
        self.rollouts.iter().find(|rollout| rollout.id == id)
    }

    /// What serves `user_id` on `surface`.
    pub fn route(&self, surface: &str, user_id: &str) -> Result<Route, RouteError> {
        let place =
            self.surfaces.get(surface).ok_or_else(|| RouteError::UnknownSurface(surface.into()))?;
        if let Some(route) = self.route_to_arm(surface, user_id)? {
            return Ok(route);
        }
        let rollout = place.rollout_id.as_ref().and_then(|id| self.rollout(id));
        let variant = match (rollout, &place.ensemble) {
            (Some(rollout), Some(_)) => {
                match assignment::bucket(&rollout.id, user_id) < rollout.weight_basis_points() {
                    true => Variant::Candidate,
                    false => Variant::Baseline,
                }
            }
            (None, Some(_)) => Variant::None,
            (_, None) => return Err(RouteError::NotLive(surface.into())),
        };
        self.route_as(surface, user_id, rollout, variant)
    }

    /// What would have served the user of `route` on the other side of its rollout; none where there is none.
    pub fn other_side(&self, route: &Route, user_id: &str) -> Option<Route> {
        let rollout = self.rollout(route.rollout_id.as_ref()?)?;
        let other = match route.variant {
            Variant::None => return None,
            Variant::Baseline => Variant::Candidate,
            Variant::Candidate => Variant::Baseline,
        };
        self.route_as(&route.surface, user_id, Some(rollout), other).ok()
    }

    /// What serves those who take part in an experiment.
    fn route_to_arm(&self, surface: &str, user_id: &str) -> Result<Option<Route>, RouteError> {
        let running = self.experiments.iter().filter(|it| it.surface == surface);
        let chosen = running.filter_map(|it| Some((it, it.arm_of(user_id)?))).next();
        let Some((experiment, arm)) = chosen else { return Ok(None) };
        let Experiment { id, arms, .. } = experiment;
        Ok(Some(Route {
            surface: surface.into(),
            ensemble: arms[arm].ensemble.clone(),
            rollout_id: None,
            variant: Variant::None,
            experiment: Some((id.clone(), arms[arm].name.clone())),
            trial: Some(Trial {
                id: id.clone(),
                arm,
                arms: arms.len(),
                weight_basis_points: arms.last().map_or(0, |arm| arm.weight_basis_points),
            }),
            denied: self.denied(surface),
            root: self.decide(&self.named(&arms[arm].ensemble)?, user_id)?,
        }))
    }

    fn route_as(
        &self,
        surface: &str,
        user_id: &str,
        rollout: Option<&Rollout>,
        variant: Variant,
    ) -> Result<Route, RouteError> {
        let live = self.surfaces.get(surface).and_then(|surface| surface.ensemble.as_ref());
        let ensemble = match (rollout, variant) {
            (Some(rollout), Variant::Candidate) => Some(&rollout.candidate),
            _ => live,
        };
        let ensemble = ensemble.ok_or_else(|| RouteError::NotLive(surface.into()))?;
        let arm = match variant {
            Variant::None => None,
            Variant::Baseline => Some(0),
            Variant::Candidate => Some(1),
        };
        let trial = rollout.zip(arm).map(|(rollout, arm)| Trial {
            id: rollout.id.clone(),
            arm,
            arms: 2,
            weight_basis_points: rollout.weight_basis_points(),
        });
        Ok(Route {
            surface: surface.into(),
            ensemble: ensemble.clone(),
            rollout_id: rollout.map(|rollout| rollout.id.clone()),
            variant,
            experiment: None,
            trial,
            denied: self.denied(surface),
            root: self.decide(&self.named(ensemble)?, user_id)?,
        })
    }

    /// What is never in an answer on the surface.
    fn denied(&self, surface: &str) -> Arc<[String]> {
        self.surfaces.get(surface).map(|surface| Arc::clone(&surface.denied)).unwrap_or_default()
    }

    fn named(&self, name: &str) -> Result<EnsembleNode, RouteError> {
        self.ensemble_named(name)
            .ok_or_else(|| RouteError::Broken { epoch: self.epoch, name: name.into() })
    }

    /// Follows references and decides splits; ends because put ensembles have no cycles.
    fn decide(&self, node: &EnsembleNode, user_id: &str) -> Result<EnsembleNode, RouteError> {
        let all = |members: &[EnsembleNode]| -> Result<Vec<_>, _> {
            members.iter().map(|member| self.decide(member, user_id)).collect()
        };
        Ok(match node {
            EnsembleNode::Model(version) => EnsembleNode::Model(version.clone()),
            EnsembleNode::Reference(name) => self.decide(&self.named(name)?, user_id)?,
            EnsembleNode::Sequence(members) => EnsembleNode::Sequence(all(members)?),
            EnsembleNode::Product { members, form } => {
                EnsembleNode::Product { members: all(members)?, form: *form }
            }
            EnsembleNode::Parallel { members, fusion } => EnsembleNode::Parallel {
                members: members
                    .iter()
                    .map(|WeightedNode { node, weight, timeout_ms }| {
                        let node = self.decide(node, user_id)?;
                        Ok(WeightedNode { node, weight: *weight, timeout_ms: *timeout_ms })
                    })
                    .collect::<Result<_, RouteError>>()?,
                fusion: *fusion,
            },
            EnsembleNode::Diversify { node, how } => EnsembleNode::Diversify {
                node: Box::new(self.decide(node, user_id)?),
                how: how.clone(),
            },
            EnsembleNode::Split { salt, members } => {
                let weights: Vec<u32> = members.iter().map(|m| m.weight_basis_points).collect();
                let SplitMember { node, .. } =
                    &members[assignment::choose(salt, user_id, &weights)];
                self.decide(node, user_id)?
            }
        })
    }

    /// The model versions of an ensemble, references followed.
    pub fn versions_of(&self, ensemble: &str) -> BTreeSet<ModelVersion> {
        let mut versions = BTreeSet::new();
        let mut todo: Vec<EnsembleNode> = self.ensemble_named(ensemble).into_iter().collect();
        while let Some(root) = todo.pop() {
            versions.extend(root.versions());
            root.visit(&mut |node| {
                if let EnsembleNode::Reference(name) = node {
                    todo.extend(self.ensemble_named(name));
                }
            });
        }
        versions
    }

    /// The versions that must be loaded: of every surface's ensemble, of both sides of every running
    /// rollout, and of every arm of every experiment.
    pub fn live_versions(&self) -> BTreeSet<ModelVersion> {
        let surfaces = self.surfaces.values().filter_map(|surface| surface.ensemble.as_ref());
        let rollouts = self
            .rollouts
            .iter()
            .filter(|rollout| !rollout.state.is_over())
            .flat_map(|rollout| rollout.baseline.iter().chain([&rollout.candidate]));
        let experiments = self
            .experiments
            .iter()
            .filter(|experiment| experiment.state != ExperimentState::Stopped)
            .flat_map(|experiment| experiment.arms.iter().map(|arm| &arm.ensemble));
        let all = surfaces.chain(rollouts).chain(experiments);
        all.flat_map(|ensemble| self.versions_of(ensemble)).collect()
    }

    /// The experiment of this id.
    pub fn experiment(&self, id: &str) -> Option<&Experiment> {
        self.experiments.iter().find(|experiment| experiment.id == id)
    }

    /// What keeps an ensemble from having traffic, in words; nothing when every shard of every
    /// version is AVAILABLE on each node that the plan wants it on.
    pub fn missing(&self, ensemble: &str) -> Option<String> {
        let mut missing = Vec::new();
        for version in self.versions_of(ensemble) {
            let placements = &self.versions[&version].placements;
            if placements.iter().all(|placement| placement.node_ids.is_empty()) {
                missing.push(format!("no shard node to place {version} on"));
                continue;
            }
            for (shard, placement) in placements.iter().enumerate() {
                for node_id in &placement.node_ids {
                    let alive = self.nodes.get(node_id).is_some_and(|node| node.alive);
                    let says = match placement.replicas.get(node_id) {
                        _ if !alive => "the node does not report".to_owned(),
                        None => "not loaded yet".to_owned(),
                        Some(Replica { state: ReplicaState::Available, .. }) => continue,
                        Some(Replica { state, reason }) if reason.is_empty() => state.to_string(),
                        Some(Replica { state, reason }) => format!("{state}: {reason}"),
                    };
                    missing.push(format!("{version} shard {shard} on {node_id}: {says}"));
                }
            }
        }
        match missing.len() {
            0 => None,
            1..=3 => Some(missing.join("; ")),
            more => Some(format!("{}; and {} more", missing[..3].join("; "), more - 3)),
        }
    }

    /// Why a rollout waits, in words; empty when it does not.
    pub fn waiting_for(&self, rollout: &Rollout) -> String {
        match rollout.state {
            RolloutState::Preparing | RolloutState::Shadow | RolloutState::Canary => {
                self.missing(&rollout.candidate).unwrap_or_default()
            }
            RolloutState::Paused => match rollout.awaits_approval_of {
                Some(step) => format!("an operator to approve step {step}: resume it"),
                None => "an operator to resume it".into(),
            },
            RolloutState::Promoted | RolloutState::RolledBack | RolloutState::Aborted => {
                String::new()
            }
        }
    }

    /// The (version, shard) pairs that a node should hold: what is placed on it, and what it holds
    /// of a live version until all of the shard's new homes have it.
    pub fn wanted_on(&self, node_id: &str) -> BTreeSet<(ModelVersion, u32)> {
        let live = self.live_versions();
        let available = |placement: &Placement, node_id: &str| {
            placement.replicas.get(node_id).is_some_and(|r| r.state == ReplicaState::Available)
        };
        let mut wanted = BTreeSet::new();
        for (version, published) in &self.versions {
            for (shard, placement) in (0..).zip(&published.placements) {
                let homes = &placement.node_ids;
                let placed = homes.iter().any(|id| id == node_id);
                let settled = !homes.is_empty() && homes.iter().all(|id| available(placement, id));
                let needed = live.contains(version) && available(placement, node_id) && !settled;
                if placed || needed {
                    wanted.insert((version.clone(), shard));
                }
            }
        }
        wanted
    }

    /// Places the shards of live versions on the shard nodes there are, and takes placements from
    /// versions that are not live any more.
    pub(crate) fn place_live_versions(&mut self) {
        let nodes: Vec<String> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.roles.contains(&Role::Shard) && !node.draining)
            .map(|(id, _)| id.clone())
            .collect();
        let live = self.live_versions();
        for (version, published) in &mut self.versions {
            published.placements.resize_with(published.shards as usize, Placement::default);
            let homes = match live.contains(version) {
                true => place(&version.model, published.shards, self.replication_factor, &nodes),
                false => vec![Vec::new(); published.shards as usize],
            };
            for (placement, homes) in published.placements.iter_mut().zip(homes) {
                placement.node_ids = homes;
            }
        }
    }
}
