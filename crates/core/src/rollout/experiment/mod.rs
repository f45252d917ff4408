//! A/B tests: two or more ensembles side by side on a surface, with fixed weights or a bandit's.
//!
//! Users who take part are a slice of a *layer*: a hash of the layer's name and the user's id puts every user
//! at one place of each layer, and the experiments of a layer have slices that do not touch. So no user is in
//! two of them, be they on one surface or on several (Tang, Agarwal, O'Brien, Meyer, "Overlapping Experiment
//! Infrastructure", KDD 2010). Users who take part in none get what is live.
//!
//! [`check`](mod@check) refuses what makes no experiment, [`report`](mod@report) compares the arms with arm 0, and [`thompson`]
//! moves the weights of a bandit. A report may be looked at at any time ([`crate::rollout::sequential`]).
//!
//! Deliberately missing: an experiment never ends by itself. An operator reads a report, decides, and moves
//! traffic to the better arm by a rollout.

mod bandit;
mod check;
mod definition;
mod report;
#[cfg(test)]
mod tests;

pub use bandit::thompson;
pub use check::{ExperimentError, MIN_FLOOR_BASIS_POINTS, check};
pub use definition::{Allocation, Arm, Experiment, ExperimentState, free_slice};
pub use report::{Effect, REPORT_ALPHA, Report, compare_arms, report};
