//! The filter that says what is logged.

use tracing_subscriber::EnvFilter;

/// Levels of logging, the quietest first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Parses a filter: a level, or directives such as `info,marquee_control=debug`. The error says what is
/// wrong and what would be right.
pub fn parse_log_filter(filter: &str) -> Result<EnvFilter, String> {
    // The parser takes a lone word for a module's name, and then nothing would be logged.
    let is_lone_word = !filter.contains(['=', ',', '[']);
    if is_lone_word && !LEVELS.contains(&filter.to_ascii_lowercase().as_str()) {
        let levels = LEVELS.join(", ");
        return Err(format!("{filter:?} is no level: use one of {levels}, or module=level,…"));
    }
    EnvFilter::try_new(filter).map_err(|e| format!("{filter:?}: {e}"))
}
