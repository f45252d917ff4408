//! The lines of a voter's files, and the names of the files.

use super::entry::AuditEntry;
use serde::{Deserialize, Serialize};

/// The name of the file that is written to.
pub const AUDIT_FILE: &str = "audit.jsonl";
/// The name of the file with one line, which says what was deleted before the oldest file.
pub const AUDIT_DELETED_FILE: &str = "audit-deleted.json";

/// A line of a voter's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AuditLine {
    /// One entry of the log.
    Entry(Box<AuditEntry>),
    /// Entries that the voter does not have, and knows it.
    Missing(MissingEntries),
}

/// Entries that a voter does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MissingEntries {
    /// The number of the first.
    pub missing_from: u64,
    /// The number of the last.
    pub missing_to: u64,
    /// Why they are missing.
    pub reason: MissingReason,
}

/// Why a voter does not have entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingReason {
    /// The voter was away, or had no disk yet, while more entries were made than the replicated state keeps.
    Away,
    /// The files reached their bound, and the oldest was deleted.
    Deleted,
}

impl AuditLine {
    /// The number of the last entry that it speaks of.
    pub fn last_number(&self) -> u64 {
        match self {
            Self::Entry(entry) => entry.number,
            Self::Missing(missing) => missing.missing_to,
        }
    }

    /// The number of the first entry that it speaks of.
    pub fn first_number(&self) -> u64 {
        match self {
            Self::Entry(entry) => entry.number,
            Self::Missing(missing) => missing.missing_from,
        }
    }
}

/// The name of a file that is full, by the number of its first entry. Names are in the order of their numbers.
pub fn full_audit_file(first: u64) -> String {
    format!("audit-{first:020}.jsonl")
}

/// The number of the first entry of a full file, by its name; none if it is no such name.
pub fn first_of_audit_file(name: &str) -> Option<u64> {
    let first = name.strip_prefix("audit-")?.strip_suffix(".jsonl")?.parse().ok()?;
    (full_audit_file(first) == name).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_are_named_by_their_first_entry() {
        assert_eq!(first_of_audit_file(&full_audit_file(1_234)), Some(1_234));
        for name in
            [AUDIT_FILE, AUDIT_DELETED_FILE, "audit-7.jsonl", "audit-+0000000000000000007.jsonl"]
        {
            assert_eq!(first_of_audit_file(name), None, "{name}");
        }
        assert!(full_audit_file(99) < full_audit_file(1_000));
    }
}
