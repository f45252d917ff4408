//! `marquee ctl`: operate a cluster.
//!
//! Each command but `restore`, which works on a disk, is one call of the control service, or a few: [`ControlClient`] makes
//! them, the command's own
//! module prints their answers as a table, and [`message`](crate::message) prints them as JSON for scripts.
//!
//! Deliberately missing: state. A command that was interrupted is given again.

mod audit;
mod backup;
mod context;
mod deny;
mod effects;
mod ensemble;
mod experiment;
mod health;
mod log;
mod models;
mod nodes;
mod plan;
mod publish;
mod restore;
mod retain;
mod rollout;
mod segments;
mod status;
mod traffic;
mod transfer_leadership;
mod units;
mod users;
mod voters;

use crate::credentials::CredentialArgs;
use crate::output::shown;
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
    /// The address of a control node, or of any node that knows where control is; repeat it for more, which are used when one is
    /// lost
    #[arg(
        long,
        global = true,
        env = "MARQUEE_ENDPOINT",
        value_delimiter = ',',
        value_name = "URL",
        default_value = "http://127.0.0.1:50051"
    )]
    endpoint: Vec<Address>,
    /// Print JSON for scripts instead of tables
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    credentials: CredentialArgs,
    #[command(subcommand)]
    command: CtlCommand,
}

#[derive(Subcommand, Debug)]
enum CtlCommand {
    /// Register a bundle as the next version of its model; traffic stays where it is
    Publish(publish::PublishArgs),
    /// List and delete published versions
    Models(models::ModelsArgs),
    /// Store, list and delete ensembles
    #[command(subcommand)]
    Ensemble(ensemble::EnsembleCommand),
    /// Start, follow and steer gray releases
    #[command(subcommand)]
    Rollout(Box<rollout::RolloutCommand>),
    /// Start, compare and stop A/B tests
    #[command(subcommand)]
    Experiment(experiment::ExperimentCommand),
    /// Set which items are never recommended on a surface
    #[command(subcommand)]
    Deny(deny::DenyCommand),
    /// Set which kinds of requests rollouts and experiments are reported by
    #[command(subcommand)]
    Segments(segments::SegmentsCommand),
    /// Set which versions of a model are kept
    Retain(retain::RetainArgs),
    /// Forget users, prove that they are forgotten, and write the keys that records name users by
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// List, add and remove shard and router nodes
    Nodes(nodes::NodesArgs),
    /// List, add, remove and replace the voters of control
    Voters(voters::VotersArgs),
    /// Write everything that control keeps to a file
    Backup(backup::BackupArgs),
    /// Make a new control group of a backup, when a majority of its disks is lost for good
    Restore(restore::RestoreArgs),
    /// See who changed what, and check that the log of it is whole
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print the whole plan that routers and shards follow
    #[command(after_help = "Example:
  marquee ctl plan --json | jq .epoch")]
    Plan,
    /// Show voters, nodes and replicas, what is wrong, and what to do next; exits with 1 if something is wrong
    Status(status::StatusArgs),
    /// Show the traffic of surfaces: rates, latencies, items shown, clicks
    Traffic(traffic::TrafficArgs),
    /// Move raft leadership to another voter
    TransferLeadership(transfer_leadership::TransferArgs),
    /// Check whether a node serves; exits 0 if it does
    Health(health::HealthArgs),
    /// Show or change what nodes log, while they run
    Log(log::LogArgs),
}

/// Runs one command.
pub async fn run(args: CtlArgs) -> anyhow::Result<ExitCode> {
    let CtlArgs { endpoint, json, credentials, command } = args;
    let credentials = credentials.read(&endpoint)?;
    let client = ControlClient::new(&endpoint, &credentials)
        .telling(|found| eprintln!("note: {}", shown(found)));
    let mut context = Context { client, addresses: endpoint, credentials, json };
    match command {
        CtlCommand::Publish(args) => publish::run(&mut context, args).await,
        CtlCommand::Models(args) => models::run(&mut context, args).await,
        CtlCommand::Ensemble(command) => ensemble::run(&mut context, command).await,
        CtlCommand::Rollout(command) => rollout::run(&mut context, *command).await,
        CtlCommand::Experiment(command) => experiment::run(&mut context, command).await,
        CtlCommand::Deny(command) => deny::run(&mut context, command).await,
        CtlCommand::Segments(command) => segments::run(&mut context, command).await,
        CtlCommand::Retain(args) => retain::run(&mut context, args).await,
        CtlCommand::Users(command) => users::run(&mut context, command).await,
        CtlCommand::Nodes(args) => nodes::run(&mut context, args).await,
        CtlCommand::Voters(args) => voters::run(&mut context, args).await,
        CtlCommand::Backup(args) => backup::run(&mut context, args).await,
        CtlCommand::Restore(args) => restore::run(&context, &args),
        CtlCommand::Audit(command) => audit::run(&mut context, command).await,
        CtlCommand::Plan => plan::run(&mut context).await,
        CtlCommand::Status(args) => status::run(&context, args).await,
        CtlCommand::Traffic(args) => traffic::run(&mut context, args).await,
        CtlCommand::TransferLeadership(args) => transfer_leadership::run(&mut context, args).await,
        CtlCommand::Health(args) => health::run(&context, args).await,
        CtlCommand::Log(args) => log::run(&context, args).await,
    }
}
