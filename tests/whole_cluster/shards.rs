//! The shard nodes: real lifecycles over a made-up loader, and answers from models in memory.

use crate::chance::Chance;
use crate::fakes::bundle::{Bundle, films};
use crate::fakes::shard::FakeShard;
use crate::follower::Follower;
use crate::links::{Links, Party};
use marquee_core::id::ModelVersion;
use marquee_core::plan::{Plan, ReplicaState};
use marquee_proto::shard::v1::shard_service_server::ShardService;
use marquee_proto::shard::v1::{LookupRequest, LookupResponse, SearchRequest, SearchResponse};
use marquee_proto::v1;
use marquee_shard::ReplicaKey;
use marquee_shard::lifecycle::{
    Lifecycle, LifecycleAction, LifecycleEvent, ReplicaLimits, UNLOAD_GRACE_MS, wanted_replicas,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tonic::{Request, Response, Status, async_trait};

/// Shards of each version.
pub(crate) const SHARDS: u32 = 3;
/// Bytes of each shard, as far as budgets are concerned.
const SHARD_BYTES: u64 = 100;
/// Items of each version.
pub(crate) const ITEMS_OF_MODEL: u32 = 40;
/// Users that models know.
pub(crate) const USERS: u32 = 60;
/// Every version of such a number fails to answer.
const HARMFUL_EVERY: u64 = 4;

/// The model of a version: its items' ids say which version it is.
pub(crate) fn model_of(version: u64) -> Bundle {
    films(version, SHARDS, &format!("v{version}-"), ITEMS_OF_MODEL, USERS)
}

/// Whether nothing that asks a version is answered.
pub(crate) fn is_harmful(version: u64) -> bool {
    version.is_multiple_of(HARMFUL_EVERY)
}

/// What the process of a shard node answers from. It ends with the process.
pub(crate) struct Process {
    fake: Arc<FakeShard>,
    models: Mutex<BTreeSet<u64>>,
    /// The shards that answer.
    table: Mutex<BTreeSet<(ModelVersion, u32)>>,
    incarnation: Mutex<u64>,
    /// How long it takes over each call, in ms.
    slow_ms: Mutex<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    fn holds(&self, version: Option<&v1::ModelVersion>, shard: u32) -> Result<(), Status> {
        let v1::ModelVersion { model, version } = version.expect("always named");
        let named = ModelVersion::new(model, *version);
        if !lock(&self.table).contains(&(named.clone(), shard)) {
            return Err(Status::failed_precondition(format!("{named}/{shard} is not held here")));
        }
        if is_harmful(*version) {
            return Err(Status::internal("this version answers nothing"));
        }
        Ok(())
    }
}

/// What a router calls a shard node through.
pub(crate) struct Link {
    pub(crate) from: Party,
    pub(crate) to: Party,
    pub(crate) links: Links,
    pub(crate) process: Arc<Process>,
    /// When the router began.
    pub(crate) began: tokio::time::Instant,
}

/// A number that follows from a message.
fn digest(message: &impl prost::Message) -> u64 {
    let hash = blake3::hash(&message.encode_to_vec());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes"))
}

impl Link {
    /// One way over the network. What a partition has swallowed never arrives.
    async fn travel(&self, from: Party, to: Party, carried: u64) -> Result<(), Status> {
        let delay_ms = {
            let links = self.links.state();
            let now_ms = tokio::time::Instant::now().duration_since(self.began).as_millis() as u64;
            if links.is_down(to) {
                return Err(Status::unavailable("connection refused"));
            }
            links.carries(from, to).then(|| links.delay_of_ms(from, to, now_ms, carried))
        };
        match delay_ms {
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            None => std::future::pending().await,
        }
        Ok(())
    }

    async fn there(&self, carried: u64) -> Result<u64, Status> {
        self.travel(self.from, self.to, carried).await?;
        let slow_ms = *lock(&self.process.slow_ms);
        if slow_ms > 0 {
            tokio::time::sleep(Duration::from_millis(slow_ms)).await;
        }
        Ok(*lock(&self.process.incarnation))
    }

    async fn back(&self, incarnation: u64, carried: u64) -> Result<(), Status> {
        if *lock(&self.process.incarnation) != incarnation {
            return Err(Status::unavailable("connection reset"));
        }
        self.travel(self.to, self.from, carried).await
    }
}

#[async_trait]
impl ShardService for Link {
    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        let carried = digest(request.get_ref());
        let incarnation = self.there(carried).await?;
        for op in &request.get_ref().ops {
            for shard in
                op.keys.iter().map(|key| key.shard).chain(op.ordinal_shards.iter().copied())
            {
                self.process.holds(op.version.as_ref(), shard)?;
            }
        }
        let answer = self.process.fake.lookup(request).await;
        self.back(incarnation, carried).await?;
        answer
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        let carried = digest(request.get_ref());
        let incarnation = self.there(carried).await?;
        for op in &request.get_ref().ops {
            for shard in &op.shards {
                self.process.holds(op.version.as_ref(), *shard)?;
            }
        }
        let answer = self.process.fake.search(request).await;
        self.back(incarnation, carried).await?;
        answer
    }
}

/// Work of the loader that ends at a time.
#[derive(Clone, Debug)]
enum Work {
    Inspected { version: ModelVersion, digest: String },
    Loaded(ReplicaKey),
    Freed(ReplicaKey),
}

/// A shard node that runs.
pub(crate) struct Running {
    pub(crate) follower: Follower,
    pub(crate) lifecycle: Lifecycle,
    work: BTreeMap<(u64, u64), Work>,
    works: u64,
    planned_epoch: Option<u64>,
    pub(crate) next_report_ms: u64,
    /// When each replica ceased to be wanted.
    unwanted_since: BTreeMap<ReplicaKey, u64>,
}

