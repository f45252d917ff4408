//! The service for callers: checks, admits, answers.

use crate::admission::Admission;
use crate::answer::check_size;
use crate::ask::{Answer, Ask};
use crate::engine::Engine;
use crate::error::RouterError;
use crate::events::{Events, Feedback, Shown};
use crate::row_cache::RowCounts;
use crate::telemetry::{Call, Counts, Observer, name_answer};
use marquee_core::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_BATCH};
use marquee_core::time_spent::Spent;
use marquee_proto::convert_caller::{RankItems, Recommend, SearchItems, SimilarItems};
use marquee_proto::v1;
use marquee_proto::v1::recommender_service_server::RecommenderService;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// What each request of a batch adds to the default deadline: the cost of an exact search over some
/// hundred thousand items, shared by nobody. So who sends large batches and no deadline gets whole
/// answers.
pub(crate) const BATCH_ALLOWANCE: Duration = Duration::from_millis(20);
/// A caller cannot make us hold a place for longer than this.
pub(crate) const MAX_DEADLINE: Duration = Duration::from_secs(30);

/// Answers callers. Cheap to clone.
#[derive(Clone)]
pub struct RouterService {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<Engine>,
    admission: Admission,
    observer: Observer,
    events: Events,
    default_deadline: Duration,
    /// Different for every process.
    id_prefix: String,
    answers: AtomicU64,
}

impl RouterService {
    pub(crate) fn new(
        engine: Arc<Engine>,
        admission: Admission,
        observer: Observer,
        feedback: Feedback,
        default_deadline: Duration,
        id_prefix: String,
    ) -> Self {
        let (answers, events) = (AtomicU64::new(0), Events::new(feedback));
        Self {
            shared: Arc::new(Shared {
                engine,
                admission,
                observer,
                events,
                default_deadline,
                id_prefix,
                answers,
            }),
        }
    }

    /// The time that merging and fusing took so far, of all answers.
    pub fn merging(&self) -> &Spent {
        &self.shared.engine.merging
    }

    /// What the rows were good for that are remembered of bundles.
    pub fn row_counts(&self) -> RowCounts {
        self.shared.engine.row_counts()
    }

    /// The logs that it was started with.
    pub fn feedback(&self) -> &Feedback {
        self.shared.events.feedback()
    }

    async fn answer(&self, asks: &[Ask], deadline: Instant) -> Result<Vec<Answer>, RouterError> {
        let place = self.shared.admission.admit(asks.len())?;
        let began = Instant::now();
        let (plan, mut result) = self.shared.engine.answer(asks, deadline).await;
        let (took, time) = (began.elapsed(), deadline.saturating_duration_since(began));
        drop(place);
        for (ask, answer) in asks.iter().zip(result.iter_mut().flatten()) {
            // What comes of a list of given or of similar items says nothing of an arm's taste.
            let counts = ask.is_recommendation().then(|| Counts::of(&answer.route));
            answer.recommendation_id = self.recommendation_id(counts);
        }
        let call = Call { asks, plan: &plan, result: &result, began, took, time };
        self.shared.observer.observe(&call, || fastrand::u32(..FULL_WEIGHT_BASIS_POINTS));
        result
    }

    async fn answer_one(&self, ask: Ask, deadline: Instant) -> Result<Answer, RouterError> {
        let answers = self.answer(&[ask], deadline).await.map_err(|error| match error {
            RouterError::InBatch { source, .. } => *source,
            of_all => of_all,
        })?;
        Ok(answers.into_iter().next().expect("one ask has one answer"))
    }

    fn deadline(&self, metadata: &MetadataMap, requests: usize) -> Instant {
        let given = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok());
        let time = given.and_then(parse_timeout).unwrap_or_else(|| {
            // Whatever is beyond the largest batch will be refused.
            let requests = requests.clamp(1, MAX_BATCH) as u32;
            self.shared.default_deadline + BATCH_ALLOWANCE * (requests - 1)
        });
        Instant::now() + time.min(MAX_DEADLINE)
    }

    /// Unique among all answers of all routers.
    fn recommendation_id(&self, counts: Option<Counts<'_>>) -> String {
        let number = self.shared.answers.fetch_add(1, Ordering::Relaxed);
        name_answer(&self.shared.id_prefix, number, counts)
    }
}

