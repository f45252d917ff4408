//! What the answers to external gates' questions say of a rollout, and which questions are due.

use super::evidence::{AllEvidence, Evidence};
use super::external_evidence::ExternalEvidence;
use super::gate_evidence::Verdict;
use crate::rollout::external::{AnswerKind, ExternalAnswer, ExternalGate, Question};
use crate::rollout::gate::OnBreach;
use crate::rollout::machine::{Decision, Rollout, RolloutState};

/// For how many intervals an answer says something: the next one may take its time, or be lost with a leader.
const FRESH_INTERVALS: u64 = 3;

/// A question that the leader should ask now.
#[derive(Clone, Debug, PartialEq)]
pub struct DueQuestion {
    /// The rollout's id.
    pub rollout_id: String,
    /// The gate's name.
    pub gate: String,
    /// The question's number, from 1.
    pub number: u64,
    /// What is asked, with the rollout's names in it.
    pub question: Question,
    /// How long the answer may take, in ms.
    pub timeout_ms: u32,
    /// How many bytes the answer may have.
    pub max_answer_bytes: u32,
    /// The rollout's surface.
    pub surface: String,
    /// The ensemble that traffic moves from; empty if there is none.
    pub baseline: String,
    /// The ensemble that traffic moves to.
    pub candidate: String,
    /// Where the rollout is.
    pub state: RolloutState,
    /// The present step; none before the first.
    pub step: Option<u32>,
    /// The candidate's share, in 1/10,000.
    pub weight_basis_points: u32,
}

/// Whether a gate is asked in the rollout's present stage, pauses of it included.
fn is_asked(rollout: &Rollout, gate: &ExternalGate) -> bool {
    match rollout.resumes_to {
        RolloutState::Shadow | RolloutState::Interleave => !gate.with_traffic_only,
        RolloutState::Canary | RolloutState::Holdout | RolloutState::Watching => true,
        RolloutState::Preparing
        | RolloutState::Paused
        | RolloutState::Promoted
        | RolloutState::RolledBack
        | RolloutState::Aborted => false,
    }
}

/// The questions that are due at `now_ms`: a gate is asked when its interval is over, and when a stage or step begins.
pub fn due_questions<'a>(
    rollouts: impl IntoIterator<Item = &'a Rollout>,
    evidence: &AllEvidence,
    now_ms: u64,
) -> Vec<DueQuestion> {
    let mut due = Vec::new();
    for rollout in rollouts {
        let known = evidence.get(&rollout.id);
        for (n, gate) in rollout.terms.external_gates.iter().enumerate() {
            let found = known.and_then(|known| known.external.get(n));
            if is_asked(rollout, gate) && is_due(rollout, gate, found, now_ms) {
                due.push(question(rollout, gate, found.map_or(0, |found| found.questions) + 1));
            }
        }
    }
    due
}

fn is_due(
    rollout: &Rollout,
    gate: &ExternalGate,
    found: Option<&ExternalEvidence>,
    now_ms: u64,
) -> bool {
    let Some(found) = found.filter(|found| found.questions > 0) else { return true };
    let began_ms = rollout.step_started_at_ms;
    // A leader whose clock is behind that of the one before does not ask again and again.
    let is_new_stage = found.asked_at_ms < began_ms && began_ms <= now_ms;
    is_new_stage || now_ms >= found.asked_at_ms.saturating_add(gate.interval_seconds * 1_000)
}

fn question(rollout: &Rollout, gate: &ExternalGate, number: u64) -> DueQuestion {
    let Rollout { id, surface, baseline, candidate, state, step, .. } = rollout;
    let baseline = baseline.clone().unwrap_or_default();
    DueQuestion {
        rollout_id: id.clone(),
        gate: gate.name.clone(),
        number,
        question: gate.question.with_names(id, surface, &baseline, candidate),
        timeout_ms: gate.timeout_ms,
        max_answer_bytes: gate.max_answer_bytes,
        surface: surface.clone(),
        baseline,
        candidate: candidate.clone(),
        state: *state,
        step: *step,
        weight_basis_points: rollout.weight_basis_points(),
    }
}

/// Adds what question `number` of a gate came to, and says what should be done. None where that changes nothing: the gate is
/// unknown, or the question is not the next one, because another leader asked it too.
pub fn note_answer(
    rollout: &Rollout,
    evidence: &mut Evidence,
    name: &str,
    number: u64,
    asked_at_ms: u64,
    answer: &ExternalAnswer,
) -> Option<Decision> {
    let gates = &rollout.terms.external_gates;
    let at = gates.iter().position(|gate| gate.name == name)?;
    evidence.external.resize_with(gates.len(), ExternalEvidence::default);
    let (gate, found) = (&gates[at], &mut evidence.external[at]);
    if number != found.questions + 1 {
        return None;
    }
    found.questions = number;
    found.asked_at_ms = asked_at_ms;
    found.says = answer.says().into();
    match answer.kind {
        AnswerKind::Passes => {
            (found.verdict, found.failures, found.unanswered) = (Verdict::Holds, 0, 0);
        }
        AnswerKind::Fails => {
            (found.verdict, found.unanswered) = (Verdict::Breached, 0);
            found.failures = found.failures.saturating_add(1);
        }
        AnswerKind::Missing => {
            found.verdict = Verdict::Inconclusive;
            found.unanswered = found.unanswered.saturating_add(1);
        }
    }
    let is_breach = answer.kind == AnswerKind::Fails && found.failures >= gate.consecutive_failures;
    if !is_breach || found.accepted {
        return Some(Decision::Continue);
    }
    let asked = question(rollout, gate, number).question;
    let why =
        format!("external gate {name} asked {asked}: {} ({} in a row)", found.says, found.failures);
    Some(match gate.on_breach {
        OnBreach::RollBack => Decision::RollBack(why),
        OnBreach::Pause => Decision::Pause(why),
    })
}

/// Which external gate does not pass at `now_ms`, in words, if any. It passes by an answer that was asked for in the present
/// stage or step and is not old.
pub(super) fn unsettled(rollout: &Rollout, evidence: &Evidence, now_ms: u64) -> Option<String> {
    for (n, gate) in rollout.terms.external_gates.iter().enumerate() {
        if !is_asked(rollout, gate) {
            continue;
        }
        let name = &gate.name;
        let found = evidence.external.get(n).filter(|found| found.questions > 0);
        let Some(found) = found.filter(|it| it.asked_at_ms >= rollout.step_started_at_ms) else {
            return Some(format!("external gate {name} to be asked"));
        };
        match found.verdict {
            Verdict::Breached if found.accepted => {}
            Verdict::Breached => {
                return Some(format!(
                    "external gate {name}, which fails: {} ({} of {} in a row)",
                    found.says, found.failures, gate.consecutive_failures
                ));
            }
            Verdict::Inconclusive => {
                return Some(format!("external gate {name}, which has no answer: {}", found.says));
            }
            Verdict::Holds | Verdict::Proven => {
                let fresh_ms = FRESH_INTERVALS * gate.interval_seconds * 1_000;
                if now_ms > found.asked_at_ms.saturating_add(fresh_ms) {
                    return Some(format!("external gate {name}, whose last answer is old"));
                }
            }
        }
    }
    None
}
