//! Why commands are refused.
//!
//! A [`CommandError`] is the reason in full, for the code that decides. A [`Refusal`] is what is replicated
//! of it: its kind, by which callers act, and its words.

use crate::bounds::{MAX_DENIED_ITEMS, MAX_SHARDS};
use crate::ensemble::EnsembleError;
use crate::id::{IdError, ModelVersion};
use crate::plan::SegmentsError;
use crate::rollout::experiment::ExperimentError;
use crate::rollout::{RolloutMoveError, StepsError, TermsError};

/// Why a command has no effect. Every message says what to do instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// A name or an id is malformed.
    #[error(transparent)]
    Name(#[from] IdError),
    /// The steps of a rollout are malformed.
    #[error(transparent)]
    Steps(#[from] StepsError),
    /// The gates or the mirroring of a rollout are malformed.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// An ensemble is malformed or names what is not there.
    #[error(transparent)]
    Ensemble(#[from] EnsembleError),
    /// The arms or the shares of an experiment are malformed.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// A bundle was signed before one that was published.
    #[error(
        "the signature of this bundle of model {model:?} has counter {counter}, and {newest} was published: sign a \
         new bundle with a greater one, or publish with --allow-older if this one is to come back"
    )]
    OlderSignature {
        /// The model's name.
        model: String,
        /// The counter of the signature; 0 if it has none.
        counter: u64,
        /// The greatest that was published.
        newest: u64,
    },
    /// A bundle has no shards, or too many.
    #[error("the bundle has {shards} shards: 1 to {MAX_SHARDS} are allowed")]
    ShardCount {
        /// How many it has.
        shards: u32,
    },
    /// A node has no role, or one that cannot be given by a command.
    #[error(
        "roles of node {node_id:?}: name shard or router or both; voters are set in the config of control nodes"
    )]
    Roles {
        /// The node's id.
        node_id: String,
    },
    /// A retention policy would keep nothing.
    #[error("keep_versions is 0: at least the newest version is kept")]
    KeepsNoVersion,
    /// A change of a deny list names too many items.
    #[error("{field} has {count} entries: at most {MAX_DENIED_ITEMS} are allowed")]
    TooManyItemIds {
        /// The request's field.
        field: &'static str,
        /// How many ids it has.
        count: usize,
    },
    /// Segments that cannot be used.
    #[error("segments: {0}")]
    Segments(#[from] SegmentsError),
    /// Segments of a surface on which a trial runs: what was measured of it is by the segments that there were.
    #[error("{trial:?} runs on surface {surface:?}: set its segments when that is over")]
    SegmentsInUse {
        /// The surface that was named.
        surface: String,
        /// The rollout or experiment.
        trial: String,
    },
    /// The candidate of a rollout is not there.
    #[error("candidate {candidate:?} is neither a stored ensemble nor a published model@version")]
    UnknownCandidate {
        /// The name that was given.
        candidate: String,
    },
    /// The ensemble of an arm is not there.
    #[error("arm {arm:?}: {ensemble:?} is neither a stored ensemble nor a published model@version")]
    UnknownArmEnsemble {
        /// The arm's name.
        arm: String,
        /// The name that was given.
        ensemble: String,
    },
    /// No rollout has this id.
    #[error("there is no rollout {rollout_id:?}: list them to see the ids")]
    UnknownRollout {
        /// The id that was given.
        rollout_id: String,
    },
    /// No experiment has this id.
    #[error("there is no experiment {experiment_id:?}: list them to see the ids")]
    UnknownExperiment {
        /// The id that was given.
        experiment_id: String,
    },
    /// No node has this id.
    #[error("there is no node {node_id:?}")]
    UnknownNode {
        /// The id that was given.
        node_id: String,
    },
    /// The model has no version.
    #[error("there is no version of model {model:?}: list the models to see their names")]
    UnknownModel {
        /// The name that was given.
        model: String,
    },
    /// The model has no version of this number.
    #[error("there is no version {version}: list the models to see the versions")]
    UnknownVersion {
        /// The version that was named.
        version: ModelVersion,
    },
    /// No ensemble has this name.
    #[error("there is no stored ensemble {name:?}: list them to see the names")]
    UnknownEnsemble {
        /// The name that was given.
        name: String,
    },
    /// Something needs what is to be deleted.
    #[error("{what} is in use by {user}: {instead}")]
    InUse {
        /// The ensemble or version, as it is called.
        what: String,
        /// What needs it.
        user: String,
        /// What to do first.
        instead: &'static str,
    },
    /// The model's retention keeps the version.
    #[error(
        "{version} is kept by the retention of its model: keep fewer versions, or end the retention, first"
    )]
    Retained {
        /// The version that was to be deleted.
        version: ModelVersion,
    },
    /// The name of an ensemble is taken.
    #[error(
        "ensemble {name:?} has another definition already, and ensembles never change: use a new name"
    )]
    EnsembleExists {
        /// The ensemble's name.
        name: String,
    },
    /// A rollout runs on the surface.
    #[error(
        "surface {surface:?} has a rollout running ({rollout_id}): promote it or roll it back first"
    )]
    RolloutRunning {
        /// The surface that was named.
        surface: String,
        /// The rollout that runs there.
        rollout_id: String,
    },
    /// The candidate of the surface's last rollout was promoted, and may still be undone.
    #[error(
        "surface {surface:?} has a rollout whose promotion may still be undone ({rollout_id}): end its holdout and \
         its watch first, or undo it"
    )]
    RolloutWatched {
        /// The surface that was named.
        surface: String,
        /// The rollout that is held out or watched there.
        rollout_id: String,
    },
    /// An experiment runs on the surface.
    #[error("surface {surface:?} has an experiment running ({experiment_id}): stop it first")]
    ExperimentRunning {
        /// The surface that was named.
        surface: String,
        /// The experiment that runs there.
        experiment_id: String,
    },
    /// The candidate is what the surface serves.
    #[error("{candidate} is live on surface {surface:?} already")]
    AlreadyLive {
        /// The surface that was named.
        surface: String,
        /// The ensemble that was to be rolled out.
        candidate: String,
    },
    /// An experiment needs something for the users who take no part.
    #[error(
        "surface {surface:?} has no live model for the users who take no part: start a rollout first"
    )]
    NoLiveModel {
        /// The surface that was named.
        surface: String,
    },
    /// Experiments of one surface must share a layer.
    #[error(
        "experiment {experiment_id} runs on surface {surface:?} in layer {layer:?}: experiments of a surface \
         share a layer, so that no user is in two of them"
    )]
    OtherLayer {
        /// The surface that was named.
        surface: String,
        /// The experiment that runs there.
        experiment_id: String,
        /// The layer that the experiment takes users from.
        layer: String,
    },
    /// The layer has no slice of this size left.
    #[error(
        "layer {layer:?} has no {share_basis_points} basis points left side by side: stop an experiment, \
         ask for less, or use another layer on another surface"
    )]
    LayerFull {
        /// The layer without room.
        layer: String,
        /// The share that was asked for, in 1/10,000.
        share_basis_points: u32,
    },
    /// The experiment was stopped before.
    #[error("experiment {experiment_id} is over: start a new one")]
    ExperimentOver {
        /// The experiment's id.
        experiment_id: String,
    },
    /// The state of a rollout does not allow the move.
    #[error(transparent)]
    RolloutMove(#[from] RolloutMoveError),
    /// The plan holds as many of something as it can.
    #[error("the cluster holds {bound} {what}, the most it can")]
    Full {
        /// What there is too much of, in the plural.
        what: &'static str,
        /// How many there may be.
        bound: usize,
    },
    /// Too many users are forgotten at once.
    #[error(
        "the cluster has {bound} tombstones of forgotten users, the most it can: train every model with \
         --forgotten, publish, and let older versions retire; tombstones age after 30 days"
    )]
    TombstonesFull {
        /// How many there may be.
        bound: usize,
    },
    /// A surface would deny too many items.
    #[error(
        "surface {surface:?} would deny {count} items: at most {MAX_DENIED_ITEMS} are allowed; give what belongs \
         together a tag, and have callers exclude it"
    )]
    DenyListFull {
        /// The surface that was named.
        surface: String,
        /// How many items it would deny.
        count: usize,
    },
}

