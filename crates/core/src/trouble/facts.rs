//! What an operator's command can gather of a cluster.

use super::disk::DiskSpace;
use super::kind::LastingTrouble;
use crate::id::ModelVersion;

/// What a node last said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeReport {
    /// The node's id.
    pub node_id: String,
    /// The epoch of the plan that it follows.
    pub plan_epoch: u64,
    /// The disk of its data directory; none if the system does not say.
    pub disk: Option<DiskSpace>,
    /// What is wrong, in the order in which it was found.
    pub troubles: Vec<LastingTrouble>,
}

/// A report, and its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedReport {
    /// What the node said.
    pub report: NodeReport,
    /// How long ago a control node, or the command itself, got it, in milliseconds.
    pub age_ms: u64,
}

/// What came of asking a voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoterAnswer {
    /// It answers, and says this of itself.
    Answers {
        /// The raft id of the leader that it knows; none if it knows of none.
        leader: Option<u64>,
        /// The raft term that it is in.
        term: u64,
        /// The index of the last entry that it has applied.
        applied: u64,
    },
    /// It does not answer.
    Silent {
        /// Why, as far as that can be told from here.
        reason: String,
    },
}

/// One voter, and what it said when it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterFacts {
    /// The raft id of the voter.
    pub id: u64,
    /// The address of it, `http://host:port`.
    pub address: String,
    /// What came of asking it.
    pub answer: VoterAnswer,
    /// What is wrong with its disk or its log and what to do, as it or the leader says; empty: nothing.
    pub trouble: String,
}

/// One shard or router node of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// The id of the node.
    pub node_id: String,
    /// The address of it, `http://host:port`.
    pub address: String,
    /// Whether the plan takes it for alive.
    pub is_alive: bool,
}

/// A replica that cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedReplica {
    /// The version that is lacking.
    pub version: ModelVersion,
    /// The number of the shard.
    pub shard: u32,
    /// The node that should have it.
    pub node_id: String,
    /// Why it cannot.
    pub reason: String,
}

/// All that was gathered of a cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Whether a majority of the voters confirmed that it can be written to.
    pub has_majority: bool,
    /// All voters, by id; none if no control node could be asked.
    pub voters: Vec<VoterFacts>,
    /// The epoch of the newest plan that was found.
    pub newest_epoch: u64,
    /// The nodes of that plan.
    pub nodes: Vec<NodeFacts>,
    /// The replicas of that plan that cannot be loaded.
    pub failed_replicas: Vec<FailedReplica>,
    /// The shards of versions that are live of which no replica is available, by version.
    pub shards_without_replica: Vec<(ModelVersion, u32)>,
    /// The newest report of each node, control nodes among them.
    pub reports: Vec<ReceivedReport>,
    /// What targets of notifications were not told: the target's name, and what is wrong in words.
    pub untold: Vec<(String, String)>,
}
