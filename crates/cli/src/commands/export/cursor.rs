//! Where an export ended, so that the next one continues there: by the places of records in their logs, not by their times.
//!
//! A log is written in the order in which commits reach the disk, and a record that is a moment older may be behind one that was
//! exported. Its place never changes.

use marquee_events::Contents;
use std::fmt;
use std::str::FromStr;

/// Logs that one export reads at most, and so numbers of a cursor: far more than a cluster has routers.
const MAX_LOGS: usize = 1_000;

/// The number of the next record of each log, in the order in which the logs are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// What the logs have.
    contents: &'static str,
    /// The number of the next record of each.
    pub(super) next: Vec<u64>,
}

impl Cursor {
    pub(super) fn new(contents: Contents, next: Vec<u64>) -> Self {
        Self { contents: word(contents), next }
    }

    /// Refuses a cursor that is of other contents, or of another number of logs.
    pub(super) fn check(&self, contents: Contents, logs: usize) -> anyhow::Result<()> {
        let asked = word(contents);
        if self.contents != asked {
            anyhow::bail!("--after: {self} is of {}, and this export is of {asked}", self.contents);
        }
        if self.next.len() != logs {
            anyhow::bail!(
                "--after: {self} is of {} logs and --events names {logs}: name the same ones in the same order, and export a \
                 new one by itself first",
                self.next.len()
            );
        }
        Ok(())
    }
}

/// The name of contents in cursors.
fn word(contents: Contents) -> &'static str {
    match contents {
        Contents::Events => "events",
        Contents::Quarantine => "quarantine",
        Contents::Exposures => "exposures",
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.contents)?;
        for (n, next) in self.next.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{next}")?;
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("{text:?} is no cursor: write what the export before printed");
        let (name, numbers) = text.split_once(':').ok_or_else(malformed)?;
        let all = [Contents::Events, Contents::Quarantine, Contents::Exposures];
        let contents = all.into_iter().map(word).find(|word| *word == name);
        let contents = contents.ok_or_else(malformed)?;
        let mut next = Vec::new();
        for number in numbers.split(',').take(MAX_LOGS) {
            next.push(number.parse().map_err(|_| malformed())?);
        }
        Ok(Self { contents, next })
    }
}

impl serde::Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_printed_and_fits_the_same_logs_only() {
        let cursor = Cursor::new(Contents::Events, vec![17, 0]);
        assert_eq!(cursor.to_string(), "events:17,0");
        assert_eq!("events:17,0".parse(), Ok(cursor.clone()));
        for wrong in ["17", "events:", "events:1,", "plays:3", "events:-1", ""] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong:?}");
        }
        assert!(cursor.check(Contents::Events, 2).is_ok());
        assert!(cursor.check(Contents::Events, 1).is_err());
        assert!(cursor.check(Contents::Exposures, 2).is_err());
    }
}
