//! External gates, and what is known of them, ↔ `marquee.control.v1`.

use super::error::{ConvertError, Result, required};
use super::gate::{on_breach_from_pb, on_breach_to_pb};
use super::gate_evidence::{verdict_from_pb, verdict_to_pb};
use crate::generated::control::v1 as pb;
use crate::generated::raft::v1 as raft;
use marquee_core::rollout::external::{
    AnswerKind, DEFAULT_ANSWER_BYTES, DEFAULT_CONSECUTIVE_FAILURES, DEFAULT_INTERVAL_SECONDS,
    DEFAULT_TIMEOUT_MS, ExternalGate, Question,
};
use marquee_core::rollout::gate::Bound;
use marquee_core::rollout::judge::ExternalEvidence;

/// The wire form of an external gate.
pub fn external_gate_to_pb(gate: &ExternalGate) -> pb::ExternalGate {
    let ExternalGate {
        name,
        question,
        interval_seconds,
        timeout_ms,
        max_answer_bytes,
        consecutive_failures,
        on_breach,
        with_traffic_only,
    } = gate;
    pb::ExternalGate {
        name: name.clone(),
        question: Some(question_to_pb(question)),
        interval_seconds: *interval_seconds,
        timeout_ms: *timeout_ms,
        max_answer_bytes: *max_answer_bytes,
        consecutive_failures: *consecutive_failures,
        on_breach: on_breach_to_pb(*on_breach) as i32,
        with_traffic_only: *with_traffic_only,
    }
}

/// Reads an external gate from its wire form; what is left out has its default. Bounds are the state machine's to check.
pub fn external_gate_from_pb(gate: pb::ExternalGate) -> Result<ExternalGate> {
    let pb::ExternalGate {
        name,
        question,
        interval_seconds,
        timeout_ms,
        max_answer_bytes,
        consecutive_failures,
        on_breach,
        with_traffic_only,
    } = gate;
    Ok(ExternalGate {
        name,
        question: question_from_pb(required(question, "external_gates.question")?)?,
        interval_seconds: match interval_seconds {
            0 => DEFAULT_INTERVAL_SECONDS,
            given => given,
        },
        timeout_ms: or_default(timeout_ms, DEFAULT_TIMEOUT_MS),
        max_answer_bytes: or_default(max_answer_bytes, DEFAULT_ANSWER_BYTES),
        consecutive_failures: or_default(consecutive_failures, DEFAULT_CONSECUTIVE_FAILURES),
        on_breach: on_breach_from_pb(on_breach, "external_gates.on_breach")?,
        with_traffic_only,
    })
}

fn or_default(given: u32, default: u32) -> u32 {
    if given == 0 { default } else { given }
}

fn question_to_pb(question: &Question) -> pb::external_gate::Question {
    use pb::external_gate::Question as Pb;
    match question {
        Question::PromQl { url, expression, bound } => Pb::Promql(pb::PromQlQuestion {
            url: url.clone(),
            expression: expression.clone(),
            // Ratios are refused where gates are checked; here they would be read as no bound.
            bound: match *bound {
                Bound::Max(most) => Some(pb::prom_ql_question::Bound::Max(most)),
                Bound::Min(least) => Some(pb::prom_ql_question::Bound::Min(least)),
                Bound::MaxRatio(_) | Bound::MinRatio(_) => None,
            },
        }),
        Question::Webhook { url } => Pb::Webhook(pb::WebhookQuestion { url: url.clone() }),
    }
}

fn question_from_pb(question: pb::external_gate::Question) -> Result<Question> {
    use pb::external_gate::Question as Pb;
    Ok(match question {
        Pb::Promql(pb::PromQlQuestion { url, expression, bound }) => Question::PromQl {
            url,
            expression,
            bound: match required(bound, "external_gates.promql.bound")? {
                pb::prom_ql_question::Bound::Max(most) => Bound::Max(most),
                pb::prom_ql_question::Bound::Min(least) => Bound::Min(least),
            },
        },
        Pb::Webhook(pb::WebhookQuestion { url }) => Question::Webhook { url },
    })
}

/// The wire form of what is known of an external gate.
pub(super) fn external_evidence_to_pb(evidence: &ExternalEvidence) -> pb::ExternalEvidence {
    let ExternalEvidence { questions, asked_at_ms, verdict, says, failures, unanswered, accepted } =
        evidence;
    pb::ExternalEvidence {
        questions: *questions,
        asked_at_ms: *asked_at_ms,
        verdict: verdict_to_pb(*verdict) as i32,
        says: says.clone(),
        failures: *failures,
        unanswered: *unanswered,
        accepted: *accepted,
    }
}

/// Reads what is known of an external gate from its wire form.
pub(super) fn external_evidence_from_pb(
    evidence: pb::ExternalEvidence,
) -> Result<ExternalEvidence> {
    let pb::ExternalEvidence {
        questions,
        asked_at_ms,
        verdict,
        says,
        failures,
        unanswered,
        accepted,
    } = evidence;
    Ok(ExternalEvidence {
        questions,
        asked_at_ms,
        verdict: verdict_from_pb(verdict, "external.verdict")?,
        says,
        failures,
        unanswered,
        accepted,
    })
}

/// The wire form of what a question came to.
pub(super) fn answer_kind_to_pb(kind: AnswerKind) -> raft::ExternalAnswerKind {
    match kind {
        AnswerKind::Passes => raft::ExternalAnswerKind::Passes,
        AnswerKind::Fails => raft::ExternalAnswerKind::Fails,
        AnswerKind::Missing => raft::ExternalAnswerKind::Missing,
    }
}

/// Reads what a question came to from its wire form.
pub(super) fn answer_kind_from_pb(kind: i32) -> Result<AnswerKind> {
    match raft::ExternalAnswerKind::try_from(kind) {
        Ok(raft::ExternalAnswerKind::Passes) => Ok(AnswerKind::Passes),
        Ok(raft::ExternalAnswerKind::Fails) => Ok(AnswerKind::Fails),
        Ok(raft::ExternalAnswerKind::Missing) => Ok(AnswerKind::Missing),
        Ok(raft::ExternalAnswerKind::Unspecified) | Err(_) => {
            Err(ConvertError::unknown("answer_question.kind", kind))
        }
    }
}
