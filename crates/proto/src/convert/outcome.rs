//! Outcomes of commands ↔ `marquee.raft.v1.Outcome`.

use super::ensemble::{ensemble_from_pb, ensemble_to_pb};
use super::error::{ConvertError, Result, required};
use super::experiment::{experiment_from_pb, experiment_to_pb};
use super::node::{node_from_pb, node_to_pb};
use super::rollout::{rollout_from_pb, rollout_to_pb};
use super::version::{version_from_pb, version_to_pb};
use crate::generated::raft::v1 as pb;
use marquee_core::command::{CommandOutcome, Refusal, RefusalKind, Reply};

/// The wire form of the outcome of a command.
pub fn outcome_to_pb(outcome: &CommandOutcome) -> pb::CommandOutcome {
    use pb::command_outcome::Kind;
    let kind = match outcome {
        Err(refusal) => Kind::Refusal(refusal_to_pb(refusal)),
        Ok(Reply::Version(version)) => Kind::Version(version_to_pb(version)),
        Ok(Reply::Ensemble { name, root }) => Kind::Ensemble(ensemble_to_pb(name, root)),
        // What it waits for is the plan's to say, not the outcome's.
        Ok(Reply::Rollout(rollout)) => Kind::Rollout(rollout_to_pb(rollout, String::new())),
        Ok(Reply::Experiment(experiment)) => {
            Kind::Experiment(experiment_to_pb(experiment, String::new()))
        }
        Ok(Reply::Node { node_id, node }) => Kind::Node(node_to_pb(node_id, node)),
        Ok(Reply::NodeRemoved { draining }) => {
            Kind::NodeRemoved(pb::NodeRemoved { draining: *draining })
        }
        Ok(Reply::Deleted(versions)) => Kind::Deleted(pb::DeletedVersions {
            versions: versions.iter().map(version_to_pb).collect(),
        }),
        Ok(Reply::Done) => Kind::Done(pb::Done {}),
    };
    pb::CommandOutcome { kind: Some(kind) }
}

/// Reads the outcome of a command from its wire form.
pub fn outcome_from_pb(outcome: pb::CommandOutcome) -> Result<CommandOutcome> {
    use pb::command_outcome::Kind;
    Ok(match required(outcome.kind, "outcome.kind")? {
        Kind::Refusal(refusal) => Err(refusal_from_pb(refusal)?),
        Kind::Version(version) => Ok(Reply::Version(version_from_pb(Some(version), "outcome")?)),
        Kind::Ensemble(ensemble) => {
            let (name, root) = ensemble_from_pb(ensemble)?;
            Ok(Reply::Ensemble { name, root })
        }
        Kind::Rollout(rollout) => Ok(Reply::Rollout(Box::new(rollout_from_pb(rollout)?))),
        Kind::Experiment(experiment) => {
            Ok(Reply::Experiment(Box::new(experiment_from_pb(experiment)?)))
        }
        Kind::Node(node) => {
            let (node_id, node) = node_from_pb(node)?;
            Ok(Reply::Node { node_id, node })
        }
        Kind::NodeRemoved(pb::NodeRemoved { draining }) => Ok(Reply::NodeRemoved { draining }),
        Kind::Deleted(pb::DeletedVersions { versions }) => {
            let versions = versions.into_iter();
            let read = versions.map(|version| version_from_pb(Some(version), "outcome.deleted"));
            Ok(Reply::Deleted(read.collect::<Result<_>>()?))
        }
        Kind::Done(pb::Done {}) => Ok(Reply::Done),
    })
}

fn refusal_to_pb(refusal: &Refusal) -> pb::Refusal {
    let Refusal { kind, message } = refusal;
    let kind = match kind {
        RefusalKind::Invalid => pb::RefusalKind::Invalid,
        RefusalKind::NotFound => pb::RefusalKind::NotFound,
        RefusalKind::AlreadyExists => pb::RefusalKind::AlreadyExists,
        RefusalKind::FailedPrecondition => pb::RefusalKind::FailedPrecondition,
        RefusalKind::Exhausted => pb::RefusalKind::Exhausted,
    };
    pb::Refusal { kind: kind as i32, message: message.clone() }
}

fn refusal_from_pb(refusal: pb::Refusal) -> Result<Refusal> {
    let pb::Refusal { kind, message } = refusal;
    let kind = match pb::RefusalKind::try_from(kind) {
        Ok(pb::RefusalKind::Invalid) => RefusalKind::Invalid,
        Ok(pb::RefusalKind::NotFound) => RefusalKind::NotFound,
        Ok(pb::RefusalKind::AlreadyExists) => RefusalKind::AlreadyExists,
        Ok(pb::RefusalKind::FailedPrecondition) => RefusalKind::FailedPrecondition,
        Ok(pb::RefusalKind::Exhausted) => RefusalKind::Exhausted,
        Ok(pb::RefusalKind::Unspecified) | Err(_) => {
            return Err(ConvertError::unknown("refusal.kind", kind));
        }
    };
    Ok(Refusal { kind, message })
}
