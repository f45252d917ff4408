//! The second version's rollout under live load, measured step by step.

use super::Story;
use crate::cli::output;
use crate::config::Address;
use crate::ctl::{ControlClient, request_id};
use crate::load::{Load, LoadConfig, Schedule, Tally, Users, milliseconds};
use anyhow::{Context as _, bail};
use marquee_core::plan::DEFAULT_SURFACE;
use marquee_proto::control::v1::{
    Rollout, RolloutState, RolloutStep, StartRolloutRequest, WatchRolloutRequest,
};
use std::sync::Arc;
use std::time::Duration;

/// The steps: share in basis points and seconds, long enough to see each.
const STEPS: [(u32, u64); 4] = [(100, 8), (1_000, 8), (5_000, 8), (10_000, 4)];
/// Requests a second: a crowd, and well within what two cores serve.
const RATE: f64 = 300.0;
/// Requests under way at most.
const MAX_IN_FLIGHT: usize = 1_000;
/// The longest that a request may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// What the whole rollout cost its callers.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Calls answered.
    pub answered: u64,
    /// Calls that failed.
    pub failed: u64,
}

/// Rolls `candidate` out under load, a line for each step.
///
/// # Errors
/// Where the rollout isn't promoted.
pub async fn roll_out(
    story: &Story,
    at: &Address,
    users: Users,
    candidate: &str,
) -> anyhow::Result<Outcome> {
    let load = Load::start(LoadConfig {
        endpoints: vec![at.clone()],
        schedule: Schedule { rate: RATE, duration: None },
        users: Arc::new(users),
        count: 10,
        batch: 1,
        surface: DEFAULT_SURFACE.into(),
        max_in_flight: MAX_IN_FLIGHT,
        deadline: DEADLINE,
        seed: 1,
    })?;
    let mut control = ControlClient::new(std::slice::from_ref(at));
    let steps = STEPS.map(|(weight_basis_points, hold_seconds)| RolloutStep {
        weight_basis_points,
        hold_seconds,
        min_samples: 0,
    });
    let request = StartRolloutRequest {
        request_id: request_id(),
        surface: DEFAULT_SURFACE.into(),
        candidate: candidate.into(),
        steps: steps.into(),
    };
    let started = control
        .call(request, |mut control, request| async move { control.start_rollout(request).await })
        .await?;
    let rollout_id = started.rollout.context("a started rollout is told")?.rollout_id;
    let mut watch = control
        .call(WatchRolloutRequest { rollout_id }, |mut control, request| async move {
            control.watch_rollout(request).await
        })
        .await?;

    story.say(&format!(
        "  {:<11} {:>7} {:>9}  {:<28} {:>7} {:>9} {:>9}",
        "", "weight", "measured", "answers", "errors", "p50", "p99"
    ))?;
    let mut total = Outcome::default();
    let mut before: Option<Rollout> = None;
    while let Some(answer) = watch.message().await? {
        let now = answer.rollout.unwrap_or_default();
        let moved = |before: &Rollout| {
            (before.state, before.weight_basis_points) != (now.state, now.weight_basis_points)
        };
        if let Some(before) = before.as_ref().filter(|before| moved(before)) {
            report(story, before, load.take(), candidate, &mut total)?;
        }
        let over = now.finished_at_ms > 0;
        before = Some(now);
        if over {
            break;
        }
    }
    let last = before.context("a watched rollout is told")?;
    // A moment of the new version alone, then the end.
    tokio::time::sleep(Duration::from_secs(2)).await;
    report(story, &last, load.stop().await, candidate, &mut total)?;
    if last.state() != RolloutState::Promoted {
        bail!("the rollout ended as {}: {}", last.state().as_str_name(), last.waiting_for);
    }
    Ok(total)
}

/// One line: what was measured while the rollout was as `then`.
fn report(
    story: &Story,
    then: &Rollout,
    tally: Tally,
    candidate: &str,
    total: &mut Outcome,
) -> anyhow::Result<()> {
    total.answered += tally.answered;
    total.failed += tally.failed() + tally.not_sent;
    let to_candidate: u64 =
        tally.served.iter().filter(|(by, _)| by.models == candidate).map(|(_, n)| n).sum();
    let share = 100.0 * to_candidate as f64 / tally.users().max(1) as f64;
    let answers: Vec<String> =
        tally.served.iter().map(|(by, n)| format!("{} {}", by.models, output::thousands(*n))).collect();
    let state = then.state().as_str_name().trim_start_matches("ROLLOUT_STATE_");
    story.say(&format!(
        "  {state:<11} {:>7} {share:>7.1} %  {:<28} {:>7} {:>9} {:>9}",
        output::percent(then.weight_basis_points),
        answers.join(", "),
        tally.failed() + tally.not_sent,
        milliseconds(tally.latency(0.5)),
        milliseconds(tally.latency(0.99)),
    ))
}
