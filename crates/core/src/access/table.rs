//! Which access roles each RPC is for.

use super::role::AccessRole;
use super::role::AccessRole::{Admin, Caller, Control, Events, Operator, Publisher, Router, Shard};

/// Who may call an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// All who reach the port.
    Public,
    /// All who have proved who they are.
    Identified,
    /// Those who have one of these roles.
    Roles(&'static [AccessRole]),
}

/// Those who look after the cluster, and so see its state.
const READERS: Access = Access::Roles(&[Operator, Publisher, Admin]);
/// Those who move traffic.
const OPERATORS: Access = Access::Roles(&[Operator, Admin]);
/// Those who add models.
const PUBLISHERS: Access = Access::Roles(&[Publisher, Admin]);
/// Those who change what others rely on: nodes, voters, which bundles are deleted, and who is forgotten; and those who take
/// copies of everything.
const ADMINS: Access = Access::Roles(&[Admin]);
const CALLERS: Access = Access::Roles(&[Caller]);
const RECORDERS: Access = Access::Roles(&[Events]);
const VOTERS: Access = Access::Roles(&[Control]);
const ROUTERS: Access = Access::Roles(&[Router]);
/// Nodes that are in the plan.
const PLANNED: Access = Access::Roles(&[Shard, Router]);

/// Every RPC, as the path of its call, with who may call it. An RPC that is not here is denied to all.
///
/// Health is public: it says only whether a service serves, and load balancers that ask have no certificate.
/// Reflection is for all who have proved who they are: it shows what the repository shows, and nothing of the
/// cluster.
pub const TABLE: &[(&str, Access)] = &[
    ("/marquee.v1.RecommenderService/Recommend", CALLERS),
    ("/marquee.v1.RecommenderService/BatchRecommend", CALLERS),
    ("/marquee.v1.RecommenderService/StreamBatchRecommend", CALLERS),
    ("/marquee.v1.RecommenderService/SimilarItems", CALLERS),
    ("/marquee.v1.RecommenderService/SearchItems", CALLERS),
    ("/marquee.v1.RecommenderService/RankItems", CALLERS),
    ("/marquee.v1.RecommenderService/RecordEvents", RECORDERS),
    ("/marquee.v1.RecommenderService/StreamEvents", RECORDERS),
    ("/marquee.shard.v1.ShardService/Lookup", ROUTERS),
    ("/marquee.shard.v1.ShardService/Search", ROUTERS),
    ("/marquee.raft.v1.RaftService/Step", VOTERS),
    ("/marquee.raft.v1.RaftService/Propose", VOTERS),
    ("/marquee.raft.v1.RaftService/ForwardTelemetry", VOTERS),
    ("/marquee.raft.v1.RaftService/ChangeVoters", VOTERS),
    ("/marquee.node.v1.RecentItemsService/ShareRecentItems", ROUTERS),
    ("/marquee.node.v1.NodeService/GetUsage", READERS),
    ("/marquee.node.v1.NodeService/GetNodeStatus", READERS),
    ("/marquee.node.v1.NodeService/SetLogFilter", OPERATORS),
    ("/marquee.control.v1.ControlService/WatchPlan", PLANNED),
    ("/marquee.control.v1.ControlService/ReportNode", PLANNED),
    ("/marquee.control.v1.ControlService/ReportTelemetry", ROUTERS),
    ("/marquee.control.v1.ControlService/PublishModel", PUBLISHERS),
    ("/marquee.control.v1.ControlService/PutEnsemble", READERS),
    ("/marquee.control.v1.ControlService/DeleteModel", ADMINS),
    ("/marquee.control.v1.ControlService/DeleteEnsemble", READERS),
    ("/marquee.control.v1.ControlService/ListModels", READERS),
    ("/marquee.control.v1.ControlService/ListEnsembles", READERS),
    ("/marquee.control.v1.ControlService/GetRollout", READERS),
    ("/marquee.control.v1.ControlService/TryGates", READERS),
    ("/marquee.control.v1.ControlService/ListRollouts", READERS),
    ("/marquee.control.v1.ControlService/WatchRollout", READERS),
    ("/marquee.control.v1.ControlService/GetExperiment", READERS),
    ("/marquee.control.v1.ControlService/ListExperiments", READERS),
    ("/marquee.control.v1.ControlService/GetPlan", READERS),
    ("/marquee.control.v1.ControlService/GetStatus", READERS),
    ("/marquee.control.v1.ControlService/GetTraffic", READERS),
    ("/marquee.control.v1.ControlService/ListVoters", READERS),
    ("/marquee.control.v1.ControlService/StartRollout", OPERATORS),
    ("/marquee.control.v1.ControlService/PauseRollout", OPERATORS),
    ("/marquee.control.v1.ControlService/ResumeRollout", OPERATORS),
    ("/marquee.control.v1.ControlService/PromoteRollout", OPERATORS),
    ("/marquee.control.v1.ControlService/RollBackRollout", OPERATORS),
    ("/marquee.control.v1.ControlService/UndoRollout", OPERATORS),
    ("/marquee.control.v1.ControlService/EndHoldout", OPERATORS),
    ("/marquee.control.v1.ControlService/EndWatch", OPERATORS),
    ("/marquee.control.v1.ControlService/SetAutomaticRollout", OPERATORS),
    ("/marquee.control.v1.ControlService/ChangeDenyList", OPERATORS),
    ("/marquee.control.v1.ControlService/SetSegments", OPERATORS),
    ("/marquee.control.v1.ControlService/StartExperiment", OPERATORS),
    ("/marquee.control.v1.ControlService/StopExperiment", OPERATORS),
    ("/marquee.control.v1.ControlService/TransferLeadership", OPERATORS),
    ("/marquee.control.v1.ControlService/ListAudit", OPERATORS),
    ("/marquee.control.v1.ControlService/SetRetention", ADMINS),
    ("/marquee.control.v1.ControlService/ForgetUser", ADMINS),
    ("/marquee.control.v1.ControlService/GetUserPrivacy", ADMINS),
    ("/marquee.control.v1.ControlService/AddNode", ADMINS),
    ("/marquee.control.v1.ControlService/RemoveNode", ADMINS),
    ("/marquee.control.v1.ControlService/AddVoter", ADMINS),
    ("/marquee.control.v1.ControlService/RemoveVoter", ADMINS),
    ("/marquee.control.v1.ControlService/ReplaceVoter", ADMINS),
    ("/marquee.control.v1.ControlService/BackUp", ADMINS),
    ("/grpc.health.v1.Health/Check", Access::Public),
    ("/grpc.health.v1.Health/Watch", Access::Public),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Identified),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Identified),
];

/// Who may call the RPC of this path; none for a path that is not in the [`TABLE`].
pub fn access_to(path: &str) -> Option<Access> {
    TABLE.iter().find(|(known, _)| *known == path).map(|(_, access)| *access)
}
