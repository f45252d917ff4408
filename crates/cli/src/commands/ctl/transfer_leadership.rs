//! `marquee ctl transfer-leadership`: another leader of the raft group.

use super::context::Context;
use crate::message;
use crate::output;
use clap::Args;
use marquee_proto::control::v1::TransferLeadershipRequest;
use std::process::ExitCode;

#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee ctl transfer-leadership 2")]
pub(super) struct TransferArgs {
    /// The raft id of the voter that becomes the leader; `marquee ctl status` lists them
    voter: u64,
}

/// Moves leadership to a voter and prints who leads.
pub(super) async fn run(context: &mut Context, args: TransferArgs) -> anyhow::Result<ExitCode> {
    let request = TransferLeadershipRequest { voter: args.voter };
    let answer = context
        .client
        .call(
            request,
            |mut control, request| async move { control.transfer_leadership(request).await },
        )
        .await?;
    if context.json {
        output::json(&message::to_json("marquee.control.v1.TransferLeadershipResponse", &answer))?;
    } else {
        output::line(format!("voter {} leads", answer.leader))?;
    }
    Ok(ExitCode::SUCCESS)
}
