//! The driver: one loop that takes what happens to the lifecycle, and carries out what it decides.
//!
//! It is a task of tokio's, because it never waits for a disk or a search: files are the loader's, and
//! a step of the lifecycle takes microseconds. Nothing else changes the table of replicas that answer.

use crate::engine::table::ReplicaTable;
use crate::lifecycle::{
    Lifecycle, LifecycleAction, LifecycleEvent, ReplicaLimits, WantedReplicas, wanted_replicas,
};
use crate::loader::{Held, LoadJob, LoadOutcome, LoadedShard, Loader};
use crate::replica_key::ReplicaKey;
use arc_swap::ArcSwap;
use marquee_bundle::{BundleShard, Manifest};
use marquee_core::command::ReplicaReport;
use marquee_core::id::ModelVersion;
use marquee_core::plan::{Plan, ReplicaState};
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// How often to look whether a mapped file has turned out to be unreadable. Its answers are refused at once.
const LOOK_FOR_FAULTS: Duration = Duration::from_millis(250);

/// What the driver waits for.
enum DriverInput {
    /// The plan changed.
    Plan,
    /// The loader has done something.
    Loader(LoadOutcome),
    /// A wait of the lifecycle is over.
    Due,
    /// Mapped files have turned out to be unreadable.
    Faults,
    /// The node shuts down, or no more plans or outcomes can come.
    Stop,
}

/// The driver and what it moves.
pub(crate) struct Driver {
    node_id: String,
    plan: watch::Receiver<Arc<Plan>>,
    outcomes: mpsc::Receiver<LoadOutcome>,
    stop: oneshot::Receiver<()>,
    reports: watch::Sender<Vec<ReplicaReport>>,
    table: Arc<ArcSwap<ReplicaTable>>,
    loader: Loader,
    lifecycle: Lifecycle,
    /// When the lifecycle's time was 0.
    began: Instant,
    /// The manifests that were inspected, by version, each with the digest that it was inspected for.
    manifests: BTreeMap<ModelVersion, (String, Arc<Manifest>)>,
    /// The shards that are loaded, whether they answer yet or not.
    loaded: BTreeMap<ReplicaKey, Arc<BundleShard>>,
    /// The private copies that they are mapped from. They stay in use when the driver ends: what is still to be removed
    /// then must not find them unused, since the next start wants them.
    held: BTreeMap<ReplicaKey, ManuallyDrop<Held>>,
    /// Whether the copies that an earlier start has left and nothing wants are still to be removed.
    has_leftovers: bool,
    /// How many mapped files were known to be unreadable when the shards were last looked through.
    faults_seen: u64,
}

/// Waits until more mapped files have turned out to be unreadable. The handler of the signal can wake nothing.
async fn until_faults(seen: u64) {
    while marquee_bundle::faults() == seen {
        tokio::time::sleep(LOOK_FOR_FAULTS).await;
    }
}