pub(crate) struct ShardNode {
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) budget: u64,
    pub(crate) process: Arc<Process>,
    pub(crate) running: Option<Running>,
    pub(crate) restart_at_ms: Option<u64>,
    /// The plan on its disk.
    pub(crate) on_disk: Option<Arc<Plan>>,
}

impl ShardNode {
    pub(crate) fn new(number: usize, budget: u64) -> Self {
        let name = format!("shard-{number}");
        let process = Process {
            fake: FakeShard::new(&name, &[]),
            models: Mutex::default(),
            table: Mutex::default(),
            incarnation: Mutex::default(),
            slow_ms: Mutex::default(),
        };
        Self {
            number,
            name,
            budget,
            process: Arc::new(process),
            running: None,
            restart_at_ms: Some(0),
            on_disk: None,
        }
    }

    pub(crate) fn start(&mut self, controls: usize, now_ms: u64, chance: &mut Chance) {
        let limits = ReplicaLimits { memory_budget_bytes: self.budget, parallel_work: 2 };
        self.running = Some(Running {
            follower: Follower::start(&self.on_disk, controls, now_ms, chance),
            lifecycle: Lifecycle::new(limits),
            work: BTreeMap::new(),
            works: 0,
            planned_epoch: None,
            next_report_ms: now_ms,
            unwanted_since: BTreeMap::new(),
        });
        self.restart_at_ms = None;
    }

    pub(crate) fn crash(&mut self, restart_at_ms: Option<u64>) {
        self.running = None;
        lock(&self.process.table).clear();
        *lock(&self.process.incarnation) += 1;
        self.restart_at_ms = restart_at_ms;
    }

    pub(crate) fn set_slow(&self, ms: u64) {
        *lock(&self.process.slow_ms) = ms;
    }

    /// Time has come to this moment. Returns whether what is to be reported has changed.
    pub(crate) fn step(&mut self, now_ms: u64, fails: bool, chance: &mut Chance) -> bool {
        let Some(running) = &mut self.running else { return false };
        let before = running.lifecycle.reports();
        if let Some(plan) = running.follower.accept(now_ms) {
            self.on_disk = Some(plan);
        }
        let plan = running.follower.plan();
        let mut events = Vec::new();
        if running.planned_epoch != Some(plan.epoch) {
            running.planned_epoch = Some(plan.epoch);
            let wanted = wanted_replicas(&plan, &self.name);
            running.unwanted_since.retain(|key, _| !wanted.contains_key(key));
            for report in &before {
                let key = ReplicaKey::new(report.version.clone(), report.shard);
                if !wanted.contains_key(&key) {
                    running.unwanted_since.entry(key).or_insert(now_ms);
                }
            }
            events.push(LifecycleEvent::Planned(wanted));
        }
        while let Some(entry) = running.work.first_entry().filter(|entry| entry.key().0 <= now_ms) {
            let breaks = fails && chance.once_in(12);
            let outcome = if breaks { Err("the disk said no".to_owned()) } else { Ok(()) };
            events.push(match entry.remove() {
                Work::Inspected { version, digest } => {
                    let bytes = vec![SHARD_BYTES; SHARDS as usize];
                    LifecycleEvent::Inspected { version, digest, outcome: outcome.map(|()| bytes) }
                }
                Work::Loaded(key) => LifecycleEvent::Loaded { key, outcome },
                Work::Freed(key) => LifecycleEvent::Freed { key },
            });
        }
        if running.lifecycle.next_due_ms().is_some_and(|due| due <= now_ms) {
            events.push(LifecycleEvent::Tick);
        }
        for event in events {
            for action in running.lifecycle.step(event, now_ms) {
                Self::act(&self.name, self.budget, &self.process, running, action, now_ms, chance);
            }
        }
        running.check(&self.name, self.budget, &self.process);
        running.lifecycle.reports() != before
    }

    fn act(
        name: &str,
        budget: u64,
        process: &Process,
        running: &mut Running,
        action: LifecycleAction,
        now_ms: u64,
        chance: &mut Chance,
    ) {
        let (takes_ms, work) = match action {
            LifecycleAction::Inspect { version, source } => {
                (20 + chance.below(80), Work::Inspected { version, digest: source.digest })
            }
            LifecycleAction::Load { key, .. } => (50 + chance.below(400), Work::Loaded(key)),
            LifecycleAction::Serve { key } => {
                if lock(&process.models).insert(key.version.version) {
                    process.fake.holds(Arc::new(model_of(key.version.version)));
                }
                lock(&process.table).insert((key.version.clone(), key.shard));
                return;
            }
            LifecycleAction::Unload { key } => {
                let answered = lock(&process.table).remove(&(key.version.clone(), key.shard));
                if let (Some(since), true, 0) = (running.unwanted_since.get(&key), answered, budget)
                {
                    assert!(
                        now_ms - since >= UNLOAD_GRACE_MS,
                        "{name} unloaded {key} {} ms after it ceased to be wanted",
                        now_ms - since
                    );
                }
                (20, Work::Freed(key))
            }
        };
        running.works += 1;
        running.work.insert((now_ms + takes_ms, running.works), work);
    }
}

impl Running {
    fn check(&self, name: &str, budget: u64, process: &Process) {
        let bytes = self.lifecycle.bytes();
        assert!(budget == 0 || bytes <= budget, "{name} maps {bytes} bytes of {budget}");
        let table = lock(&process.table);
        for report in self.lifecycle.reports() {
            let held = table.contains(&(report.version.clone(), report.shard));
            let says = report.replica.state == ReplicaState::Available;
            assert!(
                held || !says,
                "{name} reports {}/{}, which it does not hold",
                report.version,
                report.shard
            );
        }
    }
}
