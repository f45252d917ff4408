//! The state machine: all replicas of the node, moved by one event at a time.

use super::event::{BundleSource, LifecycleAction, LifecycleEvent, WantedReplicas};
use super::limits::{ReplicaLimits, UNLOAD_GRACE_MS};
use super::replica::{Phase, TrackedReplica};
use crate::replica_key::ReplicaKey;
use marquee_core::command::ReplicaReport;
use marquee_core::id::ModelVersion;
use marquee_core::plan::ReplicaState;
use marquee_core::planted::{PlantedBug, is_planted};
use std::collections::BTreeMap;

/// All replicas of the node. Told of events, it answers what to do.
#[derive(Debug)]
pub struct Lifecycle {
    limits: ReplicaLimits,
    wanted: WantedReplicas,
    replicas: BTreeMap<ReplicaKey, TrackedReplica>,
    inspections: BTreeMap<ModelVersion, Inspection>,
}

/// What is known of a version's bundle.
#[derive(Debug)]
struct Inspection {
    digest: String,
    /// Bytes of each shard; none while the loader still reads the manifest.
    shard_bytes: Option<Vec<u64>>,
}

impl Lifecycle {
    /// A node without replicas, and without a plan.
    pub fn new(limits: ReplicaLimits) -> Self {
        let parallel_work = limits.parallel_work.max(1);
        Self {
            limits: ReplicaLimits { parallel_work, ..limits },
            wanted: WantedReplicas::default(),
            replicas: BTreeMap::default(),
            inspections: BTreeMap::default(),
        }
    }

    /// Takes one event and says what to do now. Events of work that is no longer awaited (an inspection of
    /// another digest, say) change nothing.
    pub fn step(&mut self, event: LifecycleEvent, now_ms: u64) -> Vec<LifecycleAction> {
        let mut actions = Vec::new();
        match event {
            LifecycleEvent::Planned(wanted) => self.wanted = wanted,
            LifecycleEvent::Inspected { version, digest, outcome } => {
                self.inspected(&version, &digest, outcome, now_ms);
            }
            LifecycleEvent::Loaded { key, outcome } => {
                self.loaded(&key, outcome, now_ms, &mut actions)
            }
            LifecycleEvent::Failed { key } => self.failed(&key, &mut actions),
            LifecycleEvent::Freed { key } => self.freed(&key),
            LifecycleEvent::Tick => {}
        }
        self.reconcile(now_ms);
        self.unload_what_lingered(now_ms, &mut actions);
        self.start(now_ms, &mut actions);
        actions
    }

    /// When time alone will change something, so that a [`LifecycleEvent::Tick`] is due.
    pub fn next_due_ms(&self) -> Option<u64> {
        let mut due_ms: Option<u64> = None;
        for replica in self.replicas.values() {
            let changes_at_ms = match replica.phase {
                Phase::Available { unwanted_since_ms: Some(since), .. } => {
                    since.saturating_add(UNLOAD_GRACE_MS)
                }
                Phase::Failed { retry_at_ms } => retry_at_ms,
                _ => continue,
            };
            due_ms = Some(due_ms.map_or(changes_at_ms, |earliest| earliest.min(changes_at_ms)));
        }
        due_ms
    }

    /// What the node reports, ordered by version and shard.
    pub fn reports(&self) -> Vec<ReplicaReport> {
        let mut reports = Vec::with_capacity(self.replicas.len());
        for (key, replica) in &self.replicas {
            let is_loading = matches!(replica.phase, Phase::Loading { .. });
            let (version, mut replica) = (key.version.clone(), replica.report());
            if is_loading && is_planted(PlantedBug::AvailableBeforeLoaded) {
                replica.state = ReplicaState::Available;
            }
            reports.push(ReplicaReport { version, shard: key.shard, replica });
        }
        reports
    }

    /// Bytes that are loaded, being loaded or not given back yet.
    pub fn bytes(&self) -> u64 {
        self.replicas.values().map(TrackedReplica::bytes).sum()
    }

    fn inspected(
        &mut self,
        version: &ModelVersion,
        digest: &str,
        outcome: Result<Vec<u64>, String>,
        now_ms: u64,
    ) {
        let awaited = self.inspections.get_mut(version);
        let Some(inspection) = awaited.filter(|inspection| inspection.digest == digest) else {
            return;
        };
        match outcome {
            Ok(shard_bytes) => inspection.shard_bytes = Some(shard_bytes),
            Err(reason) => {
                self.inspections.remove(version);
                for (key, replica) in &mut self.replicas {
                    let awaits = replica.phase == Phase::Start && replica.source.digest == digest;
                    if key.version == *version && awaits {
                        replica.fail(&reason, now_ms);
                    }
                }
            }
        }
    }

