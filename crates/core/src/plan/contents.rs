//! What the plan has, and finding things in it by name or id.

use super::answer_keys::AnswerKeys;
use super::node::Node;
use super::privacy::UserPrivacy;
use super::surface::Surface;
use super::version::{PublishedVersion, Retention};
use crate::ensemble::{EnsembleNode, KnownNames};
use crate::id::ModelVersion;
use crate::model::recipe::Recipe;
use crate::rollout::Rollout;
use crate::rollout::experiment::Experiment;
use std::collections::BTreeMap;

/// Everything that routers and shards follow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The raft index of the command that made this plan.
    pub epoch: u64,
    /// How many replicas of each shard are wanted.
    pub replication_factor: u32,
    /// Shard and router nodes, by id.
    pub nodes: BTreeMap<String, Node>,
    /// All published versions.
    pub versions: BTreeMap<ModelVersion, PublishedVersion>,
    /// Stored ensembles, by name.
    pub ensembles: BTreeMap<String, EnsembleNode>,
    /// Surfaces, by name.
    pub surfaces: BTreeMap<String, Surface>,
    /// Rollouts that run or are over, oldest first.
    pub rollouts: Vec<Rollout>,
    /// The number that the next version of each model gets.
    pub next_versions: BTreeMap<String, u64>,
    /// The number that the next rollout or experiment gets.
    pub next_rollout: u64,
    /// Experiments that run or are stopped, oldest first.
    pub experiments: Vec<Experiment>,
    /// Which versions are kept, by model. A model without an entry keeps all.
    pub retention: BTreeMap<String, Retention>,
    /// The greatest counter of a trusted signature that was published, by model. Models without one have none.
    pub signed_counters: BTreeMap<String, u64>,
    /// The keys that recommendation ids are signed with.
    pub answer_keys: AnswerKeys,
    /// How users are named in records, and who is forgotten.
    pub privacy: UserPrivacy,
}

impl KnownNames for Plan {
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

    /// The experiment of this id.
    pub fn experiment(&self, id: &str) -> Option<&Experiment> {
        self.experiments.iter().find(|experiment| experiment.id == id)
    }
}
