//! Follow a rollout to its end.

use super::select::is_over;
use super::show;
use crate::commands::ctl::context::Context;
use crate::message;
use crate::output;
use anyhow::bail;
use marquee_client::{Backoff, Connection};
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::control::v1::{Rollout, RolloutState, WatchRolloutRequest};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a broken watch is opened again before the command gives up.
const REOPEN_FOR: Duration = Duration::from_secs(60);

/// Prints the changes of a rollout until it is over, and survives the loss of control nodes. The exit code is
/// 0 if it was promoted.
pub(super) async fn watch(context: &mut Context, rollout_id: String) -> anyhow::Result<ExitCode> {
    let mut seen: Option<Rollout> = None;
    let mut backoff = Backoff::default();
    let mut broken_since: Option<Instant> = None;
    loop {
        let request = WatchRolloutRequest { rollout_id: rollout_id.clone() };
        let rpc = |mut control: ControlServiceClient<Connection>, request| async move {
            control.watch_rollout(request).await
        };
        let opened = context.client.call(request, rpc).await;
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) if seen.is_none() => return Err(error.into()),
            Err(error) if broken_since.is_some_and(|at| at.elapsed() > REOPEN_FOR) => {
                return Err(error.into());
            }
            Err(_) => {
                broken_since.get_or_insert_with(Instant::now);
                continue;
            }
        };
        while let Ok(Some(update)) = stream.message().await {
            let rollout = update.rollout.unwrap_or_default();
            broken_since = None;
            backoff.reset();
            if seen.as_ref() != Some(&rollout) {
                print_changes(context, seen.as_ref(), &rollout)?;
            }
            if is_over(rollout.state()) {
                let promoted = rollout.state() == RolloutState::Promoted;
                return Ok(if promoted { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            seen = Some(rollout);
        }
        let since = *broken_since.get_or_insert_with(Instant::now);
        if since.elapsed() > REOPEN_FOR {
            bail!(
                "the watch of {rollout_id} kept breaking for {REOPEN_FOR:?}: see `marquee ctl status`"
            );
        }
        tokio::time::sleep(backoff.after_failure(fastrand::f64())).await;
    }
}

/// Prints the events of the history that `before` does not have, and what the rollout waits for if that
/// changed.
fn print_changes(context: &Context, before: Option<&Rollout>, now: &Rollout) -> anyhow::Result<()> {
    if context.json {
        return output::json_line(&message::to_json(show::ROLLOUT_MESSAGE, now));
    }
    // By time and content, not by count: the oldest events of a long rollout are dropped.
    let known = before.map_or(&[][..], |before| &before.history);
    for event in now.history.iter().filter(|event| !known.contains(event)) {
        output::line(show::event_in_words(event))?;
    }
    let was_waiting_for = before.map_or("", |before| &before.waiting_for);
    if now.waiting_for != was_waiting_for && !now.waiting_for.is_empty() {
        output::line(format!("    waiting for {}", output::shown(&now.waiting_for)))?;
    }
    Ok(())
}
