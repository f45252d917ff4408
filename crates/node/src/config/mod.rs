//! What a node runs with: a TOML file, read strictly, checked as a whole, and only then used.
//!
//! [`ConfigFile`] is the file as written; [`Config`] is what passed [`Config::check`]: addresses
//! are parsed, paths are absolute, bounds hold, and what one role needs is there if the node plays
//! it. A standalone node has no file and makes its `Config` from the command line.
//!
//! Deliberately missing: environment variables and flags that overrule single keys. What a node
//! does stands in one file that can be reviewed.

mod check;
mod error;
mod file;
mod log_filter;
mod settings;
#[cfg(test)]
mod tests;

pub use check::EVENTS_DIRECTORY;
pub use error::ConfigError;
pub use file::*;
pub use log_filter::parse_log_filter;
pub use settings::{Config, ControlSettings, EventsSettings};
