//! What can be done to the replicated state: the entries of control's log.

use crate::audit::Actor;
use crate::ensemble::EnsembleNode;
use crate::id::ModelVersion;
use crate::plan::{
    AnswerSecret, Automatic, Node, PlannedReplica, Pseudonym, PublishedVersion, Retention,
    SegmentedAttribute,
};
use crate::rollout::experiment::Arm;
use crate::rollout::external::ExternalAnswer;
use crate::rollout::judge::Judgement;
use crate::rollout::traffic::SurfaceTraffic;
use crate::rollout::window::Window;
use crate::rollout::{RolloutMove, RolloutStep, Terms};
use std::collections::BTreeMap;

/// One entry of control's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Unique for each call of an operator, so that the command is applied once however often it is proposed. Empty
    /// for ticks and reports, which may be applied again.
    pub request_id: String,
    /// The proposer's clock, milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Who gave it.
    pub actor: Actor,
    /// What the command does.
    pub action: Action,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Registers a bundle as the next version of `model`. Its `placements` and `published_at_ms` are ignored.
    PublishVersion {
        /// The model's name.
        model: String,
        /// The bundle, as its manifest describes it.
        version: Box<PublishedVersion>,
        /// Whether its signature may be older than one that was published.
        allow_older: bool,
    },
    /// Stores an ensemble.
    PutEnsemble {
        /// The ensemble's name.
        name: String,
        /// The ensemble's definition.
        root: EnsembleNode,
    },
    /// Forgets a stored ensemble that nothing needs.
    DeleteEnsemble {
        /// The ensemble's name.
        name: String,
    },
    /// Forgets versions of a model that nothing needs and its retention does not keep.
    DeleteModel {
        /// The model's name.
        model: String,
        /// The version's number; none: all versions.
        version: Option<u64>,
    },
    /// Starts a gray release.
    StartRollout {
        /// The surface that the rollout begins on.
        surface: String,
        /// The candidate: an ensemble's name or `model@version`.
        candidate: String,
        /// The steps, by growing share.
        steps: Vec<RolloutStep>,
        /// How the rollout is guarded.
        terms: Terms,
    },
    /// Does what an operator asks of a rollout.
    MoveRollout {
        /// The id of the rollout.
        rollout_id: String,
        /// What the operator asks for.
        requested: RolloutMove,
        /// Why, as the operator said.
        reason: String,
    },
    /// Does the one thing that is due of a rollout, if any.
    AdvanceRollout {
        /// The id of the rollout.
        rollout_id: String,
    },
    /// Adds a window of telemetry and what the leader's judge concluded from it, and does what the judge decided.
    JudgeRollout {
        /// The id of the rollout.
        rollout_id: String,
        /// The window's number, from 1. Each counts once, in order.
        number: u64,
        /// The candidate's share while the window was measured, in 1/10,000.
        weight_basis_points: u32,
        /// What was measured.
        window: Box<Window>,
        /// What the judge concluded and decided.
        judgement: Box<Judgement>,
    },
    /// Adds what a question of an external gate came to, and does what follows from it.
    AnswerQuestion {
        /// The id of the rollout.
        rollout_id: String,
        /// The gate's name.
        gate: String,
        /// The question's number, from 1. Each counts once, in order.
        number: u64,
        /// When it was asked, by the leader's clock, in ms since the Unix epoch.
        asked_at_ms: u64,
        /// What it came to.
        answer: ExternalAnswer,
    },
    /// Says whom the config tells of rollouts.
    SetNotificationTargets {
        /// The names of all targets.
        targets: Vec<String>,
    },
    /// Notes that a target need not be told some transitions of a rollout any more.
    ConfirmNotification {
        /// The target's name.
        target: String,
        /// The id of the rollout.
        rollout_id: String,
        /// The number of the last of them.
        number: u64,
        /// How many of them were given up.
        dropped: u64,
    },
    /// Starts an A/B test.
    StartExperiment {
        /// The surface that the experiment begins on.
        surface: String,
        /// The layer that the experiment takes users from.
        layer: String,
        /// How many of 10,000 users take part.
        share_basis_points: u32,
        /// The ensembles that are compared.
        arms: Vec<Arm>,
    },
    /// Lets an experiment run once its ensembles are loaded.
    AdvanceExperiment {
        /// The id of the experiment.
        experiment_id: String,
    },
    /// Stops an A/B test: all users get what is live.
    StopExperiment {
        /// The id of the experiment.
        experiment_id: String,
        /// Why, as the operator said.
        reason: String,
    },
    /// Adds a window of telemetry of an experiment.
    ObserveExperiment {
        /// The id of the experiment.
        experiment_id: String,
        /// The window's number, from 1. Each counts once, in order.
        number: u64,
        /// What was measured.
        window: Box<Window>,
    },
    /// Adds a key that recommendation ids are signed with, if one is due.
    AddAnswerKey {
        /// Bytes that the leader drew.
        secret: AnswerSecret,
    },
    /// Adds a secret that users are named with, if one is due.
    AddUserKey {
        /// Bytes that the leader drew.
        secret: AnswerSecret,
    },
    /// Forgets a user.
    ForgetUser {
        /// What the cluster calls the user: the id is in no command.
        user: Pseudonym,
    },
    /// Keeps one window of traffic of each of these surfaces.
    RecordTraffic {
        /// The windows, by surface. Surfaces that the plan does not have are ignored.
        surfaces: BTreeMap<String, SurfaceTraffic>,
    },
    /// Makes rollouts begin by themselves on a surface, or stops that.
    SetAutomaticRollout {
        /// The surface whose automatic rollouts are set.
        surface: String,
        /// The rollouts that begin by themselves; none: no more. `pending` is ignored.
        automatic: Option<Automatic>,
    },
    /// Changes which items are never in an answer on a surface: first all are allowed if `clear`, then `remove` are
    /// allowed, then `add` are denied.
    ChangeDenyList {
        /// The surface whose deny list changes.
        surface: String,
        /// Whether to allow all items first.
        clear: bool,
        /// Items to allow; those that are not denied are no error.
        remove: Vec<String>,
        /// Items to deny; those that are denied are no error.
        add: Vec<String>,
    },
    /// Sets the segments that trials on a surface are reported by.
    SetSegments {
        /// The surface whose segments are set.
        surface: String,
        /// The attributes whose values are segments; none: no segments.
        attributes: Vec<SegmentedAttribute>,
    },
    /// Sets which versions of a model are kept.
    SetRetention {
        /// The model's name.
        model: String,
        /// Which versions are kept; none: all.
        retention: Option<Retention>,
    },
    /// Forgets the versions that nothing needs and no policy keeps.
    RetireVersions,
    /// Replaces what is known of a node and its replicas by what the node reports.
    ReportNode {
        /// The id of the node.
        node_id: String,
        /// The node's address, roles and budget; `alive` and `draining` are ignored.
        node: Node,
        /// All replicas that the node has.
        replicas: Vec<ReplicaReport>,
    },
    /// Notes that a node began or ceased to report.
    SetNodeAlive {
        /// The id of the node.
        node_id: String,
        /// Whether it reports.
        alive: bool,
    },
    /// Registers a node, or puts a removed one back to work.
    AddNode {
        /// The id of the node.
        node_id: String,
        /// The node's address, roles and budget; `alive` and `draining` are ignored.
        node: Node,
    },
    /// Takes a node out of placement. It is forgotten once nothing needs it and it reports no more.
    RemoveNode {
        /// The id of the node.
        node_id: String,
    },
}

/// What a node reports of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaReport {
    /// The model version that the replica belongs to.
    pub version: ModelVersion,
    /// The shard's number.
    pub shard: u32,
    /// Where it is in its life.
    pub replica: PlannedReplica,
}
