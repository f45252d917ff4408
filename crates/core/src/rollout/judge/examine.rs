//! What is known of one gate after one more window.

use super::evidence::{GateEvidence, Verdict};
use super::means::examine_mean;
use super::rates::{examine_error_rate, examine_latency_quantile};
use super::tolerances::PROOF_ALPHA;
use crate::rollout::gate::{Gate, Metric};
use crate::rollout::sequential::required_log_evidence;
use crate::rollout::window::Window;

/// Adds a window to what is known of a gate. `before` and `after` are the sums of all windows without it and
/// with it; `alpha` is the chance of a false alarm.
pub(super) fn examine(
    gate: &Gate,
    alpha: f64,
    mut found: GateEvidence,
    before: &Window,
    after: &Window,
    window: &Window,
) -> GateEvidence {
    found.log_required = required_log_evidence(alpha);
    let has_enough = match gate.metric {
        Metric::ErrorRate => examine_error_rate(gate, &mut found, after, window),
        metric => match metric.tail() {
            Some(tail) => examine_latency_quantile(gate, tail, &mut found, before, after, window),
            None => examine_mean(gate, &mut found, after),
        },
    };
    found.verdict = if !has_enough {
        Verdict::Inconclusive
    } else if found.log_evidence_against >= found.log_required {
        Verdict::Breached
    } else if found.log_evidence_for >= required_log_evidence(PROOF_ALPHA) {
        Verdict::Proven
    } else {
        Verdict::Holds
    };
    found.breaches = match found.verdict {
        Verdict::Breached => found.breaches.saturating_add(1),
        Verdict::Inconclusive | Verdict::Holds | Verdict::Proven => 0,
    };
    found
}
