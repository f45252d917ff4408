//! Records events of users, adds their recent items to requests, and records exposures.
//!
//! The logs are handed in, open. Here they meet the service: events are recorded and acknowledged, what a
//! user had lately joins the recent items of a request, and answers leave an exposure behind.

use crate::admission::request::{RankingRequest, Subject};
use crate::error::RouterError;
use futures::{Stream, StreamExt as _};
use marquee_core::bounds::{MAX_COUNT, MAX_RECENT_ITEMS};
use marquee_core::plan::{UserHash, UserPrivacy, Variant};
use marquee_core::ranking::randomise::SlotDraw;
use marquee_events::rules::Reason;
use marquee_events::{
    AskedFor, Event, EventLog, Exposure, ExposureLog, Pending, RecordError, RecordOutcome, Recorded,
};
use marquee_proto::convert::filter::Filter;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;
use tonic::Status;

/// Streams of events at once: each holds a message, and backends have few routers' worth of them.
const MAX_STREAMS: usize = 256;
/// A stream that brings nothing for so long is closed with an error: its caller may have gone without a word, or writes more
/// later, which a stream that ended well would lose.
const STREAM_PATIENCE: Duration = Duration::from_secs(30);
/// Messages of a stream that wait for the disk; beyond them it is not read.
const STREAM_PENDING: usize = 16;
/// Items of an answer that an exposure has: all of any answer but those to long RankItems.
pub(crate) const MAX_EXPOSED: usize = MAX_COUNT as usize;
/// Problems that the answer to a stream lists.
const MAX_PROBLEMS: usize = 1_000;

/// The logs of a router; the default has none.
#[derive(Clone, Debug, Default)]
pub struct Feedback {
    /// Where events go. Without it RecordEvents is FAILED_PRECONDITION.
    pub events: Option<EventLog>,
    /// Where exposures go.
    pub exposures: Option<ExposureLog>,
    /// Why there is no log of events, though there should be one: then RecordEvents is UNAVAILABLE.
    pub failure: Option<String>,
}

/// The logs of events and exposures, as the service uses them.
pub(crate) struct Events {
    feedback: Feedback,
    streams: Arc<Semaphore>,
}

/// An answer that is to be exposed.
pub(crate) struct Exposed {
    /// [`UserHash::NOBODY`] where the request names no user.
    user_hash: UserHash,
    asked_for: AskedFor,
    is_filtered: bool,
}

/// What an answer showed, and how it came about.
pub(crate) struct ShownItems<'a> {
    pub(crate) surface: &'a str,
    pub(crate) ensemble: &'a str,
    /// The rollout or the experiment; empty for none.
    pub(crate) trial_id: &'a str,
    pub(crate) variant: Variant,
    /// The names and versions of the models that answered.
    pub(crate) models: Vec<(&'a str, u64)>,
    pub(crate) plan_epoch: u64,
    /// The reason's number on the wire; 0 for none.
    pub(crate) fallback_reason: u8,
    /// The ids of the listed items, best first, at most [`MAX_EXPOSED`].
    pub(crate) item_ids: Vec<&'a str>,
    /// How the slots were filled.
    pub(crate) draw: SlotDraw,
}

/// What became of the events of a call, so far.
#[derive(Default)]
pub(crate) struct RecordedCounts {
    pub(crate) events: u64,
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) quarantined: u64,
    pub(crate) refused: u64,
    /// The events that were not accepted, in order, as far as there is room.
    pub(crate) problems: Vec<EventProblem>,
}

/// An event that was not accepted.
pub(crate) struct EventProblem {
    /// The number of the event in its call.
    pub(crate) index: u64,
    /// Whether it is kept in quarantine; else it is refused.
    pub(crate) is_quarantined: bool,
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Events {
    pub(crate) fn new(feedback: Feedback) -> Self {
        Self { feedback, streams: Arc::new(Semaphore::new(MAX_STREAMS)) }
    }

    pub(crate) fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    /// Whether there is a log of events.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn check_log(&self) -> Result<(), RouterError> {
        self.log().map(drop)
    }

