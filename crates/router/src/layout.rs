//! The part of a plan that one request needs, numbered.
//!
//! The versions of its routes, their shards as *pieces* `0..n`, the nodes that hold them, and how far
//! each is trusted at this moment. Everything of a request that names a shard names it by its piece.

use crate::fanout::Terrain;
use crate::fanout::select::{Assignment, Replicas, Standing, assign};
use crate::node::{NodeHandle, Nodes};
use marquee_core::hash::shard_of;
use marquee_core::id::ModelVersion;
use marquee_core::model::recipe::Recipe;
use marquee_core::plan::{Placement, Plan, PublishedVersion, ReplicaState};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// See the module.
pub(crate) struct Layout<'p> {
    /// The plan's epoch, for the logs of shards.
    pub(crate) epoch: u64,
    versions: Vec<Version<'p>>,
    /// Who has what.
    pub(crate) terrain: Terrain,
}

/// One version of the request's routes.
pub(crate) struct Version<'p> {
    /// Its name.
    pub(crate) name: &'p ModelVersion,
    /// The digest of its bundle's manifest.
    pub(crate) digest: &'p str,
    /// How it answers.
    pub(crate) recipe: &'p Recipe,
    /// Into how many shards it is cut, at least one.
    pub(crate) shards: u32,
    /// The piece that is its shard 0.
    first_piece: usize,
}

impl<'p> Layout<'p> {
    /// Lays out the versions that the plan knows of these.
    pub(crate) fn new(
        plan: &'p Plan,
        wanted: &BTreeSet<ModelVersion>,
        nodes: &Nodes,
        salt: u64,
    ) -> Self {
        let mut layout = Self {
            epoch: plan.epoch,
            versions: Vec::new(),
            terrain: Terrain {
                nodes: Vec::new(),
                replicas: Replicas { pieces: Vec::new(), local: None, salt },
                learns: true,
            },
        };
        let mut numbers = BTreeMap::new();
        for name in wanted {
            let Some((name, published)) = plan.versions.get_key_value(name) else { continue };
            layout.add(plan, name, published, nodes, &mut numbers);
        }
        layout
    }

    fn add(
        &mut self,
        plan: &'p Plan,
        name: &'p ModelVersion,
        published: &'p PublishedVersion,
        nodes: &Nodes,
        numbers: &mut BTreeMap<&'p str, Option<usize>>,
    ) {
        let shards = published.shards.max(1);
        let first_piece = self.terrain.replicas.pieces.len();
        let (digest, recipe) = (published.manifest_digest.as_str(), &published.recipe);
        self.versions.push(Version { name, digest, recipe, shards, first_piece });
        for shard in 0..shards {
            let placement = published.placements.get(shard as usize);
            let mut holders = Vec::new();
            for node_id in placement.into_iter().flat_map(available_on) {
                let number =
                    *numbers.entry(node_id).or_insert_with(|| self.number(plan, node_id, nodes));
                let Some(number) = number else { continue };
                holders.push((number, standing(plan, &self.terrain.nodes[number])));
            }
            self.terrain.replicas.pieces.push(holders);
        }
    }

    fn number(&mut self, plan: &Plan, node_id: &str, nodes: &Nodes) -> Option<usize> {
        self.terrain.nodes.push(nodes.get(plan, node_id)?);
        let number = self.terrain.nodes.len() - 1;
        if nodes.is_local(node_id) {
            self.terrain.replicas.local = Some(number);
        }
        Some(number)
    }

    /// The number of a version, none if the plan does not know it.
    pub(crate) fn number_of(&self, name: &ModelVersion) -> Option<usize> {
        self.versions.iter().position(|version| version.name == name)
    }

    /// The version of this number.
    pub(crate) fn version(&self, number: usize) -> &Version<'p> {
        &self.versions[number]
    }

    /// The piece that holds the user or item with this id.
    pub(crate) fn piece_of(&self, version: usize, id: &str) -> usize {
        let version = &self.versions[version];
        version.first_piece + shard_of(id, version.shards) as usize
    }

    /// All pieces of a version.
    pub(crate) fn pieces(&self, version: usize) -> Range<usize> {
        let Version { first_piece, shards, .. } = self.versions[version];
        first_piece..first_piece + shards as usize
    }

    /// The number of the shard that a piece of the version is.
    pub(crate) fn shard(&self, version: usize, piece: usize) -> u32 {
        (piece - self.versions[version].first_piece) as u32
    }

    /// A piece as `model@version/shard`.
    pub(crate) fn name(&self, piece: usize) -> String {
        let number = self.versions.partition_point(|version| version.first_piece <= piece) - 1;
        format!("{}/{}", self.versions[number].name, self.shard(number, piece))
    }

    /// Whom to ask for all pieces.
    pub(crate) fn assign(&self) -> Assignment {
        let all: Vec<usize> = (0..self.terrain.replicas.pieces.len()).collect();
        assign(&self.terrain.replicas, &all, Standing::Suspect, &|_, _| false)
    }

    /// Trusts these nodes no more.
    pub(crate) fn doubt(&mut self, nodes: &BTreeSet<usize>) {
        for (node, standing) in self.terrain.replicas.pieces.iter_mut().flatten() {
            if nodes.contains(node) {
                *standing = Standing::Suspect;
            }
        }
    }
}

/// The nodes on which a shard is AVAILABLE by their last report.
pub(crate) fn available_on(placement: &Placement) -> impl Iterator<Item = &str> {
    placement
        .replicas
        .iter()
        .filter(|(_, replica)| replica.state == ReplicaState::Available)
        .map(|(node_id, _)| node_id.as_str())
}

fn standing(plan: &Plan, node: &Arc<NodeHandle>) -> Standing {
    match (node.is_reachable(), plan.nodes.get(&node.id).is_some_and(|node| node.alive)) {
        (false, _) => Standing::Suspect,
        (true, false) => Standing::Silent,
        (true, true) => Standing::Sound,
    }
}
