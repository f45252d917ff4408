//! The shard nodes that a plan names: how to reach each, and what is remembered of its health.
//!
//! A node is reached through `Arc<dyn ShardService>`, whether it is this very process or another
//! machine; the [`Dialer`] decides what is behind that. A handle lives as long as plans name the
//! node at that address, so its connection and its memory do too.

use crate::fanout::policy::{Breaker, CallLatencies};
use marquee_core::plan::Plan;
use marquee_net::Connector;
use marquee_proto::shard::v1::shard_service_server::ShardService;
use std::collections::{BTreeMap, HashMap};
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

/// Calls whose latencies compare: of one operation, and of about as many queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CallKind {
    search: bool,
    /// log₂ of the number of keys or queries.
    size_class: u32,
}

impl CallKind {
    /// A lookup of this many keys.
    pub(crate) fn lookup(keys: usize) -> Self {
        Self { search: false, size_class: keys.max(1).ilog2() }
    }

    /// A search with this many queries.
    pub(crate) fn search(queries: usize) -> Self {
        Self { search: true, size_class: queries.max(1).ilog2() }
    }
}

/// One shard node.
pub(crate) struct NodeHandle {
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) service: Arc<dyn ShardService>,
    health: Mutex<Health>,
    /// Told when the breaker opens or closes.
    changed: Arc<Notify>,
}

struct Health {
    breaker: Breaker,
    latencies: HashMap<CallKind, CallLatencies>,
    last_answer: Option<Instant>,
}

impl NodeHandle {
    fn new(
        id: &str,
        address: &str,
        service: Arc<dyn ShardService>,
        changed: Arc<Notify>,
    ) -> Arc<Self> {
        let health =
            Health { breaker: Breaker::default(), latencies: HashMap::new(), last_answer: None };
        Arc::new(Self {
            id: id.into(),
            address: address.into(),
            service,
            health: Mutex::new(health),
            changed,
        })
    }

    /// It answered a call.
    pub(crate) fn answered(&self, kind: CallKind, took: Duration) {
        self.health().latencies.entry(kind).or_default().record(took);
        self.lives();
    }

    /// It gave a sign of life.
    pub(crate) fn lives(&self) {
        let mut health = self.health();
        health.last_answer = Some(Instant::now());
        let was_open = health.breaker.is_open();
        health.breaker.succeeded();
        drop(health);
        if was_open {
            tracing::info!(node = self.id, "a shard node answers again");
            self.changed.notify_one();
        }
    }

    /// It could not be reached, or seems to hang.
    pub(crate) fn failed(&self, reason: &str) {
        if self.health().breaker.failed() {
            tracing::warn!(node = self.id, address = self.address, reason, "avoiding a shard node");
            self.changed.notify_one();
        }
    }

    /// Whether it answered when it was last tried; true until it was.
    pub(crate) fn is_reachable(&self) -> bool {
        !self.health().breaker.is_open()
    }

    /// Whether it answered within the last `idle`.
    pub(crate) fn answered_within(&self, idle: Duration) -> bool {
        self.health().last_answer.is_some_and(|last| last.elapsed() < idle)
    }

    /// What 95 of 100 calls of the kind take less than, if there were enough.
    pub(crate) fn p95(&self, kind: CallKind) -> Option<Duration> {
        self.health().latencies.get(&kind).and_then(CallLatencies::p95)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        // Counters are whole after every step, so a panic elsewhere leaves nothing to fear.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

    /// Forgets the nodes that the plan does not name.
    pub(crate) fn keep(&self, plan: &Plan) {
        self.handles().retain(|id, _| plan.nodes.contains_key(id) || self.is_local(id));
    }

    fn handles(&self) -> MutexGuard<'_, BTreeMap<String, Arc<NodeHandle>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
