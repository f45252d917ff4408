//! Rollouts and their states in words.

use crate::output;
use marquee_proto::control::v1::{Rollout, RolloutState};

/// A rollout in one line: `films@1 → films@2 CANARY at 1 %`.
pub(in crate::commands::ctl) fn one_line(rollout: &Rollout) -> String {
    let from = match rollout.baseline.as_str() {
        "" => String::new(),
        baseline => format!("{baseline} → "),
    };
    let share = output::percent(rollout.weight_basis_points);
    format!("{from}{} {} at {share}", rollout.candidate, state_name(rollout.state()))
}

/// The name of a state, in capitals.
pub(super) fn state_name(state: RolloutState) -> &'static str {
    match state {
        RolloutState::Unspecified => "?",
        RolloutState::Preparing => "PREPARING",
        RolloutState::Shadow => "SHADOW",
        RolloutState::Canary => "CANARY",
        RolloutState::Paused => "PAUSED",
        RolloutState::Holdout => "HOLDOUT",
        RolloutState::Watching => "WATCHING",
        RolloutState::Promoted => "PROMOTED",
        RolloutState::RolledBack => "ROLLED_BACK",
        RolloutState::Aborted => "ABORTED",
    }
}
