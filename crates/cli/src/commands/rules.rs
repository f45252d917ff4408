//! `marquee rules list`: which items go together.

use crate::output;
use clap::{Args, Subcommand};
use marquee_train::{RulesArgs, rules};
use std::process::ExitCode;

/// `marquee rules …`
#[derive(Args, Debug)]
pub struct RulesCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List association rules of a file of interactions; trains nothing
    #[command(after_help = "Examples:
  marquee rules list --interactions ratings.csv --items movies.csv --positive-at 4
  marquee rules list --interactions baskets.csv --min-support 50 --min-confidence 0.3 --by confidence --top 100 --json")]
    List(Box<ListCommand>),
}

#[derive(Args, Debug)]
struct ListCommand {
    #[command(flatten)]
    args: RulesArgs,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Lists the association rules of a file of interactions.
pub fn run(command: &RulesCommand) -> anyhow::Result<ExitCode> {
    let Command::List(list) = &command.command;
    let found = rules(&list.args)?;
    if list.json {
        output::json(&found)?;
    } else {
        output::line(found.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
