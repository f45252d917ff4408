//! `marquee train`, `marquee tune`, `marquee import`, `marquee split` and `marquee topics`: what needs no
//! cluster.

use crate::cli::output;
use clap::Args;
use marquee_train::split::write_split;
use marquee_train::tune::TuneArgs;
use marquee_train::{ImportArgs, SplitArgs, TopicsArgs, TrainArgs};
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

/// `marquee tune …`
#[derive(Args, Debug)]
pub struct TuneCommand {
    #[command(flatten)]
    args: TuneArgs,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// `marquee topics …`
#[derive(Args, Debug)]
pub struct TopicsCommand {
    #[command(flatten)]
    args: TopicsArgs,
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

/// Searches settings and prints what was found.
pub fn tune(command: &TuneCommand) -> anyhow::Result<ExitCode> {
    let report = marquee_train::tune::tune(&command.args)?;
    match command.json {
        true => output::json(&report)?,
        false => output::line(report.to_string())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists the topics of a bundle.
pub fn topics(command: &TopicsCommand) -> anyhow::Result<ExitCode> {
    let topics = marquee_train::topics(&command.args)?;
    match command.json {
        true => output::json(&topics)?,
        false => output::line(topics.to_string())?,
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
