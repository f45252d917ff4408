//! Interactions in, bundle out: readers, trainers, evaluation.
//!
//! [`train`](fn@train) reads what users watched, played and bought, holds out each user's last
//! interactions, fits a model to the rest and measures it beside popularity, fits it again to
//! everything, and writes a bundle. [`import`](fn@import) makes a bundle of factors that were trained
//! elsewhere. [`split`] cuts interactions into what is trained on and what is to be found; [`eval`]
//! scores a bundle, or any lists of recommendations, against held-out files, and compares two.
//!
//! [`Interactions`] is what all of them work on: one row a (user, item) pair, users and items
//! numbered in the canonical order of their ids, so that results do not depend on the order of rows
//! in a file. Everything random comes from a seed, and every parallel sum has a fixed order: the same
//! data and options give the same bundle on any number of threads.
//!
//! Deliberately missing: the command line (the node flattens [`TrainArgs`], [`ImportArgs`],
//! [`EvalArgs`] and [`SplitArgs`] into its own), the network, and the search index (the bundle builds it).

#![forbid(unsafe_code)]

pub mod als;
mod association;
mod catalogue;
mod choice;
mod config;
pub mod csr;
mod data_check;
mod error;
pub mod eval;
pub mod factors;
mod family;
mod flags;
mod history;
mod import;
mod interactions;
mod options;
mod order;
mod phases;
mod progress;
mod random;
pub mod read;
mod recency;
mod settings;
pub mod split;
mod summary;
mod topics;
mod train;
pub mod tune;
mod weight;

pub use association::{Rule, RuleOrder, Rules, RulesArgs, rules};
pub use catalogue::{CatalogueReport, YEAR_ATTRIBUTE};
pub use choice::{FallbackChoice, MAX_FITS, SettingsSearch};
pub use data_check::{DataCheckArgs, DataReport, Described, Range, check_data};
pub use error::TrainError;
pub use eval::{CUTOFF, EvalArgs};
pub use family::{ITEM_FACTORS, ModelConfig, ModelKind, USER_FACTORS};
pub use import::import;
pub use interactions::{Duplicates, Interactions};
pub use options::*;
pub use phases::Phase;
pub use read::{ColumnArgs, ItemColumnArgs, UserColumnArgs};
pub use settings::{ModelSettings, Value};
pub use split::{HoldOut, SplitArgs, SplitBy, hold_out};
pub use summary::{Evaluation, ImportSummary, ImportedInteractions, LeftOutFactors, TrainSummary};
pub use topics::{Topic, Topics, TopicsArgs, Word, topics};
pub use train::train;
pub use weight::{Weight, confidences, positives};
