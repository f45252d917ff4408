//! The followers of the plan: which streams of it are open at this control node.

use marquee_core::bounds::MAX_NODES;
use marquee_proto::control::v1 as pb;
use marquee_proto::status::{DetailedStatus, RETRY_UNAVAILABLE};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tonic::{Code, Status};

/// How many streams of the plan may be open: two for each node that a cluster may have, because a node that
/// reconnects may have two for a while.
const MAX_FOLLOWERS: usize = 2 * MAX_NODES;

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
    number: u64,
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
            let says = format!(
                "{MAX_FOLLOWERS} streams of the plan are open here: follow another control node"
            );
            let full = DetailedStatus::new(Code::ResourceExhausted, "TOO_MANY_FOLLOWERS", says);
            return Err(full.retry_after(RETRY_UNAVAILABLE).into());
        }
        register.joined += 1;
        let number = register.joined;
        register.followers.insert(number, pb::Follower { node_id, epoch: 0 });
        Ok(Follower { all: self.clone(), number })
    }

    /// All open streams, by the name of the follower.
    pub(super) fn list(&self) -> Vec<pb::Follower> {
        let mut list: Vec<_> = self.register().followers.values().cloned().collect();
        list.sort_by(|a, b| a.node_id.cmp(&b.node_id));
        list
    }
}

impl Follower {
    /// Notes that this stream has shown the plan of this epoch.
    pub(super) fn sent(&self, epoch: u64) {
        if let Some(follower) = self.all.register().followers.get_mut(&self.number) {
            follower.epoch = epoch;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.all.register().followers.remove(&self.number);
    }
}
