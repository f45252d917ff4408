//! How good recommendations are: recall and nDCG of full rankings against what was held out.
//!
//! Three ways in, one set of definitions ([`Metrics`]): factors against a hold-out inside training
//! ([`evaluate_factors`], [`evaluate_popularity`]), a finished bundle against two files
//! ([`evaluate_bundle`]), and lists of ids from anywhere, a live endpoint for one ([`Evaluator`]).
//!
//! For a user with held-out items T and a list cut at K, recall is hits / min(K, |T|), and nDCG is the
//! sum of 1 / log2(place + 1) over hits, divided by that of min(K, |T|) hits in the first places; both are
//! averaged over all users, of whom one without a list counts 0. Rankings are over all items but
//! those the user knows, never over a sample; ties go to the smaller id in canonical order.
//!
//! Deliberately missing: sampled metrics, which rank models wrongly (Krichene and Rendle 2020).

mod bundle;
mod hold_out;
mod lists;
mod metrics;
mod rank;

pub use bundle::{BundleEvaluation, evaluate_bundle};
pub(crate) use hold_out::evaluate_lists;
pub use hold_out::{evaluate_factors, evaluate_popularity, users_to_evaluate};
pub use lists::{Evaluator, ListReport};
pub use metrics::Metrics;
