//! `marquee ctl rollout`: start a gray release, follow it, steer it.
//!
//! [`start`] makes a rollout out of steps and gates as the command line writes them; [`steer`] pauses,
//! resumes, promotes, rolls back and undoes; [`watch`] follows a rollout to its end; [`show`] prints rollouts, and
//! [`evidence`] what their gates have measured, which [`report`] writes to a file. [`apply`] starts what a file says, and
//! [`gates`] tries other gates on what was measured. [`evaluate`] asks no cluster: it estimates from logs what a
//! candidate would earn.

mod apply;
mod evaluate;
mod evidence;
mod external;
mod gate;
mod gates;
mod report;
mod select;
pub(super) mod show;
mod start;
mod steer;
mod step_table;
mod steps;
mod titles;
mod watch;
pub(super) mod words;

use super::context::Context;
use clap::Subcommand;
use select::{RolloutArgs, select};
use start::{AutomaticArgs, StartArgs};
use std::process::ExitCode;
use steer::{SteerArgs, Steering};

#[derive(Subcommand, Debug)]
pub(super) enum RolloutCommand {
    /// Start a gray release; on a surface without a model the candidate goes live once it is loaded
    #[command(after_help = "Examples:
  marquee ctl rollout start --candidate films@2 --steps 1%:60s,10%:5m,50%:10m,100%:0s --watch
  marquee ctl rollout start --surface home --candidate blend --steps 10%:1h,100%:0s
  marquee ctl rollout start --candidate films@2 --shadow 5%:10m --exponential 1%:3:10m
  marquee ctl rollout start --candidate films@2 --steps 1%:1h,50%:1d --watch-for 2h --holdout 5%
  marquee ctl rollout start --candidate films@2 --steps 1%:1h:1000,50%:1d! \\
      --gate 'error_rate<=1.2x' --gate 'latency_p99<=50ms,pause' --gate 'clicks_per_answer>=0.98x'")]
    Start(StartArgs),
    /// Start the rollout that a file says, unless the surface has it already; what is new is printed first
    #[command(after_help = apply::EXAMPLES)]
    Apply(apply::ApplyArgs),
    /// Start a rollout whenever a new version of a model is published; a step that says no samples waits for 100
    /// requests
    #[command(after_help = "Examples:
  marquee ctl rollout automatic --surface home --model films --steps 1%:1h:1000,10%:1d,50%:1d
  marquee ctl rollout automatic --surface home --off")]
    Automatic(AutomaticArgs),
    /// Estimate from logged answers what a candidate would earn, before any user meets it; asks no cluster
    #[command(after_help = evaluate::EXAMPLES)]
    Evaluate(evaluate::EvaluateArgs),
    /// List rollouts, newest first
    #[command(after_help = "Example:
  marquee ctl rollout list --surface home")]
    List {
        /// Only rollouts of this surface
        #[arg(long)]
        surface: Option<String>,
    },
    /// Show one rollout with its history and what its gates have measured
    #[command(after_help = "Example:
  marquee ctl rollout status default-2 --steps")]
    Status(show::StatusArgs),
    /// Say what other gates would have said of what was measured of a rollout
    #[command(after_help = "Example:
  marquee ctl rollout gates default-2 --dry-run --gate 'error_rate<=1.1x' --gate 'clicks_per_answer>=0.99x'")]
    Gates(gates::GatesArgs),
    /// Say all that is known of a rollout: history, steps, gates; as text or as one HTML file with plots
    #[command(after_help = "Examples:
  marquee ctl rollout report default-2
  marquee ctl rollout report default-2 --html default-2.html")]
    Report(report::ReportArgs),
    /// Show requests that both baseline and candidate answered, list beside list
    #[command(after_help = "Examples:
  marquee ctl rollout diff default-2
  marquee ctl rollout diff default-2 --titles")]
    Diff(show::DiffArgs),
    /// Follow a rollout until it is over; exits 0 if it was promoted
    Watch(RolloutArgs),
    /// Hold the candidate's share of traffic where it is
    Pause(SteerArgs),
    /// Continue after a pause
    Resume(SteerArgs),
    /// Give the candidate all traffic now
    Promote(SteerArgs),
    /// Give the baseline all traffic now
    Rollback(SteerArgs),
    /// Give the old version all traffic again after the promotion, while its holdout or its watch lasts
    Undo(SteerArgs),
    /// Give the candidate the users who are held out
    EndHoldout(SteerArgs),
    /// End the watch after the promotion: the old version is unloaded
    EndWatch(SteerArgs),
}

/// Runs one command.
pub(super) async fn run(
    context: &mut Context,
    command: RolloutCommand,
) -> anyhow::Result<ExitCode> {
    match command {
        RolloutCommand::Start(args) => start::start(context, args).await,
        RolloutCommand::Apply(args) => apply::run(context, args).await,
        RolloutCommand::Gates(args) => gates::run(context, args).await,
        RolloutCommand::Report(args) => report::run(context, args).await,
        RolloutCommand::Automatic(args) => start::automate(context, args).await,
        RolloutCommand::Evaluate(args) => evaluate::run(&args, context.json),
        RolloutCommand::List { surface } => show::list(context, surface).await,
        RolloutCommand::Status(args) => show::status(context, args).await,
        RolloutCommand::Diff(args) => show::diff(context, args).await,
        RolloutCommand::Watch(args) => {
            let rollout = select(context, args).await?;
            watch::watch(context, rollout.rollout_id).await
        }
        RolloutCommand::Pause(args) => steer::run(context, args, Steering::Pause).await,
        RolloutCommand::Resume(args) => steer::run(context, args, Steering::Resume).await,
        RolloutCommand::Promote(args) => steer::run(context, args, Steering::Promote).await,
        RolloutCommand::Rollback(args) => steer::run(context, args, Steering::RollBack).await,
        RolloutCommand::Undo(args) => steer::run(context, args, Steering::Undo).await,
        RolloutCommand::EndHoldout(args) => steer::run(context, args, Steering::EndHoldout).await,
        RolloutCommand::EndWatch(args) => steer::run(context, args, Steering::EndWatch).await,
    }
}
