//! What an action does, in a few words.

use super::action::Action;
use crate::rollout::RolloutMove;

/// What an action does, in a few words, with the names of what it changes.
pub(super) fn describe(action: &Action) -> String {
    match action {
        Action::PublishVersion { model, version, allow_older } => {
            let older = if *allow_older { ", though its signature may be older" } else { "" };
            format!("publish {model} from {}{older}", version.bundle_uri)
        }
        Action::PutEnsemble { name, .. } => format!("put ensemble {name}"),
        Action::DeleteEnsemble { name } => format!("delete ensemble {name}"),
        Action::DeleteModel { model, version } => match version {
            Some(version) => format!("delete {model}@{version}"),
            None => format!("delete all versions of {model}"),
        },
        Action::StartRollout { surface, candidate, .. } => {
            format!("start rollout of {candidate} on {surface}")
        }
        Action::MoveRollout { rollout_id, requested, reason } => {
            with_reason(format!("{} rollout {rollout_id}", move_name(*requested)), reason)
        }
        Action::AdvanceRollout { rollout_id } => format!("advance rollout {rollout_id}"),
        Action::JudgeRollout { rollout_id, number, .. } => {
            format!("judge rollout {rollout_id}, window {number}")
        }
        Action::StartExperiment { surface, layer, .. } => {
            format!("start experiment on {surface}, layer {layer}")
        }
        Action::AdvanceExperiment { experiment_id } => {
            format!("advance experiment {experiment_id}")
        }
        Action::StopExperiment { experiment_id, reason } => {
            with_reason(format!("stop experiment {experiment_id}"), reason)
        }
        Action::ObserveExperiment { experiment_id, number, .. } => {
            format!("observe experiment {experiment_id}, window {number}")
        }
        Action::AddAnswerKey { secret: _ } => "make a key for recommendation ids".into(),
        Action::AddUserKey { secret: _ } => "make a key that users are named by".into(),
        Action::ForgetUser { user } => format!("forget user {user}, a keyed hash"),
        Action::AnswerQuestion { rollout_id, gate, number, .. } => {
            format!("answer question {number} of gate {gate} of rollout {rollout_id}")
        }
        Action::SetNotificationTargets { targets } => {
            format!("tell {} of rollouts", targets.join(", "))
        }
        Action::ConfirmNotification { target, rollout_id, number, .. } => {
            format!("{target} knows rollout {rollout_id} up to transition {number}")
        }
        Action::RecordTraffic { .. } => "record traffic".into(),
        Action::SetAutomaticRollout { surface, automatic } => {
            let what = if automatic.is_some() { "set" } else { "stop" };
            format!("{what} automatic rollouts on {surface}")
        }
        Action::ChangeDenyList { surface, clear, remove, add } => {
            let first = if *clear { "clear the deny list" } else { "change the deny list" };
            format!("{first} of {surface}: {} added, {} removed", add.len(), remove.len())
        }
        Action::SetSegments { surface, attributes } => {
            let names: Vec<&str> = attributes.iter().map(|it| it.name.as_str()).collect();
            format!("set the segments of {surface}: {}", names.join(", "))
        }
        Action::SetRetention { model, retention } => match retention {
            None => format!("keep all versions of {model}"),
            Some(kept) => format!(
                "keep {} versions of {model}{}",
                kept.keep_versions,
                if kept.delete_bundles { ", and delete bundles" } else { "" }
            ),
        },
        Action::RetireVersions => "retire versions".into(),
        Action::ReportNode { node_id, node, replicas } => {
            format!("report of node {node_id} at {}, {} replicas", node.address, replicas.len())
        }
        Action::SetNodeAlive { node_id, alive } => {
            format!("node {node_id} {}", if *alive { "reports again" } else { "does not report" })
        }
        Action::AddNode { node_id, node } => format!("add node {node_id} at {}", node.address),
        Action::RemoveNode { node_id } => format!("remove node {node_id}"),
    }
}

fn with_reason(text: String, reason: &str) -> String {
    if reason.is_empty() { text } else { format!("{text}: {reason}") }
}

fn move_name(requested: RolloutMove) -> &'static str {
    match requested {
        RolloutMove::Pause => "pause",
        RolloutMove::Resume => "resume",
        RolloutMove::Promote => "promote",
        RolloutMove::RollBack => "roll back",
        RolloutMove::Undo => "undo",
        RolloutMove::EndHoldout => "end the holdout of",
        RolloutMove::EndWatch => "end the watch of",
    }
}
