//! Follows the plan over streams from two control nodes at a time, where there are two.
//!
//! A control node that is frozen keeps its connections, and is only noticed when it leaves a probe unanswered. Until
//! then plans come from the other one: no single control node delays a plan.
//!
//! A control node may lag: it was restarted, or it is cut off from the others and doesn't know. So a
//! follower never goes back to an older epoch, and leaves a control node that stays behind what others
//! report, which it hears from the other stream and from the control node that takes the node's reports.

use super::plan_cache::PlanCache;
use super::plan_floor::{Arrival, PlanFloor};
use futures::future::join_all;
use futures::{Stream, StreamExt as _};
use marquee_client::{Address, Backoff, MAX_CONTROL_MESSAGE_BYTES, Rotation, innermost_reason};
use marquee_core::plan::Plan;
use marquee_net::Connector;
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::control::v1::{WatchPlanRequest, WatchPlanResponse};
use marquee_proto::convert::plan::plan_from_pb;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex as AsyncMutex, watch};
use tonic::Status;
use tonic::transport::Endpoint;

/// Upper bound of the time to connect: control nodes are in the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Upper bound of the time to open the stream: the control node needs no other node for that.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// How many control nodes are followed at once, so that one of them may be frozen.
const STREAMS: usize = 2;
/// How often a connection is probed, and how long the answer may take: a control node that lost its
/// power closes no connection.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How long the plan may be older than the newest epoch that was heard of before another control node is
/// tried: a hundred times what a plan takes to arrive.
const MAX_LAG: Duration = Duration::from_secs(2);
/// How often a plan that could not be written is tried again.
const REWRITE_EVERY: Duration = Duration::from_secs(2);

/// The settings of a follower.
#[derive(Clone, Debug)]
pub struct FollowerConfig {
    /// The id of this node, for control's status.
    pub node_id: String,
    /// Addresses of control nodes, at least one.
    pub addresses: Vec<Address>,
    /// The file of the last plan.
    pub cache: PlanCache,
    /// How control nodes are reached.
    pub connector: Connector,
    /// The newest epoch that any control node reported.
    pub newest: watch::Receiver<u64>,
}

/// Starts following; abort the task to stop it. The receiver has the plan on disk at once, or the empty plan
/// of epoch 0.
pub fn follow_plan(
    config: FollowerConfig,
) -> (watch::Receiver<Arc<Plan>>, tokio::task::JoinHandle<()>) {
    let cached = config.cache.read();
    if let Some(plan) = &cached {
        tracing::info!(epoch = plan.epoch, "starts with the plan on disk");
    }
    let floor = PlanFloor::new(cached.as_ref().map_or(0, |plan| plan.epoch));
    let (sender, receiver) = watch::channel(Arc::new(cached.unwrap_or_default()));
    let streams = config.addresses.len().min(STREAMS);
    // Followers begin at different nodes, so that one control node does not feed them all.
    let rotation = Rotation::new(config.addresses.len(), fastrand::usize(..));
    let follower = PlanFollower {
        config,
        sender,
        floor: Mutex::new(floor),
        started: Instant::now(),
        rotation: Mutex::new(rotation),
        writing: AsyncMutex::default(),
    };
    let following = async move {
        join_all((0..streams).map(|_| follower.run())).await;
    };
    (receiver, tokio::spawn(following))
}

/// A node that follows the plan.
struct PlanFollower {
    config: FollowerConfig,
    sender: watch::Sender<Arc<Plan>>,
    floor: Mutex<PlanFloor>,
    started: Instant,
    rotation: Mutex<Rotation>,
    /// Held while a plan is written to disk.
    writing: AsyncMutex<()>,
}

impl PlanFollower {
    /// Follows one control node after another, of which no other stream has any.
    async fn run(&self) {
        let mut backoff = Backoff::default();
        let mut logged: Option<String> = None;
        loop {
            let taken = lock(&self.rotation).take();
            if let Some(server) = taken {
                let address = &self.config.addresses[server];
                let (plans, reason) = self.watch(address).await;
                lock(&self.rotation).failed(server);
                if plans > 0 {
                    backoff.reset();
                    logged = None;
                }
                // The same reason is logged once, however long control is unreachable.
                if logged.as_ref() != Some(&reason) {
                    tracing::warn!(control = %address, reason, "lost a stream of plans, keeps the current plan");
                    logged = Some(reason);
                }
            }
            tokio::time::sleep(backoff.after_failure(fastrand::f64())).await;
        }
    }

