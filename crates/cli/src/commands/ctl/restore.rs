//! `marquee ctl restore`: a new control group, made of a backup.

use super::context::Context;
use crate::output;
use anyhow::Context as _;
use clap::Args;
use marquee_node::backup::restore_control;
use marquee_node::config::Config;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee ctl restore --backup control.backup --config control-1.toml

Only where a majority of control's disks is lost for good: what was changed after the backup is gone. Stop all control
nodes and move their data directories away. Run this on one of them, with its config; then start it and the others, with
empty data directories. They take the state from it and vote once they have it.")]
pub(super) struct RestoreArgs {
    /// The file that `marquee ctl backup` wrote
    #[arg(long, value_name = "FILE")]
    backup: PathBuf,
    /// The config of the control node on whose disk it is restored
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Makes the data directory of one control node.
pub(super) fn run(context: &Context, args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    // It opens no address, so it need not be said that an open one is meant.
    let config = Config::read(&args.config, true)?;
    let bytes = fs_err::read(&args.backup).context("--backup")?;
    let epoch = restore_control(&config, &bytes)?;
    if context.json {
        output::json(&serde_json::json!({ "epoch": epoch }))?;
    } else {
        output::line(format!(
            "restored, as the plan of epoch {epoch}: start this control node, then the others with empty data directories"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
