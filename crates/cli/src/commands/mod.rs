//! The commands, one file or folder each. All are laid out alike: the arguments as clap reads them, what is
//! made of them once they are checked, and `run`, which prints results and returns the exit code.
//!
//! | command | what it does |
//! |---|---|
//! | [`demo`] | the whole story on one machine, on real data |
//! | [`data`] | what data files hold |
//! | [`train`], [`tune`], [`import`], [`split`], [`rules`], [`topics`] | models and data on disk, by `marquee-train` |
//! | [`eval`] | how good a bundle, an ensemble or a live endpoint is |
//! | [`export`] | recorded events as files for the next training |
//! | [`serve`] | a node |
//! | [`ask`] | an answer of a router, with titles and reasons |
//! | [`ctl`] | what operators ask of a cluster |
//! | [`load`] | requests at a fixed rate, and what became of them |
//! | [`metrics`] | the list of what nodes show to Prometheus |
//! | [`keygen`], [`sign`] | signatures of bundles |
//! | [`certs`], [`token`] | who may do what: certificates, tokens |

pub mod ask;
pub mod certs;
pub mod ctl;
pub mod data;
pub mod demo;
pub mod eval;
pub mod export;
pub mod import;
pub mod keygen;
pub mod load;
pub mod metrics;
pub mod rules;
pub mod serve;
pub mod sign;
pub mod split;
pub mod token;
pub mod topics;
pub mod train;
pub mod tune;