impl Driver {
    pub(crate) fn new(
        node_id: String,
        limits: ReplicaLimits,
        plan: watch::Receiver<Arc<Plan>>,
        (loader, outcomes): (Loader, mpsc::Receiver<LoadOutcome>),
        stop: oneshot::Receiver<()>,
        reports: watch::Sender<Vec<ReplicaReport>>,
        table: Arc<ArcSwap<ReplicaTable>>,
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
            held: BTreeMap::new(),
            has_leftovers: true,
            faults_seen: 0,
        }
    }

    pub(crate) async fn run(mut self) {
        let wanted = self.wanted();
        self.step(LifecycleEvent::Planned(wanted));
        loop {
            let event = match self.next().await {
                DriverInput::Plan => LifecycleEvent::Planned(self.wanted()),
                DriverInput::Loader(outcome) => self.keep(outcome),
                DriverInput::Due => LifecycleEvent::Tick,
                DriverInput::Faults => {
                    self.drop_failed();
                    continue;
                }
                DriverInput::Stop => return,
            };
            self.step(event);
        }
    }

    async fn next(&mut self) -> DriverInput {
        let due_ms = self.lifecycle.next_due_ms();
        let began = self.began;
        let until_due = async {
            match due_ms {
                Some(ms) => {
                    tokio::time::sleep_until((began + Duration::from_millis(ms)).into()).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = &mut self.stop => DriverInput::Stop,
            outcome = self.outcomes.recv() => outcome.map_or(DriverInput::Stop, DriverInput::Loader),
            changed = self.plan.changed() => match changed {
                Ok(()) => DriverInput::Plan,
                Err(_) => DriverInput::Stop,
            },
            () = until_due => DriverInput::Due,
            () = until_faults(self.faults_seen) => DriverInput::Faults,
        }
    }

    /// Unloads the shards whose files have turned out to be unreadable.
    fn drop_failed(&mut self) {
        self.faults_seen = marquee_bundle::faults();
        let failed: Vec<ReplicaKey> = self
            .loaded
            .iter()
            .filter(|(_, shard)| shard.has_failed())
            .map(|(key, _)| key.clone())
            .collect();
        for key in failed {
            tracing::error!(replica = %key, "a file of a shard cannot be read any more: loading it again");
            self.step(LifecycleEvent::Failed { key });
        }
    }

    /// The replicas that the plan wants here.
    fn wanted(&mut self) -> WantedReplicas {
        wanted_replicas(&self.plan.borrow_and_update(), &self.node_id)
    }

    /// Keeps what the loader made, and returns what it means for the lifecycle.
    fn keep(&mut self, outcome: LoadOutcome) -> LifecycleEvent {
        match outcome {
            LoadOutcome::Inspected { version, digest, result: Ok(manifest) } => {
                let shard_bytes =
                    (0..manifest.shards).map(|shard| manifest.shard_bytes(shard)).collect();
                self.manifests.insert(version.clone(), (digest.clone(), manifest));
                LifecycleEvent::Inspected { version, digest, outcome: Ok(shard_bytes) }
            }
            LoadOutcome::Inspected { version, digest, result: Err(error) } => {
                tracing::warn!(%version, %error, "a bundle can't be used");
                LifecycleEvent::Inspected { version, digest, outcome: Err(error.to_string()) }
            }
            LoadOutcome::Loaded { key, result: Ok(loaded) } => {
                let LoadedShard { shard, held } = *loaded;
                self.loaded.insert(key.clone(), Arc::new(shard));
                if let Some(held) = held {
                    self.held.insert(key.clone(), ManuallyDrop::new(held));
                }
                LifecycleEvent::Loaded { key, outcome: Ok(()) }
            }
            LoadOutcome::Loaded { key, result: Err(error) } => {
                tracing::warn!(replica = %key, %error, "a shard can't be loaded");
                LifecycleEvent::Loaded { key, outcome: Err(error.to_string()) }
            }
            LoadOutcome::Freed { key } => {
                tracing::info!(replica = %key, "unloaded");
                LifecycleEvent::Freed { key }
            }
        }
    }

    fn step(&mut self, event: LifecycleEvent) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        for action in self.lifecycle.step(event, now_ms) {
            self.act(action);
        }
        let replicas = self.lifecycle.reports();
        let has_plan = self.plan.borrow().epoch > 0;
        let all_loaded = replicas.iter().all(|it| it.replica.state == ReplicaState::Available);
        if self.has_leftovers && has_plan && all_loaded {
            self.has_leftovers = false;
            self.loader.submit(LoadJob::RemoveUnused);
        }
        self.manifests.retain(|version, _| replicas.iter().any(|r| r.version == *version));
        self.reports.send_if_modified(|reports| {
            let changed = *reports != replicas;
            *reports = replicas;
            changed
        });
    }

    fn act(&mut self, action: LifecycleAction) {
        match action {
            LifecycleAction::Inspect { version, source } => {
                self.loader.submit(LoadJob::Inspect { version, source });
            }
            LifecycleAction::Load { key, source } => {
                let (digest, manifest) = self
                    .manifests
                    .get(&key.version)
                    .expect("the lifecycle loads what was inspected, for as long as it wants it");
                debug_assert_eq!(*digest, source.digest);
                let job = LoadJob::Load { key, source, manifest: Arc::clone(manifest) };
                self.loader.submit(job);
            }
            LifecycleAction::Serve { key } => {
                let shard = self.loaded.get(&key).expect("the lifecycle serves what was loaded");
                let bytes = shard.bytes_mapped();
                self.table.store(Arc::new(self.table.load().with(key.clone(), Arc::clone(shard))));
                tracing::info!(replica = %key, bytes, "available");
            }
            LifecycleAction::Unload { key } => {
                let shard =
                    self.loaded.remove(&key).expect("the lifecycle unloads what was loaded");
                self.table.store(Arc::new(self.table.load().without(&key)));
                tracing::info!(replica = %key, "unloading");
                let held = self.held.remove(&key).map(ManuallyDrop::into_inner);
                self.loader.unload(key, shard, held);
            }
        }
    }
}
