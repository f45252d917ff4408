//! Commands, the entries of control's log, ↔ `marquee.raft.v1.Command`.
//!
//! These bytes are in the log on disk: what was written once must be read the same for ever, on
//! every voter.

use super::audit::{actor_from_pb, actor_to_pb};
use super::ensemble::{ensemble_from_pb, ensemble_to_pb};
use super::error::{ConvertError, Result, required};
use super::experiment::{experiment_from_pb, experiment_to_pb};
use super::external::{answer_kind_from_pb, answer_kind_to_pb, external_gate_to_pb};
use super::gate::gate_to_pb;
use super::gate_evidence::{gate_evidence_from_pb, gate_evidence_to_pb};
use super::node::{node_from_pb, node_to_pb, replica_report_from_pb, replica_report_to_pb};
use super::plan::{segmented_from_pb, segmented_to_pb};
use super::privacy::pseudonym_from_pb;
use super::published::{published_from_pb, published_to_pb, retention_from_pb, retention_to_pb};
use super::rollout::{
    automatic_from_pb, automatic_to_pb, interleave_to_pb, listed_to_pb, pace_to_pb, safety_to_pb,
    shadow_to_pb, step_from_pb, step_to_pb, terms_from_pb,
};
use super::secret::secret_from_pb;
use super::traffic::{surface_traffic_from_pb, surface_traffic_to_pb};
use super::window::{window_from_pb, window_to_pb};
use crate::generated::raft::v1 as pb;
use marquee_core::command::{Action, Command};
use marquee_core::id::ModelVersion;
use marquee_core::rollout::experiment::{Experiment, ExperimentState};
use marquee_core::rollout::external::ExternalAnswer;
use marquee_core::rollout::judge::{GateEvidence, Judgement};
use marquee_core::rollout::{Decision, RolloutMove, Terms};

/// The wire form of a command.
pub fn command_to_pb(command: &Command) -> pb::Command {
    let Command { request_id, now_ms, actor, action } = command;
    pb::Command {
        request_id: request_id.clone(),
        now_ms: *now_ms,
        actor: Some(actor_to_pb(actor)),
        action: Some(action_to_pb(action)),
    }
}

/// Reads a command from its wire form.
pub fn command_from_pb(command: pb::Command) -> Result<Command> {
    let pb::Command { request_id, now_ms, actor, action } = command;
    let action = action_from_pb(required(action, "command.action")?)?;
    Ok(Command { request_id, now_ms, actor: actor_from_pb(actor.unwrap_or_default()), action })
}

