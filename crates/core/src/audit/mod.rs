//! The log of changes: one entry for each command that changed the plan or that an operator gave, chained by hashes.
//!
//! An [`AuditEntry`] says who did what, from where, when, and what came of it. Each has the hash of the one before, so
//! an entry that is altered, left out or added shows ([`check_chain`]). The [`AuditTrail`] is part of the replicated
//! state: all voters make the same entries in the same order. It keeps the newest [`MAX_AUDIT_ENTRIES`]; each
//! voter has the older ones in files, whose lines are [`AuditLine`]s: a voter that was away says what it does not have.
//!
//! Deliberately missing: signatures. Who controls a majority of the voters can write another history.

mod chain;
mod entry;
mod line;
mod trail;

pub use chain::{ChainError, ChainPosition, ChainWalk, Gap, check_chain};
pub use entry::{Actor, AuditEntry, AuditHash};
pub use line::{
    AUDIT_DELETED_FILE, AUDIT_FILE, AuditLine, MissingEntries, MissingReason, first_of_audit_file,
    full_audit_file,
};
pub use trail::{AuditTrail, MAX_AUDIT_ENTRIES};
