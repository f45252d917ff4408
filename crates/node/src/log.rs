//! Logging to stderr, so that stdout stays for results: as text or as JSON.

use crate::config::{LogFormat, LogSection, parse_log_filter};
use marquee_core::text::shown;
use std::io;
use tracing_subscriber::EnvFilter;

/// The environment variable that overrules the config's filter.
pub const LOG_VARIABLE: &str = "MARQUEE_LOG";

/// Writes each event as one line, with what came from outside and deceives terminals written out. The subscriber writes
/// an event at once. Its own colours stay: in the values of fields it writes escapes out by itself.
///
/// A line that cannot be written, because its disk is full, is dropped: the subscriber would complain of the failure on
/// stderr, and where that is the same file the complaint would panic and end whatever task has logged.
#[derive(Debug)]
struct OneLine<W>(W);

impl<W: io::Write> io::Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (text, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
        let parts: Vec<_> = text.split('\u{1b}').map(shown).collect();
        // At once, so that the lines of two threads do not mix.
        let _ = self.0.write_all(format!("{}{end}", parts.join("\u{1b}")).as_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Starts logging as `section` says; text has colours if `with_colours`. A second call has no effect.
pub fn start(section: &LogSection, with_colours: bool) {
    let from_environment = std::env::var(LOG_VARIABLE).ok().filter(|filter| !filter.is_empty());
    let wanted = from_environment.as_deref().unwrap_or(&section.filter);
    let filter = parse_log_filter(wanted).unwrap_or_else(|reason| {
        eprintln!("warning: {LOG_VARIABLE}: {reason}; \"info\" is used instead");
        EnvFilter::new("info")
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(|| OneLine(std::io::stderr()));
    let started = match section.format {
        LogFormat::Text => builder.with_ansi(with_colours).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    // A test or an embedding program may log already: then it decides how.
    let _ = started;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_line_that_does_not_fit_the_disk_is_no_error() {
        struct FullDisk;
        impl io::Write for FullDisk {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        OneLine(FullDisk).write_all(b"INFO reports\n").expect("it is dropped");
    }

    #[test]
    fn an_event_is_one_line_whatever_its_fields_hold() {
        let mut written = Vec::new();
        let event = "INFO \u{1b}[1mreport\u{1b}[0m reason=lost\nINFO forged\u{202e}\n";
        OneLine(&mut written).write_all(event.as_bytes()).expect("a vector");
        let line = String::from_utf8(written).expect("text");
        assert_eq!(line, "INFO \u{1b}[1mreport\u{1b}[0m reason=lost\\nINFO forged\\u{202e}\n");
    }
}
