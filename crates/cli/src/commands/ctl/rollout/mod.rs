//! `ctl rollout`: start a gray release, follow it, steer it.

use super::context::Context;
use super::{evidence, gates, steps};
use crate::message;
use crate::output;
use anyhow::bail;
use clap::{Args, Subcommand};
use marquee_client::{Backoff, CallError, request_id};
use marquee_core::rollout::gate::Gate;
use marquee_core::rollout::{Pace, RolloutStep as CoreStep, Shadow};
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::control::v1::{
    AutomaticRollout, GetRolloutRequest, GetRolloutResponse, ListRolloutsRequest,
    PauseRolloutRequest, PromoteRolloutRequest, ResumeRolloutRequest, RollBackRolloutRequest,
    Rollout, RolloutState, SetAutomaticRolloutRequest, StartRolloutRequest, WatchRolloutRequest,
};
use marquee_proto::convert_control::step_to_pb;
use marquee_proto::convert_telemetry::{gate_to_pb, pace_to_pb, shadow_to_pb};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// How long a broken watch is taken up again before the command gives up.
const WATCH_AGAIN_FOR: Duration = Duration::from_secs(60);
/// Names of the messages in `--json`.
const ROLLOUT: &str = "marquee.control.v1.Rollout";
const EVIDENCE: &str = "marquee.control.v1.RolloutEvidence";
const MIRROR: &str = "marquee.control.v1.MirrorStats";

#[derive(Subcommand, Debug)]
pub(super) enum RolloutCommand {
    /// Begin a gray release; on a surface without a model the candidate goes live once it is loaded
    #[command(after_help = "Examples:
  marquee ctl rollout start --candidate films@2 --steps 1%:60s,10%:5m,50%:10m,100%:0s --watch
  marquee ctl rollout start --surface home --candidate blend --steps 10%:1h,100%:0s
  marquee ctl rollout start --candidate films@2 --shadow 5%:10m --exponential 1%:3:10m
  marquee ctl rollout start --candidate films@2 --steps 1%:1h:1000,50%:1d! \\
      --gate 'error_rate<=1.2x' --gate 'latency_p99<=50ms,pause' --gate 'clicks_per_answer>=0.98x'")]
    Start(StartArgs),
    /// Have a rollout begin whenever a new version of a model is published
    #[command(after_help = "Examples:
  marquee ctl rollout automatic --surface home --model films --steps 1%:1h:1000,10%:1d,50%:1d
  marquee ctl rollout automatic --surface home --off")]
    Automatic(AutomaticArgs),
    /// List rollouts, newest first
    #[command(after_help = "Example:
  marquee ctl rollout list --surface home")]
    List {
        /// Only this surface's
        #[arg(long)]
        surface: Option<String>,
    },
    /// Show one rollout with its history and what its gates have seen
    Status(WhichArgs),
    /// Show requests that both sides answered, and what each answered
    #[command(after_help = "Example:
  marquee ctl rollout diff default-2")]
    Diff(WhichArgs),
    /// Follow a rollout until it is over; exits 0 when it was promoted
    Watch(WhichArgs),
    /// Hold the share where it is
    Pause(SteerArgs),
    /// Go on after a pause
    Resume(SteerArgs),
    /// Give the candidate all traffic now
    Promote(SteerArgs),
    /// Give the baseline all traffic now
    Rollback(SteerArgs),
}

#[derive(Args, Debug)]
pub(super) struct StartArgs {
    /// A model version as model@version, or an ensemble's name
    #[arg(long)]
    candidate: String,
    /// The surface; it is made if it is new
    #[arg(long, default_value = "default")]
    surface: String,
    #[command(flatten)]
    course: Course,
    /// Follow it until it is over
    #[arg(long)]
    watch: bool,
}

#[derive(Args, Debug)]
pub(super) struct AutomaticArgs {
    /// The model whose new versions begin a rollout
    #[arg(long, required_unless_present = "off")]
    model: Option<String>,
    /// The surface; it is made if it is new
    #[arg(long, default_value = "default")]
    surface: String,
    #[command(flatten)]
    course: Course,
    /// No more
    #[arg(long, conflicts_with = "model")]
    off: bool,
}

