//! `marquee ctl experiment`: A/B tests and their results.

use super::context::Context;
use super::segments;
use super::units::parse_share;
use crate::message;
use crate::output;
use anyhow::bail;
use clap::{Args, Subcommand};
use marquee_client::request_id;
use marquee_core::rollout::experiment::Arm;
use marquee_proto::control::v1::{
    Effect, Experiment, ExperimentState, GetExperimentRequest, GetExperimentResponse,
    ListExperimentsRequest, Measure, StartExperimentRequest, StopExperimentRequest,
};
use marquee_proto::convert::experiment::arm_to_pb;
use std::process::ExitCode;

/// The largest effect that is shown as a number, as a part of the mean of arm 0: 1,000 %.
const MAX_SHOWN_EFFECT: f64 = 10.0;

#[derive(Subcommand, Debug)]
pub(super) enum ExperimentCommand {
    /// Start an A/B test on a surface; users outside of it get what is live
    #[command(after_help = "Examples:
  marquee ctl experiment start --arm control=films@1:50% --arm other=films@2:50%
  marquee ctl experiment start --surface home --share 20% --layer ranking \\
      --arm control=films@1:34% --arm blend=blend:33% --arm new=films@3:33%")]
    Start(StartArgs),
    /// List experiments, newest first
    #[command(after_help = "Example:
  marquee ctl experiment list --json")]
    List,
    /// Compare the arms: effects with confidence intervals that hold at any time, and whether the users were
    /// split as the weights say
    #[command(after_help = "Example:
  marquee ctl experiment report home-ab-3")]
    Report {
        /// The experiment's id; may be left out for the newest
        experiment_id: Option<String>,
    },
    /// End an experiment: all users get what is live
    #[command(after_help = "Example:
  marquee ctl experiment stop home-ab-3 --reason \"b is better\"")]
    Stop {
        /// The experiment's id
        experiment_id: String,
        /// The reason, at most 256 bytes
        #[arg(long, default_value = "")]
        reason: String,
    },
}

#[derive(Args, Debug)]
pub(super) struct StartArgs {
    /// The surface that the experiment runs on
    #[arg(long, default_value = "default")]
    surface: String,
    /// An arm as name=ensemble:share, the ensemble a stored one's name or model@version; twice or more, the
    /// first being the one that the others are compared with
    #[arg(long = "arm", required = true, value_parser = parse_arm, value_name = "NAME=ENSEMBLE:SHARE")]
    arms: Vec<Arm>,
    /// The share of users that take part
    #[arg(long, default_value = "100%", value_parser = parse_share, value_name = "SHARE")]
    share: u32,
    /// Experiments of a layer have no users in common; a surface's experiments share one. The surface's name
    /// if left out
    #[arg(long, default_value = "")]
    layer: String,
}

fn parse_arm(text: &str) -> Result<Arm, String> {
    let wrong =
        || format!("{text:?} is not of the form name=ensemble:share, such as b=films@2:50%");
    let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
    let (ensemble, share) = rest.rsplit_once(':').ok_or_else(wrong)?;
    let weight_basis_points = parse_share(share)?;
    Ok(Arm { name: name.into(), ensemble: ensemble.into(), weight_basis_points })
}

pub(super) async fn run(
    context: &mut Context,
    command: ExperimentCommand,
) -> anyhow::Result<ExitCode> {
    match command {
        ExperimentCommand::Start(args) => start(context, args).await,
        ExperimentCommand::List => list(context).await,
        ExperimentCommand::Report { experiment_id } => report(context, experiment_id).await,
        ExperimentCommand::Stop { experiment_id, reason } => {
            let request = StopExperimentRequest { request_id: request_id(), experiment_id, reason };
            let stopped = context
                .client
                .call(request, |mut control, request| async move {
                    control.stop_experiment(request).await
                })
                .await?;
            print(context, &stopped.experiment.unwrap_or_default())
        }
    }
}