    fn loaded(
        &mut self,
        key: &ReplicaKey,
        outcome: Result<(), String>,
        now_ms: u64,
        actions: &mut Vec<LifecycleAction>,
    ) {
        let Some(replica) = self.replicas.get_mut(key) else { return };
        let Phase::Loading { bytes } = replica.phase else { return };
        match outcome {
            Ok(()) if replica.wanted => {
                replica.succeed(bytes);
                actions.push(LifecycleAction::Serve { key: key.clone() });
            }
            Ok(()) => {
                replica.phase = Phase::Unloading { bytes };
                actions.push(LifecycleAction::Unload { key: key.clone() });
            }
            Err(reason) => replica.fail(&reason, now_ms),
        }
    }

    /// Unloads what can't be read any more. It is loaded again once it is freed, from what is there then.
    fn failed(&mut self, key: &ReplicaKey, actions: &mut Vec<LifecycleAction>) {
        let Some(replica) = self.replicas.get_mut(key) else { return };
        let Phase::Available { bytes, .. } = replica.phase else { return };
        replica.phase = Phase::Unloading { bytes };
        actions.push(LifecycleAction::Unload { key: key.clone() });
    }

    fn freed(&mut self, key: &ReplicaKey) {
        if let Some(TrackedReplica { phase: Phase::Unloading { .. }, .. }) = self.replicas.get(key)
        {
            self.replicas.remove(key);
        }
    }

    /// Notes what is wanted, adds what is new and forgets what needs no unloading.
    fn reconcile(&mut self, now_ms: u64) {
        for (key, replica) in &mut self.replicas {
            let source =
                self.wanted.get(key).filter(|source| source.digest == replica.source.digest);
            replica.wanted = source.is_some();
            if let Some(source) = source
                && replica.source.uri != source.uri
            {
                replica.source.uri.clone_from(&source.uri);
                // Another place may have what the first one had not: it is tried at once.
                if let Phase::Failed { .. } = replica.phase {
                    replica.phase = Phase::Start;
                }
            }
            if let Phase::Available { unwanted_since_ms, .. } = &mut replica.phase {
                *unwanted_since_ms =
                    if replica.wanted { None } else { unwanted_since_ms.or(Some(now_ms)) };
            }
        }
        self.replicas.retain(|_, replica| replica.wanted || !replica.is_idle());
        for (key, source) in &self.wanted {
            if !self.replicas.contains_key(key) {
                self.replicas.insert(key.clone(), TrackedReplica::new(source.clone()));
            }
        }
        // An inspection outlives its replicas while it runs: it holds a thread of the loader.
        let replicas = &self.replicas;
        self.inspections.retain(|version, inspection| {
            inspection.shard_bytes.is_none()
                || replicas.iter().any(|(key, replica)| {
                    key.version == *version && replica.source.digest == inspection.digest
                })
        });
    }

    /// Unloads what the plan has not wanted for [`UNLOAD_GRACE_MS`], and what it wants from another bundle.
    fn unload_what_lingered(&mut self, now_ms: u64, actions: &mut Vec<LifecycleAction>) {
        for (key, replica) in &mut self.replicas {
            let Phase::Available { bytes, unwanted_since_ms: Some(since_ms) } = replica.phase
            else {
                continue;
            };
            // Another bundle under the same name must not answer for the one that is wanted.
            let is_replaced = self.wanted.contains_key(key);
            let grace_ms = if is_planted(PlantedBug::UnloadedAtOnce) { 0 } else { UNLOAD_GRACE_MS };
            if is_replaced || now_ms >= since_ms.saturating_add(grace_ms) {
                replica.phase = Phase::Unloading { bytes };
                actions.push(LifecycleAction::Unload { key: key.clone() });
            }
        }
    }

