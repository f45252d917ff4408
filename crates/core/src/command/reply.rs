//! What a command came to.

use super::error::Refusal;
use crate::ensemble::EnsembleNode;
use crate::id::ModelVersion;
use crate::plan::Node;
use crate::rollout::Rollout;
use crate::rollout::experiment::Experiment;

/// What a command that was applied came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The version given to a bundle.
    Version(ModelVersion),
    /// The ensemble as stored.
    Ensemble {
        /// The ensemble's name.
        name: String,
        /// The ensemble's definition.
        root: EnsembleNode,
    },
    /// The versions that were forgotten, ascending.
    Deleted(Vec<ModelVersion>),
    /// The rollout as it is now.
    Rollout(Box<Rollout>),
    /// The experiment as it is now.
    Experiment(Box<Experiment>),
    /// The node as registered.
    Node {
        /// The node's id.
        node_id: String,
        /// The node as it is registered now.
        node: Node,
    },
    /// A node was taken out of placement.
    NodeRemoved {
        /// Whether its replicas must move, or its process must end, first; otherwise it is forgotten.
        draining: bool,
    },
    /// The command was applied, and there is nothing to return.
    Done,
}

/// What a command came to: a reply, or why it had no effect. It is replicated, and a retry finds it again.
pub type CommandOutcome = Result<Reply, Refusal>;
