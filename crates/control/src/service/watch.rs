//! Streams of the plan and of rollouts.
//!
//! A stream shows the newest state, never a backlog: a slow follower misses what was
//! replaced meanwhile, and no follower waits for another.

use super::followers::Follower;
use super::rollouts;
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
