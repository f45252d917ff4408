//! Which versions are live, and whether an ensemble is ready for traffic.

use super::contents::Plan;
use super::version::{PlannedReplica, ReplicaState};
use crate::ensemble::EnsembleNode;
use crate::id::ModelVersion;
use crate::rollout::experiment::ExperimentState;
use crate::rollout::{Rollout, RolloutState};
use std::collections::BTreeSet;

impl Plan {
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

    /// The versions that must be loaded: of every surface's ensemble, of both variants of every running
    /// rollout, and of every arm of every experiment.
    pub fn live_versions(&self) -> BTreeSet<ModelVersion> {
        let mut ensembles: BTreeSet<&str> =
            self.surfaces.values().filter_map(|surface| surface.ensemble.as_deref()).collect();
        for rollout in self.rollouts.iter().filter(|rollout| !rollout.state.is_over()) {
            ensembles.extend(rollout.baseline.as_deref());
            ensembles.insert(&rollout.candidate);
        }
        for experiment in &self.experiments {
            if experiment.state != ExperimentState::Stopped {
                ensembles.extend(experiment.arms.iter().map(|arm| arm.ensemble.as_str()));
            }
        }
        ensembles.into_iter().flat_map(|ensemble| self.versions_of(ensemble)).collect()
    }

    /// What keeps an ensemble from having traffic, in words; nothing when every shard of every
    /// version is AVAILABLE on each node that the plan wants it on.
    pub fn missing(&self, ensemble: &str) -> Option<String> {
        self.missing_up_to(ensemble, 3)
    }

    /// [`missing`](Self::missing), with the first `named` replicas named and the others counted.
    pub(crate) fn missing_up_to(&self, ensemble: &str, named: usize) -> Option<String> {
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
                    let why = match placement.replicas.get(node_id) {
                        _ if !alive => "the node does not report".to_owned(),
                        None => "not loaded yet".to_owned(),
                        Some(PlannedReplica { state: ReplicaState::Available, .. }) => continue,
                        Some(PlannedReplica { state, reason }) if reason.is_empty() => {
                            state.to_string()
                        }
                        Some(PlannedReplica { state, reason }) => format!("{state}: {reason}"),
                    };
                    missing.push(format!("{version} shard {shard} on {node_id}: {why}"));
                }
            }
        }
        match missing.len() {
            0 => None,
            count if count <= named => Some(missing.join("; ")),
            count => Some(format!("{}; and {} more", missing[..named].join("; "), count - named)),
        }
    }

    /// Why a rollout waits, in words; empty when it does not.
    pub fn waiting_for(&self, rollout: &Rollout) -> String {
        match rollout.state {
            RolloutState::Preparing
            | RolloutState::Shadow
            | RolloutState::Interleave
            | RolloutState::Canary => self.missing(&rollout.candidate).unwrap_or_default(),
            RolloutState::Paused => match rollout.awaits_approval_of {
                Some(step) => format!("an operator to approve step {step}: resume it"),
                None => "an operator to resume it".into(),
            },
            RolloutState::Holdout => match self.missing(&rollout.candidate) {
                Some(missing) => missing,
                None => "the end of its holdout".into(),
            },
            RolloutState::Watching => match self.missing(&rollout.candidate) {
                Some(missing) => missing,
                None => "the end of its watch".into(),
            },
            RolloutState::Promoted | RolloutState::RolledBack | RolloutState::Aborted => {
                String::new()
            }
        }
    }
}
