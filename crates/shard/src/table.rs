//! The table of all replicas that answer: immutable, swapped whole, so that a request sees one state.

use crate::engine::Paces;
use crate::error::RequestError;
use crate::lifecycle::ReplicaKey;
use marquee_bundle::BundleShard;
use std::collections::BTreeMap;
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    replicas: BTreeMap<ReplicaKey, Arc<Replica>>,
}

/// A shard that answers, and how long its answers take.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) shard: Arc<BundleShard>,
    pub(crate) paces: Paces,
}

impl Table {
    /// The same with one more replica.
    pub(crate) fn with(&self, key: ReplicaKey, shard: Arc<BundleShard>) -> Self {
        let mut table = self.clone();
        table.replicas.insert(key, Arc::new(Replica { shard, paces: Paces::default() }));
        table
    }

    /// The same without a replica.
    pub(crate) fn without(&self, key: &ReplicaKey) -> Self {
        let mut table = self.clone();
        table.replicas.remove(key);
        table
    }

    /// The replica, if it answers.
    pub(crate) fn get(&self, key: &ReplicaKey) -> Result<&Arc<Replica>, RequestError> {
        self.replicas.get(key).ok_or_else(|| RequestError::NotAvailable(key.clone()))
    }
}
