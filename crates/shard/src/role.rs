//! The shard role of a node, put together: start it, hand its service out, shut it down.

use crate::audit::LiveAudit;
use crate::config::{ShardConfig, ShardConfigError};
use crate::driver::Driver;
use crate::engine::table::ReplicaTable;
use crate::loader::{Loader, Origin, PrivateCopies, lower_priority};
use crate::pool::Pool;
use crate::service::ShardApi;
use crate::usage::OperationsSpent;
use arc_swap::ArcSwap;
use marquee_core::command::ReplicaReport;
use marquee_core::plan::Plan;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{oneshot, watch};

/// Why the role can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is out of bounds.
    #[error("shard config: {0}")]
    Config(#[from] ShardConfigError),
    /// The directory of private copies cannot be used.
    #[error("cannot use the directory of private copies: {0}; make it this node's own")]
    Copies(io::Error),
    /// The system gives no more threads.
    #[error(
        "cannot start a thread of the shard role: {0}; raise the limit of threads, or ask for fewer"
    )]
    Thread(#[from] io::Error),
}

/// The shard role of a node. Dropping it without [`Shard::shutdown`] stops everything too, but
/// waits for nothing.
pub struct Shard {
    api: Arc<ShardApi>,
    reports: watch::Receiver<Vec<ReplicaReport>>,
    stop: Option<oneshot::Sender<()>>,
    driver: tokio::task::JoinHandle<()>,
    searchers: Vec<JoinHandle<()>>,
}

impl Shard {
    /// Starts the role on a node: from now on it loads and unloads what `plan` wants of `node_id`.
    /// To be called within a tokio runtime.
    pub fn start(
        config: ShardConfig,
        plan: watch::Receiver<Arc<Plan>>,
        node_id: String,
    ) -> Result<Self, StartError> {
        config.validate()?;
        let table = Arc::new(ArcSwap::from_pointee(ReplicaTable::default()));
        let (pool, mut searchers) = Pool::start(config.threads(), config.max_queued_queries)?;
        let spent = Arc::<OperationsSpent>::default();
        let (audit, auditor) = LiveAudit::start(Arc::clone(&spent), lower_priority)?;
        searchers.push(auditor);
        // The loading threads aren't kept: they may be in the middle of a large file, and shutting down
        // does not wait for that.
        let copies = config.copies.as_ref();
        let opened = copies.map(|it| PrivateCopies::open(&it.directory, it.budget_bytes));
        let origin = Origin {
            trusted: config.trusted_keys.clone(),
            roots: config.bundle_roots.clone(),
            copies: opened.transpose().map_err(StartError::Copies)?,
        };
        let (loader, outcomes, _) = Loader::start(config.loader_threads, origin)?;
        let (stop, stopped) = oneshot::channel();
        let (report, reports) = watch::channel(Vec::new());
        let driver = tokio::spawn(
            Driver::new(
                node_id,
                config.limits(),
                plan,
                (loader, outcomes),
                stopped,
                report,
                Arc::clone(&table),
            )
            .run(),
        );
        let api = Arc::new(ShardApi { table, pool, spent, audit });
        Ok(Self { api, reports, stop: Some(stop), driver, searchers })
    }

    /// The service, for a gRPC server ([`ShardApi::server`]) or a router in this process.
    pub fn service(&self) -> Arc<ShardApi> {
        Arc::clone(&self.api)
    }

    /// All replicas of the node as control should know them; changes when one of them does.
    pub fn reports(&self) -> watch::Receiver<Vec<ReplicaReport>> {
        self.reports.clone()
    }

    /// Loads and unloads nothing more, answers what was admitted, and refuses the rest with UNAVAILABLE.
    pub async fn shutdown(mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have stopped by itself, when the sender of plans went away.
            let _ = stop.send(());
        }
        let _ = (&mut self.driver).await;
        self.api.pool.close();
        self.api.audit.close();
        let searchers = std::mem::take(&mut self.searchers);
        let joined = tokio::task::spawn_blocking(move || {
            for searcher in searchers {
                // Panics of searches are caught and logged where they happen.
                let _ = searcher.join();
            }
        });
        let _ = joined.await;
    }
}
