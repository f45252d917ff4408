//! Whether entries are a chain.

use super::entry::{AuditEntry, AuditHash};

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
