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
mod log_evidence;
mod share_test;
#[cfg(test)]
mod tests;

pub use estimate::{Estimate, MIN_GROUPS, mean_above};
pub use log_evidence::{join, required_log_evidence};
pub use share_test::{Occurrences, ShareTest};
