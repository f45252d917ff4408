//! What a candidate would have earned, estimated from answers that another policy gave: before any user meets
//! the candidate.
//!
//! A *policy* is what lists items for a request. The log has, for each shown item, the propensity of being shown
//! at its rank, and its reward ([`LoggedAnswer`]). For the same answers the candidate's lists are given, and each
//! shown item gets a *weight*: how much more often the candidate would have shown it than the log did. Weights need
//! an assumption on what a reward depends on:
//!
//! - [`Assumption::ItemAndRank`]: on user, item and rank, and not on the other items. Evidence for an item is where
//!   it was shown at the very rank that the candidate gives it (item-position model: Li, Abbasi-Yadkori, Kveton,
//!   Muthukrishnan, Vinay, Wen, "Offline evaluation of ranking policies with click models", KDD 2018).
//! - [`Assumption::PositionBased`]: the chance that a rank is looked at, times what user and item come to. Evidence
//!   for an item is where it was shown at any rank, so that a deterministic log says something of items that
//!   both list (their PBM estimator; by that assumption the weights are ratios of click probabilities, as those of
//!   Tanaka et al., "Off-policy evaluation for ranking policies under deterministic logging policies", 2026).
//!
//! Three estimators use the weights: inverse propensity scoring ([`Estimator::Ips`]; Horvitz and Thompson 1952),
//! the same divided by the mean weight ([`Estimator::Snips`]; Swaminathan and Joachims 2015), and doubly robust
//! ([`Estimator::Dr`]; Dudík, Langford, Li 2011), whose reward model is fitted to users of the other half.
//! Differences between two policies are estimated in one, answer by answer: what both show cancels out (Jeunen
//! and Ustimenko, "Δ-OPE", 2024). Intervals are by the studentised bootstrap over users.
//!
//! An estimate is refused, with a reason, where the log has no support for the candidate ([`Refusal`]).
//!
//! Invariants: no clock and no randomness of its own; the caller draws.
//!
//! Deliberately missing: policies that choose at random, and slate estimators, which need logs in which whole
//! lists vary.

mod assumption;
mod curve;
mod evaluate;
mod interval;
mod log;
mod reward_model;
mod sums;
#[cfg(test)]
mod tests;
mod weights;

pub use assumption::Assumption;
pub use curve::{DEFAULT_EXPONENT, PositionCurve};
pub use evaluate::{
    DEFAULT_MAX_WEIGHT, DEFAULT_MIN_SUPPORT, Estimate, Estimator, Evaluation, Figures,
    MIN_EFFECTIVE_USERS, Options, Refusal, evaluate,
};
pub use interval::{COVERAGE, Interval, MAX_GROUPS_OF_USERS};
pub use log::{LoggedAnswer, ShownItem};
pub use reward_model::ItemMeans;
