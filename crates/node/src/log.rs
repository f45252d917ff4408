//! Logging: to stderr, so that stdout stays for results; text for people or JSON for machines.

use crate::config::{LogFormat, LogSection};
use tracing_subscriber::EnvFilter;

/// The variable that goes before the config's filter.
pub const LOG_VARIABLE: &str = "MARQUEE_LOG";

/// Says what is wrong with a filter, if anything.
pub fn check_filter(filter: &str) -> Result<(), String> {
    parse_filter(filter).map(|_| ())
}

/// Begins to log. A second call has no effect.
pub fn start(section: &LogSection) {
    let variable = std::env::var(LOG_VARIABLE).ok().filter(|filter| !filter.is_empty());
    let filter = variable.as_deref().unwrap_or(&section.filter);
    let filter = parse_filter(filter).unwrap_or_else(|reason| {
        eprintln!("warning: {LOG_VARIABLE}: {reason}; going on with \"info\"");
        EnvFilter::new("info")
    });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = match section.format {
        LogFormat::Text => builder.with_ansi(crate::cli::stderr_has_colours()).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    // A test or an embedding program may log already: then it decides how.
    let _ = done;
}

fn parse_filter(filter: &str) -> Result<EnvFilter, String> {
    // A lone word is taken by the parser as a module's name, and then nothing would be logged.
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let lone = !filter.contains(['=', ',', '[']);
    if lone && !levels.contains(&filter.to_ascii_lowercase().as_str()) {
        let levels = levels.join(", ");
        return Err(format!("{filter:?} is no level: use one of {levels}, or module=level,…"));
    }
    EnvFilter::try_new(filter).map_err(|e| format!("{filter:?}: {e}"))
}
