//! Streams of what changes, and who follows them.
//!
//! A stream shows the newest state, never a backlog: a follower that is slow misses what was
//! replaced meanwhile, and neither it nor anybody else waits.

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

/// Streams of the plan at once: two for each node that a cluster may have, since one that reconnects
/// may be there twice for a while.
const MAX_FOLLOWERS: usize = 2 * MAX_NODES;

/// A stream of responses.
pub(super) type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The plan now and after each change.
pub(super) fn plan(
    plans: Receiver<Arc<Plan>>,
    follower: Follower,
) -> BoxStream<pb::WatchPlanResponse> {
    Box::pin(WatchStream::new(plans).map(move |plan| {
        follower.sent(plan.epoch);
        Ok(pb::WatchPlanResponse { plan: Some(plan_to_pb(&plan)) })
    }))
}

/// A rollout now and after each change, until it is over.
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

/// Who follows the plan here.
#[derive(Clone, Default)]
pub(super) struct Followers(Arc<Mutex<Register>>);

#[derive(Default)]
struct Register {
    joined: u64,
    followers: BTreeMap<u64, pb::Follower>,
}

/// One stream's place among the followers, given up when it ends.
pub(super) struct Follower {
    all: Followers,
    ticket: u64,
}

impl Followers {
    fn register(&self) -> MutexGuard<'_, Register> {
        // Every change is one insert or remove, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a follower in.
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

    /// All of them, by name.
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
