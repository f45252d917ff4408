//! The part of a plan that the requests of one batch need, numbered.
//!
//! The versions of their routes, the shards of all these versions as `0..n`, the nodes that hold them, and how far
//! each is trusted at this moment. Whatever names a shard while the batch is answered names it by that number.

use crate::fanout::node::{NodeHandle, Nodes, eject_outliers};
use crate::fanout::select::{Assignment, Replicas, Standing, assign, available_on};
use crate::fanout::{CallFailure, CallTargets};
use marquee_core::hash::shard_of;
use marquee_core::id::ModelVersion;
use marquee_core::model::recipe::Recipe;
use marquee_core::overload::Priority;
use marquee_core::plan::{Plan, PublishedVersion};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// The versions, shards and nodes of one batch.
pub(crate) struct ShardMap<'p> {
    /// The plan's epoch, for the logs of shards.
    pub(crate) epoch: u64,
    versions: Vec<PlannedVersion<'p>>,
    /// The nodes that hold the shards, and how to call them.
    pub(crate) targets: CallTargets,
    is_outdated: bool,
}

/// One version of the request's routes.
pub(crate) struct PlannedVersion<'p> {
    /// The model's name and the version's number.
    pub(crate) name: &'p ModelVersion,
    /// The digest of its bundle's manifest.
    pub(crate) digest: &'p str,
    /// How it answers.
    pub(crate) recipe: &'p Recipe,
    /// Into how many shards it is cut, at least one.
    pub(crate) shards: u32,
    /// The number that its shard 0 has among all shards of the map.
    first_shard: usize,
}

impl<'p> ShardMap<'p> {
    /// Numbers the versions of `wanted` that the plan knows; `rotation` decides between equal replicas.
    pub(crate) fn new(
        plan: &'p Plan,
        wanted: &BTreeSet<ModelVersion>,
        nodes: &Nodes,
        rotation: u64,
    ) -> Self {
        let mut layout = Self {
            epoch: plan.epoch,
            versions: Vec::new(),
            targets: CallTargets {
                nodes: Vec::new(),
                replicas: Replicas { rotation, ..Replicas::default() },
                priority: Priority::Interactive,
            },
            is_outdated: false,
        };
        let mut numbers = BTreeMap::new();
        for name in wanted {
            let Some((name, published)) = plan.versions.get_key_value(name) else { continue };
            layout.add(plan, name, published, nodes, &mut numbers);
        }
        layout.judge_nodes(plan);
        layout
    }

    /// Says how far each node is trusted, and what a call to it costs.
    fn judge_nodes(&mut self, plan: &Plan) {
        let CallTargets { nodes, replicas, .. } = &mut self.targets;
        eject_outliers(nodes);
        let standings: Vec<Standing> = nodes.iter().map(|node| standing(plan, node)).collect();
        replicas.costs = nodes.iter().map(|node| node.cost()).collect();
        for (node, its_standing) in replicas.shards.iter_mut().flatten() {
            *its_standing = standings[*node];
        }
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
        let first_shard = self.targets.replicas.shards.len();
        let (digest, recipe) = (published.manifest_digest.as_str(), &published.recipe);
        self.versions.push(PlannedVersion { name, digest, recipe, shards, first_shard });
        for shard in 0..shards {
            let placement = published.placements.get(shard as usize);
            let mut holders = Vec::new();
            for node_id in placement.into_iter().flat_map(available_on) {
                let number =
                    *numbers.entry(node_id).or_insert_with(|| self.number(plan, node_id, nodes));
                let Some(number) = number else { continue };
                // Judged once all nodes are known.
                holders.push((number, Standing::Sound));
            }
            self.targets.replicas.shards.push(holders);
        }
    }

    fn number(&mut self, plan: &Plan, node_id: &str, nodes: &Nodes) -> Option<usize> {
        self.targets.nodes.push(nodes.get(plan, node_id)?);
        let number = self.targets.nodes.len() - 1;
        if nodes.is_local(node_id) {
            self.targets.replicas.local = Some(number);
        }
        Some(number)
    }

    /// The number of a version, none if the plan does not know it.
    pub(crate) fn number_of(&self, name: &ModelVersion) -> Option<usize> {
        self.versions.iter().position(|version| version.name == name)
    }

    /// The version of this number.
    pub(crate) fn version(&self, number: usize) -> &PlannedVersion<'p> {
        &self.versions[number]
    }

    /// The shard that holds the user, item or term with this id.
    pub(crate) fn shard_holding(&self, version: usize, id: &str) -> usize {
        let version = &self.versions[version];
        version.first_shard + shard_of(id, version.shards) as usize
    }

    /// All shards of a version.
    pub(crate) fn shards_of(&self, version: usize) -> Range<usize> {
        let PlannedVersion { first_shard, shards, .. } = self.versions[version];
        first_shard..first_shard + shards as usize
    }

    /// The number that a shard has within its version.
    pub(crate) fn number_in_version(&self, version: usize, shard: usize) -> u32 {
        (shard - self.versions[version].first_shard) as u32
    }

    /// A shard as `model@version/shard`.
    pub(crate) fn name(&self, shard: usize) -> String {
        let number = self.versions.partition_point(|version| version.first_shard <= shard) - 1;
        format!("{}/{}", self.versions[number].name, self.number_in_version(number, shard))
    }

    /// Which node to ask for each of all shards.
    pub(crate) fn assign(&self) -> Assignment {
        let all: Vec<usize> = (0..self.targets.replicas.shards.len()).collect();
        assign(&self.targets.replicas, &all, Standing::Suspect, &|_, _| false)
    }

    /// Notes that a round had no answer from these shards.
    pub(crate) fn note_failures(&mut self, unanswered: &BTreeMap<usize, CallFailure>) {
        self.is_outdated |= unanswered.values().any(|failure| *failure == CallFailure::NotHeld);
    }

    /// Whether a shard did not hold what the plan says it holds.
    pub(crate) fn is_outdated(&self) -> bool {
        self.is_outdated
    }

    /// Trusts these nodes no more.
    pub(crate) fn suspect(&mut self, nodes: &BTreeSet<usize>) {
        for (node, standing) in self.targets.replicas.shards.iter_mut().flatten() {
            if nodes.contains(node) {
                *standing = Standing::Suspect;
            }
        }
    }
}

fn standing(plan: &Plan, node: &Arc<NodeHandle>) -> Standing {
    let is_alive = plan.nodes.get(&node.id).is_some_and(|node| node.alive);
    match (node.is_reachable(), node.is_ejected(), is_alive) {
        (false, _, _) => Standing::Suspect,
        (true, true, _) => Standing::Slow,
        (true, false, false) => Standing::Unreported,
        (true, false, true) => Standing::Sound,
    }
}
