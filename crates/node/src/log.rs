//! Logging to stderr, so that stdout stays for results: as text or as JSON.

use crate::config::{LogFormat, LogSection, parse_log_filter};
use tracing_subscriber::EnvFilter;

/// The environment variable that overrules the config's filter.
pub const LOG_VARIABLE: &str = "MARQUEE_LOG";

/// Starts logging as `section` says; text has colours if `with_colours`. A second call has no effect.
pub fn start(section: &LogSection, with_colours: bool) {
    let from_environment = std::env::var(LOG_VARIABLE).ok().filter(|filter| !filter.is_empty());
    let wanted = from_environment.as_deref().unwrap_or(&section.filter);
    let filter = parse_log_filter(wanted).unwrap_or_else(|reason| {
        eprintln!("warning: {LOG_VARIABLE}: {reason}; \"info\" is used instead");
        EnvFilter::new("info")
    });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match section.format {
        LogFormat::Text => builder.with_ansi(with_colours).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    // A test or an embedding program may log already: then it decides how.
    let _ = started;
}
