//! Commands on users.

use super::error::CommandError;
use super::reply::Reply;
use crate::plan::privacy::MAX_TOMBSTONES;
use crate::plan::{Plan, Pseudonym};

/// Forgets a user; one who is forgotten already stays so.
pub(super) fn forget(plan: &mut Plan, user: Pseudonym, now_ms: u64) -> Result<Reply, CommandError> {
    // Room first: what has aged is dropped after each command, and the last one may be long ago.
    drop_aged(plan, now_ms);
    if plan.privacy.tombstones.add(user, now_ms) {
        Ok(Reply::Done)
    } else {
        Err(CommandError::TombstonesFull { bound: MAX_TOMBSTONES })
    }
}

/// Drops the tombstones that no published version needs any more and that are old enough.
pub(super) fn drop_aged(plan: &mut Plan, now_ms: u64) {
    if !plan.privacy.tombstones.is_empty() {
        let trained = plan.versions.values().map(|published| published.forgotten_up_to).min();
        plan.privacy.tombstones.age(trained, now_ms);
    }
}
