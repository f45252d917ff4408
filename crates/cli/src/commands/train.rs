//! `marquee train`: interactions in, a bundle out.

use crate::clock::now_ms;
use crate::output;
use clap::Args;
use marquee_train::TrainArgs;
use std::process::ExitCode;

/// `marquee train …`
#[derive(Args, Debug)]
pub struct TrainCommand {
    #[command(flatten)]
    args: TrainArgs,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Trains a model, writes its bundle and prints how good it is.
pub fn run(command: &TrainCommand) -> anyhow::Result<ExitCode> {
    let summary = marquee_train::train(&command.args, now_ms())?;
    if command.json {
        output::json(&summary)?;
    } else {
        output::line(summary.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
