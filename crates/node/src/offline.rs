//! `marquee train`, `marquee import` and `marquee split`: what needs no cluster.

use crate::cli::output;
use clap::Args;
use marquee_train::split::write_split;
use marquee_train::{ImportArgs, SplitArgs, TrainArgs};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// `marquee train …`
#[derive(Args, Debug)]
pub struct TrainCommand {
    #[command(flatten)]
    args: TrainArgs,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// `marquee import …`
#[derive(Args, Debug)]
pub struct ImportCommand {
    #[command(flatten)]
    args: ImportArgs,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// `marquee split …`
#[derive(Args, Debug)]
pub struct SplitCommand {
    #[command(flatten)]
    args: SplitArgs,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Trains a model and prints how good it is.
pub fn train(command: TrainCommand) -> anyhow::Result<ExitCode> {
    let summary = marquee_train::train(&command.args, now_ms())?;
    match command.json {
        true => output::json(&summary)?,
        false => output::line(summary.to_string())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Imports factors and prints what became of them.
pub fn import(command: ImportCommand) -> anyhow::Result<ExitCode> {
    let summary = marquee_train::import(&command.args, now_ms())?;
    match command.json {
        true => output::json(&summary)?,
        false => output::line(summary.to_string())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Splits interactions into files and prints what they hold.
pub fn split(command: SplitCommand) -> anyhow::Result<ExitCode> {
    let summary = write_split(&command.args)?;
    match command.json {
        true => output::json(&summary)?,
        false => output::line(summary.to_string().trim_end())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    // A clock before 1970 is wrong anyway.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
