//! Statistical tests that may be looked at after every window.
//!
//! A test that is looked at again and again finds something sooner or later, unless it was made for it.
//! These are *e-processes*: evidence that starts at 1 and, while the hypothesis holds, exceeds 1/α at any
//! time at all with a chance of at most α (Ville 1939; Ramdas, Grünwald, Vovk, Shafer, "Game-theoretic
//! statistics and safe anytime-valid inference", 2023). So a gate may be judged every few seconds for
//! days. Evidence is kept as a natural logarithm, which has to reach [`required_log_evidence`].
//!
//! - [`Stratified`] compares two arms within stretches of time, so that what changes for both alike is no difference, and
//!   says how uncertain the difference is from groups of users.
//! - [`mean_above`] is the mixture sequential probability ratio test for a mean that is normal
//!   by the central limit theorem (Robbins 1970; Johari, Koomen, Pekelis, Walsh, "Always valid
//!   inference", 2022), one-sided; [`mean_above_by_scales`] mixes over several sizes of effects.
//! - [`ShareTest`] counts users that something happens to for the first time: given that it happens, the chance
//!   that it happens to a user of the candidate is that user's chance of being one, if it happens to both alike
//!   (Lindon, Sanden, Shirikian, "Rapid regression detection in software deployments through
//!   sequential testing", KDD 2022, there by requests). It is exact, and it finds rare faults of few users.
//!
//! [`mean_above`] approximates: it takes means for normal. How far that holds for traffic in which users differ is measured by
//! simulation in the tests.

mod estimate;
mod log_evidence;
mod share_test;
mod stratified;
#[cfg(test)]
mod tests;

pub use estimate::{Estimate, MIN_GROUPS, mean_above, mean_above_by_scales};
pub use log_evidence::{join, join_weighted, required_log_evidence};
pub use share_test::ShareTest;
pub use stratified::{Stratified, Stratum};
