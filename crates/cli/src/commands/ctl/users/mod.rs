//! `marquee ctl users`: users who are forgotten, and the keys that records name users by.

mod bytes_of_id;
mod forget;
mod keys;
mod user_id;
mod user_privacy;
mod verify;
mod versions;

use super::context::Context;
use clap::Subcommand;
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(super) enum UsersCommand {
    /// Forget a user: in answers within seconds, in the logs of routers soon after, in the next trainings
    Forget(forget::ForgetArgs),
    /// Prove that a user is forgotten; exits 0 if so
    Verify(verify::VerifyArgs),
    /// Write the keys that records name users by, and the list of forgotten users, to a file for trainings and evaluations
    Keys(keys::KeysArgs),
}

pub(super) async fn run(context: &mut Context, command: UsersCommand) -> anyhow::Result<ExitCode> {
    match command {
        UsersCommand::Forget(args) => forget::run(context, args).await,
        UsersCommand::Verify(args) => verify::run(context, args).await,
        UsersCommand::Keys(args) => keys::run(context, args).await,
    }
}
