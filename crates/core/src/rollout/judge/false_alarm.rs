//! How often each test may be wrong.

use crate::rollout::gate::{FALSE_ALARM_BUDGET, Gate, REWARD_FALSE_ALARM};

/// The chance of a false alarm of one of these gates.
pub(super) fn alpha_of(gate: &Gate, gates: &[Gate]) -> f64 {
    let usual = if gate.metric.is_reward() { REWARD_FALSE_ALARM } else { share_of_budget(gates) };
    gate.false_alarm.unwrap_or(usual)
}

/// What each gate that guards no reward has of [`FALSE_ALARM_BUDGET`], and the split of users too.
pub(super) fn share_of_budget(gates: &[Gate]) -> f64 {
    let strict_gates = gates.iter().filter(|gate| !gate.metric.is_reward()).count();
    FALSE_ALARM_BUDGET / (strict_gates + 1) as f64
}
