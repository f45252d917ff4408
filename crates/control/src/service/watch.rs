//! Streams of the plan and of rollouts.
//!
//! A stream shows the newest state, never a backlog: a slow follower misses what was
//! replaced meanwhile, and no follower waits for another.

use super::followers::Follower;
use super::rollouts;
use futures::stream;
use marquee_core::plan::Plan;
use marquee_core::rollout::judge::AllEvidence;
use marquee_proto::control::v1 as pb;
use marquee_proto::convert::plan::plan_to_pb;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch::Receiver;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

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

/// Streams a rollout now and after each change, and ends with the state in which it is over.
pub(super) fn rollout(
    plans: Receiver<Arc<Plan>>,
    evidence: Receiver<Arc<AllEvidence>>,
    id: String,
) -> BoxStream<pb::WatchRolloutResponse> {
    let watched = WatchedRollout { plans, evidence, id, last: None };
    Box::pin(stream::unfold(Some(watched), |watched| async move { watched?.next().await }))
}

/// A rollout that is watched.
struct WatchedRollout {
    plans: Receiver<Arc<Plan>>,
    evidence: Receiver<Arc<AllEvidence>>,
    id: String,
    /// As it was sent last.
    last: Option<pb::Rollout>,
}

impl WatchedRollout {
    /// What to send next, and what is watched after that: none once it is over. Waits for a change.
    async fn next(mut self) -> Option<(Result<pb::WatchRolloutResponse, Status>, Option<Self>)> {
        loop {
            let plan = Arc::clone(&self.plans.borrow_and_update());
            let found = rollouts::find(&plan, &self.evidence.borrow(), &self.id);
            let rollout = match found {
                Ok(rollout) => rollout,
                Err(status) => return Some((Err(status), None)),
            };
            let is_over = plan.rollout(&self.id).is_none_or(|it| it.state.is_over());
            if self.last.as_ref() != Some(&rollout) {
                self.last = Some(rollout.clone());
                let response = pb::WatchRolloutResponse { rollout: Some(rollout) };
                return Some((Ok(response), (!is_over).then_some(self)));
            }
            if is_over || self.plans.changed().await.is_err() {
                return None;
            }
        }
    }
}
