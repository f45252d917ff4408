//! Start a rollout, or have one started for every new version.

use super::evidence::predictions_at_start;
use super::watch::watch;
use super::{external, gate, show, steps, words};
use crate::commands::ctl::context::Context;
use crate::commands::ctl::units::{MAX_ID_FILE_BYTES, parse_seconds, parse_share};
use crate::message;
use crate::output;
use clap::Args;
use marquee_bundle::read_text_input;
use marquee_client::request_id;
use marquee_core::bounds::MAX_LISTED_USERS;
use marquee_core::rollout::external::ExternalGate;
use marquee_core::rollout::gate::Gate;
use marquee_core::rollout::{Holdout, InterleaveStage, Pace, RolloutStep, Safety, Shadow};
use marquee_proto::control::v1::{
    AutomaticRollout, SetAutomaticRolloutRequest, StartRolloutRequest,
};
use marquee_proto::convert::external::external_gate_to_pb;
use marquee_proto::convert::gate::gate_to_pb;
use marquee_proto::convert::rollout::step_to_pb;
use marquee_proto::convert::rollout::{interleave_to_pb, pace_to_pb, safety_to_pb, shadow_to_pb};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args, Debug)]
pub(in crate::commands::ctl) struct StartArgs {
    /// A model version as model@version, or an ensemble's name
    #[arg(long)]
    candidate: String,
    /// The surface; it is created if it is new
    #[arg(long, default_value = "default")]
    surface: String,
    #[command(flatten)]
    schedule: ScheduleArgs,
    /// A file of user ids, one a line, at most 1,000, who get the candidate from the first step on, and are not
    /// compared
    #[arg(long, value_name = "FILE")]
    always_candidate: Option<PathBuf>,
    /// A file of user ids, one a line, at most 1,000, who stay with the old version until the rollout is over, and are
    /// not compared
    #[arg(long, value_name = "FILE")]
    never_candidate: Option<PathBuf>,
    /// Follow it until it is over
    #[arg(long)]
    watch: bool,
}

#[derive(Args, Debug)]
pub(in crate::commands::ctl) struct AutomaticArgs {
    /// The model whose new versions start a rollout
    #[arg(long, required_unless_present = "off")]
    model: Option<String>,
    /// The surface; it is created if it is new
    #[arg(long, default_value = "default")]
    surface: String,
    #[command(flatten)]
    schedule: ScheduleArgs,
    /// Stop starting rollouts automatically
    #[arg(long, conflicts_with = "model")]
    off: bool,
}

/// The steps of a rollout and the gates that guard them.
#[derive(Args, Debug)]
struct ScheduleArgs {
    /// Shares and how long each is held, growing: share:hold,… such as 1%:60s,10%:5m,100%:0s. Required
    /// where the surface has a live model. share:hold:N waits for N requests too; a step that ends in
    /// ! is entered only once you resume
    #[arg(long, value_parser = parse_steps, value_name = "SHARE:HOLD,…")]
    steps: Option<Steps>,
    /// Steps that grow by a factor: share:factor:hold, such as 1%:3:10m
    #[arg(long, value_parser = parse_exponential, value_name = "SHARE:FACTOR:HOLD", conflicts_with = "steps")]
    exponential: Option<Steps>,
    /// A bound that the candidate must keep, instead of Marquee's default gates; may be repeated.
    /// metric<=bound or metric>=bound, the bound a number or, with x, a multiple of the baseline's value;
    /// then options: pause, ignore-no-data, samples=N, breaches=N, alpha=P, mature=T (of rewards)
    #[arg(long = "gate", value_parser = gate::parse, value_name = "METRIC<=BOUND", conflicts_with = "no_gates")]
    gates: Vec<Gate>,
    /// Use no gates: each step ends after its hold
    #[arg(long)]
    no_gates: bool,
    /// What a Prometheus server must say all the time, besides the gates; may be repeated. NAME,options URL EXPRESSION<=NUMBER,
    /// or >=; {{candidate}}, {{baseline}}, {{rollout}} and {{surface}} in the expression are replaced. Options: every=T (30s),
    /// failures=N in a row (3), timeout=T (5s), max-bytes=N, pause, with-traffic
    #[arg(long, value_parser = external::parse_promql, value_name = "QUESTION")]
    promql: Vec<ExternalGate>,
    /// A webhook that must say {"verdict": "pass"} all the time; may be repeated. NAME,options URL, with the options of --promql
    #[arg(long, value_parser = external::parse_webhook, value_name = "QUESTION")]
    webhook: Vec<ExternalGate>,
    /// First mirror a share of the requests to the candidate, whose answers are only measured: share:hold,
    /// such as 5%:10m
    #[arg(long, value_parser = steps::parse_shadow, value_name = "SHARE:HOLD")]
    shadow: Option<Shadow>,
    /// Before the first step, give a share of the users one list made of both versions' lists, and see which of the two
    /// their clicks prefer: share:hold, share:hold:N to wait for N such answers, and :balanced behind it for balanced
    /// instead of team-draft interleaving; such as 5%:30m
    #[arg(long, value_parser = steps::parse_interleave, value_name = "SHARE:HOLD")]
    interleave: Option<InterleaveStage>,
    /// End each step as soon as all gates are proven to hold; its hold is then an upper bound
    #[arg(long)]
    as_fast_as_evidence_allows: bool,
    /// Abort the rollout if the candidate is not loaded on every node after this time
    #[arg(long, value_parser = parse_seconds, value_name = "TIME", default_value = "30m")]
    prepare_within: u64,
    /// Keep the old version loaded for this time after the promotion, such as 1h, so that `rollout undo` returns to it
    /// at once; without, it is unloaded at once
    #[arg(long, value_parser = parse_seconds, value_name = "TIME", default_value = "0s", hide_default_value = true)]
    watch_for: u64,
    /// Leave this share of the users, who never had the candidate, with the old version after the promotion, and
    /// compare the two
    #[arg(long, value_parser = parse_share, value_name = "SHARE")]
    holdout: Option<u32>,
    /// How long users are held out; or until `rollout end-holdout`
    #[arg(long, value_parser = parse_seconds, value_name = "TIME", default_value = "14d", requires = "holdout")]
    holdout_for: u64,
    /// Let a step end by time although the candidate has answered nothing on it
    #[arg(long)]
    allow_no_traffic: bool,
}

