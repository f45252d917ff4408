//! `marquee ctl voters`: the control nodes that vote, and those on the way to it.

use super::context::Context;
use crate::message;
use crate::output;
use clap::{Args, Subcommand};
use marquee_client::Address;
use marquee_proto::control::v1::{
    AddVoterRequest, ListVotersRequest, RemoveVoterRequest, ReplaceVoterRequest, Voter, VoterState,
};
use std::process::ExitCode;

#[derive(Args, Debug)]
pub(super) struct VotersArgs {
    #[command(subcommand)]
    command: Option<VotersCommand>,
}

#[derive(Subcommand, Debug)]
enum VotersCommand {
    /// List the voters, their disks and what is wrong with them (what `voters` alone does)
    #[command(after_help = "Example:
  marquee ctl voters list")]
    List,
    /// Add a voter: it votes once it has caught up
    #[command(after_help = "Example:
  marquee ctl voters add 4 --address http://10.0.0.9:50061

Then start its process with an empty data directory, control.id = 4 and control.join = true. An even number of voters is
no safer than one less: add two, or use `voters replace`.")]
    Add {
        /// The new voter's raft id, none of those that `voters list` shows
        id: u64,
        /// Where the other voters reach it
        #[arg(long, value_name = "URL")]
        address: Address,
        /// Its node.id, which its certificate must have
        #[arg(long, value_name = "ID")]
        node: Option<String>,
    },
    /// Remove a voter, if the others that run are a majority
    #[command(after_help = "Example:
  marquee ctl voters remove 4")]
    Remove {
        /// The voter's raft id
        id: u64,
    },
    /// Replace a voter whose disk is lost, or put another voter in its place
    #[command(after_help = "Examples:
  marquee ctl voters replace 3
  marquee ctl voters replace 3 --with 4 --address http://10.0.0.9:50061

The first lets voter 3 come back with an empty data directory; start it before or after. The second has voter 4, started
with control.join = true, take its place in one step once it has caught up.")]
    Replace {
        /// The raft id of the voter that is replaced
        id: u64,
        /// The raft id of the voter that takes its place
        #[arg(long, value_name = "NEW_ID", requires = "address")]
        with: Option<u64>,
        /// Where the voter that comes is reached, if it is another address
        #[arg(long, value_name = "URL")]
        address: Option<Address>,
        /// The node.id of the voter that comes, which its certificate must have, if it is another one
        #[arg(long, value_name = "ID")]
        node: Option<String>,
    },
}

pub(super) async fn run(context: &mut Context, args: VotersArgs) -> anyhow::Result<ExitCode> {
    let text = |address: Option<Address>| address.map(|it| it.to_string()).unwrap_or_default();
    match args.command.unwrap_or(VotersCommand::List) {
        VotersCommand::List => list(context).await,
        VotersCommand::Add { id, address, node } => {
            let node_id = node.unwrap_or_default();
            let request = AddVoterRequest { id, address: address.to_string(), node_id };
            let added = context
                .client
                .call(
                    request,
                    |mut control, request| async move { control.add_voter(request).await },
                )
                .await?;
            if context.json {
                output::json(&message::to_json("marquee.control.v1.AddVoterResponse", &added))?;
            } else {
                output::line(table(&added.voters, 0))?;
                output::line(format!(
                    "voter {id} is expected: start it with an empty data directory and control.join = true"
                ))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        VotersCommand::Remove { id } => {
            let request = RemoveVoterRequest { id };
            let removed = context
                .client
                .call(
                    request,
                    |mut control, request| async move { control.remove_voter(request).await },
                )
                .await?;
            if context.json {
                output::json(&message::to_json(
                    "marquee.control.v1.RemoveVoterResponse",
                    &removed,
                ))?;
            } else {
                output::line(table(&removed.voters, 0))?;
                output::line(format!("voter {id} is removed: stop its process"))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        VotersCommand::Replace { id, with, address, node } => {
            let with_id = with.unwrap_or(0);
            let request = ReplaceVoterRequest {
                id,
                with: with_id,
                address: text(address),
                node_id: node.unwrap_or_default(),
            };
            let replaced = context
                .client
                .call(request, |mut control, request| async move {
                    control.replace_voter(request).await
                })
                .await?;
            if context.json {
                output::json(&message::to_json(
                    "marquee.control.v1.ReplaceVoterResponse",
                    &replaced,
                ))?;
            } else {
                output::line(table(&replaced.voters, 0))?;
                let comes = if with_id == 0 { id } else { with_id };
                output::line(format!(
                    "voter {comes} is expected with an empty data directory: it votes when `marquee ctl voters list` shows VOTER"
                ))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(context: &mut Context) -> anyhow::Result<ExitCode> {
    let listed = context
        .client
        .call(ListVotersRequest {}, |mut control, request| async move {
            control.list_voters(request).await
        })
        .await?;
    if context.json {
        output::json(&message::to_json("marquee.control.v1.ListVotersResponse", &listed))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(table(&listed.voters, listed.leader))?;
    for voter in listed.voters.iter().filter(|voter| !voter.trouble.is_empty()) {
        output::line(trouble(voter))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is wrong with a voter, in one line.
fn trouble(voter: &Voter) -> String {
    format!("! voter {}: {}", voter.id, output::shown(&voter.trouble))
}

fn table(voters: &[Voter], leader: u64) -> String {
    let mut rows = output::table(&["VOTER", "ADDRESS", "STATE", "DISK"]);
    for voter in voters {
        let state = match voter.state() {
            VoterState::Unspecified => "-",
            VoterState::Joining => "JOINING",
            VoterState::Learner => "LEARNER",
            VoterState::Voter => "VOTER",
            VoterState::Leaving => "LEAVING",
        };
        let leads = if voter.id == leader && leader != 0 { ", leads" } else { "" };
        let disk = if voter.disk.is_empty() { "-" } else { &voter.disk };
        rows.add_row([
            voter.id.to_string(),
            voter.address.clone(),
            format!("{state}{leads}"),
            disk.to_owned(),
        ]);
    }
    output::lines_of(&rows)
}
