//! The shard nodes that a plan names: how to reach each, and what is remembered of its health.
//!
//! A node is reached through `Arc<dyn ShardService>`, whether it is this very process or another
//! machine; the [`Dialer`] decides what is behind that. A handle lives as long as plans name the
//! node at that address, so its connection and its memory do too.

use crate::fanout::health::{CallKind, NodeHealth};
use crate::fanout::outliers::{GroupMember, lower_median, outliers};
use marquee_core::plan::Plan;
use marquee_net::Connector;
use marquee_proto::shard::v1::shard_service_server::ShardService;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How a router reaches a shard node.
pub trait Dialer: Send + Sync + 'static {
    /// The service of the node at this address. Must not wait: what connects, connects at first use.
    ///
    /// # Errors
    /// Why the address is none.
    fn dial(&self, node_id: &str, address: &str) -> Result<Arc<dyn ShardService>, String>;

    /// Connects to nodes for other services.
    fn connector(&self) -> Connector {
        Connector::plain()
    }
}

/// One shard node.
pub(crate) struct NodeHandle {
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) service: Arc<dyn ShardService>,
    health: Mutex<NodeHealth>,
    /// How many calls to it are under way.
    under_way: Arc<AtomicUsize>,
    /// Told when the breaker opens or closes.
    changed: Arc<Notify>,
}

impl NodeHandle {
    fn new(
        id: &str,
        address: &str,
        service: Arc<dyn ShardService>,
        changed: Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: id.into(),
            address: address.into(),
            service,
            health: Mutex::default(),
            under_way: Arc::default(),
            changed,
        })
    }

    /// It answered a call; `usual` is the p95 of its group for such calls.
    pub(crate) fn answered(&self, kind: CallKind, took: Duration, usual: Option<Duration>) {
        self.health().answered(kind, took, usual, Instant::now());
        self.lives();
    }

    /// Others answered what it was asked, or the time was up.
    pub(crate) fn was_beaten(&self, took: Duration, usual: Option<Duration>) {
        self.health().was_beaten(took, usual, Instant::now());
    }

    /// It gave a sign of life.
    pub(crate) fn lives(&self) {
        if self.health().lives(Instant::now()) {
            tracing::info!(node = self.id, "a shard node answers again");
            self.changed.notify_one();
        }
    }

    /// It could not be reached, or seems to hang.
    pub(crate) fn failed(&self, reason: &str) {
        if self.health().failed() {
            tracing::warn!(node = self.id, address = self.address, reason, "avoiding a shard node");
            self.changed.notify_one();
        }
    }

    /// Whether it answered when it was last tried; true until it was.
    pub(crate) fn is_reachable(&self) -> bool {
        self.health().is_reachable()
    }

    /// Whether it is left out because it is slower than others.
    pub(crate) fn is_ejected(&self) -> bool {
        self.health().is_ejected(Instant::now())
    }

    /// Whether it answered within the last `idle`.
    pub(crate) fn answered_within(&self, idle: Duration) -> bool {
        self.health().answered_within(idle, Instant::now())
    }

    /// What 95 of 100 calls of the kind take less than, if there were enough.
    pub(crate) fn p95(&self, kind: CallKind) -> Option<Duration> {
        self.health().p95(kind)
    }

    /// What one more call is expected to cost.
    pub(crate) fn cost(&self) -> f64 {
        self.health().cost(self.under_way.load(Ordering::Relaxed), Instant::now())
    }

    /// Counts a call that is under way, until what is returned is dropped.
    pub(crate) fn begin_call(&self) -> CallUnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        CallUnderWay(Arc::clone(&self.under_way))
    }

    fn health(&self) -> MutexGuard<'_, NodeHealth> {
        // Counters are whole after every step, so a panic elsewhere leaves nothing to fear.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call that is under way.