/// Steps that are one argument: clap takes a bare `Vec` for a repeated argument.
#[derive(Clone, Debug, Default)]
struct Steps(Vec<RolloutStep>);

fn parse_exponential(text: &str) -> Result<Steps, String> {
    steps::parse_exponential(text).map(Steps)
}

fn parse_steps(text: &str) -> Result<Steps, String> {
    steps::parse_steps(text).map(Steps)
}

impl ScheduleArgs {
    /// The message, without a model.
    fn into_wire(self) -> AutomaticRollout {
        let Self {
            steps,
            exponential,
            gates,
            no_gates,
            promql,
            webhook,
            shadow,
            interleave,
            as_fast_as_evidence_allows,
            prepare_within,
            watch_for,
            holdout,
            holdout_for,
            allow_no_traffic,
        } = self;
        let holdout = holdout
            .map(|share_basis_points| Holdout { share_basis_points, hold_seconds: holdout_for });
        let safety = Safety {
            prepare_seconds: prepare_within,
            allows_no_traffic: allow_no_traffic,
            watch_seconds: watch_for,
            holdout,
        };
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
            safety: Some(safety_to_pb(safety)),
            interleave: interleave.map(interleave_to_pb),
            external_gates: promql.iter().chain(&webhook).map(external_gate_to_pb).collect(),
        }
    }
}

/// Sets or clears the automatic rollouts of a surface.
pub(super) async fn automate(
    context: &mut Context,
    args: AutomaticArgs,
) -> anyhow::Result<ExitCode> {
    let AutomaticArgs { model, surface, schedule, off: _ } = args;
    let automatic = model.map(|model| AutomaticRollout { model, ..schedule.into_wire() });
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
            "a rollout starts on {surface} whenever a new version of {model} is published"
        ))?,
        None => output::line(format!("rollouts on {surface} start only by command"))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The user ids in a file, one a line; none without a file.
fn users_in(path: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = read_text_input(path, MAX_ID_FILE_BYTES)?;
    let ids: Vec<String> = text.lines().filter(|id| !id.is_empty()).map(Into::into).collect();
    anyhow::ensure!(
        (1..=MAX_LISTED_USERS).contains(&ids.len()),
        "{} has {} user ids: 1 to {MAX_LISTED_USERS} are allowed, one a line",
        path.display(),
        ids.len()
    );
    Ok(ids)
}

/// Starts a rollout and, with `--watch`, follows it.
pub(super) async fn start(context: &mut Context, args: StartArgs) -> anyhow::Result<ExitCode> {
    let StartArgs {
        candidate,
        surface,
        schedule,
        always_candidate,
        never_candidate,
        watch: follow,
    } = args;
    let always_candidate_user_ids = users_in(always_candidate.as_deref())?;
    let never_candidate_user_ids = users_in(never_candidate.as_deref())?;
    let AutomaticRollout {
        model: _,
        steps,
        gates,
        without_gates,
        shadow,
        interleave,
        pace,
        pending: _,
        safety,
        external_gates,
    } = schedule.into_wire();
    let request = StartRolloutRequest {
        request_id: request_id(),
        surface,
        candidate,
        steps,
        gates,
        without_gates,
        shadow,
        pace,
        safety,
        always_candidate_user_ids,
        never_candidate_user_ids,
        interleave,
        external_gates,
    };
    let started = context
        .client
        .call(request, |mut control, request| async move { control.start_rollout(request).await })
        .await?;
    let rollout = started.rollout.unwrap_or_default();
    if context.json && !follow {
        output::json(&message::to_json(show::ROLLOUT_MESSAGE, &rollout))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !context.json {
        for line in predictions_at_start(&started.predictions) {
            output::line(line)?;
        }
    }
    if follow {
        return watch(context, rollout.rollout_id).await;
    }
    if !context.json {
        output::line(format!("started {}: {}", rollout.rollout_id, words::one_line(&rollout)))?;
        output::line(format!("next: marquee ctl rollout watch {}", rollout.rollout_id))?;
    }
    Ok(ExitCode::SUCCESS)
}
