//! The demo's gray releases under load: one that is promoted step by step, with what callers measured at each
//! step, and one that the gates roll back.

use super::page::Page;
use crate::commands::load::{
    AnsweredBy, Load, LoadConfig, LoadTally, Schedule, Users, milliseconds,
};
use crate::output::percent;
use anyhow::{Context as _, bail};
use marquee_client::{Address, ControlClient, Credentials, request_id};
use marquee_core::plan::DEFAULT_SURFACE;
use marquee_core::plan::assignment::bucket;
use marquee_proto::control::v1::{
    Rollout, RolloutState, RolloutStep, StartRolloutRequest, WatchRolloutRequest,
    WatchRolloutResponse,
};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Streaming;

/// Shares in basis points and how long each is held, in seconds: 1 % is held until some of its users have
/// sent a request.
const STEPS: [(u32, u64); 4] = [(100, 8), (1_000, 8), (5_000, 8), (10_000, 5)];
/// The step of the rollout that is to be rolled back, share in basis points and hold in seconds: long enough
/// for the gates at any sensible rate.
const POOR_CANDIDATE_STEP: (u32, u64) = (2_000, 60);
/// After a step begins, answers of the step before are still under way for this long; they are counted in the
/// total but not in the measured share.
const STEP_TRANSITION: Duration = Duration::from_millis(200);
/// Deadline of one request of the load.
const DEADLINE: Duration = Duration::from_secs(5);
/// Upper bound of the load's requests under way.
const DEMO_IN_FLIGHT: usize = 2_000;

/// Starts the rollout of `candidate`, sends load to `router`, prints each step, and returns the tally of all
/// requests.
pub(super) async fn roll_out(
    control: &mut ControlClient,
    router: &Address,
    candidate: &str,
    users: Users,
    rate: u32,
    page: &Page,
) -> anyhow::Result<LoadTally> {
    let users = Arc::new(users);
    let load = start_load(router, &users, rate)?;
    let mut watch = start(control, candidate, &STEPS).await?;
    page.data(&format!(
        "{:<9} {:>15} {:>18} {:>9} {:>7} {:>9} {:>9}",
        "share", "users", "measured share", "answers", "errors", "p50", "p99"
    ))?;
    let mut total = LoadTally::default();
    let mut step: Option<Rollout> = None;
    loop {
        let rollout = next(&mut watch).await?;
        let same = step
            .as_ref()
            .is_some_and(|step| step.step == rollout.step && step.state == rollout.state);
        if same {
            continue;
        }
        let tally = load.take();
        total.merge(&tally);
        if let Some(step) = step.take() {
            show_step(&step, candidate, &users, &tally, page)?;
        }
        match rollout.state() {
            RolloutState::Canary => {
                tokio::time::sleep(STEP_TRANSITION).await;
                total.merge(&load.take());
                step = Some(rollout);
            }
            RolloutState::Promoted => break,
            RolloutState::Preparing
            | RolloutState::Shadow
            | RolloutState::Interleave
            | RolloutState::Paused
            | RolloutState::Holdout
            | RolloutState::Watching
            | RolloutState::Unspecified => {}
            RolloutState::RolledBack | RolloutState::Aborted => {
                bail!("the rollout ended as {:?}: {:?}", rollout.state(), rollout.history.last());
            }
        }
    }
    total.merge(&load.stop().await);
    Ok(total)
}

