//! `marquee import`: a bundle of factors that were trained elsewhere.

use crate::clock::now_ms;
use crate::output;
use clap::Args;
use marquee_train::ImportArgs;
use std::process::ExitCode;

/// `marquee import …`
#[derive(Args, Debug)]
pub struct ImportCommand {
    #[command(flatten)]
    args: ImportArgs,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Writes a bundle of foreign factors and prints what it holds.
pub fn run(command: &ImportCommand) -> anyhow::Result<ExitCode> {
    let summary = marquee_train::import(&command.args, now_ms())?;
    if command.json {
        output::json(&summary)?;
    } else {
        output::line(summary.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