#[derive(Debug)]
pub(crate) struct CallUnderWay(Arc<AtomicUsize>);

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The p95 of a group of nodes for calls of a kind: that of the node in the middle, so that slow ones do not count.
pub(crate) fn usual_latency(nodes: &[Arc<NodeHandle>], kind: CallKind) -> Option<Duration> {
    lower_median(nodes.iter().filter_map(|node| node.p95(kind)).collect())
}

/// Leaves out the nodes of a group that are slow where the others are not.
pub(crate) fn eject_outliers(nodes: &[Arc<NodeHandle>]) {
    let now = Instant::now();
    let group: Vec<GroupMember> = nodes.iter().map(|node| node.health().member(now)).collect();
    for place in outliers(&group) {
        let node = &nodes[place];
        let time = node.health().eject(now);
        tracing::warn!(
            node = node.id,
            address = node.address,
            slow_share = group[place].slow_share,
            seconds = time.as_secs(),
            "a shard node is slower than others: leaves it out for a while"
        );
    }
}

/// A shard node that a router does not ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvoidedNode {
    /// The id of the node.
    pub node_id: String,
    /// Whether it is left out for a while because it is slow; else it did not answer.
    pub is_left_out: bool,
}

/// All nodes that were called and that plans still name.
pub(crate) struct Nodes {
    dialer: Arc<dyn Dialer>,
    local: Option<(String, Arc<dyn ShardService>)>,
    handles: Mutex<BTreeMap<String, Arc<NodeHandle>>>,
    changed: Arc<Notify>,
}

impl Nodes {
    /// Reaches the node `local` directly and all others through the dialer.
    pub(crate) fn new(
        dialer: Arc<dyn Dialer>,
        local: Option<(String, Arc<dyn ShardService>)>,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        Self { dialer, local, handles: Mutex::default(), changed }
    }

    /// Waits until the health of a node changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether this is the node of this very process.
    pub(crate) fn is_local(&self, id: &str) -> bool {
        self.local.as_ref().is_some_and(|(local, _)| local == id)
    }

    /// The node, as the plan names it; none if the plan does not, or its address is none.
    pub(crate) fn get(&self, plan: &Plan, id: &str) -> Option<Arc<NodeHandle>> {
        let address = match plan.nodes.get(id) {
            Some(node) => node.address.as_str(),
            // A node of this process may serve before it has reported itself.
            None if self.is_local(id) => "",
            None => return None,
        };
        let mut handles = self.handles();
        if let Some(handle) = handles.get(id)
            && (handle.address == address || self.is_local(id))
        {
            return Some(Arc::clone(handle));
        }
        let service = match &self.local {
            Some((local, service)) if local == id => Arc::clone(service),
            _ => match self.dialer.dial(id, address) {
                Ok(service) => service,
                Err(reason) => {
                    tracing::error!(node = id, address, reason, "a shard node cannot be dialled");
                    return None;
                }
            },
        };
        let handle = NodeHandle::new(id, address, service, Arc::clone(&self.changed));
        handles.insert(id.into(), Arc::clone(&handle));
        Some(handle)
    }

    /// The nodes that are not asked, because they did not answer or are slower than others, by id.
    pub(crate) fn avoided(&self) -> Vec<AvoidedNode> {
        let mut avoided = Vec::new();
        for (node_id, node) in self.handles().iter() {
            let (is_reachable, is_left_out) = (node.is_reachable(), node.is_ejected());
            if !is_reachable || is_left_out {
                let is_left_out = is_left_out && is_reachable;
                avoided.push(AvoidedNode { node_id: node_id.clone(), is_left_out });
            }
        }
        avoided
    }

    /// Forgets the nodes that the plan does not name.
    pub(crate) fn keep(&self, plan: &Plan) {
        self.handles().retain(|id, _| plan.nodes.contains_key(id) || self.is_local(id));
    }

    fn handles(&self) -> MutexGuard<'_, BTreeMap<String, Arc<NodeHandle>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
