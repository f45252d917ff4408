//! What an operator says of a rollout when it starts: its steps, its gates, what is mirrored, and its pace.

use crate::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_HOLD_SECONDS, MAX_ROLLOUT_STEPS};
use crate::rollout::gate::{Gate, GatesError, check_gates};

/// One share of traffic, and how long it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloutStep {
    /// The candidate's share, 1 to 10,000 basis points.
    pub weight_basis_points: u32,
    /// How long the share is held, in seconds, at most 30 days.
    pub hold_seconds: u64,
    /// Requests that the candidate must have answered on this step before it is left.
    pub min_samples: u64,
    /// Whether the step is entered only once an operator approves.
    pub requires_approval: bool,
}

impl RolloutStep {
    /// A step that is held for a time, whatever is measured.
    pub fn new(weight_basis_points: u32, hold_seconds: u64) -> Self {
        Self { weight_basis_points, hold_seconds, min_samples: 0, requires_approval: false }
    }
}

/// How many requests are mirrored: the other variant of the rollout answers them too, and the answer is only
/// compared, not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The share of requests that are mirrored before and during the canary, 0 to 10,000 basis points.
    pub mirror_basis_points: u32,
    /// How long requests are mirrored before the candidate gets any traffic, in seconds; 0: no shadow stage.
    pub hold_seconds: u64,
    /// Mirrored requests that must have been answered before the shadow stage is left.
    pub min_samples: u64,
}

/// The mirroring of a rollout that does not say: a hundredth of the requests while the candidate has traffic.
/// This shows within minutes that two lists have nothing in common, and is hardly a load.
pub const DEFAULT_SHADOW: Shadow =
    Shadow { mirror_basis_points: 100, hold_seconds: 0, min_samples: 0 };

/// When a step is left whose gates hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// When its time is over.
    #[default]
    Fixed,
    /// As soon as the gates are proven to hold, and at the latest when its time is over.
    Evidence,
}

/// How a rollout is guarded and how fast it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// What the candidate must not make worse.
    pub gates: Vec<Gate>,
    /// How many requests are mirrored.
    pub shadow: Shadow,
    /// When steps are left.
    pub pace: Pace,
}

impl Terms {
    /// Time alone decides: there are no gates, and nothing is mirrored.
    pub fn unguarded() -> Self {
        let shadow = Shadow { mirror_basis_points: 0, hold_seconds: 0, min_samples: 0 };
        Self { gates: Vec::new(), shadow, pace: Pace::Fixed }
    }
}

/// Why the steps of a rollout are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepsError {
    /// There are none, or too many.
    #[error(
        "steps: {count} given: a rollout has 1 to {MAX_ROLLOUT_STEPS} steps, such as 100 basis points for 60 s"
    )]
    Count {
        /// How many were given.
        count: usize,
    },
    /// A weight is out of bounds, or not above the one before.
    #[error(
        "steps[{step}].weight_basis_points: {weight} is not above the step before and at most {FULL_WEIGHT_BASIS_POINTS}"
    )]
    Weight {
        /// The step's index.
        step: usize,
        /// Its weight, in 1/10,000.
        weight: u32,
    },
    /// A hold is too long.
    #[error("steps[{step}].hold_seconds: {hold} is more than {MAX_HOLD_SECONDS} (30 days)")]
    Hold {
        /// The step's index.
        step: usize,
        /// Its hold, in seconds.
        hold: u64,
    },
}

/// Checks the steps of a rollout that has a baseline to compare with.
pub fn check_steps(steps: &[RolloutStep]) -> Result<(), StepsError> {
    if steps.is_empty() || steps.len() > MAX_ROLLOUT_STEPS {
        return Err(StepsError::Count { count: steps.len() });
    }
    let mut before = 0;
    for (step, given) in steps.iter().enumerate() {
        let &RolloutStep { weight_basis_points: weight, hold_seconds: hold, .. } = given;
        if weight <= before || weight > FULL_WEIGHT_BASIS_POINTS {
            return Err(StepsError::Weight { step, weight });
        }
        if hold > MAX_HOLD_SECONDS {
            return Err(StepsError::Hold { step, hold });
        }
        before = weight;
    }
    Ok(())
}

/// Why the terms of a rollout are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TermsError {
    /// A gate is malformed.
    #[error(transparent)]
    Gates(#[from] GatesError),
    /// More than all requests would be mirrored.
    #[error("shadow.mirror_basis_points: {share} is more than {FULL_WEIGHT_BASIS_POINTS}")]
    MirrorShare {
        /// The share that was given, in 1/10,000.
        share: u32,
    },
    /// The shadow stage is too long.
    #[error("shadow.hold_seconds: {hold} is more than {MAX_HOLD_SECONDS} (30 days)")]
    ShadowHold {
        /// The hold that was given, in seconds.
        hold: u64,
    },
    /// A shadow stage is asked for in which nothing is mirrored.
    #[error("shadow.mirror_basis_points is 0, so there is nothing to hold for")]
    NothingMirrored,
}

/// Checks the terms of a rollout: its gates and what is mirrored.
pub fn check_terms(terms: &Terms) -> Result<(), TermsError> {
    let Terms { gates, shadow, pace: _ } = terms;
    let &Shadow { mirror_basis_points: share, hold_seconds: hold, min_samples } = shadow;
    check_gates(gates)?;
    if share > FULL_WEIGHT_BASIS_POINTS {
        return Err(TermsError::MirrorShare { share });
    }
    if hold > MAX_HOLD_SECONDS {
        return Err(TermsError::ShadowHold { hold });
    }
    if share == 0 && (hold > 0 || min_samples > 0) {
        return Err(TermsError::NothingMirrored);
    }
    Ok(())
}