    fn log(&self) -> Result<&EventLog, RouterError> {
        let Feedback { events, failure, .. } = &self.feedback;
        events.as_ref().ok_or_else(|| match failure {
            Some(reason) => RouterError::Record(RecordError::Failed(reason.clone())),
            None => RouterError::NoEventLog,
        })
    }

    /// Adds what the user had lately to the recent items of an request.
    pub(crate) fn add_recent(&self, request: &mut RankingRequest) {
        if let (Some(events), Subject::User(user)) = (&self.feedback.events, &request.subject) {
            let had = events.recent().items_of(user);
            let asked = std::mem::take(&mut request.recent_item_ids);
            (request.recent_item_ids, request.recorded_items) = merge(had, asked);
        }
    }

    /// What an exposure of the answer would say of the request; none if exposures are not kept, or the user is
    /// forgotten.
    pub(crate) fn exposed(
        &self,
        request: &RankingRequest,
        privacy: &UserPrivacy,
    ) -> Option<Exposed> {
        self.feedback.exposures.as_ref()?;
        let (user_hash, asked_for) = match &request.subject {
            Subject::User(id) if request.is_recommendation() => {
                (privacy.hash_now(id), AskedFor::Recommendations)
            }
            Subject::User(id) => (privacy.hash_now(id), AskedFor::GivenItems),
            Subject::Forgotten(_) => return None,
            Subject::Item(_) => (UserHash::NOBODY, AskedFor::SimilarItems),
            Subject::Text(_) => (UserHash::NOBODY, AskedFor::Search),
        };
        Some(Exposed { user_hash, asked_for, is_filtered: request.filter != Filter::default() })
    }

    /// Records what was answered, if the answer of this id is in the sample; `shown` is called only then, and
    /// gives none for an answer that names no ensemble.
    pub(crate) fn expose<'a>(
        &self,
        exposed: Option<Exposed>,
        recommendation_id: &'a str,
        shown: impl FnOnce() -> Option<ShownItems<'a>>,
    ) {
        let (Some(log), Some(exposed)) = (&self.feedback.exposures, exposed) else { return };
        let Exposed { user_hash, asked_for, is_filtered } = exposed;
        if !log.wants(recommendation_id) {
            return;
        }
        let Some(shown) = shown() else { return };
        let ShownItems {
            surface,
            ensemble,
            trial_id,
            variant,
            models,
            plan_epoch,
            fallback_reason,
            item_ids,
            draw,
        } = shown;
        log.record(&Exposure {
            recommendation_id,
            time_ms: now_ms(),
            user_hash,
            surface,
            ensemble,
            rollout_id: trial_id,
            variant,
            models,
            plan_epoch,
            fallback_reason,
            item_ids,
            asked_for,
            is_filtered,
            draw,
        });
    }

    /// Records the events of one call.
    pub(crate) async fn record(&self, events: Vec<Event>) -> Result<RecordedCounts, RouterError> {
        let log = self.log()?;
        let mut counts = RecordedCounts::default();
        counts.add(log.record(events, now_ms())?.recorded().await?, usize::MAX);
        Ok(counts)
    }

    /// Records the events of a stream of messages. It is read while the disk follows and no further.
    pub(crate) async fn record_stream(
        &self,
        mut messages: impl Stream<Item = Result<Vec<Event>, Status>> + Unpin,
    ) -> Result<RecordedCounts, Status> {
        let log = self.log()?;
        let place = self.streams.try_acquire();
        let _place = place.map_err(|_| RouterError::TooManyStreams { limit: MAX_STREAMS })?;
        let mut counts = RecordedCounts::default();
        let mut pending: VecDeque<Pending> = VecDeque::with_capacity(STREAM_PENDING);
        let mut has_ended = false;
        while let Ok(message) = tokio::time::timeout(STREAM_PATIENCE, messages.next()).await {
            let Some(events) = message.transpose()? else {
                has_ended = true;
                break;
            };
            if pending.len() == STREAM_PENDING
                && let Some(first) = pending.pop_front()
            {
                counts.add(first.recorded().await.map_err(RouterError::from)?, MAX_PROBLEMS);
            }
            let queued = log.record_when_there_is_room(events, now_ms()).await;
            pending.push_back(queued.map_err(RouterError::from)?);
        }
        for queued in pending {
            counts.add(queued.recorded().await.map_err(RouterError::from)?, MAX_PROBLEMS);
        }
        if has_ended { Ok(counts) } else { Err(counts.of_idle_stream().into()) }
    }
}

