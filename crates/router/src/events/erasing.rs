//! Follows the plan's tombstones: at once nothing more is recorded or remembered of users who are forgotten, and
//! then what the logs have of them is erased.
//!
//! At a start, and whenever another user is forgotten, all full segments are looked at. So it needs no record of how
//! far it is, and what a crash interrupted is done by the next start.

use super::recorder::Feedback;
use marquee_core::plan::{Plan, UserPrivacy};
use marquee_events::{
    ErasedCounts, EventLog, ExposureLog, ForgottenUsers, LogError, WeakEventLog, WeakExposureLog,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

/// How long to wait after a failure: the disk may be full for a while, and each attempt reads all of the logs.
const RETRY: Duration = Duration::from_secs(10);

/// Logs that may have been closed: following plans keeps none open.
#[derive(Clone)]
pub(crate) struct WeakFeedback {
    events: Option<WeakEventLog>,
    exposures: Option<WeakExposureLog>,
}

impl From<&Feedback> for WeakFeedback {
    fn from(feedback: &Feedback) -> Self {
        let Feedback { events, exposures, failure: _ } = feedback;
        Self {
            events: events.as_ref().map(EventLog::downgrade),
            exposures: exposures.as_ref().map(ExposureLog::downgrade),
        }
    }
}

/// Erases from these logs whom the plan forgets, until there are no more plans.
pub(crate) async fn erase_forgotten(feedback: WeakFeedback, mut plan: watch::Receiver<Arc<Plan>>) {
    let mut done = UserPrivacy::default();
    loop {
        let privacy = plan.borrow_and_update().privacy.clone();
        let is_done = privacy.tombstones == done.tombstones && privacy.keys == done.keys;
        if is_done {
            if plan.changed().await.is_err() {
                return;
            }
            continue;
        }
        let has_new = privacy.tombstones.iter().any(|(user, _)| !done.tombstones.contains(user));
        let users = Arc::new(ForgottenUsers::of(&privacy));
        let logs = feedback.clone();
        let erased = spawn_blocking(move || forget(&logs, &users, has_new)).await;
        match erased {
            Ok(Ok(ErasedCounts { erased, replaced, segments })) => {
                if has_new {
                    let up_to = privacy.tombstones.newest();
                    tracing::info!(up_to, erased, replaced, segments, "erased forgotten users");
                }
                done = privacy;
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "forgotten users are still in the logs: free the disk, or restore them");
                tokio::time::sleep(RETRY).await;
            }
            // It panicked, which was logged, or the runtime ends.
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Has both logs know the users, and erases if one of them is new. Blocking.
fn forget(
    feedback: &WeakFeedback,
    users: &Arc<ForgottenUsers>,
    has_new: bool,
) -> Result<ErasedCounts, LogError> {
    let events = feedback.events.as_ref().and_then(WeakEventLog::upgrade);
    let exposures = feedback.exposures.as_ref().and_then(WeakExposureLog::upgrade);
    // Both first: nothing more may come while one is erased.
    if let Some(events) = &events {
        events.forget(Arc::clone(users));
    }
    if let Some(exposures) = &exposures {
        exposures.forget(Arc::clone(users));
    }
    let mut counts = ErasedCounts::default();
    if has_new {
        if let Some(events) = &events {
            counts.add(events.erase()?);
        }
        if let Some(exposures) = &exposures {
            counts.add(exposures.erase()?);
        }
    }
    Ok(counts)
}