/// Steps and what guards them.
#[derive(Args, Debug)]
struct Course {
    /// Shares and how long each is held, growing: share:hold,… such as 1%:60s,10%:5m,100%:0s. Needed
    /// where the surface has a live model. share:hold:N waits for N requests too; a step that ends in
    /// ! is entered only once you resume
    #[arg(long, value_parser = parse_steps, value_name = "SHARE:HOLD,…")]
    steps: Option<Steps>,
    /// Steps that grow by a factor: share:factor:hold, such as 1%:3:10m
    #[arg(long, value_parser = parse_exponential, value_name = "SHARE:FACTOR:HOLD", conflicts_with = "steps")]
    exponential: Option<Steps>,
    /// What the candidate must not make worse, instead of Marquee's own gates; may be repeated.
    /// metric<=bound or metric>=bound, the bound a number or, with x, a multiple of the baseline's value;
    /// then options: pause, ignore-no-data, samples=N, breaches=N, alpha=P
    #[arg(long = "gate", value_parser = gates::parse, value_name = "METRIC<=BOUND", conflicts_with = "no_gates")]
    gates: Vec<Gate>,
    /// Let time alone decide
    #[arg(long)]
    no_gates: bool,
    /// First have the candidate answer a share of the requests for nobody: share:hold, such as 5%:10m
    #[arg(long, value_parser = steps::parse_shadow, value_name = "SHARE:HOLD")]
    shadow: Option<Shadow>,
    /// Leave each step as soon as all gates are proven to hold, its hold being the longest it takes
    #[arg(long)]
    as_fast_as_evidence_allows: bool,
}

/// Steps as one argument: clap would take a bare `Vec` for a repeated one.
#[derive(Clone, Debug, Default)]
struct Steps(Vec<CoreStep>);

fn parse_exponential(text: &str) -> Result<Steps, String> {
    steps::parse_exponential(text).map(Steps)
}

fn parse_steps(text: &str) -> Result<Steps, String> {
    steps::parse(text).map(Steps)
}

#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee ctl rollout watch default-2")]
pub(super) struct WhichArgs {
    /// The rollout's id; may be left out while just one is running, or else the newest is meant
    rollout_id: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee ctl rollout pause default-2 --reason \"error rate of the app\"")]
pub(super) struct SteerArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Why, for the rollout's history, at most 256 bytes
    #[arg(long, default_value = "")]
    reason: String,
}

