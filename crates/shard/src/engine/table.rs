//! The table of all replicas that answer: immutable, swapped whole, so that a request sees one state.

use super::average_times::AverageTimes;
use crate::error::RequestError;
use crate::replica_key::ReplicaKey;
use crate::usage::SearchCounts;
use marquee_bundle::BundleShard;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The replicas that answer, by version and shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplicaTable {
    replicas: BTreeMap<ReplicaKey, Arc<ServingReplica>>,
}

/// A shard that answers, and how long its answers take.
#[derive(Debug)]
pub(crate) struct ServingReplica {
    pub(crate) shard: Arc<BundleShard>,
    pub(crate) times: AverageTimes,
    /// What was counted of searches in it.
    pub(crate) counts: SearchCounts,
}

impl ReplicaTable {
    /// The same table with one more replica.
    pub(crate) fn with(&self, key: ReplicaKey, shard: Arc<BundleShard>) -> Self {
        let mut table = self.clone();
        let (times, counts) = (AverageTimes::default(), SearchCounts::default());
        table.replicas.insert(key, Arc::new(ServingReplica { shard, times, counts }));
        table
    }

    /// The same table without a replica.
    pub(crate) fn without(&self, key: &ReplicaKey) -> Self {
        let mut table = self.clone();
        table.replicas.remove(key);
        table
    }

    /// All replicas, by their keys.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&ReplicaKey, &Arc<ServingReplica>)> {
        self.replicas.iter()
    }

    /// The replica, if it answers.
    pub(crate) fn get(&self, key: &ReplicaKey) -> Result<&Arc<ServingReplica>, RequestError> {
        let replica = self.replicas.get(key).filter(|replica| !replica.shard.has_failed());
        replica.ok_or_else(|| RequestError::NotAvailable(key.clone()))
    }
}
