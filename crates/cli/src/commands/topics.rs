//! `marquee topics`: the topics of a bundle's items.

use crate::output;
use clap::Args;
use marquee_train::TopicsArgs;
use std::process::ExitCode;

/// `marquee topics …`
#[derive(Args, Debug)]
pub struct TopicsCommand {
    #[command(flatten)]
    args: TopicsArgs,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Prints the topics of a bundle.
pub fn run(command: &TopicsCommand) -> anyhow::Result<ExitCode> {
    let topics = marquee_train::topics(&command.args)?;
    if command.json {
        output::json(&topics)?;
    } else {
        output::line(topics.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
