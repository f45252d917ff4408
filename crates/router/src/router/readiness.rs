//! Whether this router can answer, and in full: follows the plan, and tries nodes that did not answer lately.
//!
//! A router serves while it can answer anything: a partial answer is one, and callers who are sent elsewhere find
//! routers that reach no more. Only at the start it waits for a while for the rest. Full coverage, that every shard of
//! all that is live has a reachable replica, is told apart. Nodes count as reachable until they were tried; they are tried
//! with an empty Lookup, which costs nothing, and opens connections before the first caller needs
//! them. So a dead node is known as dead before a caller waits for it, and as alive again soon after
//! it is.

use crate::fanout::node::{NodeHandle, Nodes};
use crate::fanout::select::available_on;
use crate::lookup::row_cache::RowCache;
use futures::future::join_all;
use marquee_core::plan::{Plan, Surface};
use marquee_proto::shard::v1::LookupRequest;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tonic::{Code, Request};

/// How often to look which nodes want to be tried; a node that came back is used after this at most.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// A node that answered within this time is not tried.
pub(crate) const PROBE_IDLE: Duration = Duration::from_secs(1);
/// How long a router that starts waits for full coverage before it serves what it can: longer than versions that are
/// loaded already take to be reported.
pub(crate) const START_PATIENCE: Duration = Duration::from_secs(5);
/// How long an empty Lookup may take: some hundred times what it does.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// Keeps `ready` true to the plan and the nodes, and what is remembered to the plan; never ends, and is aborted
/// at shutdown.
pub(crate) async fn watch_readiness(
    mut plan: watch::Receiver<Arc<Plan>>,
    nodes: Arc<Nodes>,
    rows: Arc<RowCache>,
    readiness: Arc<Readiness>,
) {
    let mut tick = interval(PROBE_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut plan_lives = true;
    let mut something_since: Option<Instant> = None;
    loop {
        let current = Arc::clone(&plan.borrow_and_update());
        rows.keep(&current);
        let reach = reach(&current, &nodes);
        if reach == Reach::Nothing {
            something_since = None;
        } else {
            something_since.get_or_insert_with(Instant::now);
        }
        let since = something_since.map_or(Duration::ZERO, |since| since.elapsed());
        // Read first: the channel is locked while it is borrowed.
        let served = *readiness.serves.borrow();
        readiness.set(serves(served, reach, since), reach);
        tokio::select! {
            // In this order, so that a seed of the simulation makes one run. None keeps the others waiting: ticks are seconds
            // apart, and plans come no faster than control commits.
            biased;
            _ = tick.tick() => probe(&current, &nodes).await,
            changed = plan.changed(), if plan_lives => {
                // Without a follower the last plan is served on.
                plan_lives = changed.is_ok();
                nodes.keep(&plan.borrow());
            }
            () = nodes.changed() => {}
        }
    }
}

/// What a router can answer, as far as it knows.
#[derive(Debug)]
pub(crate) struct Readiness {
    /// Whether it can answer anything.
    pub(crate) serves: watch::Sender<bool>,
    /// Whether it can answer everything in full.
    pub(crate) covers_all: watch::Sender<bool>,
}

impl Readiness {
    /// As the plan says, before any node was tried.
    pub(crate) fn of(plan: &Plan, nodes: &Nodes) -> Self {
        let reach = reach(plan, nodes);
        Self {
            serves: watch::Sender::new(serves(false, reach, Duration::ZERO)),
            covers_all: watch::Sender::new(reach == Reach::Everything),
        }
    }

    /// Neither, for good.
    pub(crate) fn end(&self) {
        self.set(false, Reach::Nothing);
    }

    fn set(&self, serves: bool, reach: Reach) {
        let covers_all = reach == Reach::Everything;
        self.serves.send_if_modified(|was| std::mem::replace(was, serves) != serves);
        self.covers_all.send_if_modified(|was| std::mem::replace(was, covers_all) != covers_all);
    }
}

/// How much of what is live has a reachable replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Nothing is live, or no shard of it can be reached.
    Nothing,
    /// Answers are partial, or some surfaces have none.
    Something,
    /// Every shard of all that is live.
    Everything,
}

