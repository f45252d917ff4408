//! Records events of users, adds their recent items to requests, and records exposures.
//!
//! The logs are handed in, open. Here they meet the service: events are recorded and acknowledged, what a
//! user had lately joins the recent items of a request, and answers leave an exposure behind.

use crate::admission::request::{RankingRequest, Subject};
use crate::error::RouterError;
use marquee_core::bounds::{MAX_COUNT, MAX_RECENT_ITEMS};
use marquee_core::plan::Variant;
use marquee_events::rules::Reason;
use marquee_events::{
    EventLog, Exposure, ExposureLog, Pending, RecordError, RecordOutcome, Recorded,
};
use marquee_proto::convert::events::streamed;
use marquee_proto::v1;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;
use tonic::{Status, Streaming};

/// Streams of events at once: each holds a message, and backends have few routers' worth of them.
const MAX_STREAMS: usize = 256;
/// A stream that brings nothing for so long is answered: its caller may have gone without a word.
const STREAM_PATIENCE: Duration = Duration::from_secs(30);
/// Messages of a stream that wait for the disk; beyond them it is not read.
const STREAM_PENDING: usize = 16;
/// Items of an answer that an exposure has: all of any answer but those to long RankItems.
const MAX_EXPOSED: usize = MAX_COUNT as usize;
/// Problems that the answer to a stream lists.
const MAX_PROBLEMS: usize = 1_000;

/// The logs of a router; the default has none.
#[derive(Clone, Debug, Default)]
pub struct Feedback {
    /// Where events go. Without it RecordEvents is FAILED_PRECONDITION.
    pub events: Option<EventLog>,
    /// Where exposures go.
    pub exposures: Option<ExposureLog>,
}

/// The logs of events and exposures, as the service uses them.
pub(crate) struct Events {
    feedback: Feedback,
    streams: Arc<Semaphore>,
}

/// An answer that is to be exposed.
pub(crate) struct Exposed {
    /// 0 where the request names no user.
    user_hash: u64,
}

/// What an answer showed, and how it came about.
pub(crate) struct Shown<'a> {
    recommendation_id: &'a str,
    items: &'a [v1::RecommendedItem],
    served_by: Option<&'a v1::ServedBy>,
    fallback_reason: i32,
}

impl<'a> From<&'a v1::RecommendResponse> for Shown<'a> {
    fn from(response: &'a v1::RecommendResponse) -> Self {
        let v1::RecommendResponse {
            recommendation_id,
            items,
            served_by,
            coverage: _,
            fallback_reason,
            left_out: _,
        } = response;
        let (served_by, fallback_reason) = (served_by.as_ref(), *fallback_reason);
        Self { recommendation_id, items, served_by, fallback_reason }
    }
}

impl<'a> From<&'a v1::SimilarItemsResponse> for Shown<'a> {
    fn from(response: &'a v1::SimilarItemsResponse) -> Self {
        let v1::SimilarItemsResponse { recommendation_id, items, served_by, coverage: _ } =
            response;
        let served_by = served_by.as_ref();
        Self { recommendation_id, items, served_by, fallback_reason: 0 }
    }
}

impl<'a> From<&'a v1::SearchItemsResponse> for Shown<'a> {
    fn from(response: &'a v1::SearchItemsResponse) -> Self {
        let v1::SearchItemsResponse { recommendation_id, items, served_by, coverage: _, reason: _ } =
            response;
        let served_by = served_by.as_ref();
        Self { recommendation_id, items, served_by, fallback_reason: 0 }
    }
}

impl<'a> From<&'a v1::RankItemsResponse> for Shown<'a> {
    fn from(response: &'a v1::RankItemsResponse) -> Self {
        let v1::RankItemsResponse {
            recommendation_id,
            items,
            unknown_item_ids: _,
            served_by,
            coverage: _,
            fallback_reason,
        } = response;
        let (served_by, fallback_reason) = (served_by.as_ref(), *fallback_reason);
        Self { recommendation_id, items, served_by, fallback_reason }
    }
}

impl Events {
    pub(crate) fn new(feedback: Feedback) -> Self {
        Self { feedback, streams: Arc::new(Semaphore::new(MAX_STREAMS)) }
    }

    pub(crate) fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    fn log(&self) -> Result<&EventLog, RouterError> {
        self.feedback.events.as_ref().ok_or(RouterError::NoEventLog)
    }