fn action_to_pb(action: &Action) -> pb::command::Action {
    use pb::command::Action as Pb;
    match action {
        Action::PublishVersion { model, version, allow_older } => {
            Pb::PublishVersion(pb::PublishVersion {
                version: Some(published_to_pb(&ModelVersion::new(model, 0), version)),
                allow_older: *allow_older,
            })
        }
        Action::PutEnsemble { name, root } => Pb::PutEnsemble(ensemble_to_pb(name, root)),
        Action::DeleteEnsemble { name } => {
            Pb::DeleteEnsemble(pb::DeleteEnsemble { name: name.clone() })
        }
        Action::DeleteModel { model, version } => Pb::DeleteModel(pb::DeleteModel {
            model: model.clone(),
            version: version.unwrap_or_default(),
        }),
        Action::StartRollout { surface, candidate, steps, terms } => {
            let Terms { gates, external_gates, shadow, interleave, pace, safety, listed } = terms;
            Pb::StartRollout(pb::StartRollout {
                surface: surface.clone(),
                candidate: candidate.clone(),
                steps: steps.iter().map(step_to_pb).collect(),
                gates: gates.iter().map(gate_to_pb).collect(),
                shadow: Some(shadow_to_pb(*shadow)),
                pace: pace_to_pb(*pace) as i32,
                safety: Some(safety_to_pb(*safety)),
                listed: Some(listed_to_pb(listed)),
                interleave: interleave.map(interleave_to_pb),
                external_gates: external_gates.iter().map(external_gate_to_pb).collect(),
            })
        }
        Action::StartExperiment { surface, layer, share_basis_points, arms } => {
            // What it will be, as far as it is known.
            let wanted = Experiment {
                id: String::new(),
                surface: surface.clone(),
                layer: layer.clone(),
                from_basis_points: 0,
                share_basis_points: *share_basis_points,
                arms: arms.clone(),
                state: ExperimentState::Preparing,
                started_at_ms: 0,
                stopped_at_ms: 0,
                reason: String::new(),
            };
            Pb::StartExperiment(experiment_to_pb(&wanted, String::new()))
        }
        Action::AdvanceExperiment { experiment_id } => {
            Pb::AdvanceExperiment(pb::AdvanceExperiment { experiment_id: experiment_id.clone() })
        }
        Action::StopExperiment { experiment_id, reason } => {
            let (experiment_id, reason) = (experiment_id.clone(), reason.clone());
            Pb::StopExperiment(pb::StopExperiment { experiment_id, reason })
        }
        Action::ObserveExperiment { experiment_id, number, window } => {
            Pb::ObserveExperiment(pb::ObserveExperiment {
                experiment_id: experiment_id.clone(),
                number: *number,
                window: Some(window_to_pb(window)),
            })
        }
        Action::SetAutomaticRollout { surface, automatic } => {
            let automatic = automatic.as_ref().map(automatic_to_pb);
            Pb::SetAutomaticRollout(pb::SetAutomaticRollout { surface: surface.clone(), automatic })
        }
        Action::SetSegments { surface, attributes } => Pb::SetSegments(pb::SetSegments {
            surface: surface.clone(),
            attributes: attributes.iter().map(segmented_to_pb).collect(),
        }),
        Action::ChangeDenyList { surface, clear, remove, add } => {
            Pb::ChangeDenyList(pb::ChangeDenyList {
                surface: surface.clone(),
                clear: *clear,
                remove_item_ids: remove.clone(),
                add_item_ids: add.clone(),
            })
        }
        Action::SetRetention { model, retention } => Pb::SetRetention(pb::SetRetention {
            model: model.clone(),
            retention: retention.map(|retention| retention_to_pb(model, retention)),
        }),
        Action::RetireVersions => Pb::RetireVersions(pb::RetireVersions {}),
        Action::AddAnswerKey { secret } => {
            Pb::AddAnswerKey(pb::AddAnswerKey { secret: secret.0.to_vec().into() })
        }
        Action::AddUserKey { secret } => {
            Pb::AddUserKey(pb::AddUserKey { secret: secret.0.to_vec().into() })
        }
        Action::ForgetUser { user } => {
            Pb::ForgetUser(pb::ForgetUser { pseudonym: user.0.to_vec().into() })
        }
        Action::RecordTraffic { surfaces } => Pb::RecordTraffic(pb::RecordTraffic {
            surfaces: surfaces.iter().map(|(name, it)| surface_traffic_to_pb(name, it)).collect(),
        }),
        Action::JudgeRollout { rollout_id, number, weight_basis_points, window, judgement } => {
            let Judgement { gates, split, split_of_requests, decision } = judgement.as_ref();
            let (decision, reason) = match decision {
                Decision::Continue => (pb::Decision::Continue, String::new()),
                Decision::Pause(why) => (pb::Decision::Pause, why.clone()),
                Decision::RollBack(why) => (pb::Decision::RollBack, why.clone()),
            };
            Pb::JudgeRollout(pb::JudgeRollout {
                rollout_id: rollout_id.clone(),
                number: *number,
                weight_basis_points: *weight_basis_points,
                window: Some(window_to_pb(window)),
                gates: gates.iter().map(gate_evidence_to_pb).collect(),
                split: Some(gate_evidence_to_pb(split)),
                decision: decision as i32,
                reason,
                split_of_requests: Some(gate_evidence_to_pb(split_of_requests)),
            })
        }
        Action::AnswerQuestion { rollout_id, gate, number, asked_at_ms, answer } => {
            Pb::AnswerQuestion(pb::AnswerQuestion {
                rollout_id: rollout_id.clone(),
                gate: gate.clone(),
                number: *number,
                asked_at_ms: *asked_at_ms,
                kind: answer_kind_to_pb(answer.kind) as i32,
                says: answer.says().into(),
            })
        }
        Action::SetNotificationTargets { targets } => {
            Pb::SetNotificationTargets(pb::SetNotificationTargets { targets: targets.clone() })
        }
        Action::ConfirmNotification { target, rollout_id, number, dropped } => {
            Pb::ConfirmNotification(pb::ConfirmNotification {
                target: target.clone(),
                rollout_id: rollout_id.clone(),
                number: *number,
                dropped: *dropped,
            })
        }
        Action::MoveRollout { rollout_id, requested, reason } => Pb::MoveRollout(pb::MoveRollout {
            rollout_id: rollout_id.clone(),
            r#move: match requested {
                RolloutMove::Pause => pb::RolloutMove::Pause,
                RolloutMove::Resume => pb::RolloutMove::Resume,
                RolloutMove::Promote => pb::RolloutMove::Promote,
                RolloutMove::RollBack => pb::RolloutMove::RollBack,
                RolloutMove::Undo => pb::RolloutMove::Undo,
                RolloutMove::EndHoldout => pb::RolloutMove::EndHoldout,
                RolloutMove::EndWatch => pb::RolloutMove::EndWatch,
            } as i32,
            reason: reason.clone(),
        }),
        Action::AdvanceRollout { rollout_id } => {
            Pb::AdvanceRollout(pb::AdvanceRollout { rollout_id: rollout_id.clone() })
        }
        Action::ReportNode { node_id, node, replicas } => Pb::ReportNode(pb::ReportNode {
            node: Some(node_to_pb(node_id, node)),
            replicas: replicas.iter().map(replica_report_to_pb).collect(),
        }),
        Action::SetNodeAlive { node_id, alive } => {
            Pb::SetNodeAlive(pb::SetNodeAlive { node_id: node_id.clone(), alive: *alive })
        }
        Action::AddNode { node_id, node } => {
            Pb::AddNode(pb::AddNode { node: Some(node_to_pb(node_id, node)) })
        }
        Action::RemoveNode { node_id } => {
            Pb::RemoveNode(pb::RemoveNode { node_id: node_id.clone() })
        }
    }
}

