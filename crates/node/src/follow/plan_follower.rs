//! Follows the plan over a stream from one control node at a time.
//!
//! A control node may lag: it was restarted, or it is cut off from the others and doesn't know. So a
//! follower never goes back to an older epoch, and leaves a control node that is behind what others
//! report, which it hears from the control node that takes the node's reports.

use super::plan_cache::PlanCache;
use futures::{Stream, StreamExt as _};
use marquee_client::{Address, Backoff, MAX_CONTROL_MESSAGE_BYTES, innermost_reason};
use marquee_core::plan::Plan;
use marquee_net::Connector;
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::control::v1::{WatchPlanRequest, WatchPlanResponse};
use marquee_proto::convert::plan::plan_from_pb;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tonic::Status;
use tonic::transport::Endpoint;

/// Upper bound of the time to connect: control nodes are in the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Upper bound of the time to open the stream: the control node needs no other node for that.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a quiet connection is probed, and how long the answer may take: a control node that lost its
/// power closes no connection.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How long the plan may be older than the newest epoch that was heard of before another control node is
/// tried: a hundred times what a plan takes to arrive.
const MAX_LAG: Duration = Duration::from_secs(2);
/// How long after the start plans older than the one on disk are refused. After that an older plan must be
/// that of a new cluster, whose epochs begin again.
const DISK_FLOOR_FOR: Duration = Duration::from_secs(10);

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
    let floor = Floor::new(cached.as_ref().map_or(0, |plan| plan.epoch), Instant::now());
    let (sender, receiver) = watch::channel(Arc::new(cached.unwrap_or_default()));
    let follower = PlanFollower { config, sender, floor };
    (receiver, tokio::spawn(follower.run()))
}

/// The oldest epoch that is accepted.
#[derive(Clone, Copy, Debug)]
struct Floor {
    /// The epoch of the plan on disk at the start.
    on_disk: u64,
    started: Instant,
    /// The newest epoch that control sent to this process.
    received: u64,
}

impl Floor {
    fn new(on_disk: u64, started: Instant) -> Self {
        Self { on_disk, started, received: 0 }
    }

    /// The oldest epoch that is accepted now.
    fn at(&self, now: Instant) -> u64 {
        if now.duration_since(self.started) < DISK_FLOOR_FOR {
            return self.received.max(self.on_disk);
        }
        self.received
    }
}

/// A node that follows the plan.
struct PlanFollower {
    config: FollowerConfig,
    sender: watch::Sender<Arc<Plan>>,
    floor: Floor,
}

impl PlanFollower {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        // Followers begin at different nodes, so that one control node does not feed them all.
        let mut at = fastrand::usize(..self.config.addresses.len());
        let mut logged: Option<String> = None;
        loop {
            let address = self.config.addresses[at].clone();
            let (plans, reason) = self.watch(&address).await;
            if plans > 0 {
                backoff.reset();
                logged = None;
            }
            // The same reason is logged once, however long control is unreachable.
            if logged.as_ref() != Some(&reason) {
                tracing::warn!(control = %address, reason, "lost the stream of plans, keeps the current plan");
                logged = Some(reason);
            }
            at = (at + 1) % self.config.addresses.len();
            tokio::time::sleep(backoff.after_failure(fastrand::f64())).await;
        }
    }

    /// Follows one control node until it fails or lags; returns how many plans came and why it ended.
    async fn watch(&mut self, address: &Address) -> (usize, String) {
        let mut plans = match self.open(address).await {
            Ok(plans) => plans,
            Err(reason) => return (0, reason),
        };
        tracing::info!(control = %address, "follows the plan");
        let mut count = 0;
        let mut behind_since: Option<Instant> = None;
        loop {
            let next = match tokio::time::timeout(MAX_LAG / 4, plans.next()).await {
                Ok(next) => next,
                Err(_) => {
                    let (newest, mine) = (*self.config.newest.borrow(), self.floor.received);
                    if newest <= mine {
                        behind_since = None;
                    } else if behind_since.get_or_insert_with(Instant::now).elapsed() > MAX_LAG {
                        return (
                            count,
                            format!(
                                "stays at epoch {mine} while other control nodes have {newest}"
                            ),
                        );
                    }
                    continue;
                }
            };
            let plan = match next {
                Some(Ok(answer)) => plan_from_pb(answer.plan.unwrap_or_default()),
                Some(Err(status)) => return (count, innermost_reason(&status)),
                None => return (count, "ended the stream".into()),
            };
            match plan {
                Ok(plan) => {
                    let floor = self.floor.at(Instant::now());
                    if plan.epoch < floor {
                        return (
                            count,
                            format!(
                                "is at epoch {}, older than {floor}: it lags; if this is a new cluster, restart this node",
                                plan.epoch
                            ),
                        );
                    }
                    count += 1;
                    self.accept(plan).await;
                }
                Err(error) => return (count, format!("sent an invalid plan: {error}")),
            }
        }
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

    /// Publishes the plan to the node first and writes it to disk afterwards: readers must not wait for a
    /// disk, and control has the plan if the node ends in between.
    async fn accept(&mut self, plan: Plan) {
        self.floor.received = plan.epoch;
        let plan = Arc::new(plan);
        self.sender.send_replace(plan.clone());
        let cache = self.config.cache.clone();
        let written = tokio::task::spawn_blocking(move || cache.write(&plan)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "the plan could not be written to disk: a restart without control would fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_plan_is_accepted_only_of_a_new_cluster() {
        let start = Instant::now();
        let mut floor = Floor::new(90, start);
        assert_eq!(floor.at(start), 90);
        assert_eq!(floor.at(start + DISK_FLOOR_FOR), 0, "no control node has a newer plan");
        floor.received = 95;
        assert_eq!(
            floor.at(start + DISK_FLOOR_FOR),
            95,
            "a plan that control sent is never replaced by an older one"
        );
    }
}