    /// Follows one control node until it fails or lags; returns how many plans came and why it ended.
    async fn watch(&self, address: &Address) -> (usize, String) {
        let mut plans = match self.open(address).await {
            Ok(plans) => plans,
            Err(reason) => return (0, reason),
        };
        tracing::info!(control = %address, "follows the plan");
        let (mut count, mut its_epoch) = (0, 0);
        let mut behind_since: Option<Instant> = None;
        // Kept until it is accepted: the epochs of a new cluster begin again, and are accepted after a while.
        let mut latest: Option<Arc<Plan>> = None;
        let mut written_at = Instant::now();
        loop {
            if let Ok(next) = tokio::time::timeout(MAX_LAG / 4, plans.next()).await {
                let plan = match next {
                    Some(Ok(answer)) => plan_from_pb(answer.plan.unwrap_or_default()),
                    Some(Err(status)) => return (count, innermost_reason(&status)),
                    None => return (count, "ended the stream".into()),
                };
                match plan {
                    Ok(plan) => {
                        its_epoch = plan.epoch;
                        latest = Some(Arc::new(plan));
                    }
                    Err(error) => return (count, format!("sent an invalid plan: {error}")),
                }
            }
            if let Some(plan) = &latest
                && self.accept(plan).await
            {
                (latest, count) = (None, count + 1);
            }
            if self.config.cache.failure().is_some() && written_at.elapsed() >= REWRITE_EVERY {
                let current = Arc::clone(&self.sender.borrow());
                self.write(&current).await;
                written_at = Instant::now();
            }
            let known = lock(&self.floor).at(self.now_ms()).max(*self.config.newest.borrow());
            if its_epoch >= known {
                behind_since = None;
            } else if behind_since.get_or_insert_with(Instant::now).elapsed() > MAX_LAG {
                return (
                    count,
                    format!(
                        "stays at epoch {its_epoch}, older than {known}: it lags; if this is a new cluster, restart \
                         this node"
                    ),
                );
            }
        }
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Opens the stream of plans.
    async fn open(
        &self,
        address: &Address,
    ) -> Result<impl Stream<Item = Result<WatchPlanResponse, Status>> + use<>, String> {
        let channel = Endpoint::from_shared(address.to_string())
            .map_err(|error| error.to_string())?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .connect_with_connector(self.config.connector.clone())
            .await
            .map_err(|error| innermost_reason(&error))?;
        let mut control =
            ControlServiceClient::new(channel).max_decoding_message_size(MAX_CONTROL_MESSAGE_BYTES);
        let request = WatchPlanRequest { node_id: self.config.node_id.clone() };
        match tokio::time::timeout(OPEN_TIMEOUT, control.watch_plan(request)).await {
            Ok(Ok(plans)) => Ok(plans.into_inner()),
            Ok(Err(status)) => Err(innermost_reason(&status)),
            Err(_) => Err(format!("no answer within {OPEN_TIMEOUT:?}")),
        }
    }

    /// Publishes a plan that is not older than the one it has, to the node first and to disk afterwards: readers must
    /// not wait for a disk, and control has the plan if the node ends in between. False if it is older.
    async fn accept(&self, plan: &Arc<Plan>) -> bool {
        {
            let mut floor = lock(&self.floor);
            match floor.arrive(plan.epoch, self.now_ms()) {
                Arrival::Older => return false,
                Arrival::Known => return true,
                Arrival::Newer => self.sender.send_replace(Arc::clone(plan)),
            };
        }
        self.write(plan).await;
        true
    }

    /// Writes a plan to disk, unless there is a newer one. A failure is logged where the plan before could be written.
    async fn write(&self, plan: &Arc<Plan>) {
        let _alone = self.writing.lock().await;
        if lock(&self.floor).received() > plan.epoch {
            return;
        }
        let had_failed = self.config.cache.failure().is_some();
        let (cache, plan) = (self.config.cache.clone(), Arc::clone(plan));
        let written = tokio::task::spawn_blocking(move || cache.write(&plan)).await;
        match written {
            Ok(Err(error)) if !had_failed => {
                tracing::warn!(%error, "the plan could not be written to disk: a restart without control would fail");
            }
            Ok(Ok(())) if had_failed => tracing::info!("the plan is on disk again"),
            _ => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What they guard is whole after every step, so a panic elsewhere leaves nothing to fear.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
