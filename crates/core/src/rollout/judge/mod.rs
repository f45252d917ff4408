//! The judge: what windows of telemetry say of a rollout. It is pure and reads no clock.
//!
//! [`judge_rollout`] takes a rollout, the [`Evidence`] so far and one more window. It says what is then known of
//! every gate, and what should be done. The leader calls it and commits window, findings and decision as one
//! command. So what was decided can be read with its reasons on every control node, and no node has to repeat
//! a logarithm to the last bit. [`clearance`] then says whether the present step may be left.
//!
//! Nothing that is common to both variants at a time is evidence: what a gate is judged by is compared within
//! strata ([`comparison`](mod@comparison)), and how uncertain it is follows from the users that each variant happens to have.
//!
//! A gate that is *inconclusive* never passes and never fails: no step is left.
//!
//! When an operator resumes a rollout that a gate had paused, the breach is accepted, and the gate does not
//! act again.
//!
//! [`external`] says what other systems' answers mean.
//!
//! [`measured`](mod@measured) says what of a window a gate compares, [`examine`](mod@examine) what is known of a gate then, and
//! [`split`] whether users are split as the weights say.

mod comparison;
mod evidence;
mod examine;
mod external;
mod external_evidence;
mod false_alarm;
mod first_times;
mod gate_evidence;
mod measured;
mod power;
mod record;
mod recorded;
mod segment_evidence;
mod split;
#[cfg(test)]
mod tests;

pub use comparison::{Comparison, GateComparison, MAX_RESTARTS, OpenStratum, Restart, Sums};
pub use evidence::{AllEvidence, Evidence, Stage};
pub use external::{DueQuestion, due_questions, note_answer};
pub use external_evidence::ExternalEvidence;
pub use first_times::FirstTimes;
pub use gate_evidence::{GateEvidence, Verdict};
pub use power::{
    AnswerSpread, PREDICTED_LOSS, PREDICTED_POWER, Prediction, answers_needed, predict_at_start,
};
pub use record::{MAX_RECORDED, record};
pub use recorded::{ArmSums, EvidencePoint, RecordedWindow, StepEvidence};
pub use segment_evidence::SegmentEvidence;
pub use split::{REQUESTS_TOLERANCE, SHARE_TOLERANCE};

use crate::bounds::FULL_WEIGHT_BASIS_POINTS;
use crate::rollout::gate::{Gate, Metric, OnBreach, OnNoData};
use crate::rollout::machine::{Clearance, Decision, Rollout, RolloutState};
use crate::rollout::window::Window;
use examine::examine;
use external::unsettled;
use false_alarm::{alpha_of, share_of_budget};
use split::examine_split;

/// What the judge concludes from a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// What is known of each gate now, in order.
    pub gates: Vec<GateEvidence>,
    /// What is known of the split of users now.
    pub split: GateEvidence,
    /// What is known of the split of requests now. It is shown, and does not act: who likes the candidate comes back more often.
    pub split_of_requests: GateEvidence,
    /// What should be done now.
    pub decision: Decision,
}

/// What is known after one more window, and what should be done. `weight_basis_points`: the candidate's share
/// while the window was measured.
pub fn judge_rollout(
    rollout: &Rollout,
    evidence: &Evidence,
    weight_basis_points: u32,
    window: &Window,
) -> Judgement {
    let mut after = evidence.clone();
    after.absorb(rollout, weight_basis_points, window);
    let gates = &rollout.terms.gates;
    let mut found = Vec::with_capacity(gates.len());
    let mut decision = Decision::Continue;
    for (n, gate) in gates.iter().enumerate() {
        let before = evidence.gates.get(n).cloned().unwrap_or_default();
        let alpha = alpha_of(gate, gates);
        let share = f64::from(weight_basis_points) / f64::from(FULL_WEIGHT_BASIS_POINTS);
        let mut now = examine(gate, alpha, before, &after.comparisons[n], &after.total);
        now.answers_needed = power::predict(gate, alpha, &after.comparisons[n].live, share);
        if now.breaches >= gate.consecutive_breaches && !now.accepted {
            // The first gate that rolls back decides, else the first that pauses.
            match (gate.on_breach, &decision) {
                (OnBreach::RollBack, Decision::Continue | Decision::Pause(_)) => {
                    decision = Decision::RollBack(describe_breach(gate, &now));
                }
                (OnBreach::Pause, Decision::Continue) => {
                    decision = Decision::Pause(describe_breach(gate, &now));
                }
                (OnBreach::RollBack, Decision::RollBack(_))
                | (OnBreach::Pause, Decision::Pause(_) | Decision::RollBack(_)) => {}
            }
        }
        found.push(now);
    }
    let alpha = share_of_budget(gates);
    let of_users = (&after.stage.users, SHARE_TOLERANCE);
    let split = examine_split(rollout, evidence.split.clone(), of_users, alpha);
    let of_requests = (&after.stage.requests_by_group, REQUESTS_TOLERANCE);
    let before = evidence.split_of_requests.clone();
    let split_of_requests = examine_split(rollout, before, of_requests, alpha);
    if decision == Decision::Continue && split.verdict == Verdict::Breached && !split.accepted {
        decision = Decision::Pause(format!(
            "the split is off: the candidate has {:.2} % of the users where its share is {:.2} %, so the two \
             variants cannot be compared",
            100.0 * split.candidate.unwrap_or_default(),
            100.0 * split.allowed.unwrap_or_default(),
        ));
    }
    Judgement { gates: found, split, split_of_requests, decision }
}

