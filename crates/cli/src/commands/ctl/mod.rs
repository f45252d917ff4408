//! `marquee ctl`: everything an operator asks of a cluster.
//!
//! Each command is one call of the control service, or a few: [`ControlClient`] makes them,
//! [`message`](crate::message) turns their answers into JSON for scripts, and the modules named after the nouns
//! (models, ensembles, rollouts, nodes) turn them into tables for people.
//!
//! Deliberately missing: state. A command that was killed half-way is simply given again.

mod context;
mod deny;
mod ensembles;
mod evidence;
mod experiments;
mod gates;
mod health;
mod models;
mod nodes;
mod rollouts;
mod status;
mod steps;
mod traffic;

use clap::{Args, Subcommand};
use context::Context;
use marquee_client::{Address, ControlClient};
use std::process::ExitCode;

/// `marquee ctl …`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee ctl status
  marquee ctl publish bundles/films-v2
  marquee ctl rollout start --candidate films@2 --steps 1%:60s,10%:5m,50%:10m,100%:0s --watch
  marquee ctl --endpoint http://10.0.0.5:50061 --endpoint http://10.0.0.6:50061 models --json")]
pub struct CtlArgs {
    /// A control node's address; repeat it for more, which are asked when the first is gone
    #[arg(
        long,
        global = true,
        env = "MARQUEE_ENDPOINT",
        value_delimiter = ',',
        value_name = "URL",
        default_value = "http://127.0.0.1:50051"
    )]
    endpoint: Vec<Address>,
    /// Print JSON for scripts instead of tables for people
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: CtlCommand,
}

#[derive(Subcommand, Debug)]
enum CtlCommand {
    /// Register a bundle as the next version of its model; traffic stays where it is
    Publish(models::PublishArgs),
    /// List published versions
    #[command(after_help = "Example:
  marquee ctl models --json")]
    Models,
    /// Store and list ensembles
    #[command(subcommand)]
    Ensemble(ensembles::EnsembleCommand),
    /// Gray releases: start, follow and steer them
    #[command(subcommand)]
    Rollout(rollouts::RolloutCommand),
    /// A/B tests: start, compare and stop them
    #[command(subcommand)]
    Experiment(experiments::ExperimentCommand),
    /// Say which items are never shown on a surface
    #[command(subcommand)]
    Deny(deny::DenyCommand),
    /// Say which versions of a model are kept
    Retain(models::RetainArgs),
    /// List, add and remove shard and router nodes
    Nodes(nodes::NodesArgs),
    /// Print the whole plan that routers and shards follow
    #[command(after_help = "Example:
  marquee ctl plan --json | jq .epoch")]
    Plan,
    /// Leader, voters, nodes and replicas at a glance
    #[command(after_help = "Example:
  marquee ctl --endpoint http://127.0.0.1:7101 status")]
    Status,
    /// What the answers on surfaces are like: rates, latencies, items shown, clicks
    Traffic(traffic::TrafficArgs),
    /// Move raft leadership to another voter
    TransferLeadership(status::TransferArgs),
    /// Ask a node whether it serves; exits 0 when it does
    Health(health::HealthArgs),
}

/// Runs one command.
pub async fn run(args: CtlArgs) -> anyhow::Result<ExitCode> {
    let CtlArgs { endpoint, json, command } = args;
    let mut context = Context { client: ControlClient::new(&endpoint), addresses: endpoint, json };
    match command {
        CtlCommand::Publish(args) => models::publish(&mut context, args).await,
        CtlCommand::Models => models::list(&mut context).await,
        CtlCommand::Ensemble(command) => ensembles::run(&mut context, command).await,
        CtlCommand::Rollout(command) => rollouts::run(&mut context, command).await,
        CtlCommand::Experiment(command) => experiments::run(&mut context, command).await,
        CtlCommand::Deny(command) => deny::run(&mut context, command).await,
        CtlCommand::Retain(args) => models::retain(&mut context, args).await,
        CtlCommand::Nodes(args) => nodes::run(&mut context, args).await,
        CtlCommand::Plan => status::plan(&mut context).await,
        CtlCommand::Status => status::status(&mut context).await,
        CtlCommand::Traffic(args) => traffic::run(&mut context, args).await,
        CtlCommand::TransferLeadership(args) => status::transfer(&mut context, args).await,
        CtlCommand::Health(args) => health::run(&context, args).await,
    }
}