    /// Adds what the user had lately to the recent items of an request.
    pub(crate) fn add_recent(&self, request: &mut RankingRequest) {
        if let (Some(events), Subject::User(user)) = (&self.feedback.events, &request.subject) {
            let had = events.recent().items_of(user);
            let asked = std::mem::take(&mut request.recent_item_ids);
            (request.recent_item_ids, request.recorded_items) = merge(had, asked);
        }
    }

    /// The user that an exposure of the answer would name; none if exposures are not kept.
    pub(crate) fn exposed(&self, request: &RankingRequest) -> Option<Exposed> {
        self.feedback.exposures.as_ref()?;
        Some(Exposed {
            user_hash: match &request.subject {
                Subject::User(id) => Exposure::hash_user(id),
                Subject::Item(_) | Subject::Text(_) => 0,
            },
        })
    }

    /// Records what was answered, if it is in the sample.
    pub(crate) fn expose(&self, exposed: Option<Exposed>, shown: Shown<'_>) {
        let (Some(log), Some(Exposed { user_hash })) = (&self.feedback.exposures, exposed) else {
            return;
        };
        let Shown { recommendation_id, items, served_by, fallback_reason } = shown;
        let Some(served_by) = served_by else { return };
        if !log.wants(recommendation_id) {
            return;
        }
        let v1::ServedBy {
            surface,
            ensemble,
            models,
            rollout_id,
            variant: _,
            plan_epoch,
            experiment_id,
            arm: _,
        } = served_by;
        // A surface has one or the other; which arm it was, the ensemble says.
        let trial_id = if experiment_id.is_empty() { rollout_id } else { experiment_id };
        log.record(&Exposure {
            recommendation_id,
            time_ms: now_ms(),
            user_hash,
            surface,
            ensemble,
            rollout_id: trial_id,
            variant: match served_by.variant() {
                v1::Variant::Unspecified => Variant::None,
                v1::Variant::Baseline => Variant::Baseline,
                v1::Variant::Candidate => Variant::Candidate,
            },
            models: models.iter().map(|it| (it.model.as_str(), it.version)).collect(),
            plan_epoch: *plan_epoch,
            fallback_reason: u8::try_from(fallback_reason).unwrap_or(u8::MAX),
            item_ids: items.iter().take(MAX_EXPOSED).map(|item| item.item_id.as_str()).collect(),
        });
    }

    /// Records the events of one call.
    pub(crate) async fn record(
        &self,
        request: v1::RecordEventsRequest,
    ) -> Result<v1::RecordEventsResponse, RouterError> {
        let log = self.log()?;
        let events = marquee_proto::convert::events::recorded(request)?;
        let mut sum = Sum::default();
        sum.add(log.record(events, now_ms())?.recorded().await?, usize::MAX);
        let Sum { accepted, duplicates, quarantined: _, refused: _, problems, events: _ } = sum;
        Ok(v1::RecordEventsResponse {
            accepted: accepted as u32,
            duplicates: duplicates as u32,
            problems,
        })
    }

    /// Records the events of a stream. It is read while the disk follows and no further.
    pub(crate) async fn record_stream(
        &self,
        mut stream: Streaming<v1::StreamEventsRequest>,
    ) -> Result<v1::StreamEventsResponse, Status> {
        let log = self.log()?;
        let place = self.streams.try_acquire();
        let _place = place.map_err(|_| RouterError::TooManyStreams { limit: MAX_STREAMS })?;
        let mut sum = Sum::default();
        let mut pending: VecDeque<Pending> = VecDeque::with_capacity(STREAM_PENDING);
        // Its end by the caller, or none for too long.
        while let Ok(message) = tokio::time::timeout(STREAM_PATIENCE, stream.message()).await {
            let Some(message) = message? else { break };
            let events = streamed(message).map_err(RouterError::from)?;
            if pending.len() == STREAM_PENDING
                && let Some(first) = pending.pop_front()
            {
                sum.add(first.recorded().await.map_err(RouterError::from)?, MAX_PROBLEMS);
            }
            let queued = log.record_when_there_is_room(events, now_ms()).await;
            pending.push_back(queued.map_err(RouterError::from)?);
        }
        for pending in pending {
            sum.add(pending.recorded().await.map_err(RouterError::from)?, MAX_PROBLEMS);
        }
        let Sum { accepted, duplicates, quarantined, refused, problems, events: _ } = sum;
        Ok(v1::StreamEventsResponse { accepted, duplicates, quarantined, refused, problems })
    }
}

/// What became of the events of a call, so far.
#[derive(Default)]
struct Sum {
    events: u64,
    accepted: u64,
    duplicates: u64,
    quarantined: u64,
    refused: u64,
    problems: Vec<v1::EventProblem>,
}

