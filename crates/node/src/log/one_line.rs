//! The writer of lines.

use marquee_core::text::shown;
use std::io;

/// Writes each event as one line, with what came from outside and deceives terminals written out. The subscriber writes
/// an event at once. Its own colours stay: in the values of fields it writes escapes out by itself.
///
/// A line that cannot be written, because its disk is full, is dropped: the subscriber would complain of the failure on
/// stderr, and where that is the same file the complaint would panic and end whatever task has logged.
#[derive(Debug)]
pub(super) struct OneLine<W>(pub(super) W);

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
