//! `marquee ctl experiment`: A/B tests and their results.

use super::context::Context;
use super::effects::effects_in_words;
use super::segments;
use super::units::parse_share;
use crate::message;
use crate::output;
use anyhow::bail;
use clap::{Args, Subcommand};
use marquee_client::request_id;
use marquee_core::rollout::experiment::Arm;
use marquee_proto::control::v1::{
    Experiment, ExperimentState, GetExperimentRequest, GetExperimentResponse,
    ListExperimentsRequest, StartExperimentRequest, StopExperimentRequest,
};
use marquee_proto::convert::experiment::arm_to_pb;
use std::process::ExitCode;

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
