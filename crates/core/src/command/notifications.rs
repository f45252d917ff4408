//! Commands on who is told of rollouts.

use super::error::CommandError;
use super::reply::Reply;
use crate::id::check_name;
use crate::notification::{self, AllTold, MAX_TARGETS};
use crate::plan::Plan;

/// Says whom the config tells of rollouts.
pub(super) fn set_targets(
    plan: &Plan,
    told: &mut AllTold,
    targets: &[String],
) -> Result<Reply, CommandError> {
    if targets.len() > MAX_TARGETS {
        return Err(CommandError::Full { what: "notifications", bound: MAX_TARGETS });
    }
    for name in targets {
        check_name("notifications.name", name)?;
    }
    notification::set_targets(plan, told, targets);
    Ok(Reply::Done)
}
