//! `marquee split`: interactions cut into files to train and to evaluate on.

use crate::output;
use clap::Args;
use marquee_train::SplitArgs;
use marquee_train::split::write_split;
use std::process::ExitCode;

/// `marquee split …`
#[derive(Args, Debug)]
pub struct SplitCommand {
    #[command(flatten)]
    args: SplitArgs,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Splits interactions into files and prints what they hold.
pub fn run(command: &SplitCommand) -> anyhow::Result<ExitCode> {
    let summary = write_split(&command.args)?;
    if command.json {
        output::json(&summary)?;
    } else {
        output::line(summary.to_string().trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
