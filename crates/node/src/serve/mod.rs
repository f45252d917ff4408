//! `marquee serve`: a node, from its arguments to its end.
//!
//! [`Node`] joins the roles of a [`Config`] and serves them; [`standalone`] makes the config of a
//! cluster of one. Sockets are opened first, so that a port in use is found before anything was
//! started. [`Readiness`] keeps gRPC health true; `admission` bounds what one address takes and
//! tells when the last request has ended.

mod admission;
mod health;
mod node;
mod server;
pub mod standalone;
mod usage;

pub use health::Readiness;
pub use node::{Listeners, Node, loopback_address, open_listeners};
pub use server::{ServerError, bind, until_told_to_end};
pub(crate) use usage::IO_THREADS;

use crate::cli;
use crate::config::{Config, DEFAULT_LISTEN, LogSection};
use anyhow::Context as _;
use clap::Args;
use marquee_bundle::{TrustedKeys, read_manifest};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// `marquee serve …`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee serve --standalone --bundle bundles/films-v1
  marquee serve --standalone --bundle bundles/films-v1 --listen 127.0.0.1:6000 --data-dir /var/lib/marquee
  marquee serve --config cluster/router-1.toml

The files in cluster/ show every kind of config. SIGTERM and Ctrl-C let requests under way end.")]
pub struct ServeArgs {
    /// The node's config file
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "standalone",
        conflicts_with = "standalone"
    )]
    config: Option<PathBuf>,
    /// Play all roles in this process, without a config file
    #[arg(long, required_unless_present = "config")]
    standalone: bool,
    /// Publish this bundle and make it live on the surface \"default\"
    #[arg(long, value_name = "DIR", requires = "standalone")]
    bundle: Option<PathBuf>,
    /// Where to answer all services; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value_t = DEFAULT_LISTEN, conflicts_with = "config")]
    listen: SocketAddr,
    /// Keep the cluster's state here, so that it outlives the process; without it, it doesn't
    #[arg(long, value_name = "DIR", requires = "standalone")]
    data_dir: Option<PathBuf>,
}

/// Serves until told to end.
pub fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.as_deref().map(Config::read).transpose()?;
    crate::log::start(
        &config.as_ref().map_or_else(LogSection::default, |config| config.log.clone()),
    );
    let io_threads = config.as_ref().map_or(0, |config| config.io_threads);
    let runtime = cli::runtime(match io_threads {
        0 => cli::server_threads(),
        threads => threads,
    })?;
    runtime.block_on(async {
        let end = until_told_to_end()?;
        tokio::pin!(end);
        let started = tokio::select! {
            started = start(args, config) => started?,
            () = &mut end => return Ok(ExitCode::SUCCESS),
        };
        started.serve_until(end).await?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn start(args: ServeArgs, config: Option<Config>) -> anyhow::Result<Node> {
    let began = Instant::now();
    if let Some(config) = config {
        let listeners = open_listeners(&config, "the `listen` keys of its config").await?;
        return Node::start(&config, listeners).await;
    }
    if let Some(bundle) = &args.bundle {
        // Before anything is started: most mistakes show here already.
        read_manifest(bundle, &TrustedKeys::none()).with_context(|| {
            format!("cannot serve {}; `marquee train` makes bundles", bundle.display())
        })?;
    }
    let (data_dir, scratch) = match args.data_dir {
        Some(data_dir) => (data_dir, None),
        None => {
            let scratch = tempfile::Builder::new().prefix("marquee-").tempdir()?;
            (scratch.path().to_owned(), Some(scratch))
        }
    };
    let mut node = standalone::start(args.listen, &data_dir).await?;
    node.scratch = scratch;
    if let Some(bundle) = &args.bundle {
        if let Err(error) = standalone::publish_and_go_live(&node, bundle).await {
            node.shutdown().await;
            return Err(error);
        }
        tracing::info!(at = %node.listens_at(), took = ?began.elapsed(), "ready");
    }
    Ok(node)
}
