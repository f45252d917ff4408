//! `marquee ctl status`: voters, nodes, surfaces, what is wrong, and what to do next.
//!
//! [`mod@gather`] asks all control nodes at once, those that were named and those that they name, and makes facts of what they
//! say; where none answers, a shard or router node says what it knows. Core makes a diagnosis of the facts, and [`mod@show`]
//! prints both, as tables or as JSON. No node that is frozen or gone keeps the others from being shown.

mod gather;
mod show;

use super::context::Context;
use clap::Args;
use gather::{Gathered, gather};
use marquee_core::trouble::diagnose;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Pause between two looks at a cluster in which something is wrong.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee ctl --endpoint http://127.0.0.1:7101 status
  marquee ctl status --wait --timeout 120 && echo all is well
  marquee ctl status --json | jq '.troubles[].what'

Any node can be named with --endpoint: control nodes name each other, and a shard or router node shows what it knows
when no control node answers. Exits with 0 if nothing is wrong, and else with 1.")]
pub(super) struct StatusArgs {
    /// Wait until nothing is wrong
    #[arg(long)]
    wait: bool,
    /// Seconds to wait at most, 1 to 3600
    #[arg(
        long,
        default_value_t = 60,
        requires = "wait",
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=3_600)
    )]
    timeout: u64,
}

/// Prints the state of the cluster.
pub(super) async fn run(context: &Context, args: StatusArgs) -> anyhow::Result<ExitCode> {
    let StatusArgs { wait, timeout } = args;
    let until = Instant::now() + Duration::from_secs(timeout);
    loop {
        let gathered = gather(&context.addresses, &context.credentials).await;
        let is_well = gathered.as_ref().is_ok_and(|gathered| diagnose(&gathered.facts).is_empty());
        if wait && !is_well && Instant::now() + LOOK_EVERY < until {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        let gathered: Gathered = gathered?;
        let found = diagnose(&gathered.facts);
        show::print(&gathered, &found, context.json)?;
        return Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
}
