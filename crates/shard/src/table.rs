//! The table of all replicas that answer: immutable, swapped whole, so that a request sees one state.

use crate::error::RequestError;
use crate::lifecycle::ReplicaKey;
use marquee_bundle::BundleShard;
use std::collections::BTreeMap;
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    replicas: BTreeMap<ReplicaKey, Arc<BundleShard>>,
}

impl Table {
    /// The same with one more replica.
    pub(crate) fn with(&self, key: ReplicaKey, shard: Arc<BundleShard>) -> Self {
        let mut table = self.clone();
        table.replicas.insert(key, shard);
        table
    }

    /// The same without a replica.
    pub(crate) fn without(&self, key: &ReplicaKey) -> Self {
        let mut table = self.clone();
        table.replicas.remove(key);
        table
    }

    /// The replica, if it answers.
    pub(crate) fn get(&self, key: &ReplicaKey) -> Result<&Arc<BundleShard>, RequestError> {
        self.replicas.get(key).ok_or_else(|| RequestError::NotAvailable(key.clone()))
    }
}