async fn start(context: &mut Context, args: StartArgs) -> anyhow::Result<ExitCode> {
    let StartArgs { surface, arms, share, layer } = args;
    let request = StartExperimentRequest {
        request_id: request_id(),
        surface,
        layer,
        share_basis_points: share,
        arms: arms.iter().map(arm_to_pb).collect(),
    };
    let started = context
        .client
        .call(
            request,
            |mut control, request| async move { control.start_experiment(request).await },
        )
        .await?;
    let experiment = started.experiment.unwrap_or_default();
    print(context, &experiment)?;
    if !context.json {
        output::line(format!("next: marquee ctl experiment report {}", experiment.experiment_id))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints one experiment.
fn print(context: &Context, experiment: &Experiment) -> anyhow::Result<ExitCode> {
    if context.json {
        output::json(&message::to_json("marquee.control.v1.Experiment", experiment))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(one_line(experiment))?;
    if !experiment.waiting_for.is_empty() {
        output::line(format!("waiting for {}", output::shown(&experiment.waiting_for)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An experiment in one line.
fn one_line(experiment: &Experiment) -> String {
    let arms: Vec<String> = experiment
        .arms
        .iter()
        .map(|arm| {
            format!("{} {} {}", arm.name, arm.ensemble, output::percent(arm.weight_basis_points))
        })
        .collect();
    format!(
        "{} on {}: {} of the users, {}: {}",
        experiment.experiment_id,
        experiment.surface,
        output::percent(experiment.share_basis_points),
        state_name(experiment.state()),
        arms.join(", ")
    )
}

/// All experiments, newest first.
async fn list_experiments(context: &mut Context) -> anyhow::Result<Vec<Experiment>> {
    let listed = context
        .client
        .call(ListExperimentsRequest {}, |mut control, request| async move {
            control.list_experiments(request).await
        })
        .await?;
    Ok(listed.experiments)
}

async fn list(context: &mut Context) -> anyhow::Result<ExitCode> {
    let experiments = list_experiments(context).await?;
    if context.json {
        let name = "marquee.control.v1.Experiment";
        let list: Vec<_> = experiments.iter().map(|it| message::to_json(name, it)).collect();
        output::json(&serde_json::json!({ "experiments": list }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if experiments.is_empty() {
        output::line(
            "no experiments: start one with `marquee ctl experiment start --arm control=…:50% --arm other=…:50%`",
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table =
        output::table(&["EXPERIMENT", "SURFACE", "LAYER", "USERS", "ARMS", "STATE", "STARTED"]);
    for it in &experiments {
        let arms: Vec<&str> = it.arms.iter().map(|arm| arm.name.as_str()).collect();
        table.add_row([
            it.experiment_id.clone(),
            it.surface.clone(),
            it.layer.clone(),
            output::percent(it.share_basis_points),
            arms.join(", "),
            state_name(it.state()).to_owned(),
            output::moment(it.started_at_ms),
        ]);
    }
    output::line(output::lines_of(&table))?;
    Ok(ExitCode::SUCCESS)
}

async fn report(context: &mut Context, experiment_id: Option<String>) -> anyhow::Result<ExitCode> {
    let experiment_id = match experiment_id {
        Some(id) => id,
        None => match list_experiments(context).await?.into_iter().next() {
            Some(newest) => newest.experiment_id,
            None => {
                bail!("there is no experiment: see `marquee ctl experiment start --help`")
            }
        },
    };
    let found = context
        .client
        .call(GetExperimentRequest { experiment_id }, |mut control, request| async move {
            control.get_experiment(request).await
        })
        .await?;
    if context.json {
        output::json(&message::to_json("marquee.control.v1.GetExperimentResponse", &found))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(in_words(&found))?;
    Ok(ExitCode::SUCCESS)
}

/// An experiment and the effects of its arms, as lines.
fn in_words(found: &GetExperimentResponse) -> String {
    let experiment = found.experiment.clone().unwrap_or_default();
    let report = found.report.clone().unwrap_or_default();
    let mut lines = vec![one_line(&experiment)];
    if report.effects.is_empty() {
        lines.push("nothing has been measured yet".into());
        return lines.join("\n");
    }
    let arms: Vec<&str> = experiment.arms.iter().map(|arm| arm.name.as_str()).collect();
    lines.push(effects_in_words(&report.effects, &arms));
    lines.push(match (report.mismatch_e_value, report.sample_ratio_mismatch) {
        (None, _) => "split: not judged yet".into(),
        (Some(evidence), true) => format!(
            "split: MISMATCH (e-value {evidence:.0}): the arms have more or fewer users than their weights say, so they \
             cannot be compared"
        ),
        (Some(_), false) => "split: as the weights say".into(),
    });
    lines.extend(segments::table(&report.segments, &arms));
    if report.automated > 0 {
        let automated = output::thousands(report.automated);
        lines.push(format!("left out as automated traffic: {automated} requests"));
    }
    lines.join("\n")
}

/// The effects of arms, as a table.
pub(super) fn effects_in_words(effects: &[Effect], arms: &[&str]) -> String {
    let mut table = output::table(&["MEASURE", "ARM", "ANSWERS", "MEAN", "EFFECT", "95 %", "P"]);
    for found in effects {
        let mut row = vec![measure_name(found.measure()).to_owned()];
        row.extend(effect_columns(found, arms));
        table.add_row(row);
    }
    output::lines_of(&table)
}

/// An effect as columns: the arm, how many answers, their mean, the effect, its interval and its p-value.
pub(super) fn effect_columns(found: &Effect, arms: &[&str]) -> [String; 6] {
    let arm = arms.get(found.arm as usize).copied().unwrap_or("?");
    [
        arm.to_owned(),
        output::thousands(found.samples),
        format!("{:.4}", found.mean),
        percent(found.effect),
        interval(found),
        found.p_value.map_or_else(|| "-".into(), |p| format!("{p:.4}")),
    ]
}

/// The interval of an effect; "-" if one of its ends is missing or too far to be shown.
fn interval(found: &Effect) -> String {
    match (found.low, found.high) {
        (Some(low), Some(high)) if low.abs().max(high.abs()) <= MAX_SHOWN_EFFECT => {
            format!("{} to {}", percent(Some(low)), percent(Some(high)))
        }
        _ => "-".into(),
    }
}

/// An effect as a part of the mean of arm 0, in percent; "-" if there is none, or if it is so large that the
/// means are not of one scale, as the scores of two kinds of models are not.
fn percent(share: Option<f64>) -> String {
    match share {
        Some(share) if share.abs() <= MAX_SHOWN_EFFECT => format!("{:+.1} %", 100.0 * share),
        Some(_) | None => "-".into(),
    }
}

/// The name of a measure in the table of effects.
pub(super) fn measure_name(measure: Measure) -> &'static str {
    match measure {
        Measure::Unspecified => "?",
        Measure::Failed => "failed",
        Measure::Empty => "empty",
        Measure::Partial => "partial",
        Measure::Fallback => "fallback",
        Measure::LogLatency => "log latency",
        Measure::SlowP50 => "slower than p50",
        Measure::SlowP95 => "slower than p95",
        Measure::SlowP99 => "slower than p99",
        Measure::ListSimilarity => "list similarity",
        Measure::Personalisation => "personalisation",
        Measure::Score => "score",
        Measure::Clicks => "clicks",
        Measure::PlaySeconds => "play seconds",
        Measure::Purchases => "purchases",
        Measure::ClicksBefore => "clicks before",
        Measure::PlaySecondsBefore => "play seconds before",
        Measure::PurchasesBefore => "purchases before",
        Measure::Users => "users",
    }
}

/// The name of a state, in capitals.
fn state_name(state: ExperimentState) -> &'static str {
    match state {
        ExperimentState::Unspecified => "?",
        ExperimentState::Preparing => "PREPARING",
        ExperimentState::Running => "RUNNING",
        ExperimentState::Stopped => "STOPPED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_beyond_a_thousand_percent_are_not_shown_as_numbers() {
        let found = |low, high| Effect { low: Some(low), high: Some(high), ..Effect::default() };
        assert_eq!(percent(Some(-0.05)), "-5.0 %");
        assert_eq!(percent(Some(10.0)), "+1000.0 %");
        assert_eq!(percent(Some(1e120)), "-");
        assert_eq!(percent(Some(f64::NAN)), "-");
        assert_eq!(interval(&found(-0.1, 0.2)), "-10.0 % to +20.0 %");
        assert_eq!(interval(&found(-1e120, 1e120)), "-");
        assert_eq!(interval(&found(0.1, f64::INFINITY)), "-");
    }

    #[test]
    fn arms_are_read() {
        let arm = parse_arm("other=films@2:12.5%").expect("valid");
        assert_eq!((arm.name.as_str(), arm.ensemble.as_str()), ("other", "films@2"));
        assert_eq!(arm.weight_basis_points, 1_250);
        for (bad, says) in [
            ("films@2:50%", "name=ensemble:share"),
            ("a=films@2", "name=ensemble:share"),
            ("a=films@2:half", "share \"half\""),
        ] {
            let said = parse_arm(bad).expect_err(bad);
            assert!(said.contains(says), "{said:?} does not say {says:?}");
        }
    }
}