/// Whether the present step may be left at `now_ms`. It compares what was committed and computes no statistics.
pub fn clearance(rollout: &Rollout, evidence: Option<&Evidence>, now_ms: u64) -> Clearance {
    let nothing = Evidence::default();
    let evidence = evidence.unwrap_or(&nothing);
    if let Some(why) = unsettled(rollout, evidence, now_ms) {
        return Clearance::Unsettled(why);
    }
    let in_stage = evidence.stage.step == rollout.step;
    let requests = match evidence.stage.requests.get(1) {
        Some(&requests) if in_stage => requests,
        _ => 0,
    };
    let (wanted, have, what) = match rollout.step.and_then(|step| rollout.steps.get(step as usize))
    {
        Some(step) => (step.min_samples, requests, "requests on this step"),
        None if rollout.resumes_to == RolloutState::Interleave => {
            let wanted = rollout.terms.interleave.map_or(0, |stage| stage.min_samples);
            let interleaved = if in_stage { evidence.stage.interleaved } else { 0 };
            (wanted, interleaved, "interleaved answers")
        }
        None => {
            let mirrored = if in_stage { evidence.stage.mirrored } else { 0 };
            (rollout.terms.shadow.min_samples, mirrored, "mirrored requests")
        }
    };
    if have < wanted {
        return Clearance::Wait(format!("{have} of {wanted} {what}"));
    }
    let may_be_compared = rollout.baseline.is_some() && !rollout.terms.gates.is_empty();
    if have == 0 && may_be_compared && !rollout.terms.safety.allows_no_traffic {
        return Clearance::Wait(format!(
            "the first {what}: without any, time alone ends no step that has gates (--allow-no-traffic)"
        ));
    }
    let mut all_proven = !rollout.terms.gates.is_empty();
    for (n, gate) in rollout.terms.gates.iter().enumerate() {
        let found = evidence.gates.get(n);
        let verdict = found.map_or(Verdict::Inconclusive, |found| found.verdict);
        // Without traffic nothing can be said of rewards and live answers.
        let is_judged = match rollout.state {
            RolloutState::Shadow => !gate.metric.is_reward(),
            // Others have data of mirrored requests at most; the steps wait for them.
            RolloutState::Interleave => gate.metric == Metric::Preference,
            RolloutState::Preparing
            | RolloutState::Canary
            | RolloutState::Paused
            | RolloutState::Holdout
            | RolloutState::Watching
            | RolloutState::Promoted
            | RolloutState::RolledBack
            | RolloutState::Aborted => true,
        };
        match verdict {
            Verdict::Breached if !found.is_some_and(|found| found.accepted) => {
                return Clearance::Wait(format!("gate {} is in breach", gate.metric));
            }
            Verdict::Inconclusive if gate.on_no_data == OnNoData::Hold && is_judged => {
                let [_, candidate] = found.map_or([0, 0], |found| found.samples);
                return Clearance::Wait(format!(
                    "gate {} is inconclusive: {candidate} of {} samples",
                    gate.metric, gate.min_samples
                ));
            }
            _ => {}
        }
        // What was proven at a smaller share still has to show at this one. Where nobody ever clicks, nothing has
        // to be proven of clicks.
        let has_nothing_to_prove = gate.metric.is_reward()
            && gate.on_no_data == OnNoData::Ignore
            && found.is_none_or(|found| found.baseline.is_none_or(|value| value == 0.0));
        all_proven &=
            has_nothing_to_prove || verdict == Verdict::Proven && have >= gate.min_samples;
    }
    if all_proven { Clearance::Proven } else { Clearance::Clear }
}

/// A breach, in words.
fn describe_breach(gate: &Gate, found: &GateEvidence) -> String {
    let baseline = if gate.bound.is_ratio() {
        format!(", baseline {}", rounded(found.baseline))
    } else {
        String::new()
    };
    format!(
        "gate {} requires {}: candidate {}{baseline} ({} samples)",
        gate.metric,
        gate.bound,
        rounded(found.candidate),
        found.samples[1],
    )
}

/// A value with as many digits as a reader needs.
fn rounded(value: Option<f64>) -> String {
    match value {
        None => "nothing".into(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.4}"),
    }
}
