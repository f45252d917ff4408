//! Which experiments are refused, and why.

use super::definition::Arm;
use crate::bounds::FULL_WEIGHT_BASIS_POINTS;
use crate::id::{IdError, check_name};
use crate::rollout::window::MAX_ARMS;

/// Why an experiment is refused. Every message names the field and its bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExperimentError {
    /// The share of users who take part is out of bounds.
    #[error("share_basis_points is {share}: 1 to {FULL_WEIGHT_BASIS_POINTS} are allowed")]
    Share {
        /// The share that was given, in 1/10,000.
        share: u32,
    },
    /// There are too few arms, or too many.
    #[error("arms: {count} given: 2 to {MAX_ARMS} are allowed")]
    ArmCount {
        /// How many were given.
        count: usize,
    },
    /// An arm's name is malformed.
    #[error("arms[{index}].name: {error}")]
    ArmName {
        /// The arm's index.
        index: usize,
        /// What is wrong with the name.
        error: IdError,
    },
    /// Two arms have the same name.
    #[error("arms[{index}].name: {name:?} is there twice")]
    RepeatedArm {
        /// The second arm's index.
        index: usize,
        /// The name that two arms have.
        name: String,
    },
    /// An arm has no share.
    #[error("arms[{index}].weight_basis_points is 0: no user would get it")]
    ZeroWeight {
        /// The arm's index.
        index: usize,
    },
    /// The shares are not the whole.
    #[error("arms: the weights add up to {sum} and not to {FULL_WEIGHT_BASIS_POINTS}")]
    Weights {
        /// What they add up to, in 1/10,000.
        sum: u64,
    },
}

/// Checks the share and the arms of an experiment.
pub fn check(share_basis_points: u32, arms: &[Arm]) -> Result<(), ExperimentError> {
    if !(1..=FULL_WEIGHT_BASIS_POINTS).contains(&share_basis_points) {
        return Err(ExperimentError::Share { share: share_basis_points });
    }
    if !(2..=MAX_ARMS).contains(&arms.len()) {
        return Err(ExperimentError::ArmCount { count: arms.len() });
    }
    for (index, arm) in arms.iter().enumerate() {
        check_name("arm", &arm.name).map_err(|error| ExperimentError::ArmName { index, error })?;
        if arms[..index].iter().any(|other| other.name == arm.name) {
            return Err(ExperimentError::RepeatedArm { index, name: arm.name.clone() });
        }
        if arm.weight_basis_points == 0 {
            return Err(ExperimentError::ZeroWeight { index });
        }
    }
    let sum: u64 = arms.iter().map(|arm| u64::from(arm.weight_basis_points)).sum();
    if sum != u64::from(FULL_WEIGHT_BASIS_POINTS) {
        return Err(ExperimentError::Weights { sum });
    }
    Ok(())
}