impl CommandError {
    /// What the error means for a caller.
    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::Name(_)
            | Self::Steps(_)
            | Self::Terms(_)
            | Self::Ensemble(_)
            | Self::Experiment(_)
            | Self::ShardCount { .. }
            | Self::Roles { .. }
            | Self::KeepsNoVersion
            | Self::Segments(_)
            | Self::TooManyItemIds { .. } => RefusalKind::Invalid,
            Self::UnknownCandidate { .. }
            | Self::UnknownArmEnsemble { .. }
            | Self::UnknownRollout { .. }
            | Self::UnknownExperiment { .. }
            | Self::UnknownNode { .. }
            | Self::UnknownVersion { .. }
            | Self::UnknownEnsemble { .. }
            | Self::UnknownModel { .. } => RefusalKind::NotFound,
            Self::EnsembleExists { .. } => RefusalKind::AlreadyExists,
            Self::RolloutRunning { .. }
            | Self::RolloutWatched { .. }
            | Self::ExperimentRunning { .. }
            | Self::AlreadyLive { .. }
            | Self::NoLiveModel { .. }
            | Self::OtherLayer { .. }
            | Self::LayerFull { .. }
            | Self::ExperimentOver { .. }
            | Self::SegmentsInUse { .. }
            | Self::OlderSignature { .. }
            | Self::InUse { .. }
            | Self::Retained { .. }
            | Self::RolloutMove(_) => RefusalKind::FailedPrecondition,
            Self::Full { .. } | Self::DenyListFull { .. } | Self::TombstonesFull { .. } => {
                RefusalKind::Exhausted
            }
        }
    }
}

/// What a refusal means for a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The command is malformed: it will never be accepted.
    Invalid,
    /// It names what is not there.
    NotFound,
    /// Its name means something else already.
    AlreadyExists,
    /// The state does not allow it now.
    FailedPrecondition,
    /// A bound of the cluster is reached.
    Exhausted,
}

/// Why a command had no effect, as it is replicated and remembered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What it means for a caller.
    pub kind: RefusalKind,
    /// The reason in words, and what to do instead.
    pub message: String,
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}