    /// Starts what waits, as far as threads and memory allow.
    fn start(&mut self, now_ms: u64, actions: &mut Vec<LifecycleAction>) {
        for replica in self.replicas.values_mut() {
            if matches!(replica.phase, Phase::Failed { retry_at_ms } if retry_at_ms <= now_ms) {
                replica.phase = Phase::Start;
            }
        }
        let waiting: Vec<(ReplicaKey, BundleSource)> = self
            .replicas
            .iter()
            .filter(|(_, replica)| matches!(replica.phase, Phase::Start | Phase::Refused))
            .map(|(key, replica)| (key.clone(), replica.source.clone()))
            .collect();
        for (key, source) in waiting {
            let free = self.work() < self.limits.parallel_work;
            match self.inspections.get(&key.version) {
                None if free => {
                    let digest = source.digest.clone();
                    let inspection = Inspection { digest, shard_bytes: None };
                    self.inspections.insert(key.version.clone(), inspection);
                    actions.push(LifecycleAction::Inspect { version: key.version, source });
                }
                Some(Inspection { digest, shard_bytes: Some(shard_bytes) })
                    if free && *digest == source.digest =>
                {
                    let (bytes, shards) =
                        (shard_bytes.get(key.shard as usize).copied(), shard_bytes.len());
                    self.start_load(key, source, bytes, shards, now_ms, actions);
                }
                _ => {}
            }
        }
    }

    fn start_load(
        &mut self,
        key: ReplicaKey,
        source: BundleSource,
        bytes: Option<u64>,
        shards: usize,
        now_ms: u64,
        actions: &mut Vec<LifecycleAction>,
    ) {
        let room = bytes.map(|bytes| (bytes, self.room_for(bytes)));
        let replica = self.replicas.get_mut(&key).expect("the caller has just found it");
        match room {
            None => {
                let reason = format!(
                    "the bundle at {} has {shards} shards: there is no shard {}",
                    source.uri, key.shard
                );
                replica.fail(&reason, now_ms);
            }
            Some((bytes, Room::Enough)) => {
                replica.start_loading(bytes);
                actions.push(LifecycleAction::Load { key, source });
            }
            Some((_, Room::AfterUnloading(unload))) => {
                for old_key in unload {
                    let old = self.replicas.get_mut(&old_key).expect("room_for has found it");
                    old.phase = Phase::Unloading { bytes: old.bytes() };
                    actions.push(LifecycleAction::Unload { key: old_key });
                }
            }
            Some((bytes, Room::TooLittle { used })) => {
                let budget = self.limits.memory_budget_bytes;
                let reason = if bytes > budget {
                    format!(
                        "it needs {bytes} bytes, more than this node's whole memory budget of {budget}: \
                         raise the budget or cut the bundle into more shards"
                    )
                } else {
                    format!(
                        "it needs {bytes} bytes, but of this node's memory budget of {budget} bytes \
                         {used} are in use: raise the budget, add nodes or retire a version"
                    )
                };
                replica.refuse(&reason);
            }
        }
    }

    /// The number of inspections and loads under way.
    fn work(&self) -> usize {
        let inspecting = self.inspections.values().filter(|i| i.shard_bytes.is_none()).count();
        let loading = |replica: &&TrackedReplica| matches!(replica.phase, Phase::Loading { .. });
        inspecting + self.replicas.values().filter(loading).count()
    }

    fn room_for(&self, bytes: u64) -> Room {
        let budget = self.limits.memory_budget_bytes;
        let mut used = self.bytes();
        let is_ignored = budget == 0 || is_planted(PlantedBug::MemoryBudgetIgnored);
        if is_ignored || used.saturating_add(bytes) <= budget {
            return Room::Enough;
        }
        // What is being unloaded already is room to come.
        let unloading =
            self.replicas.values().filter(|r| matches!(r.phase, Phase::Unloading { .. }));
        used -= unloading.map(TrackedReplica::bytes).sum::<u64>();
        let mut lingering: Vec<(u64, &ReplicaKey, u64)> = Vec::new();
        for (key, replica) in &self.replicas {
            if let Phase::Available { bytes, unwanted_since_ms: Some(since_ms) } = replica.phase {
                lingering.push((since_ms, key, bytes));
            }
        }
        lingering.sort_unstable();
        let mut unload = Vec::new();
        for (_, key, frees) in lingering {
            if used.saturating_add(bytes) <= budget {
                break;
            }
            unload.push(key.clone());
            used -= frees;
        }
        if used.saturating_add(bytes) <= budget {
            Room::AfterUnloading(unload)
        } else {
            Room::TooLittle { used }
        }
    }
}

/// Whether a load fits into the budget.
enum Room {
    Enough,
    /// Once these, and what is being unloaded already, are freed.
    AfterUnloading(Vec<ReplicaKey>),
    /// Of the budget so much is used by what is wanted or being loaded.
    TooLittle {
        used: u64,
    },
}