impl Sum {
    fn add(&mut self, recorded: Recorded, max_problems: usize) {
        let Recorded { outcomes, explanations } = recorded;
        let mut explanations = explanations.into_iter().peekable();
        for (n, outcome) in outcomes.into_iter().enumerate() {
            let index = self.events;
            self.events += 1;
            let explanation = explanations.next_if(|(explained, _)| *explained == n);
            let (reason, quarantined) = match outcome {
                RecordOutcome::Accepted => {
                    self.accepted += 1;
                    continue;
                }
                RecordOutcome::Duplicate => {
                    self.duplicates += 1;
                    continue;
                }
                RecordOutcome::Quarantined(reason) => {
                    self.quarantined += 1;
                    (reason, true)
                }
                RecordOutcome::Refused(reason) => {
                    self.refused += 1;
                    (reason, false)
                }
            };
            if self.problems.len() < max_problems {
                let message = explanation.map(|(_, words)| words).unwrap_or_default();
                let reason = reason_to_wire(reason).into();
                self.problems.push(v1::EventProblem { index, quarantined, reason, message });
            }
        }
    }
}

fn reason_to_wire(reason: Reason) -> v1::EventProblemReason {
    match reason {
        Reason::MissingField => v1::EventProblemReason::MissingField,
        Reason::OversizedField => v1::EventProblemReason::OversizedField,
        Reason::UnknownType => v1::EventProblemReason::UnknownType,
        Reason::NotFinite => v1::EventProblemReason::NotFinite,
        Reason::Late => v1::EventProblemReason::Late,
        Reason::FutureDated => v1::EventProblemReason::FutureDated,
        Reason::ImplausibleValue => v1::EventProblemReason::ImplausibleValue,
    }
}

impl From<RecordError> for RouterError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// Recent items, newest last and each once: those of events are older than those that the request names,
/// since the caller knows best. Returns also how many are of events. No more than a request may
/// name by itself.
fn merge(mut had: Vec<String>, asked: Vec<String>) -> (Vec<String>, usize) {
    let named: HashSet<&str> = asked.iter().map(String::as_str).collect();
    had.retain(|item| !named.contains(item.as_str()));
    let room = MAX_RECENT_ITEMS.saturating_sub(asked.len());
    had.drain(..had.len().saturating_sub(room));
    let of_events = had.len();
    had.extend(asked);
    (had, of_events)
}

fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn items_of_events_come_before_those_of_the_request_each_once() {
        for (had, asked, merged, of_events) in [
            ("", "", "", 0),
            ("a b", "", "a b", 2),
            ("", "x y", "x y", 0),
            ("a b", "x", "a b x", 2),
            ("a x b", "x y", "a b x y", 2),
            ("x", "x", "x", 0),
        ] {
            assert_eq!(
                merge(items(had), items(asked)),
                (items(merged), of_events),
                "{had}+{asked}"
            );
        }
    }

    #[test]
    fn the_oldest_events_give_way_to_a_long_request() {
        let asked: Vec<String> = (0..999).map(|n| n.to_string()).collect();
        let (merged, of_events) = merge(items("old new"), asked.clone());
        assert_eq!((merged[0].as_str(), merged.len(), of_events), ("new", 1_000, 1));
        let asked: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
        assert_eq!(merge(items("old new"), asked.clone()), (asked, 0));
    }

    #[test]
    fn a_sum_counts_all_and_lists_so_many() {
        let mut sum = Sum::default();
        let recorded = Recorded {
            outcomes: vec![
                RecordOutcome::Accepted,
                RecordOutcome::Refused(Reason::NotFinite),
                RecordOutcome::Duplicate,
                RecordOutcome::Quarantined(Reason::Late),
            ],
            explanations: vec![(1, "one".into()), (3, "three".into())],
        };
        sum.add(recorded.clone(), 3);
        sum.add(recorded, 3);
        assert_eq!((sum.accepted, sum.duplicates, sum.quarantined, sum.refused), (2, 2, 2, 2));
        let listed: Vec<_> = sum
            .problems
            .iter()
            .map(|p| (p.index, p.quarantined, p.reason(), p.message.as_str()))
            .collect();
        assert_eq!(
            listed,
            [
                (1, false, v1::EventProblemReason::NotFinite, "one"),
                (3, true, v1::EventProblemReason::Late, "three"),
                (5, false, v1::EventProblemReason::NotFinite, "one"),
            ]
        );
    }
}
