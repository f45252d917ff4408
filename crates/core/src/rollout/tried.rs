//! What other gates would have said of what was recorded of a rollout.

use crate::rollout::gate::{Gate, GatesError, Metric, check_gates, maturity_seconds};
use crate::rollout::judge::{Evidence, GateEvidence, RecordedWindow, judge_rollout};
use crate::rollout::machine::Rollout;

/// What a gate would have said.
#[derive(Clone, Debug, PartialEq)]
pub struct TriedGate {
    /// The gate that was tried.
    pub gate: Gate,
    /// What would be known of it after the last window.
    pub evidence: GateEvidence,
    /// When it would have acted first, in ms since the Unix epoch, and at which share of the candidate in 1/10,000.
    pub acts_at: Option<(u64, u32)>,
}

/// Why gates cannot be tried.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TryGatesError {
    /// A gate is malformed.
    #[error(transparent)]
    Gates(#[from] GatesError),
    /// What is slow was counted by another bound.
    #[error(
        "gates[{index}]: routers count what is slow by the bounds that a rollout has when it starts: {metric} can be tried \
         only as this rollout has it"
    )]
    OtherQuantile {
        /// The gate's index.
        index: usize,
        /// The gate's metric.
        metric: Metric,
    },
    /// Rewards were counted after another time.
    #[error(
        "gates[{index}]: answers of this rollout had {seconds} s for their rewards: another time cannot be tried"
    )]
    OtherMaturity {
        /// The gate's index.
        index: usize,
        /// How long the answers had, in seconds.
        seconds: u32,
    },
    /// There is nothing to try them on.
    #[error(
        "nothing is recorded of rollout {rollout_id}: only running rollouts and the newest finished ones are kept"
    )]
    NothingRecorded {
        /// The rollout's id.
        rollout_id: String,
    },
}

/// What these gates would have said of a rollout's recorded windows; its own if none are given. A recorded window is several
/// windows, so that what acts early may seem to act somewhat later.
///
/// # Errors
/// A gate is malformed, or asks for what was not measured.
pub fn try_gates(
    rollout: &Rollout,
    gates: &[Gate],
    recorded: &[RecordedWindow],
) -> Result<Vec<TriedGate>, TryGatesError> {
    let own = &rollout.terms.gates;
    let gates = if gates.is_empty() { own } else { gates };
    check_gates(gates)?;
    for (index, gate) in gates.iter().enumerate() {
        let metric = gate.metric;
        let is_own = own.iter().any(|it| (it.metric, it.bound) == (metric, gate.bound));
        if metric.tail().is_some() && !is_own {
            return Err(TryGatesError::OtherQuantile { index, metric });
        }
        if let (Some(wanted), Some(measure)) = (gate.maturity_seconds, metric.measure()) {
            let seconds = maturity_seconds(own, measure);
            if wanted != seconds {
                return Err(TryGatesError::OtherMaturity { index, seconds });
            }
        }
    }
    if recorded.is_empty() {
        return Err(TryGatesError::NothingRecorded { rollout_id: rollout.id.clone() });
    }
    let mut as_if = rollout.clone();
    as_if.terms.gates = gates.to_vec();
    let mut known = Evidence::default();
    let mut tried: Vec<TriedGate> = gates
        .iter()
        .map(|gate| TriedGate { gate: *gate, evidence: GateEvidence::default(), acts_at: None })
        .collect();
    for RecordedWindow { until_ms, weight_basis_points, windows: _, window } in recorded {
        let weight = *weight_basis_points;
        let judgement = judge_rollout(&as_if, &known, weight, window);
        known.absorb(&as_if, weight, window);
        for (it, found) in tried.iter_mut().zip(&judgement.gates) {
            it.evidence = found.clone();
            if found.breaches >= it.gate.consecutive_breaches {
                it.acts_at.get_or_insert((*until_ms, weight));
            }
        }
        known.gates = judgement.gates;
    }
    Ok(tried)
}
