//! Whether this router can answer: follows the plan, and tries nodes that did not answer lately.
//!
//! Ready means that some surface is live and that every shard of the versions it sends traffic to has
//! a reachable replica. Nodes count as reachable until they were tried; they are tried
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
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::{Code, Request};

/// How often to look which nodes want to be tried; a node that came back is used after this at most.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// A node that answered within this time is not tried.
pub(crate) const PROBE_IDLE: Duration = Duration::from_secs(1);
/// How long an empty Lookup may take: some hundred times what it does.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// Keeps `ready` true to the plan and the nodes, and what is remembered to the plan; never ends, and is aborted
/// at shutdown.
pub(crate) async fn watch_readiness(
    mut plan: watch::Receiver<Arc<Plan>>,
    nodes: Arc<Nodes>,
    rows: Arc<RowCache>,
    ready: Arc<watch::Sender<bool>>,
) {
    let mut tick = interval(PROBE_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut plan_lives = true;
    loop {
        let current = Arc::clone(&plan.borrow_and_update());
        rows.keep(&current);
        let is_ready = is_ready(&current, &nodes);
        ready.send_if_modified(|was| std::mem::replace(was, is_ready) != is_ready);
        tokio::select! {
            changed = plan.changed(), if plan_lives => {
                // Without a follower the last plan is served on.
                plan_lives = changed.is_ok();
                nodes.keep(&plan.borrow());
            }
            () = nodes.changed() => {}
            _ = tick.tick() => probe(&current, &nodes).await,
        }
    }
}

/// Whether some surface can be answered for in full.
pub(crate) fn is_ready(plan: &Plan, nodes: &Nodes) -> bool {
    plan.surfaces.values().any(|surface| can_serve(plan, surface, nodes))
}

fn can_serve(plan: &Plan, surface: &Surface, nodes: &Nodes) -> bool {
    let Some(ensemble) = &surface.ensemble else { return false };
    let candidate = surface
        .rollout_id
        .as_ref()
        .and_then(|id| plan.rollout(id))
        .filter(|rollout| rollout.weight_basis_points() > 0)
        .map(|rollout| &rollout.candidate);
    let mut versions = [Some(ensemble), candidate].into_iter().flatten();
    versions.all(|ensemble| {
        let versions = plan.versions_of(ensemble);
        !versions.is_empty()
            && versions.iter().filter_map(|version| plan.versions.get(version)).all(|published| {
                published.placements.len() >= published.shards as usize
                    && published.placements.iter().all(|placement| {
                        available_on(placement).any(|node_id| {
                            nodes.get(plan, node_id).is_some_and(|node| node.is_reachable())
                        })
                    })
            })
    })
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
