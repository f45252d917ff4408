//! Follows the plan over a stream from one control node at a time.
//!
//! A control node may lag: it was restarted, or it is cut off from the others and doesn't know. So a
//! follower never goes back to an older epoch, and leaves a control node that is behind what others
//! say, which it hears from whoever takes the node's reports.

use super::plan_cache::PlanCache;
use futures::{Stream, StreamExt as _};
use marquee_client::{Address, Backoff, MAX_CONTROL_MESSAGE_BYTES, innermost_reason};
use marquee_core::plan::Plan;
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::control::v1::{WatchPlanRequest, WatchPlanResponse};
use marquee_proto::convert_control::plan_from_pb;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tonic::Status;
use tonic::transport::Endpoint;

/// How long a control node has to take a connection: it is in the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long it has to open the stream: it asks nobody else for that.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a quiet connection is probed, and how long the answer may take: a control node that
/// lost its power closes no connection.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How long the plan may stay behind the newest epoch heard of before another control node is tried:
/// some hundred times what a plan takes to arrive.
const LAG_PATIENCE: Duration = Duration::from_secs(2);
/// How long after the start only plans as new as the one on disk are taken. Then an older one must be
/// of a cluster that was built anew, with epochs that begin again.
const DISK_PATIENCE: Duration = Duration::from_secs(10);

/// What a follower needs to know.
#[derive(Clone, Debug)]
pub struct FollowerConfig {
    /// Who follows, for control's status.
    pub node_id: String,
    /// Control nodes, at least one.
    pub addresses: Vec<Address>,
    /// Where the last plan is kept.
    pub cache: PlanCache,
    /// The newest epoch that any control node spoke of.
    pub newest: watch::Receiver<u64>,
}

/// Begins to follow and never ends by itself: abort the task to stop it. The receiver has the plan
/// on disk at once, or the empty plan of epoch 0.
pub fn follow_plan(
    config: FollowerConfig,
) -> (watch::Receiver<Arc<Plan>>, tokio::task::JoinHandle<()>) {
    let cached = config.cache.read();
    if let Some(plan) = &cached {
        tracing::info!(epoch = plan.epoch, "begins with the plan on disk");
    }
    let floor = Floor::new(cached.as_ref().map_or(0, |plan| plan.epoch), Instant::now());
    let (sender, receiver) = watch::channel(Arc::new(cached.unwrap_or_default()));
    let follower = Follower { config, sender, floor };
    (receiver, tokio::spawn(follower.run()))
}

/// The oldest epoch that is taken.
#[derive(Clone, Copy, Debug)]
struct Floor {
    on_disk: u64,
    started: Instant,
    /// The newest epoch that control sent to this process.
    lived: u64,
}

impl Floor {
    fn new(on_disk: u64, started: Instant) -> Self {
        Self { on_disk, started, lived: 0 }
    }

    fn at(&self, now: Instant) -> u64 {
        match now.duration_since(self.started) < DISK_PATIENCE {
            true => self.lived.max(self.on_disk),
            false => self.lived,
        }
    }
}

struct Follower {
    config: FollowerConfig,
    sender: watch::Sender<Arc<Plan>>,
    floor: Floor,
}

impl Follower {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        // Followers begin at different nodes, so that one control node does not feed them all.
        let mut at = fastrand::usize(..self.config.addresses.len());
        let mut said: Option<String> = None;
        loop {
            let address = self.config.addresses[at].clone();
            let (plans, reason) = self.watch(&address).await;
            if plans > 0 {
                backoff.reset();
                said = None;
            }
            // The same trouble is said once, however long control is away.
            if said.as_ref() != Some(&reason) {
                tracing::warn!(control = %address, reason, "lost the plan's stream, goes on with the plan it has");
                said = Some(reason);
            }
            at = (at + 1) % self.config.addresses.len();
            tokio::time::sleep(backoff.after_failure(fastrand::f64())).await;
        }
    }

    /// Follows one control node until that fails or lags; says how many plans came and why it ended.
    async fn watch(&mut self, address: &Address) -> (usize, String) {
        let mut plans = match self.open(address).await {
            Ok(plans) => plans,
            Err(reason) => return (0, reason),
        };
        tracing::info!(control = %address, "follows the plan");
        let mut count = 0;
        let mut behind_since: Option<Instant> = None;
        loop {
            let next = match tokio::time::timeout(LAG_PATIENCE / 4, plans.next()).await {
                Ok(next) => next,
                Err(_) => {
                    let (newest, mine) = (*self.config.newest.borrow(), self.floor.lived);
                    if newest <= mine {
                        behind_since = None;
                    } else if behind_since.get_or_insert_with(Instant::now).elapsed() > LAG_PATIENCE
                    {
                        return (
                            count,
                            format!("stays at epoch {mine} while others have {newest}"),
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
                                "is at epoch {}, older than {floor}: it lags; if the cluster was built anew, restart this node",
                                plan.epoch
                            ),
                        );
                    }
                    count += 1;
                    self.take(plan).await;
                }
                Err(error) => return (count, format!("sent a broken plan: {error}")),
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
            .connect()
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

    /// Publishes the plan to the node first and keeps it on disk after: readers must not wait for a
    /// disk, and control is there to ask if the node dies in between.
    async fn take(&mut self, plan: Plan) {
        self.floor.lived = plan.epoch;
        let plan = Arc::new(plan);
        self.sender.send_replace(plan.clone());
        let cache = self.config.cache.clone();
        let written = tokio::task::spawn_blocking(move || cache.write(&plan)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "the plan could not be kept on disk: a restart without control would fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_plan_is_taken_only_of_a_cluster_that_was_built_anew() {
        let start = Instant::now();
        let mut floor = Floor::new(90, start);
        assert_eq!(floor.at(start), 90);
        assert_eq!(floor.at(start + DISK_PATIENCE), 0, "nobody has anything newer");
        floor.lived = 95;
        assert_eq!(floor.at(start + DISK_PATIENCE), 95, "what control sent is never taken back");
    }
}