/// Whether a router serves that `served` before and has reached something for this time.
fn serves(served: bool, reach: Reach, something_for: Duration) -> bool {
    match reach {
        Reach::Nothing => false,
        Reach::Something => served || something_for >= START_PATIENCE,
        Reach::Everything => true,
    }
}

/// How much of what the plan's surfaces send traffic to can be reached.
pub(crate) fn reach(plan: &Plan, nodes: &Nodes) -> Reach {
    let (mut reached, mut missing) = (false, false);
    for surface in plan.surfaces.values().filter(|surface| surface.ensemble.is_some()) {
        for has_replica in shards_of(plan, surface, nodes) {
            reached |= has_replica;
            missing |= !has_replica;
        }
    }
    match (reached, missing) {
        (false, _) => Reach::Nothing,
        (true, true) => Reach::Something,
        (true, false) => Reach::Everything,
    }
}

/// For every shard of the versions that a surface sends traffic to, whether a replica can be reached.
fn shards_of(plan: &Plan, surface: &Surface, nodes: &Nodes) -> Vec<bool> {
    let candidate = surface
        .rollout_id
        .as_ref()
        .and_then(|id| plan.rollout(id))
        .filter(|rollout| rollout.weight_basis_points() > 0)
        .map(|rollout| &rollout.candidate);
    let mut shards = Vec::new();
    for ensemble in [surface.ensemble.as_ref(), candidate].into_iter().flatten() {
        let versions = plan.versions_of(ensemble);
        if versions.is_empty() {
            shards.push(false);
        }
        for published in versions.iter().filter_map(|version| plan.versions.get(version)) {
            let unplaced = (published.shards as usize).saturating_sub(published.placements.len());
            shards.extend((0..unplaced).map(|_| false));
            shards.extend(published.placements.iter().map(|placement| {
                available_on(placement)
                    .any(|node_id| nodes.get(plan, node_id).is_some_and(|node| node.is_reachable()))
            }));
        }
    }
    shards
}

/// Tries all nodes that hold something live and were not heard of lately.
async fn probe(plan: &Plan, nodes: &Nodes) {
    let placements = plan
        .live_versions()
        .into_iter()
        .filter_map(|version| plan.versions.get(&version))
        .flat_map(|published| &published.placements);
    let holders: BTreeSet<&str> = placements.flat_map(available_on).collect();
    let quiet = holders
        .into_iter()
        .filter_map(|node_id| nodes.get(plan, node_id))
        .filter(|node| !node.is_reachable() || !node.answered_within(PROBE_IDLE));
    join_all(quiet.map(try_node)).await;
}

async fn try_node(node: Arc<NodeHandle>) {
    let mut request = Request::new(LookupRequest::default());
    request.set_timeout(PROBE_TIMEOUT);
    match timeout(PROBE_TIMEOUT, node.service.lookup(request)).await {
        Ok(Ok(_)) => node.lives(),
        Ok(Err(status)) => match status.code() {
            Code::Unavailable | Code::Unknown | Code::DeadlineExceeded | Code::Cancelled => {
                node.failed(status.message());
            }
            // Whatever else it says, it lives.
            _ => node.lives(),
        },
        Err(_) => node.failed("an empty lookup had no answer in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_that_serves_goes_on_while_it_can_answer_anything() {
        assert!(!serves(true, Reach::Nothing, Duration::MAX));
        assert!(serves(true, Reach::Something, Duration::ZERO));
        assert!(!serves(false, Reach::Something, Duration::ZERO), "the rest may come in a moment");
        assert!(serves(false, Reach::Something, START_PATIENCE), "it does not come");
        assert!(serves(false, Reach::Everything, Duration::ZERO));
    }
}
