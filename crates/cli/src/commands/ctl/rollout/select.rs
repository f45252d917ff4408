//! Which rollout a command is about: the one that is named, or the only one that can be meant.

use crate::commands::ctl::context::Context;
use anyhow::bail;
use clap::Args;
use marquee_client::CallError;
use marquee_proto::control::v1::{
    GetRolloutRequest, GetRolloutResponse, ListRolloutsRequest, Rollout, RolloutState,
};

#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee ctl rollout watch default-2")]
pub(in crate::commands::ctl) struct RolloutArgs {
    /// The rollout's id; may be left out while only one is running; else the newest is meant
    pub(super) rollout_id: Option<String>,
}

/// The rollout with its evidence.
pub(super) async fn get_rollout(
    context: &mut Context,
    rollout_id: String,
) -> Result<GetRolloutResponse, CallError> {
    let request = GetRolloutRequest { rollout_id };
    context
        .client
        .call(request, |mut control, request| async move { control.get_rollout(request).await })
        .await
}

/// The rollouts of one surface, or of all, newest first.
pub(super) async fn list_rollouts(
    context: &mut Context,
    surface: Option<String>,
) -> Result<Vec<Rollout>, CallError> {
    let request = ListRolloutsRequest { surface: surface.unwrap_or_default() };
    let list = context
        .client
        .call(request, |mut control, request| async move { control.list_rollouts(request).await })
        .await?;
    Ok(list.rollouts)
}

/// Which rollouts a command without an id may select.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Selectable {
    /// The running one, or else the newest.
    Any,
    /// The running one.
    Running,
}

/// The rollout that `args` name, or the one that `selectable` allows to be meant without an id.
pub(super) async fn select(
    context: &mut Context,
    args: RolloutArgs,
    selectable: Selectable,
) -> anyhow::Result<Rollout> {
    if let Some(rollout_id) = args.rollout_id {
        let found = get_rollout(context, rollout_id).await?;
        return Ok(found.rollout.unwrap_or_default());
    }
    let rollouts = list_rollouts(context, None).await?;
    let running: Vec<&Rollout> = rollouts.iter().filter(|r| !is_over(r.state())).collect();
    match (running.as_slice(), rollouts.first()) {
        ([one], _) => Ok((*one).clone()),
        ([], Some(newest)) if selectable == Selectable::Any => Ok(newest.clone()),
        ([], _) => {
            bail!("no rollout is running: name one, or start one with `marquee ctl rollout start`")
        }
        (several, _) => {
            let ids: Vec<&str> = several.iter().map(|r| r.rollout_id.as_str()).collect();
            bail!("{} rollouts are running: name one of {}", several.len(), ids.join(", "))
        }
    }
}

/// Whether a rollout has ended.
pub(super) fn is_over(state: RolloutState) -> bool {
    matches!(state, RolloutState::Promoted | RolloutState::RolledBack | RolloutState::Aborted)
}
