//! Statistical tests that may be looked at after every window.
//!
//! A test that is looked at again and again finds something sooner or later, unless it was made for it.
//! These are *e-processes*: evidence that starts at 1 and, while the hypothesis holds, exceeds 1/α at any
//! time at all with a chance of at most α (Ville 1939; Ramdas, Grünwald, Vovk, Shafer, "Game-theoretic
//! statistics and safe anytime-valid inference", 2023). So a gate may be judged every few seconds for
//! days. Evidence is kept as a natural logarithm, which has to reach [`required_log_evidence`].
//!
//! - [`ShareTest`] compares how often something happens to two arms: given that it happens, the chance
//!   that it happens to the candidate is known if the rates are equal, however they vary in time
//!   (Lindon, Sanden, Shirikian, "Rapid regression detection in software deployments through
//!   sequential testing", KDD 2022).
//! - [`mean_above`] is the mixture sequential probability ratio test for a mean that is normal
//!   by the central limit theorem (Robbins 1970; Johari, Koomen, Pekelis, Walsh, "Always valid
//!   inference", 2022), one-sided, with standard errors over groups of users: an [`Estimate`].
//!
//! Both approximate: the first takes occurrences for independent, the second means for normal. How far
//! that holds for traffic in which users differ is measured by simulation in the tests.

mod estimate;
mod share_test;
#[cfg(test)]
mod tests;

pub use estimate::{Estimate, MIN_GROUPS, mean_above};
pub use share_test::{Occurrences, ShareTest};

/// What the natural logarithm of the evidence must reach, for a chance of false alarm of `alpha`.
pub fn required_log_evidence(alpha: f64) -> f64 {
    -alpha.ln()
}

/// Combines evidence from several sources on one hypothesis: the mean of e-values is an e-value too. Takes
/// and returns natural logarithms; 0 of none.
pub fn join(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return 0.0;
    }
    let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
    largest + (sum / logs.len() as f64).ln()
}
