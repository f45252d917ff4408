//! What is known of a gate ↔ `marquee.control.v1`.

use super::error::{ConvertError, Result};
use crate::generated::control::v1 as pb;
use marquee_core::rollout::judge::{GateEvidence, Verdict};

/// The wire form of a verdict.
pub(super) fn verdict_to_pb(verdict: Verdict) -> pb::Verdict {
    match verdict {
        Verdict::Inconclusive => pb::Verdict::Inconclusive,
        Verdict::Holds => pb::Verdict::Holds,
        Verdict::Proven => pb::Verdict::Proven,
        Verdict::Breached => pb::Verdict::Breached,
    }
}

/// Reads a verdict from its wire form.
pub(super) fn verdict_from_pb(value: i32, field: &str) -> Result<Verdict> {
    match pb::Verdict::try_from(value) {
        Ok(pb::Verdict::Inconclusive) => Ok(Verdict::Inconclusive),
        Ok(pb::Verdict::Holds) => Ok(Verdict::Holds),
        Ok(pb::Verdict::Proven) => Ok(Verdict::Proven),
        Ok(pb::Verdict::Breached) => Ok(Verdict::Breached),
        Ok(pb::Verdict::Unspecified) | Err(_) => Err(ConvertError::unknown(field, value)),
    }
}

/// The wire form of what is known of a gate.
pub(super) fn gate_evidence_to_pb(evidence: &GateEvidence) -> pb::GateEvidence {
    let GateEvidence {
        verdict,
        baseline,
        candidate,
        allowed,
        effect,
        answers_needed,
        samples: [baseline_samples, candidate_samples],
        log_evidence_against,
        log_required,
        log_evidence_for,
        breaches,
        accepted,
    } = evidence;
    pb::GateEvidence {
        verdict: verdict_to_pb(*verdict) as i32,
        baseline: *baseline,
        candidate: *candidate,
        allowed: *allowed,
        baseline_samples: *baseline_samples,
        candidate_samples: *candidate_samples,
        log_evidence: *log_evidence_against,
        log_required: *log_required,
        log_evidence_for: *log_evidence_for,
        breaches: *breaches,
        accepted: *accepted,
        effect_low: effect.map(|(low, _)| low),
        effect_high: effect.map(|(_, high)| high),
        answers_needed: *answers_needed,
    }
}

/// Reads what is known of a gate from its wire form.
pub(super) fn gate_evidence_from_pb(evidence: pb::GateEvidence) -> Result<GateEvidence> {
    let pb::GateEvidence {
        verdict,
        baseline,
        candidate,
        allowed,
        baseline_samples,
        candidate_samples,
        log_evidence,
        log_required,
        log_evidence_for,
        breaches,
        accepted,
        effect_low,
        effect_high,
        answers_needed,
    } = evidence;
    Ok(GateEvidence {
        verdict: verdict_from_pb(verdict, "gates.verdict")?,
        baseline,
        candidate,
        allowed,
        effect: effect_low.zip(effect_high),
        answers_needed,
        samples: [baseline_samples, candidate_samples],
        log_evidence_against: log_evidence,
        log_required,
        log_evidence_for,
        breaches,
        accepted,
    })
}
