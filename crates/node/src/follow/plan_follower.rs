//! Follows the plan over a stream from one control node at a time.

use super::{Backoff, PlanCache};
use crate::config::Address;
use crate::ctl::{MAX_CONTROL_MESSAGE_BYTES, innermost};
use futures::StreamExt as _;
use marquee_core::plan::Plan;
use marquee_proto::control::v1::WatchPlanRequest;
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::convert_control::plan_from_pb;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::transport::Endpoint;

/// How long a control node has to take a connection: it is in the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long it has to send the first plan: it waits there for raft, so longer than an election.
const FIRST_PLAN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a quiet connection is probed, and how long the answer may take: a control node that
/// lost its power closes no connection.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// What a follower needs to know.
#[derive(Clone, Debug)]
pub struct FollowerConfig {
    /// Who follows, for control's status.
    pub node_id: String,
    /// Control nodes, at least one.
    pub addresses: Vec<Address>,
    /// Where the last plan is kept.
    pub cache: PlanCache,
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
    let (sender, receiver) = watch::channel(Arc::new(cached.unwrap_or_default()));
    let follower = Follower { config, sender, lived: 0 };
    (receiver, tokio::spawn(follower.run()))
}

struct Follower {
    config: FollowerConfig,
    sender: watch::Sender<Arc<Plan>>,
    /// The newest epoch that control sent to this process. The plan on disk doesn't count: the
    /// cluster may have been built anew since, and then its epochs are small again.
    lived: u64,
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

    /// Follows one control node until that fails; says how many plans came and why it ended.
    async fn watch(&mut self, address: &Address) -> (usize, String) {
        let endpoint = match Endpoint::from_shared(address.to_string()) {
            Ok(endpoint) => endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(KEEP_ALIVE),
            Err(error) => return (0, error.to_string()),
        };
        let channel = match endpoint.connect().await {
            Ok(channel) => channel,
            Err(error) => return (0, innermost(&error)),
        };
        let mut control =
            ControlServiceClient::new(channel).max_decoding_message_size(MAX_CONTROL_MESSAGE_BYTES);
        let request = WatchPlanRequest { node_id: self.config.node_id.clone() };
        let first = async {
            let mut plans = control.watch_plan(request).await?.into_inner();
            Ok::<_, tonic::Status>((plans.next().await, plans))
        };
        let (mut next, mut plans) = match tokio::time::timeout(FIRST_PLAN_TIMEOUT, first).await {
            Ok(Ok(first)) => first,
            Ok(Err(status)) => return (0, innermost(&status)),
            Err(_) => return (0, format!("no plan within {FIRST_PLAN_TIMEOUT:?}")),
        };
        tracing::info!(control = %address, "follows the plan");
        let mut count = 0;
        loop {
            match next {
                Some(Ok(answer)) => match plan_from_pb(answer.plan.unwrap_or_default()) {
                    Ok(plan) if plan.epoch < self.lived => {
                        let epoch = plan.epoch;
                        let reason = format!("sent epoch {epoch} after {}: it lags", self.lived);
                        return (count, reason);
                    }
                    Ok(plan) => {
                        count += 1;
                        self.take(plan).await;
                    }
                    Err(error) => return (count, format!("sent a broken plan: {error}")),
                },
                Some(Err(status)) => return (count, innermost(&status)),
                None => return (count, "ended the stream".into()),
            }
            next = plans.next().await;
        }
    }

    /// Publishes the plan to the node first and keeps it on disk after: readers must not wait for a
    /// disk, and control is there to ask if the node dies in between.
    async fn take(&mut self, plan: Plan) {
        self.lived = plan.epoch;
        let plan = Arc::new(plan);
        self.sender.send_replace(plan.clone());
        let cache = self.config.cache.clone();
        let written = tokio::task::spawn_blocking(move || cache.write(&plan)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "the plan could not be kept on disk: a restart without control would fail");
        }
    }
}
