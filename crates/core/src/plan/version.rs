//! Published versions, where their shards are wanted, and what nodes reported of them.

use crate::model::recipe::Recipe;
use std::collections::BTreeMap;
use std::fmt;

/// Which versions of a model are kept, besides those that something needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How many of the newest versions are kept, at least 1.
    pub keep_versions: u32,
    /// How long every version is kept after it was published, in seconds.
    pub keep_seconds: u64,
    /// Whether to delete the bundles of versions that are forgotten.
    pub delete_bundles: bool,
}

/// A published bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedVersion {
    /// Where shards fetch the bundle.
    pub bundle_uri: String,
    /// The BLAKE3 hash of the manifest, hexadecimal.
    pub manifest_digest: String,
    /// How the model answers.
    pub recipe: Recipe,
    /// How many shards the bundle is cut into.
    pub shards: u32,
    /// How many users it knows.
    pub users: u64,
    /// How many items it knows.
    pub items: u64,
    /// The size of all its files, in bytes.
    pub bytes: u64,
    /// How good it was on its hold-out.
    pub quality: Quality,
    /// Its training left out all users whom the cluster had forgotten up to the tombstone of this number; 0: none.
    pub forgotten_up_to: u64,
    /// What its trusted signature counts; 0 where nothing is signed.
    pub signed_counter: u64,
    /// When it was published, in ms since the Unix epoch.
    pub published_at_ms: u64,
    /// One entry for each shard, in order, once the version was live. The entries of a version that is not
    /// live want no nodes, but may still have replicas.
    pub placements: Vec<Placement>,
}

/// How good a version was on the interactions held out at training; none where nothing was held out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// The model's recall@20.
    pub recall_at_20: Option<f64>,
    /// The model's nDCG@20.
    pub ndcg_at_20: Option<f64>,
    /// The recall@20 of popular items on the same hold-out.
    pub popularity_recall_at_20: Option<f64>,
    /// The nDCG@20 of popular items on the same hold-out.
    pub popularity_ndcg_at_20: Option<f64>,
}

/// Where one shard of a version is wanted, and what the nodes reported of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The nodes that should hold it, most wanted first.
    pub node_ids: Vec<String>,
    /// What nodes reported, by node id. A node may still hold a shard that is not wanted there any more.
    pub replicas: BTreeMap<String, PlannedReplica>,
}

/// One shard of a version on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedReplica {
    /// Where it is in its life.
    pub state: ReplicaState,
    /// Why it cannot be loaded; empty otherwise.
    pub reason: String,
}

/// Where a replica is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    /// It is being fetched, verified, mapped and warmed.
    Loading,
    /// The shard is loaded and answers requests.
    Available,
    /// It is being dropped.
    Unloading,
    /// It could not be loaded.
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