pub(super) async fn run(
    context: &mut Context,
    command: RolloutCommand,
) -> anyhow::Result<ExitCode> {
    match command {
        RolloutCommand::Start(args) => start(context, args).await,
        RolloutCommand::Automatic(args) => automate(context, args).await,
        RolloutCommand::List { surface } => list(context, surface).await,
        RolloutCommand::Status(args) => {
            let rollout = which(context, args, Wanted::Any).await?;
            let measured = evidence_of(context, rollout.rollout_id).await?;
            if context.json {
                let mut shown = message::to_json(ROLLOUT, &measured.rollout.unwrap_or_default());
                if let Some(evidence) = &measured.evidence {
                    shown["evidence"] = message::to_json(EVIDENCE, evidence);
                }
                output::json(&shown)?;
                return Ok(ExitCode::SUCCESS);
            }
            let rollout = measured.rollout.unwrap_or_default();
            show(context, &rollout)?;
            if let Some(measured) = &measured.evidence {
                output::line(evidence::table(&rollout, measured))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        RolloutCommand::Diff(args) => {
            let rollout = which(context, args, Wanted::Any).await?;
            let measured = evidence_of(context, rollout.rollout_id.clone()).await?;
            let mirror = measured.evidence.and_then(|it| it.total).and_then(|it| it.mirror);
            if context.json {
                output::json(&message::to_json(MIRROR, &mirror.unwrap_or_default()))?;
                return Ok(ExitCode::SUCCESS);
            }
            output::line(evidence::diffs(&rollout, &mirror.unwrap_or_default()))?;
            Ok(ExitCode::SUCCESS)
        }
        RolloutCommand::Watch(args) => {
            let rollout = which(context, args, Wanted::Any).await?;
            watch(context, rollout.rollout_id).await
        }
        RolloutCommand::Pause(args) => {
            let (rollout_id, reason) = steer(context, args).await?;
            let request = PauseRolloutRequest { request_id: request_id(), rollout_id, reason };
            let answer = context
                .client
                .call(request, |mut c, request| async move { c.pause_rollout(request).await })
                .await?;
            show(context, &answer.rollout.unwrap_or_default())
        }
        RolloutCommand::Resume(args) => {
            let (rollout_id, reason) = steer(context, args).await?;
            let request = ResumeRolloutRequest { request_id: request_id(), rollout_id, reason };
            let answer = context
                .client
                .call(request, |mut c, request| async move { c.resume_rollout(request).await })
                .await?;
            show(context, &answer.rollout.unwrap_or_default())
        }
        RolloutCommand::Promote(args) => {
            let (rollout_id, reason) = steer(context, args).await?;
            let request = PromoteRolloutRequest { request_id: request_id(), rollout_id, reason };
            let answer = context
                .client
                .call(request, |mut c, request| async move { c.promote_rollout(request).await })
                .await?;
            show(context, &answer.rollout.unwrap_or_default())
        }
        RolloutCommand::Rollback(args) => {
            let (rollout_id, reason) = steer(context, args).await?;
            let request = RollBackRolloutRequest { request_id: request_id(), rollout_id, reason };
            let answer = context
                .client
                .call(request, |mut c, request| async move { c.roll_back_rollout(request).await })
                .await?;
            show(context, &answer.rollout.unwrap_or_default())
        }
    }
}

impl Course {
    /// As the wire has it, without a model.
    fn into_wire(self) -> AutomaticRollout {
        let Self { steps, exponential, gates, no_gates, shadow, as_fast_as_evidence_allows } = self;
        let steps = steps.or(exponential).unwrap_or_default().0;
        let pace = if as_fast_as_evidence_allows { Pace::Evidence } else { Pace::Fixed };
        AutomaticRollout {
            model: String::new(),
            steps: steps.iter().map(step_to_pb).collect(),
            gates: gates.iter().map(gate_to_pb).collect(),
            without_gates: no_gates,
            shadow: shadow.map(shadow_to_pb),
            pace: pace_to_pb(pace) as i32,
            pending: None,
        }
    }
}

async fn automate(context: &mut Context, args: AutomaticArgs) -> anyhow::Result<ExitCode> {
    let AutomaticArgs { model, surface, course, off: _ } = args;
    let automatic = model.map(|model| AutomaticRollout { model, ..course.into_wire() });
    let request = SetAutomaticRolloutRequest {
        request_id: request_id(),
        surface: surface.clone(),
        automatic: automatic.clone(),
    };
    context
        .client
        .call(request, |mut control, request| async move {
            control.set_automatic_rollout(request).await
        })
        .await?;
    match automatic {
        Some(automatic) if context.json => {
            output::json(&message::to_json("marquee.control.v1.AutomaticRollout", &automatic))?;
        }
        None if context.json => output::json(&serde_json::json!({}))?,
        Some(AutomaticRollout { model, .. }) => output::line(format!(
            "a rollout begins on {surface} whenever a new version of {model} is published"
        ))?,
        None => output::line(format!("rollouts on {surface} begin only when started"))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn start(context: &mut Context, args: StartArgs) -> anyhow::Result<ExitCode> {
    let StartArgs { candidate, surface, course, watch: follow } = args;
    let AutomaticRollout { steps, gates, without_gates, shadow, pace, .. } = course.into_wire();
    let request = StartRolloutRequest {
        request_id: request_id(),
        surface,
        candidate,
        steps,
        gates,
        without_gates,
        shadow,
        pace,
    };
    let answer = context
        .client
        .call(request, |mut control, request| async move { control.start_rollout(request).await })
        .await?;
    let rollout = answer.rollout.unwrap_or_default();
    if follow {
        return watch(context, rollout.rollout_id).await;
    }
    if context.json {
        output::json(&message::to_json(ROLLOUT, &rollout))?;
    } else {
        output::line(format!("started {}: {}", rollout.rollout_id, one_line(&rollout)))?;
        output::line(format!("next: marquee ctl rollout watch {}", rollout.rollout_id))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn evidence_of(
    context: &mut Context,
    rollout_id: String,
) -> Result<GetRolloutResponse, CallError> {
    let request = GetRolloutRequest { rollout_id };
    context
        .client
        .call(request, |mut control, request| async move { control.get_rollout(request).await })
        .await
}

async fn all(context: &mut Context, surface: Option<String>) -> Result<Vec<Rollout>, CallError> {
    let request = ListRolloutsRequest { surface: surface.unwrap_or_default() };
    let list = context
        .client
        .call(request, |mut control, request| async move { control.list_rollouts(request).await })
        .await?;
    Ok(list.rollouts)
}

async fn list(context: &mut Context, surface: Option<String>) -> anyhow::Result<ExitCode> {
    let rollouts = all(context, surface).await?;
    if context.json {
        let list: Vec<_> = rollouts.iter().map(|r| message::to_json(ROLLOUT, r)).collect();
        output::json(&serde_json::json!({ "rollouts": list }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if rollouts.is_empty() {
        output::line(
            "no rollouts: begin one with `marquee ctl rollout start --candidate model@version`",
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = output::table(&[
        "ROLLOUT",
        "SURFACE",
        "BASELINE",
        "CANDIDATE",
        "STATE",
        "SHARE",
        "STARTED",
    ]);
    for rollout in &rollouts {
        table.add_row([
            rollout.rollout_id.clone(),
            rollout.surface.clone(),
            or_dash(&rollout.baseline),
            rollout.candidate.clone(),
            state(rollout.state()).to_owned(),
            output::percent(rollout.weight_basis_points),
            output::moment(rollout.started_at_ms),
        ]);
    }
    output::line(output::lines_of(&table))?;
    Ok(ExitCode::SUCCESS)
}

/// Which rollout a command without an id may mean.
#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    /// The running one, else the newest.
    Any,
    /// The running one.
    Running,
}

async fn which(context: &mut Context, args: WhichArgs, wanted: Wanted) -> anyhow::Result<Rollout> {
    if let Some(rollout_id) = args.rollout_id {
        let request = GetRolloutRequest { rollout_id };
        let answer = context
            .client
            .call(request, |mut control, request| async move { control.get_rollout(request).await })
            .await?;
        return Ok(answer.rollout.unwrap_or_default());
    }
    let rollouts = all(context, None).await?;
    let running: Vec<&Rollout> = rollouts.iter().filter(|r| !is_over(r.state())).collect();
    match (running.as_slice(), rollouts.first()) {
        ([one], _) => Ok((*one).clone()),
        ([], Some(newest)) if wanted == Wanted::Any => Ok(newest.clone()),
        ([], _) => {
            bail!("no rollout is running: name one, or start one with `marquee ctl rollout start`")
        }
        (several, _) => {
            let ids: Vec<&str> = several.iter().map(|r| r.rollout_id.as_str()).collect();
            bail!("{} rollouts are running: name one of {}", several.len(), ids.join(", "))
        }
    }
}

async fn steer(context: &mut Context, args: SteerArgs) -> anyhow::Result<(String, String)> {
    let SteerArgs { which: args, reason } = args;
    // A given id goes straight to the call that matters: it says itself if there is none.
    let rollout_id = match args.rollout_id {
        Some(rollout_id) => rollout_id,
        None => which(context, args, Wanted::Running).await?.rollout_id,
    };
    Ok((rollout_id, reason))
}

fn show(context: &Context, rollout: &Rollout) -> anyhow::Result<ExitCode> {
    if context.json {
        output::json(&message::to_json(ROLLOUT, rollout))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format!("{} on {}: {}", rollout.rollout_id, rollout.surface, one_line(rollout)))?;
    if !rollout.waiting_for.is_empty() {
        output::line(format!("waiting for {}", rollout.waiting_for))?;
    }
    let steps: Vec<String> = rollout
        .steps
        .iter()
        .enumerate()
        .map(|(n, step)| {
            let here = if rollout.step == Some(n as u32) { "→ " } else { "" };
            let samples = match step.min_samples {
                0 => String::new(),
                samples => format!(" and {samples} requests"),
            };
            let approval = if step.requires_approval { " once approved" } else { "" };
            format!(
                "{here}{}{approval} for {} s{samples}",
                output::percent(step.weight_basis_points),
                step.hold_seconds
            )
        })
        .collect();
    if !steps.is_empty() {
        output::line(format!("steps: {}", steps.join(", ")))?;
    }
    for event in &rollout.history {
        output::line(format!(
            "  {}  {:<11} {:>6}  {}",
            output::moment(event.at_ms),
            state(event.state()),
            output::percent(event.weight_basis_points),
            event.reason
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Follows a rollout to its end, across control nodes that come and go.
async fn watch(context: &mut Context, rollout_id: String) -> anyhow::Result<ExitCode> {
    let mut seen: Option<Rollout> = None;
    let mut backoff = Backoff::default();
    let mut broken_since: Option<Instant> = None;
    loop {
        let request = WatchRolloutRequest { rollout_id: rollout_id.clone() };
        let rpc = |mut control: ControlServiceClient<Channel>, request| async move {
            control.watch_rollout(request).await
        };
        let opened = context.client.call(request, rpc).await;
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) if seen.is_none() => return Err(error.into()),
            Err(error) if broken_since.is_some_and(|at| at.elapsed() > WATCH_AGAIN_FOR) => {
                return Err(error.into());
            }
            Err(_) => {
                broken_since.get_or_insert_with(Instant::now);
                continue;
            }
        };
        while let Ok(Some(answer)) = stream.message().await {
            let rollout = answer.rollout.unwrap_or_default();
            broken_since = None;
            backoff.reset();
            if seen.as_ref() != Some(&rollout) {
                report(context, seen.as_ref(), &rollout)?;
            }
            if is_over(rollout.state()) {
                let promoted = rollout.state() == RolloutState::Promoted;
                return Ok(if promoted { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            seen = Some(rollout);
        }
        let since = *broken_since.get_or_insert_with(Instant::now);
        if since.elapsed() > WATCH_AGAIN_FOR {
            bail!(
                "control has ended the watch of {rollout_id} again and again for {WATCH_AGAIN_FOR:?}: see `marquee ctl status`"
            );
        }
        tokio::time::sleep(backoff.after_failure(fastrand::f64())).await;
    }
}

/// Prints what is new: events of the history that were not seen, or what it waits for.
fn report(context: &Context, before: Option<&Rollout>, now: &Rollout) -> anyhow::Result<()> {
    if context.json {
        return output::json_line(&message::to_json(ROLLOUT, now));
    }
    // By time and content, not by count: the oldest events of a long rollout are dropped.
    let known = before.map_or(&[][..], |before| &before.history);
    for event in now.history.iter().filter(|event| !known.contains(event)) {
        output::line(format!(
            "{}  {:<11} {:>6}  {}",
            output::moment(event.at_ms),
            state(event.state()),
            output::percent(event.weight_basis_points),
            event.reason
        ))?;
    }
    let waited = before.map_or("", |before| &before.waiting_for);
    if now.waiting_for != waited && !now.waiting_for.is_empty() {
        output::line(format!("    waiting for {}", now.waiting_for))?;
    }
    Ok(())
}

/// A rollout in a few words.
pub(super) fn one_line(rollout: &Rollout) -> String {
    let from = match rollout.baseline.as_str() {
        "" => String::new(),
        baseline => format!("{baseline} → "),
    };
    let share = output::percent(rollout.weight_basis_points);
    format!("{from}{} {} at {share}", rollout.candidate, state(rollout.state()))
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}

fn is_over(state: RolloutState) -> bool {
    matches!(state, RolloutState::Promoted | RolloutState::RolledBack | RolloutState::Aborted)
}

fn state(state: RolloutState) -> &'static str {
    match state {
        RolloutState::Unspecified => "?",
        RolloutState::Preparing => "PREPARING",
        RolloutState::Shadow => "SHADOW",
        RolloutState::Canary => "CANARY",
        RolloutState::Paused => "PAUSED",
        RolloutState::Promoted => "PROMOTED",
        RolloutState::RolledBack => "ROLLED_BACK",
        RolloutState::Aborted => "ABORTED",
    }
}
