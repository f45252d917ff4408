//! The config of a node: a TOML file, read strictly and checked as a whole before it is used.
//!
//! [`ConfigFile`] is the file as written; [`Config`] is what passed [`Config::check`]: addresses
//! are parsed, paths are absolute, bounds hold, and the settings of each of the node's roles are there. A
//! standalone node has no file and makes its `Config` from the command line.
//!
//! Deliberately missing: environment variables and flags that overrule single keys. All settings of a node
//! are in one file that can be reviewed.

mod check;
mod error;
mod file;
mod limits;
mod log_filter;
mod metrics_address;
mod security;
mod settings;
#[cfg(test)]
mod tests;

pub use check::EVENTS_DIRECTORY;
pub use error::NodeConfigError;
pub use file::*;
#[cfg(test)]
pub(crate) use limits::check_limits;
pub use log_filter::parse_log_filter;
pub use metrics_address::{METRICS_PATH, MetricsListen, default_metrics_address};
pub use settings::{
    AuthSettings, Config, ControlSettings, EventsSettings, NotificationSettings, OidcKeys,
    OidcSettings, ServerLimits,
};
