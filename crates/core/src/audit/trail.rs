//! The log of changes as far as it is in the replicated state.

use super::chain::ChainPosition;
use super::entry::{Actor, AuditEntry};
use std::collections::VecDeque;

/// How many entries the replicated state keeps: a voter that was away for fewer changes has all of them in its file.
pub const MAX_AUDIT_ENTRIES: usize = 1_000;
/// Bytes of a description or an outcome: an operator's reason and more.
const MAX_TEXT_BYTES: usize = 1_024;

/// The newest entries, and how far the chain is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditTrail {
    /// The newest entries, oldest first, at most [`MAX_AUDIT_ENTRIES`].
    pub entries: VecDeque<AuditEntry>,
    /// The last entry's number and hash.
    pub head: ChainPosition,
}

impl AuditTrail {
    /// Adds an entry.
    pub fn add(
        &mut self,
        time_ms: u64,
        actor: Actor,
        change: String,
        (epoch_before, epoch_after): (u64, u64),
        outcome: String,
    ) {
        let entry = AuditEntry {
            number: self.head.number + 1,
            time_ms,
            actor,
            change: cut(change),
            epoch_before,
            epoch_after,
            outcome: cut(outcome),
            previous: self.head.hash,
        };
        self.head = ChainPosition { number: entry.number, hash: entry.hash() };
        if self.entries.len() == MAX_AUDIT_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }
}

/// The text, or its beginning if it is too long.
fn cut(text: String) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text;
    }
    let end = (0..=MAX_TEXT_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}
