//! The log of changes ↔ `marquee.control.v1.AuditEntry`.

use super::error::{ConvertError, Result};
use crate::generated::control::v1 as pb;
use crate::generated::raft::v1 as raft;
use marquee_core::audit::{
    Actor, AuditEntry, AuditHash, AuditTrail, ChainPosition, MissingEntries, MissingReason,
};

/// The wire form of who gave a command.
pub fn actor_to_pb(actor: &Actor) -> pb::Actor {
    let Actor { name, roles, proof, from } = actor.clone();
    pb::Actor { name, roles, proof, from }
}

/// Reads who gave a command.
pub fn actor_from_pb(actor: pb::Actor) -> Actor {
    let pb::Actor { name, roles, proof, from } = actor;
    Actor { name, roles, proof, from }
}

/// The wire form of an entry.
pub fn audit_entry_to_pb(entry: &AuditEntry) -> pb::AuditEntry {
    let AuditEntry { number, time_ms, actor, change, epoch_before, epoch_after, outcome, previous } =
        entry;
    pb::AuditEntry {
        number: *number,
        time_ms: *time_ms,
        actor: Some(actor_to_pb(actor)),
        change: change.clone(),
        epoch_before: *epoch_before,
        epoch_after: *epoch_after,
        outcome: outcome.clone(),
        previous_hash: previous.0.to_vec(),
    }
}

/// Reads an entry.
pub fn audit_entry_from_pb(entry: pb::AuditEntry) -> Result<AuditEntry> {
    let pb::AuditEntry {
        number,
        time_ms,
        actor,
        change,
        epoch_before,
        epoch_after,
        outcome,
        previous_hash,
    } = entry;
    Ok(AuditEntry {
        number,
        time_ms,
        actor: actor_from_pb(actor.unwrap_or_default()),
        change,
        epoch_before,
        epoch_after,
        outcome,
        previous: hash_from_pb("audit_entry.previous_hash", &previous_hash)?,
    })
}

/// The wire form of entries that are missing.
pub fn missing_entries_to_pb(missing: &MissingEntries) -> pb::MissingAuditEntries {
    let MissingEntries { missing_from, missing_to, reason } = *missing;
    let reason = match reason {
        MissingReason::Away => pb::MissingAuditReason::Away,
        MissingReason::Deleted => pb::MissingAuditReason::Deleted,
    };
    pb::MissingAuditEntries {
        from_number: missing_from,
        to_number: missing_to,
        reason: reason.into(),
    }
}

/// Reads which entries are missing.
pub fn missing_entries_from_pb(missing: pb::MissingAuditEntries) -> Result<MissingEntries> {
    let pb::MissingAuditEntries { from_number, to_number, reason } = missing;
    let reason = match pb::MissingAuditReason::try_from(reason) {
        Ok(pb::MissingAuditReason::Away) => MissingReason::Away,
        Ok(pb::MissingAuditReason::Deleted) => MissingReason::Deleted,
        Ok(pb::MissingAuditReason::Unspecified) | Err(_) => {
            return Err(ConvertError::UnknownEnumValue {
                field: "missing.reason".into(),
                value: reason,
            });
        }
    };
    Ok(MissingEntries { missing_from: from_number, missing_to: to_number, reason })
}

/// The wire form of the log as far as it is in the state.
pub(super) fn audit_trail_to_pb(trail: &AuditTrail) -> raft::AuditTrail {
    let AuditTrail { entries, head: ChainPosition { number, hash } } = trail;
    raft::AuditTrail {
        entries: entries.iter().map(audit_entry_to_pb).collect(),
        last_number: *number,
        last_hash: hash.0.to_vec().into(),
    }
}

/// Reads the log as far as it is in the state; a state without one is of an earlier release.
pub(super) fn audit_trail_from_pb(trail: Option<raft::AuditTrail>) -> Result<AuditTrail> {
    let Some(raft::AuditTrail { entries, last_number, last_hash }) = trail else {
        return Ok(AuditTrail::default());
    };
    Ok(AuditTrail {
        entries: entries.into_iter().map(audit_entry_from_pb).collect::<Result<_>>()?,
        head: ChainPosition {
            number: last_number,
            hash: hash_from_pb("state.audit.last_hash", &last_hash)?,
        },
    })
}

/// Reads a hash of 32 bytes; `field` names it in the error.
pub fn hash_from_pb(field: &'static str, bytes: &[u8]) -> Result<AuditHash> {
    match <[u8; 32]>::try_from(bytes) {
        Ok(hash) => Ok(AuditHash(hash)),
        Err(_) => Err(ConvertError::invalid(field, format!("has {} bytes, not 32", bytes.len()))),
    }
}
