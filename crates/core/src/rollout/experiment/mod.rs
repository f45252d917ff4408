//! A/B tests: two or more ensembles side by side on a surface, with fixed weights.
//!
//! Users who take part are a slice of a *layer*: a hash of the layer's name and the user's id puts every user
//! at one place of each layer, and the experiments of a layer have slices that do not touch. So no user is in
//! two of them, be they on one surface or on several (Tang, Agarwal, O'Brien, Meyer, "Overlapping Experiment
//! Infrastructure", KDD 2010). Users who take part in none get what is live.
//!
//! [`check`](mod@check) refuses what makes no experiment, and [`report`](mod@report) compares the arms with arm 0. A report may be
//! looked at at any time ([`crate::rollout::sequential`]).
//!
//! Deliberately missing: an experiment never ends by itself, and nothing moves its weights. An operator reads a
//! report, decides, and moves traffic to the better arm by a rollout.

mod check;
mod definition;
mod report;
#[cfg(test)]
mod tests;

pub use check::{ExperimentError, check};
pub use definition::{Arm, Experiment, ExperimentState, free_slice};
pub use report::{
    Effect, REPORT_ALPHA, Report, SegmentReport, compare_arms, compare_segments, report,
};
