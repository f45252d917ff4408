//! How good recommendations are: full rankings against what was held out.
//!
//! What is measured, by which formula, is said in one place, [`metrics`]. Three ways lead there:
//! factors against a hold-out inside training ([`evaluate_factors`], [`evaluate_popularity`]), a
//! finished bundle against two files ([`evaluate_bundle`]), and lists of ids from anywhere, a live
//! endpoint or an ensemble of bundles ([`LocalModel`]) for one ([`Evaluator`]). A model and its settings can be
//! measured without a bundle, on K folds ([`cross_validate`]), and a bundle on each row to find in its turn ([`replay_bundle`]). Every user's scores ([`PerUser`]) can be kept in a file, and two of
//! them be held against each other by paired tests ([`compare`](fn@compare)).
//!
//! Rankings are over all items but those the user knows, never over a sample; ties go to the smaller
//! id in canonical order. A user without a list counts 0.
//!
//! Deliberately missing: sampled metrics, which rank models wrongly (Krichene and Rendle 2020).

mod args;
mod bundle;
pub mod compare;
mod cross;
mod gather;
mod hold_out;
mod lists;
mod lists_out;
mod local;
pub mod metrics;
mod overlap;
mod per_user;
pub(crate) mod rank;
mod replay;

pub use args::{EVAL_EXAMPLES, EvalArgs};
pub use bundle::{
    BundleEvaluation, OfflineBundle, evaluate_bundle, evaluate_bundle_per_user, offline_lists,
};
pub use compare::{CompareOptions, Comparison, Difference, compare};
pub use cross::{CrossValidation, FoldMean, cross_validate};
pub(crate) use gather::Gather;
pub(crate) use hold_out::evaluate_lists;
pub use hold_out::{CUTOFF, evaluate_factors, evaluate_popularity, users_to_evaluate};
pub use lists::{Evaluator, ListReport};
pub use local::{LocalList, LocalModel, LocalRanker, LocalScope, LocalUser};
pub use metrics::{Cutoffs, Measure, Metrics};
pub use overlap::TestOverlap;
pub use per_user::{PerUser, UserRow};
pub use replay::replay_bundle;
