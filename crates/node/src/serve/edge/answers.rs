//! The lane of answers: as many at once as can be given without a queue.
//!
//! The limit follows how long calls wait for a processor ([`ConcurrencyLimit`]), so that an overload takes no time of what is
//! admitted. It is for answers: calls of recommenders and shards. Control has its own lane, and so have events, whose log
//! has a bound of its own. What is above the limit is refused with RESOURCE_EXHAUSTED and the time after which to come again, before
//! anything of the request is decoded.
//!
//! A call that waits is measured where it gives way once to all that this runtime has to do. After that it is begun,
//! unless its deadline has passed.

use marquee_core::overload::{ConcurrencyLimit, LimitSettings, Priority, retry_after};
use marquee_net::timeout_in;
use marquee_proto::overload::PRIORITY_HEADER;
use marquee_proto::status::DetailedStatus;
use marquee_router::Pressure;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Code, Status};

/// By how much a deadline is kept sooner than tonic keeps it, which would say CANCELLED: its clock started before, and timers
/// have milliseconds.
const TONIC_HEAD_START: Duration = Duration::from_millis(2);
/// The services whose calls are answers.
const ANSWERS: [&str; 2] = ["/marquee.v1.RecommenderService/", "/marquee.shard.v1.ShardService/"];
/// The call of them that records instead of answering.
pub(super) const RECORDS: &str = "/marquee.v1.RecommenderService/RecordEvents";
/// The call of many requests.
pub(super) const BATCHES: &str = "/marquee.v1.RecommenderService/BatchRecommend";

/// The answers of one address. Clones share the count.
#[derive(Clone, Debug)]
pub(super) struct AnswerLane {
    shared: Arc<LaneState>,
}

#[derive(Debug)]
struct LaneState {
    /// The answers under way.
    answers: AtomicUsize,
    began: Instant,
    limit: Mutex<ConcurrencyLimit>,
    /// Told of what was measured.
    pressure: Pressure,
}

/// An answer that is being made; ends when dropped.
#[derive(Debug)]
pub(super) struct RunningAnswer(Arc<LaneState>);

impl Drop for RunningAnswer {
    fn drop(&mut self) {
        self.0.answers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl AnswerLane {
    /// Admits no more answers than `threads` can give without a queue, and never more than `max`; `pressure` is told how hard that
    /// is.
    pub(super) fn new(max: usize, threads: usize, pressure: Pressure) -> Self {
        let shared = LaneState {
            answers: AtomicUsize::new(0),
            began: Instant::now(),
            limit: Mutex::new(ConcurrencyLimit::new(LimitSettings::for_threads(threads, max))),
            pressure,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Counts a new answer, or refuses it.
    pub(super) fn admit(&self, priority: Priority) -> Result<RunningAnswer, DetailedStatus> {
        let before = self.shared.answers.fetch_add(1, Ordering::AcqRel);
        let running = RunningAnswer(Arc::clone(&self.shared));
        let mut limit = self.limit();
        if limit.admits(before, priority) {
            return Ok(running);
        }
        let reason = format!(
            "this node has more to do than it can: {} requests are under way, and more would wait for too long; try \
             again later or another node",
            limit.limit()
        );
        let refused = DetailedStatus::new(Code::ResourceExhausted, "OVERLOAD", reason);
        Err(refused.retry_after(retry_after(fastrand::f64())))
    }

    /// An answer is begun after it has waited.
    pub(super) fn begun(&self, waited: Duration) {
        let LaneState { pressure, began, .. } = &*self.shared;
        let mut limit = self.limit();
        if limit.begun(waited, began.elapsed()) {
            pressure.note(limit.standing_delay(), limit.is_limiting());
            limit.refused_elsewhere(pressure.take_refused_by_shards());
        }
    }

    fn limit(&self) -> MutexGuard<'_, ConcurrencyLimit> {
        // The limit is whole after every step, so a panic elsewhere leaves nothing to fear.
        self.shared.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The priority of a call that is answered; none for calls of the other lanes.
pub(super) fn answer_priority(path: &str, headers: &http::HeaderMap) -> Option<Priority> {
    if path == RECORDS || !ANSWERS.iter().any(|service| path.starts_with(service)) {
        return None;
    }
    let of_path = if path == BATCHES { Priority::Batch } else { Priority::Interactive };
    let named = headers.get(PRIORITY_HEADER).and_then(|name| name.to_str().ok());
    Some(named.and_then(Priority::of_name).map_or(of_path, |priority| priority.max(of_path)))
}

/// When a call's time is up, a little before tonic finds that; none if it has none, or one that cannot be read, which
/// its service refuses.
pub(super) fn deadline_of(headers: &http::HeaderMap, arrived: Instant) -> Option<Instant> {
    let timeout = timeout_in(headers).ok().flatten()?;
    arrived.checked_add(timeout - TONIC_HEAD_START.min(timeout / 2))
}

/// The refusal of a call whose deadline has passed.
pub(super) fn too_late() -> Status {
    Status::deadline_exceeded("the deadline passed before there was an answer")
}
