//! `marquee serve`: a node, from its arguments to its end.

use crate::output::stderr_has_colours;
use crate::runtime::{runtime, server_threads};
use anyhow::Context as _;
use clap::Args;
use marquee_bundle::{TrustedKeys, read_manifest};
use marquee_node::config::{Config, DEFAULT_LISTEN, LogSection, MetricsListen, MetricsSection};
use marquee_node::log;
use marquee_node::serve::{RunningNode, open_listeners, standalone, until_told_to_end};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tempfile::TempDir;

/// `marquee serve …`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee serve --standalone --bundle bundles/films-v1
  marquee serve --standalone --bundle bundles/films-v1 --listen 127.0.0.1:6000 --data-dir /var/lib/marquee
  marquee serve --config cluster/router-1.toml

The files in cluster/ show every kind of config. After SIGTERM or Ctrl-C the requests under way are still answered.
Bundles are served from a private copy in the data directory: as much disk again, unless the file system shares
blocks between files (`bundles.private_copies` of a config turns it off).")]
pub struct ServeArgs {
    /// The node's config file
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "standalone",
        conflicts_with = "standalone"
    )]
    config: Option<PathBuf>,
    /// Run all roles in this process, without a config file
    #[arg(long, required_unless_present = "config")]
    standalone: bool,
    /// Publish this bundle and make it live on the surface \"default\"
    #[arg(long, value_name = "DIR", requires = "standalone")]
    bundle: Option<PathBuf>,
    /// The address of all services; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value_t = DEFAULT_LISTEN, conflicts_with = "config")]
    listen: SocketAddr,
    /// The directory of the cluster's state; without it, the state is lost when the process ends
    #[arg(long, value_name = "DIR", requires = "standalone")]
    data_dir: Option<PathBuf>,
    /// Let all who reach this node do all things, on any address: for networks that are closed in another way
    #[arg(long)]
    insecure: bool,
    /// Where Prometheus finds this node's metrics, or \"off\" [default: on loopback, at 20,000 and the last four digits of
    /// the port]
    #[arg(long, value_name = "IP:PORT")]
    metrics_listen: Option<MetricsListen>,
}

/// Runs a node until a signal ends it.
pub fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let mut config =
        args.config.as_deref().map(|path| Config::read(path, args.insecure)).transpose()?;
    if let (Some(config), Some(listen)) = (&mut config, args.metrics_listen) {
        config.metrics_listen = listen;
    }
    let log_section = config.as_ref().map_or_else(LogSection::default, |config| config.log.clone());
    log::start(&log_section, stderr_has_colours());
    let io_threads = match &config {
        Some(config) if config.io_threads > 0 => config.io_threads,
        _ => server_threads(),
    };
    runtime(io_threads)?.block_on(async {
        let end = until_told_to_end()?;
        tokio::pin!(end);
        // A data directory of this run only; it is deleted after the node has ended.
        let temporary = temporary_data_dir(args)?;
        let started = tokio::select! {
            started = start(args, config, temporary.as_ref().map(TempDir::path)) => started?,
            () = &mut end => return Ok(ExitCode::SUCCESS),
        };
        started.serve_until(end).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// The data directory of a standalone node that was not given one.
fn temporary_data_dir(args: &ServeArgs) -> std::io::Result<Option<TempDir>> {
    if args.standalone && args.data_dir.is_none() {
        return tempfile::Builder::new().prefix("marquee-").tempdir().map(Some);
    }
    Ok(None)
}

/// Starts the node: by its config, or all roles in this process with their state in `--data-dir` or else in
/// `temporary`.
async fn start(
    args: &ServeArgs,
    config: Option<Config>,
    temporary: Option<&Path>,
) -> anyhow::Result<RunningNode> {
    let began = Instant::now();
    if let Some(config) = config {
        let listeners = open_listeners(&config, "the `listen` keys of its config").await?;
        return RunningNode::start(&config, listeners).await;
    }
    if let Some(bundle) = &args.bundle {
        // Before anything is started: most mistakes show here already.
        read_manifest(bundle, &TrustedKeys::none()).with_context(|| {
            format!("cannot serve {}; `marquee train` makes bundles", bundle.display())
        })?;
    }
    let data_dir = args.data_dir.as_deref().or(temporary).context("no data directory was given")?;
    let metrics = MetricsSection { listen: args.metrics_listen.map(|listen| listen.to_string()) };
    let (bundle, insecure) = (args.bundle.as_deref(), args.insecure);
    let node = standalone::start_for(args.listen, data_dir, bundle, insecure, metrics).await?;
    if let Some(bundle) = &args.bundle {
        if let Err(error) = standalone::publish_and_go_live(&node, bundle).await {
            node.shutdown().await;
            return Err(error);
        }
        tracing::info!(at = %node.listens_at(), took = ?began.elapsed(), "ready");
    }
    Ok(node)
}
