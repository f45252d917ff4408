//! The driver: one loop that hears what happens, asks the lifecycle, and does what it says.
//!
//! It is a task of tokio's, for it never waits for a disk or a search: files are the loader's, and
//! a step of the lifecycle takes microseconds. It alone changes the table of replicas that answer.

use crate::lifecycle::{Action, BundleSource, Event, Lifecycle, Limits, ReplicaKey, Wanted};
use crate::loader::{Job, Loader, Outcome};
use crate::table::Table;
use arc_swap::ArcSwap;
use marquee_bundle::{BundleShard, Manifest};
use marquee_core::command::ReplicaReport;
use marquee_core::id::ModelVersion;
use marquee_core::plan::Plan;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// What can happen.
enum Happening {
    /// The plan changed.
    Plan,
    /// The loader has done something.
    Loader(Outcome),
    /// A wait of the lifecycle is over.
    Due,
    /// The node shuts down, or nobody sends plans or outcomes any more.
    Stop,
}

/// See the module.
pub(crate) struct Driver {
    node_id: String,
    plan: watch::Receiver<Arc<Plan>>,
    outcomes: mpsc::Receiver<Outcome>,
    stop: oneshot::Receiver<()>,
    reports: watch::Sender<Vec<ReplicaReport>>,
    table: Arc<ArcSwap<Table>>,
    loader: Loader,
    lifecycle: Lifecycle,
    /// What the lifecycle's times count from.
    began: Instant,
    /// As inspected, by version, with the digest that it was inspected for.
    manifests: BTreeMap<ModelVersion, (String, Arc<Manifest>)>,
    /// Loaded, whether it answers yet or not.
    loaded: BTreeMap<ReplicaKey, Arc<BundleShard>>,
}

impl Driver {
    pub(crate) fn new(
        node_id: String,
        limits: Limits,
        plan: watch::Receiver<Arc<Plan>>,
        (loader, outcomes): (Loader, mpsc::Receiver<Outcome>),
        stop: oneshot::Receiver<()>,
        reports: watch::Sender<Vec<ReplicaReport>>,
        table: Arc<ArcSwap<Table>>,
    ) -> Self {
        Self {
            node_id,
            plan,
            outcomes,
            stop,
            reports,
            table,
            loader,
            lifecycle: Lifecycle::new(limits),
            began: Instant::now(),
            manifests: BTreeMap::new(),
            loaded: BTreeMap::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        let wanted = self.wanted();
        self.step(Event::Planned(wanted));
        loop {
            let event = match self.next().await {
                Happening::Plan => Event::Planned(self.wanted()),
                Happening::Loader(outcome) => self.take(outcome),
                Happening::Due => Event::Tick,
                Happening::Stop => return,
            };
            self.step(event);
        }
    }

    async fn next(&mut self) -> Happening {
        let due = self.lifecycle.next_due_ms().map(|ms| self.began + Duration::from_millis(ms));
        let due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = &mut self.stop => Happening::Stop,
            outcome = self.outcomes.recv() => outcome.map_or(Happening::Stop, Happening::Loader),
            changed = self.plan.changed() => match changed {
                Ok(()) => Happening::Plan,
                Err(_) => Happening::Stop,
            },
            () = due => Happening::Due,
        }
    }

    /// What the plan wants here, and from where.
    fn wanted(&mut self) -> Wanted {
        let plan = self.plan.borrow_and_update();
        let source = |version: &ModelVersion| {
            let published = plan.versions.get(version)?;
            let (uri, digest) = (published.bundle_uri.clone(), published.manifest_digest.clone());
            Some(BundleSource { uri, digest })
        };
        let wanted = plan.wanted_on(&self.node_id).into_iter();
        wanted
            .filter_map(|(version, shard)| {
                let source = source(&version)?;
                Some((ReplicaKey::new(version, shard), source))
            })
            .collect()
    }

    /// Keeps what the loader made, and says what it means for the lifecycle.
    fn take(&mut self, outcome: Outcome) -> Event {
        match outcome {
            Outcome::Inspected { version, digest, outcome } => {
                let outcome = match outcome {
                    Ok(manifest) => {
                        let bytes = (0..manifest.shards).map(|shard| manifest.shard_bytes(shard));
                        let bytes = bytes.collect();
                        self.manifests.insert(version.clone(), (digest.clone(), manifest));
                        Ok(bytes)
                    }
                    Err(error) => {
                        tracing::warn!(%version, %error, "a bundle can't be used");
                        Err(error.to_string())
                    }
                };
                Event::Inspected { version, digest, outcome }
            }
            Outcome::Loaded { key, outcome } => {
                let outcome = match outcome {
                    Ok(shard) => {
                        self.loaded.insert(key.clone(), shard);
                        Ok(())
                    }
                    Err(error) => {
                        tracing::warn!(replica = %key, %error, "a shard can't be loaded");
                        Err(error.to_string())
                    }
                };
                Event::Loaded { key, outcome }
            }
            Outcome::Freed { key } => {
                tracing::info!(replica = %key, "unloaded");
                Event::Freed { key }
            }
        }
    }

    fn step(&mut self, event: Event) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        for action in self.lifecycle.step(event, now_ms) {
            self.act(action);
        }
        let replicas = self.lifecycle.reports();
        self.manifests.retain(|version, _| replicas.iter().any(|r| r.version == *version));
        self.reports.send_if_modified(|reports| {
            let changed = *reports != replicas;
            *reports = replicas;
            changed
        });
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Inspect { version, source } => {
                self.loader.submit(Job::Inspect { version, source });
            }
            Action::Load { key, source } => {
                let inspected = self.manifests.get(&key.version);
                let (digest, manifest) = inspected
                    .expect("the lifecycle loads what was inspected, for as long as it wants it");
                debug_assert_eq!(*digest, source.digest);
                let manifest = Arc::clone(manifest);
                self.loader.submit(Job::Load { key, source, manifest });
            }
            Action::Serve { key } => {
                let shard = self.loaded.get(&key).expect("the lifecycle serves what was loaded");
                let bytes = shard.bytes_mapped();
                self.table.store(Arc::new(self.table.load().with(key.clone(), Arc::clone(shard))));
                tracing::info!(replica = %key, bytes, "available");
            }
            Action::Unload { key } => {
                let shard =
                    self.loaded.remove(&key).expect("the lifecycle unloads what was loaded");
                self.table.store(Arc::new(self.table.load().without(&key)));
                tracing::info!(replica = %key, "unloading");
                self.loader.free(key, shard);
            }
        }
    }
}
