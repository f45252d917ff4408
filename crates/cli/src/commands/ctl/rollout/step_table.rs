//! What was measured on each stage and step, as a table.

use super::evidence::verdict_name;
use crate::output;
use marquee_core::rollout::gate::Gate;
use marquee_core::rollout::window::LATENCY_SLACK_MICROS;
use marquee_proto::control::v1::{ArmSums, Rollout, RolloutEvidence, StepEvidence, Verdict};
use marquee_proto::convert::gate::gate_from_pb;

/// A table with a line for each stage and step, and what their gates said at the end.
pub(super) fn table(rollout: &Rollout, evidence: &RolloutEvidence) -> String {
    if evidence.steps.is_empty() {
        return format!("nothing was measured of {} yet", rollout.rollout_id);
    }
    let columns = [
        "STEP",
        "SHARE",
        "FROM",
        "UNTIL",
        "REQUESTS",
        "ERRORS",
        "LATENCY, MEAN",
        "CLICKS",
        "PLAYED",
        "GATES",
    ];
    let mut table = output::table(&columns);
    for step in &evidence.steps {
        let both = |of: fn(&ArmSums) -> String| {
            let values: Vec<String> = step.arms.iter().map(of).collect();
            values.join(" / ")
        };
        table.add_row([
            name(step),
            output::percent(step.weight_basis_points),
            output::moment(step.from_ms),
            output::moment(step.until_ms),
            both(|arm| output::thousands(arm.requests)),
            both(|arm| rate(arm.failed as f64, arm.requests, 100.0, " %")),
            both(|arm| latency_ms(arm).map_or_else(|| "-".into(), |ms| format!("{ms:.1} ms"))),
            both(|arm| rate(arm.clicks, arm.answers_for_clicks, 1.0, "")),
            both(|arm| rate(arm.play_seconds, arm.answers_for_plays, 1.0, " s")),
            gates(rollout, step),
        ]);
    }
    format!("by step, of the baseline / the candidate:\n{}", output::lines_of(&table))
}

/// The stage and the number of a step: `CANARY 0`.
pub(super) fn name(step: &StepEvidence) -> String {
    match (step.step, step.stage.as_str()) {
        (Some(number), "CANARY") => format!("CANARY {number}"),
        (_, stage) => stage.to_owned(),
    }
}

/// The geometric mean of an arm's latencies, in ms.
pub(super) fn latency_ms(arm: &ArmSums) -> Option<f64> {
    let mean = arm.log_latency / arm.latencies as f64;
    (arm.latencies > 0).then(|| (mean.exp() - LATENCY_SLACK_MICROS as f64).max(0.0) / 1_000.0)
}

fn rate(sum: f64, count: u64, times: f64, unit: &str) -> String {
    match count {
        0 => "-".into(),
        count => format!("{:.3}{unit}", times * sum / count as f64),
    }
}

/// How many gates hold, and which do not.
fn gates(rollout: &Rollout, step: &StepEvidence) -> String {
    let mut held = 0;
    let mut others = Vec::new();
    for (gate, found) in rollout.gates.iter().zip(&step.gates) {
        let Ok(Gate { metric, .. }) = gate_from_pb(*gate) else { continue };
        match found.verdict() {
            Verdict::Holds | Verdict::Proven => held += 1,
            Verdict::Breached => others.push(format!("{metric} {}", verdict_name(found))),
            Verdict::Inconclusive | Verdict::Unspecified => {}
        }
    }
    let held = format!("{held} of {} hold", step.gates.len());
    if others.is_empty() { held } else { format!("{held}; {}", others.join(", ")) }
}