#[async_trait]
impl RecommenderService for RouterService {
    async fn recommend(
        &self,
        request: Request<v1::RecommendRequest>,
    ) -> Result<Response<v1::RecommendResponse>, Status> {
        let deadline = self.deadline(request.metadata(), 1);
        let mut ask: Ask =
            Recommend::from_wire(request.into_inner()).map_err(RouterError::from)?.into();
        let events = &self.shared.events;
        events.add_recent(&mut ask);
        let exposed = events.exposed(&ask);
        let answer = self.answer_one(ask, deadline).await?;
        let response = check_size(answer.into_recommendations())?;
        events.expose(exposed, Shown::from(&response));
        Ok(Response::new(response))
    }

    async fn batch_recommend(
        &self,
        request: Request<v1::BatchRecommendRequest>,
    ) -> Result<Response<v1::BatchRecommendResponse>, Status> {
        let (metadata, _, batch) = request.into_parts();
        let deadline = self.deadline(&metadata, batch.requests.len());
        let requests = Recommend::batch_from_wire(batch).map_err(RouterError::from)?;
        let mut asks: Vec<Ask> = requests.into_iter().map(Ask::from).collect();
        let events = &self.shared.events;
        asks.iter_mut().for_each(|ask| events.add_recent(ask));
        let answers = self.answer(&asks, deadline).await?;
        let responses = answers.into_iter().map(Answer::into_recommendations).collect();
        let batch = check_size(v1::BatchRecommendResponse { responses })?;
        for (ask, response) in asks.iter().zip(&batch.responses) {
            events.expose(events.exposed(ask), Shown::from(response));
        }
        Ok(Response::new(batch))
    }

    async fn similar_items(
        &self,
        request: Request<v1::SimilarItemsRequest>,
    ) -> Result<Response<v1::SimilarItemsResponse>, Status> {
        let deadline = self.deadline(request.metadata(), 1);
        let ask: Ask =
            SimilarItems::from_wire(request.into_inner()).map_err(RouterError::from)?.into();
        let exposed = self.shared.events.exposed(&ask);
        let answer = self.answer_one(ask, deadline).await?;
        let response = check_size(answer.into_similar_items())?;
        self.shared.events.expose(exposed, Shown::from(&response));
        Ok(Response::new(response))
    }

    async fn search_items(
        &self,
        request: Request<v1::SearchItemsRequest>,
    ) -> Result<Response<v1::SearchItemsResponse>, Status> {
        let deadline = self.deadline(request.metadata(), 1);
        let ask: Ask =
            SearchItems::from_wire(request.into_inner()).map_err(RouterError::from)?.into();
        let exposed = self.shared.events.exposed(&ask);
        let answer = self.answer_one(ask, deadline).await?;
        let response = check_size(answer.into_found_items())?;
        self.shared.events.expose(exposed, Shown::from(&response));
        Ok(Response::new(response))
    }

    async fn rank_items(
        &self,
        request: Request<v1::RankItemsRequest>,
    ) -> Result<Response<v1::RankItemsResponse>, Status> {
        let deadline = self.deadline(request.metadata(), 1);
        let ask: Ask =
            RankItems::from_wire(request.into_inner()).map_err(RouterError::from)?.into();
        let exposed = self.shared.events.exposed(&ask);
        let answer = self.answer_one(ask, deadline).await?;
        let response = check_size(answer.into_ranked_items())?;
        self.shared.events.expose(exposed, Shown::from(&response));
        Ok(Response::new(response))
    }

    async fn record_events(
        &self,
        request: Request<v1::RecordEventsRequest>,
    ) -> Result<Response<v1::RecordEventsResponse>, Status> {
        let recorded = self.shared.events.record(request.into_inner()).await?;
        Ok(Response::new(check_size(recorded)?))
    }

    async fn stream_events(
        &self,
        request: Request<Streaming<v1::StreamEventsRequest>>,
    ) -> Result<Response<v1::StreamEventsResponse>, Status> {
        let recorded = self.shared.events.record_stream(request.into_inner()).await?;
        Ok(Response::new(check_size(recorded)?))
    }
}

/// Reads a `grpc-timeout`: up to eight digits and a unit; none if it is anything else.
fn parse_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(number * 3_600),
        'M' => Duration::from_secs(number * 60),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        for (text, millis) in
            [("1H", 3_600_000), ("2M", 120_000), ("3S", 3_000), ("250m", 250), ("250000u", 250)]
        {
            assert_eq!(parse_timeout(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for bad in ["", "m", "10", "123456789m", "-1m", "1.5S", "1s", "1é", "１S"] {
            assert_eq!(parse_timeout(bad), None, "{bad:?}");
        }
    }
}