impl RecordedCounts {
    /// The error of a stream that brought these events and then nothing.
    fn of_idle_stream(&self) -> RouterError {
        RouterError::IdleStream {
            patience: STREAM_PATIENCE,
            accepted: self.accepted,
            duplicates: self.duplicates,
            not_taken: self.quarantined + self.refused,
        }
    }

    fn add(&mut self, recorded: Recorded, max_problems: usize) {
        let Recorded { outcomes, explanations } = recorded;
        let mut explanations = explanations.into_iter().peekable();
        for (n, outcome) in outcomes.into_iter().enumerate() {
            let index = self.events;
            self.events += 1;
            let explanation = explanations.next_if(|(explained, _)| *explained == n);
            let (reason, is_quarantined) = match outcome {
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
                self.problems.push(EventProblem { index, is_quarantined, reason, message });
            }
        }
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
    use futures::stream;
    use marquee_core::event::EventType;
    use marquee_events::EventSettings;

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

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_goes_silent_ends_with_an_error_and_keeps_what_it_brought() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = EventLog::open(EventSettings::new(directory.path())).expect("a log");
        let events = Events::new(Feedback { events: Some(log.clone()), ..Feedback::default() });
        let event = Event {
            event_id: "e1".into(),
            user_id: "u".into(),
            item_id: "i".into(),
            event_type: EventType::Click,
            ..Event::default()
        };
        let brought = || stream::iter([Ok(vec![event.clone()])]);
        let silent = Box::pin(brought().chain(stream::pending()));
        let error = events.record_stream(silent).await.map(|_| ()).expect_err("idle");
        assert_eq!(error.code(), tonic::Code::DeadlineExceeded);
        assert!(error.message().contains("for 30 s") && error.message().contains("recorded: 1,"));
        assert_eq!(log.counts().accepted, 1);
        let ended = events.record_stream(brought()).await.expect("the caller ended it");
        assert_eq!((ended.accepted, ended.duplicates), (0, 1));
    }

    #[test]
    fn counts_have_all_events_and_list_so_many() {
        let mut counts = RecordedCounts::default();
        let recorded = Recorded {
            outcomes: vec![
                RecordOutcome::Accepted,
                RecordOutcome::Refused(Reason::NotFinite),
                RecordOutcome::Duplicate,
                RecordOutcome::Quarantined(Reason::Late),
            ],
            explanations: vec![(1, "one".into()), (3, "three".into())],
        };
        counts.add(recorded.clone(), 3);
        counts.add(recorded, 3);
        assert_eq!(
            (counts.accepted, counts.duplicates, counts.quarantined, counts.refused),
            (2, 2, 2, 2)
        );
        let listed: Vec<_> = counts
            .problems
            .iter()
            .map(|p| (p.index, p.is_quarantined, p.reason, p.message.as_str()))
            .collect();
        assert_eq!(
            listed,
            [
                (1, false, Reason::NotFinite, "one"),
                (3, true, Reason::Late, "three"),
                (5, false, Reason::NotFinite, "one"),
            ]
        );
    }
}