/// Starts the rollout of a `candidate` that performs poorly, sends load to `router`, prints how the rollout
/// ends, and returns the tally of all requests.
pub(super) async fn roll_back(
    control: &mut ControlClient,
    router: &Address,
    candidate: &str,
    users: Users,
    rate: u32,
    page: &Page,
) -> anyhow::Result<LoadTally> {
    let users = Arc::new(users);
    let load = start_load(router, &users, rate)?;
    let mut watch = start(control, candidate, &[POOR_CANDIDATE_STEP]).await?;
    let (mut began, mut rollout) = (Instant::now(), Rollout::default());
    while !matches!(
        rollout.state(),
        RolloutState::RolledBack | RolloutState::Aborted | RolloutState::Promoted
    ) {
        let (now, before) = (next(&mut watch).await?, rollout.state());
        if now.state() == RolloutState::Canary && before != RolloutState::Canary {
            began = Instant::now();
        }
        rollout = now;
    }
    let took = began.elapsed();
    let total = load.stop().await;
    let (weight, _) = POOR_CANDIDATE_STEP;
    let inside =
        users.ids().iter().filter(|user| bucket(&rollout.rollout_id, user) < weight).count();
    let reason = rollout.history.last().map(|event| event.reason.clone()).unwrap_or_default();
    page.data(&match rollout.state() {
        RolloutState::Promoted => {
            format!(
                "{candidate} was promoted after {took:.0?}: the traffic was too low for the gates"
            )
        }
        _ => format!(
            "{candidate} had {} of the users ({inside} of {}) for {:.1} s and was rolled back:",
            percent(weight),
            users.count(),
            took.as_secs_f64()
        ),
    })?;
    page.data(&format!("  {reason}"))?;
    Ok(total)
}

/// Sends `rate` requests a second from random `users` until the load is stopped.
fn start_load(router: &Address, users: &Arc<Users>, rate: u32) -> anyhow::Result<Load> {
    Ok(Load::start(LoadConfig {
        endpoints: vec![router.clone()],
        credentials: Credentials::none(),
        schedule: Schedule { rate: Some(rate.into()), duration: None },
        users: users.clone(),
        count: 10,
        events: false,
        batch: 1,
        surface: DEFAULT_SURFACE.into(),
        max_in_flight: DEMO_IN_FLIGHT,
        deadline: DEADLINE,
        seed: 1,
    })?)
}

/// Starts a rollout with Marquee's default gates and opens the stream of its states.
pub(super) async fn start(
    control: &mut ControlClient,
    candidate: &str,
    steps: &[(u32, u64)],
) -> anyhow::Result<Streaming<WatchRolloutResponse>> {
    let steps = steps.iter().map(|&(weight_basis_points, hold_seconds)| RolloutStep {
        weight_basis_points,
        hold_seconds,
        ..RolloutStep::default()
    });
    let request = StartRolloutRequest {
        request_id: request_id(),
        surface: DEFAULT_SURFACE.into(),
        candidate: candidate.into(),
        steps: steps.collect(),
        ..StartRolloutRequest::default()
    };
    let started = control
        .call(request, |mut control, request| async move { control.start_rollout(request).await })
        .await?;
    let rollout_id = started.rollout.unwrap_or_default().rollout_id;
    let watch = control
        .call(WatchRolloutRequest { rollout_id }, |mut control, request| async move {
            control.watch_rollout(request).await
        })
        .await?;
    Ok(watch)
}

/// The next state of a rollout that is watched.
pub(super) async fn next(watch: &mut Streaming<WatchRolloutResponse>) -> anyhow::Result<Rollout> {
    let next = watch.message().await.context("control ended the watch of the rollout")?;
    Ok(next.context("control ended the watch of the rollout")?.rollout.unwrap_or_default())
}

fn show_step(
    step: &Rollout,
    candidate: &str,
    users: &Users,
    tally: &LoadTally,
    page: &Page,
) -> std::io::Result<()> {
    let weight = step.weight_basis_points;
    let inside = users.ids().iter().filter(|user| bucket(&step.rollout_id, user) < weight).count();
    let to_candidate: u64 = tally
        .answered_by
        .iter()
        .filter(|(AnsweredBy { models, .. }, _)| models == candidate)
        .map(|(_, count)| count)
        .sum();
    let measured = to_candidate as f64 / tally.users().max(1) as f64 * 100.0;
    page.data(&format!(
        "{:<9} {:>15} {:>18} {:>9} {:>7} {:>9} {:>9}",
        percent(weight),
        format!("{inside} of {}", users.count()),
        format!("{measured:.2} % {candidate}"),
        tally.answered,
        tally.failed(),
        milliseconds(tally.latency(0.5)),
        milliseconds(tally.latency(0.99)),
    ))
}
