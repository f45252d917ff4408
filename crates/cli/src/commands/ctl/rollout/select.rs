//! Which rollout a command is about: the one that is named, or the only one that can be meant.

use super::words::one_line;
use crate::commands::ctl::context::Context;
use crate::output;
use anyhow::bail;
use clap::Args;
use marquee_client::CallError;
use marquee_proto::control::v1::{
    GetPlanRequest, GetRolloutRequest, GetRolloutResponse, ListRolloutsRequest, Plan, Rollout,
    RolloutState, Surface,
};

const NONE_RUNNING: &str =
    "no rollout is running: name one, or start one with `marquee ctl rollout start`";

#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee ctl rollout watch default-2")]
pub(in crate::commands::ctl) struct RolloutArgs {
    /// The rollout's id; may be left out while only one is running; else the newest is meant
    pub(super) rollout_id: Option<String>,
}

#[derive(Args, Debug)]
pub(in crate::commands::ctl) struct ChangedRolloutArgs {
    /// The rollout's id; may be left out where there is one surface and one rollout runs
    rollout_id: Option<String>,
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

/// The rollout to show: the one that `args` name, or else the one that runs, or the newest.
pub(super) async fn select(context: &mut Context, args: RolloutArgs) -> anyhow::Result<Rollout> {
    if let Some(rollout_id) = args.rollout_id {
        let found = get_rollout(context, rollout_id).await?;
        return Ok(found.rollout.unwrap_or_default());
    }
    let rollouts = list_rollouts(context, None).await?;
    let running: Vec<&Rollout> = rollouts.iter().filter(|r| !is_over(r.state())).collect();
    match (running.as_slice(), rollouts.first()) {
        ([one], _) => Ok((*one).clone()),
        ([], Some(newest)) => Ok(newest.clone()),
        ([], None) => bail!("{NONE_RUNNING}"),
        (several, _) => {
            let ids: Vec<&str> = several.iter().map(|r| r.rollout_id.as_str()).collect();
            bail!("{} rollouts are running: name one of {}", several.len(), ids.join(", "))
        }
    }
}

/// The id of the rollout to change by `command`: the one that `args` name. It may be left out only where there is one
/// surface and one rollout runs: what is changed is never guessed.
pub(super) async fn select_to_change(
    context: &mut Context,
    args: ChangedRolloutArgs,
    command: &str,
) -> anyhow::Result<String> {
    // A given id goes straight to the call: the cluster says itself if there is no such rollout.
    if let Some(rollout_id) = args.rollout_id {
        return Ok(rollout_id);
    }
    let found = context
        .client
        .call(GetPlanRequest::default(), |mut c, request| async move { c.get_plan(request).await })
        .await?;
    only_running(&found.plan.unwrap_or_default(), command).map_err(anyhow::Error::msg)
}

/// The id of the only rollout that can be meant, or what to run instead.
fn only_running(plan: &Plan, command: &str) -> Result<String, String> {
    let is_used =
        |surface: &&Surface| !surface.ensemble.is_empty() || !surface.rollout_id.is_empty();
    let surfaces = plan.surfaces.iter().filter(is_used).count();
    let running: Vec<&Rollout> = plan.rollouts.iter().filter(|r| !is_over(r.state())).collect();
    match running.as_slice() {
        [] => Err(NONE_RUNNING.into()),
        [one] if surfaces <= 1 => Ok(one.rollout_id.clone()),
        candidates => {
            let mut says = format!(
                "there are {}, so the rollout must be named:",
                output::count(surfaces as u64, "surface")
            );
            for rollout in candidates {
                let (id, line) = (&rollout.rollout_id, one_line(rollout));
                says += &format!(
                    "\n  surface {}, {line}: marquee ctl rollout {command} {id}",
                    rollout.surface
                );
            }
            Err(says)
        }
    }
}

/// Whether a rollout has ended.
pub(super) fn is_over(state: RolloutState) -> bool {
    matches!(state, RolloutState::Promoted | RolloutState::RolledBack | RolloutState::Aborted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(surfaces: &[&str], rollouts: &[(&str, RolloutState)]) -> Plan {
        let surface = |name: &&str| Surface {
            name: (*name).into(),
            ensemble: "films@1".into(),
            ..Surface::default()
        };
        let rollout = |&(surface, state): &(&str, RolloutState)| Rollout {
            rollout_id: format!("{surface}-2"),
            surface: surface.into(),
            state: state as i32,
            baseline: "films@1".into(),
            candidate: "films@2".into(),
            ..Rollout::default()
        };
        Plan {
            surfaces: surfaces.iter().map(surface).collect(),
            rollouts: rollouts.iter().map(rollout).collect(),
            ..Plan::default()
        }
    }

    #[test]
    fn what_is_changed_is_never_guessed() {
        let running = RolloutState::Canary;
        let one = plan(&["home"], &[("home", RolloutState::Promoted), ("home", running)]);
        assert_eq!(only_running(&one, "pause"), Ok("home-2".into()));
        let none = plan(&["home"], &[("home", RolloutState::RolledBack)]);
        assert_eq!(only_running(&none, "pause"), Err(NONE_RUNNING.into()));
        let elsewhere = plan(&["home", "search"], &[("search", RolloutState::Watching)]);
        assert_eq!(
            only_running(&elsewhere, "undo"),
            Err("there are 2 surfaces, so the rollout must be named:\n  surface search, films@1 → films@2 WATCHING at \
                 0 %: marquee ctl rollout undo search-2"
                .into())
        );
        let both = plan(&["home", "search"], &[("home", running), ("search", running)]);
        let says = only_running(&both, "rollback").expect_err("two run");
        assert!(says.contains("rollback home-2") && says.contains("rollback search-2"), "{says}");
    }
}
