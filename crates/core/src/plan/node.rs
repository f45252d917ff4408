//! Nodes: the processes of the cluster.

use std::collections::BTreeSet;

/// A shard or router node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it is reached, as `http://host:port`.
    pub address: String,
    /// What the node does.
    pub roles: BTreeSet<Role>,
    /// Whether it is being removed: its replicas move to other nodes.
    pub draining: bool,
    /// How many bytes of bundles it may map; 0: any number.
    pub memory_budget_bytes: u64,
    /// Whether it has reported lately.
    pub alive: bool,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It is a voter of the raft group.
    Control,
    /// It holds shards.
    Shard,
    /// It answers callers.
    Router,
}
