//! What the lifecycle is told of, and what it answers.

use crate::replica_key::ReplicaKey;
use marquee_core::id::ModelVersion;
use marquee_core::plan::Plan;
use std::collections::BTreeMap;

/// Where a version's bundle comes from, and which bundle it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleSource {
    /// Where to fetch it.
    pub uri: String,
    /// The digest of its manifest, as published.
    pub digest: String,
}

/// The replicas that the plan wants on the node, and where their bundles are.
pub type WantedReplicas = BTreeMap<ReplicaKey, BundleSource>;

/// What a plan wants on a node.
pub fn wanted_replicas(plan: &Plan, node_id: &str) -> WantedReplicas {
    let mut wanted = WantedReplicas::new();
    for (version, shard) in plan.wanted_on(node_id) {
        if let Some(published) = plan.versions.get(&version) {
            let source = BundleSource {
                uri: published.bundle_uri.clone(),
                digest: published.manifest_digest.clone(),
            };
            wanted.insert(ReplicaKey::new(version, shard), source);
        }
    }
    wanted
}

/// What happened to a node's replicas.
#[derive(Clone, Debug)]
pub enum LifecycleEvent {
    /// A plan came; this is all it wants here.
    Planned(WantedReplicas),
    /// A manifest was read, and checked against the digest that the inspection was given.
    Inspected {
        /// The version whose manifest it is.
        version: ModelVersion,
        /// The digest that the inspection was given.
        digest: String,
        /// Bytes of each shard, or why the bundle can't be used.
        outcome: Result<Vec<u64>, String>,
    },
    /// A shard is mapped, warm and ready to answer, or not.
    Loaded {
        /// The shard and its version.
        key: ReplicaKey,
        /// Why it can't answer, if it can't.
        outcome: Result<(), String>,
    },
    /// A file of a shard that answers can't be read any more.
    Failed {
        /// The shard and its version.
        key: ReplicaKey,
    },
    /// An unloaded shard's memory was given back.
    Freed {
        /// The shard and its version.
        key: ReplicaKey,
    },
    /// Nothing happened, but time passed.
    Tick,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifecycleAction {
    /// Read and check a version's manifest.
    Inspect {
        /// The version whose manifest it is.
        version: ModelVersion,
        /// Where its bundle is.
        source: BundleSource,
    },
    /// Open a shard and warm it.
    Load {
        /// The shard and its version.
        key: ReplicaKey,
        /// Where its bundle is.
        source: BundleSource,
    },
    /// Let the shard that was loaded answer.
    Serve {
        /// The shard and its version.
        key: ReplicaKey,
    },
    /// Take the shard from the requests, if it answers, and free it.
    Unload {
        /// The shard and its version.
        key: ReplicaKey,
    },
}