fn action_from_pb(action: pb::command::Action) -> Result<Action> {
    use pb::command::Action as Pb;
    Ok(match action {
        Pb::PublishVersion(pb::PublishVersion { version, allow_older }) => {
            let version = required(version, "publish_version.version")?;
            let (ModelVersion { model, version: _ }, version) = published_from_pb(version)?;
            Action::PublishVersion { model, version: Box::new(version), allow_older }
        }
        Pb::PutEnsemble(ensemble) => {
            let (name, root) = ensemble_from_pb(ensemble)?;
            Action::PutEnsemble { name, root }
        }
        Pb::DeleteEnsemble(pb::DeleteEnsemble { name }) => Action::DeleteEnsemble { name },
        Pb::DeleteModel(pb::DeleteModel { model, version }) => {
            Action::DeleteModel { model, version: (version != 0).then_some(version) }
        }
        Pb::StartRollout(start) => {
            let pb::StartRollout {
                surface,
                candidate,
                steps,
                gates,
                shadow,
                pace,
                safety,
                listed,
                interleave,
                external_gates,
            } = start;
            Action::StartRollout {
                surface,
                candidate,
                steps: steps.into_iter().map(step_from_pb).collect(),
                terms: terms_from_pb(
                    gates,
                    external_gates,
                    required(shadow, "start_rollout.shadow")?,
                    interleave,
                    pace,
                    required(safety, "start_rollout.safety")?,
                    listed.unwrap_or_default(),
                )?,
            }
        }
        Pb::JudgeRollout(judged) => judge_rollout_from_pb(judged)?,
        Pb::AnswerQuestion(pb::AnswerQuestion {
            rollout_id,
            gate,
            number,
            asked_at_ms,
            kind,
            says,
        }) => {
            let answer = ExternalAnswer::new(answer_kind_from_pb(kind)?, &says);
            Action::AnswerQuestion { rollout_id, gate, number, asked_at_ms, answer }
        }
        Pb::SetNotificationTargets(pb::SetNotificationTargets { targets }) => {
            Action::SetNotificationTargets { targets }
        }
        Pb::ConfirmNotification(pb::ConfirmNotification {
            target,
            rollout_id,
            number,
            dropped,
        }) => Action::ConfirmNotification { target, rollout_id, number, dropped },
        Pb::StartExperiment(wanted) => {
            let Experiment { surface, layer, share_basis_points, arms, .. } =
                experiment_from_pb(wanted)?;
            Action::StartExperiment { surface, layer, share_basis_points, arms }
        }
        Pb::AdvanceExperiment(pb::AdvanceExperiment { experiment_id }) => {
            Action::AdvanceExperiment { experiment_id }
        }
        Pb::StopExperiment(pb::StopExperiment { experiment_id, reason }) => {
            Action::StopExperiment { experiment_id, reason }
        }
        Pb::ObserveExperiment(pb::ObserveExperiment { experiment_id, number, window }) => {
            let window = window_from_pb(required(window, "observe_experiment.window")?)?;
            Action::ObserveExperiment { experiment_id, number, window: Box::new(window) }
        }
        Pb::SetAutomaticRollout(pb::SetAutomaticRollout { surface, automatic }) => {
            let automatic = automatic.map(automatic_from_pb).transpose()?;
            Action::SetAutomaticRollout { surface, automatic }
        }
        Pb::SetSegments(pb::SetSegments { surface, attributes }) => Action::SetSegments {
            surface,
            attributes: attributes.into_iter().map(segmented_from_pb).collect(),
        },
        Pb::ChangeDenyList(pb::ChangeDenyList {
            surface,
            clear,
            remove_item_ids: remove,
            add_item_ids: add,
        }) => Action::ChangeDenyList { surface, clear, remove, add },
        Pb::SetRetention(pb::SetRetention { model, retention }) => Action::SetRetention {
            model,
            retention: retention.map(|retention| retention_from_pb(retention).1),
        },
        Pb::RetireVersions(pb::RetireVersions {}) => Action::RetireVersions,
        Pb::AddAnswerKey(pb::AddAnswerKey { secret }) => Action::AddAnswerKey {
            secret: secret_from_pb(secret.to_vec(), "add_answer_key.secret")?,
        },
        Pb::AddUserKey(pb::AddUserKey { secret }) => {
            Action::AddUserKey { secret: secret_from_pb(secret.to_vec(), "add_user_key.secret")? }
        }
        Pb::ForgetUser(pb::ForgetUser { pseudonym }) => {
            Action::ForgetUser { user: pseudonym_from_pb(&pseudonym, "forget_user.pseudonym")? }
        }
        Pb::RecordTraffic(pb::RecordTraffic { surfaces }) => Action::RecordTraffic {
            surfaces: surfaces.into_iter().map(surface_traffic_from_pb).collect::<Result<_>>()?,
        },
        Pb::MoveRollout(pb::MoveRollout { rollout_id, r#move, reason }) => Action::MoveRollout {
            rollout_id,
            requested: match pb::RolloutMove::try_from(r#move) {
                Ok(pb::RolloutMove::Pause) => RolloutMove::Pause,
                Ok(pb::RolloutMove::Resume) => RolloutMove::Resume,
                Ok(pb::RolloutMove::Promote) => RolloutMove::Promote,
                Ok(pb::RolloutMove::RollBack) => RolloutMove::RollBack,
                Ok(pb::RolloutMove::Undo) => RolloutMove::Undo,
                Ok(pb::RolloutMove::EndHoldout) => RolloutMove::EndHoldout,
                Ok(pb::RolloutMove::EndWatch) => RolloutMove::EndWatch,
                Ok(pb::RolloutMove::Unspecified) | Err(_) => {
                    let field = "move_rollout.move".into();
                    return Err(ConvertError::UnknownEnumValue { field, value: r#move });
                }
            },
            reason,
        },
        Pb::AdvanceRollout(pb::AdvanceRollout { rollout_id }) => {
            Action::AdvanceRollout { rollout_id }
        }
        Pb::ReportNode(pb::ReportNode { node, replicas }) => {
            let (node_id, node) = node_from_pb(required(node, "report_node.node")?)?;
            let replicas =
                replicas.into_iter().map(replica_report_from_pb).collect::<Result<_>>()?;
            Action::ReportNode { node_id, node, replicas }
        }
        Pb::SetNodeAlive(pb::SetNodeAlive { node_id, alive }) => {
            Action::SetNodeAlive { node_id, alive }
        }
        Pb::AddNode(pb::AddNode { node }) => {
            let (node_id, node) = node_from_pb(required(node, "add_node.node")?)?;
            Action::AddNode { node_id, node }
        }
        Pb::RemoveNode(pb::RemoveNode { node_id }) => Action::RemoveNode { node_id },
    })
}

fn judge_rollout_from_pb(judged: pb::JudgeRollout) -> Result<Action> {
    let pb::JudgeRollout {
        rollout_id,
        number,
        weight_basis_points,
        window,
        gates,
        split,
        decision,
        reason,
        split_of_requests,
    } = judged;
    let judgement = Judgement {
        gates: gates.into_iter().map(gate_evidence_from_pb).collect::<Result<_>>()?,
        split: gate_evidence_from_pb(required(split, "judge_rollout.split")?)?,
        // Absent in entries of an older release.
        split_of_requests: match split_of_requests {
            Some(split) => gate_evidence_from_pb(split)?,
            None => GateEvidence::default(),
        },
        decision: match pb::Decision::try_from(decision) {
            Ok(pb::Decision::Continue) => Decision::Continue,
            Ok(pb::Decision::Pause) => Decision::Pause(reason),
            Ok(pb::Decision::RollBack) => Decision::RollBack(reason),
            Ok(pb::Decision::Unspecified) | Err(_) => {
                let field = "judge_rollout.decision".into();
                return Err(ConvertError::UnknownEnumValue { field, value: decision });
            }
        },
    };
    Ok(Action::JudgeRollout {
        rollout_id,
        number,
        weight_basis_points,
        window: Box::new(window_from_pb(required(window, "judge_rollout.window")?)?),
        judgement: Box::new(judgement),
    })
}
