//! Logging to stderr, so that stdout stays for results: as text for a terminal, else as JSON.
//!
//! [`start`] begins it. What is logged can be changed while the process runs ([`level`]). A place in the code that warns again
//! and again is left out after some lines ([`repeats`], [`limit`]), and how many were left out is said afterwards; all
//! lines are counted for the metrics. Each event is one line, whatever its fields hold ([`one_line`]).
//!
//! Deliberately missing: files and their rotation, which are for what started the process.

mod level;
mod limit;
mod one_line;
mod repeats;

use crate::config::{LogFormat, LogSection, parse_log_filter};
pub(crate) use level::{FilterError, filter, set_filter};
pub(crate) use limit::counted_lines;
use one_line::OneLine;
use std::io::{self, IsTerminal as _};
use std::time::Duration;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, reload};

/// The environment variable that overrules the config's filter.
pub const LOG_VARIABLE: &str = "MARQUEE_LOG";
/// The environment variable that overrules the config's format.
pub const FORMAT_VARIABLE: &str = "MARQUEE_LOG_FORMAT";
/// How often it is looked whether lines were left out.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Starts logging as `section` says; text has colours if `with_colours`. A second call has no effect.
pub fn start(section: &LogSection, with_colours: bool) {
    let from_environment = std::env::var(LOG_VARIABLE).ok().filter(|filter| !filter.is_empty());
    let wanted = from_environment.as_deref().unwrap_or(&section.filter);
    let (parsed, wanted) = match parse_log_filter(wanted) {
        Ok(parsed) => (parsed, wanted.to_owned()),
        Err(reason) => {
            eprintln!("warning: {LOG_VARIABLE}: {reason}; \"info\" is used instead");
            (EnvFilter::new("info"), "info".to_owned())
        }
    };
    let (filtering, handle) = reload::Layer::new(parsed);
    let lines = fmt::layer()
        .log_internal_errors(false)
        .with_ansi(with_colours)
        .with_writer(|| OneLine(io::stderr()));
    let format = std::env::var(FORMAT_VARIABLE).ok();
    let is_json = is_json(format.as_deref(), section.format, io::stderr().is_terminal());
    let lines = if is_json { lines.json().boxed() } else { lines.boxed() };
    let subscriber =
        tracing_subscriber::registry().with(filtering).with(limit::LineLimit).with(lines);
    // A test or an embedding program may log already: then it decides how.
    if subscriber.try_init().is_ok() {
        level::keep(wanted, handle);
    }
}

/// Whether lines are JSON: as the environment says, or else the config, or else unless a terminal shows them.
fn is_json(from_environment: Option<&str>, format: LogFormat, is_terminal: bool) -> bool {
    match (from_environment, format) {
        (Some("text"), _) => false,
        (Some("json"), _) => true,
        (_, LogFormat::Text) => false,
        (_, LogFormat::Json) => true,
        (_, LogFormat::Auto) => !is_terminal,
    }
}

/// Says how many repeated lines were left out, now and then for as long as it is polled.
pub(crate) async fn report_left_out_for_ever() {
    loop {
        tokio::time::sleep(REPORT_EVERY).await;
        limit::report_left_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_text_and_a_file_json() {
        use LogFormat::{Auto, Json, Text};
        assert!(!is_json(None, Auto, true) && is_json(None, Auto, false));
        assert!(is_json(None, Json, true) && !is_json(None, Text, false));
        assert!(is_json(Some("json"), Text, true) && !is_json(Some("text"), Json, false));
        assert!(is_json(Some("yaml"), Auto, false), "what is no format says nothing");
    }
}
