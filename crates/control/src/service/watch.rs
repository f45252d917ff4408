//! Streams of the plan and of rollouts, and the followers of the plan.
//!
//! A stream shows the newest state, never a backlog: a slow follower misses what was
//! replaced meanwhile, and no follower waits for another.

use super::rollouts;
use marquee_core::bounds::MAX_NODES;
use marquee_core::command::AllEvidence;
use marquee_core::plan::Plan;
use marquee_proto::control::v1 as pb;
use marquee_proto::convert::plan::plan_to_pb;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch::Receiver;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

/// How many streams of the plan may be open: two for each node that a cluster may have, because a node that
/// reconnects may have two for a while.
const MAX_FOLLOWERS: usize = 2 * MAX_NODES;

/// A stream of responses to one caller.
pub(super) type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Streams the plan now and after each change.
pub(super) fn plan(
    plans: Receiver<Arc<Plan>>,
    follower: Follower,
) -> BoxStream<pb::WatchPlanResponse> {
    Box::pin(WatchStream::new(plans).map(move |plan| {
        follower.sent(plan.epoch);
        Ok(pb::WatchPlanResponse { plan: Some(plan_to_pb(&plan)) })
    }))
}

/// Streams a rollout now and after each change, until it is over.
pub(super) fn rollout(
    plans: Receiver<Arc<Plan>>,
    evidence: Receiver<Arc<AllEvidence>>,
    id: String,
) -> BoxStream<pb::WatchRolloutResponse> {
    let mut last = None;
    let mut over = false;
    let changes = WatchStream::new(plans)
        .map(move |plan| {
            let running = plan.rollout(&id).is_some_and(|rollout| !rollout.state.is_over());
            (rollouts::find(&plan, &evidence.borrow(), &id), running)
        })
        .take_while(move |(_, running)| !std::mem::replace(&mut over, !running))
        .filter_map(move |(found, _)| match found {
            Ok(rollout) if last.as_ref() == Some(&rollout) => None,
            Ok(rollout) => {
                last = Some(rollout.clone());
                Some(Ok(pb::WatchRolloutResponse { rollout: Some(rollout) }))
            }
            Err(status) => Some(Err(status)),
        });
    Box::pin(changes)
}

/// The open streams of the plan at this control node.
#[derive(Clone, Default)]
pub(super) struct Followers(Arc<Mutex<Register>>);

#[derive(Default)]
struct Register {
    joined: u64,
    followers: BTreeMap<u64, pb::Follower>,
}

/// One open stream of the plan; dropping it takes it out of the list.
pub(super) struct Follower {
    all: Followers,
    ticket: u64,
}

impl Followers {
    fn register(&self) -> MutexGuard<'_, Register> {
        // Every change is one insert or remove, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a stream of this node. Refused when too many are open.
    pub(super) fn join(&self, node_id: String) -> Result<Follower, Status> {
        let mut register = self.register();
        if register.followers.len() >= MAX_FOLLOWERS {
            return Err(Status::resource_exhausted(format!(
                "{MAX_FOLLOWERS} streams of the plan are open here: follow another control node"
            )));
        }
        register.joined += 1;
        let ticket = register.joined;
        register.followers.insert(ticket, pb::Follower { node_id, epoch: 0 });
        Ok(Follower { all: self.clone(), ticket })
    }

    /// All open streams, by the name of the follower.
    pub(super) fn list(&self) -> Vec<pb::Follower> {
        let mut list: Vec<_> = self.register().followers.values().cloned().collect();
        list.sort_by(|a, b| a.node_id.cmp(&b.node_id));
        list
    }
}

impl Follower {
    fn sent(&self, epoch: u64) {
        if let Some(follower) = self.all.register().followers.get_mut(&self.ticket) {
            follower.epoch = epoch;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.all.register().followers.remove(&self.ticket);
    }
}
