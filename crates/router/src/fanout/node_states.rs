//! What others may know of a router's shard nodes.

use super::node::{AvoidedNode, Nodes};
use std::fmt;
use std::sync::Arc;

/// A view of a router's shard nodes.
#[derive(Clone)]
pub struct NodeStates(pub(crate) Arc<Nodes>);

impl NodeStates {
    /// The shard nodes that the router does not ask at the moment, by id.
    pub fn avoided(&self) -> Vec<AvoidedNode> {
        self.0.avoided()
    }
}

impl fmt::Debug for NodeStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeStates").finish_non_exhaustive()
    }
}
