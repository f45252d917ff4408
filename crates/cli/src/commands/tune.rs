//! `marquee tune`: a search for good settings of a model.

use crate::output;
use clap::Args;
use marquee_train::tune::{TuneArgs, tune};
use std::process::ExitCode;

/// `marquee tune …`
#[derive(Args, Debug)]
pub struct TuneCommand {
    #[command(flatten)]
    args: TuneArgs,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Searches settings and prints the best that were found.
pub fn run(command: &TuneCommand) -> anyhow::Result<ExitCode> {
    let report = tune(&command.args)?;
    if command.json {
        output::json(&report)?;
    } else {
        output::line(report.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
