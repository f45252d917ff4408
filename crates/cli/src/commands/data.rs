//! `marquee data check`: what data files hold, before anything is trained on them.

use crate::output;
use clap::{Args, Subcommand};
use marquee_train::{DataCheckArgs, check_data};
use std::process::ExitCode;

/// `marquee data …`
#[derive(Args, Debug)]
pub struct DataCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Say what files of interactions, items and users hold; trains nothing
    #[command(after_help = "Examples:
  marquee data check ratings.csv --items movies.csv
  marquee data check plays.jsonl.gz --json
  zcat plays.csv.gz | marquee data check - --user-column 1 --item-column 2

Bad rows are counted and skipped. The exit status is 0 whenever there is a good row.")]
    Check(Box<CheckCommand>),
}

#[derive(Args, Debug)]
struct CheckCommand {
    #[command(flatten)]
    args: DataCheckArgs,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Looks at data files.
pub fn run(command: &DataCommand) -> anyhow::Result<ExitCode> {
    let Command::Check(check) = &command.command;
    let report = check_data(&check.args)?;
    if check.json {
        output::json(&report)?;
    } else {
        output::line(report.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
