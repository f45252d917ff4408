//! Whether entries are a chain.

use super::entry::{AuditEntry, AuditHash};
use super::line::{AuditLine, MissingEntries};

/// How far a chain is: the number and the hash of its last entry; zeros before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainPosition {
    /// The number of the last entry.
    pub number: u64,
    /// The hash of the last entry.
    pub hash: AuditHash,
}

/// Where a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Entries are missing, or there are too many.
    #[error("entry {expected} is missing: {found} follows on {before}")]
    Missing {
        /// The number that should follow.
        expected: u64,
        /// The number that does.
        found: u64,
        /// The number before.
        before: u64,
    },
    /// An entry, or the one before, is not what it was.
    #[error("entry {before} was altered, or {number} was: the hash of the one is not in the other")]
    Altered {
        /// The number of the entry whose reference does not fit.
        number: u64,
        /// The number before.
        before: u64,
    },
    /// The end is not that of the replicated state.
    #[error(
        "the entries end at {found}, and the cluster's log at {expected}: the last were cut off or altered"
    )]
    End {
        /// The number of the cluster's last entry.
        expected: u64,
        /// The number of the last entry found.
        found: u64,
    },
}

/// Entries that a log says it does not have, and how far it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Which entries are missing, and why.
    pub missing: MissingEntries,
    /// The last entry before them. Nothing in the log itself vouches for it.
    pub before: ChainPosition,
}

/// Follows a log line by line. Entries after a gap are vouched for by the end of the log, those before it by nothing in
/// the log itself: they must be compared with another copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainWalk {
    at: ChainPosition,
    follows_gap: bool,
    gaps: Vec<Gap>,
}

impl ChainWalk {
    /// The number of the last entry so far, there or missing.
    pub fn number(&self) -> u64 {
        self.at.number
    }

    /// The gaps so far.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// Says where the chain is broken.
    pub fn step(&mut self, line: &AuditLine) -> Result<(), ChainError> {
        match line {
            AuditLine::Entry(entry) => {
                let hash = if self.follows_gap { entry.previous } else { self.at.hash };
                self.at = check_chain(ChainPosition { hash, ..self.at }, entry)?;
                self.follows_gap = false;
            }
            AuditLine::Missing(missing) => {
                let expected = self.at.number + 1;
                if missing.missing_from != expected || missing.missing_to < expected {
                    let (found, before) = (missing.missing_from, self.at.number);
                    return Err(ChainError::Missing { expected, found, before });
                }
                self.gaps.push(Gap { missing: *missing, before: self.at });
                self.at = ChainPosition { number: missing.missing_to, ..ChainPosition::default() };
                self.follows_gap = true;
            }
        }
        Ok(())
    }

    /// Checks that the log ends where the replicated one does.
    ///
    /// # Errors
    /// If it does not, or ends with a gap.
    pub fn end(&self, head: ChainPosition) -> Result<(), ChainError> {
        if self.at == head {
            return Ok(());
        }
        Err(ChainError::End { expected: head.number, found: self.at.number })
    }
}

/// Checks that an entry follows on a position, and returns the position after it.
///
/// # Errors
/// Says where the chain is broken.
pub fn check_chain(before: ChainPosition, entry: &AuditEntry) -> Result<ChainPosition, ChainError> {
    let (number, expected) = (entry.number, before.number + 1);
    if number != expected {
        return Err(ChainError::Missing { expected, found: number, before: before.number });
    }
    if entry.previous != before.hash {
        return Err(ChainError::Altered { number, before: before.number });
    }
    Ok(ChainPosition { number, hash: entry.hash() })
}
