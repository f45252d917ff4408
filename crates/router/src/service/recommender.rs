//! The service for callers: checks, admits, answers.

use super::drawn_slots::DrawnSlots;
use super::feedback::{WireAnswer, streamed_events};
use super::response::check_size;
use super::streamed_batch::{BatchAnswers, BatchStream, stream_answers};
use crate::admission::deadline::deadline_of;
use crate::admission::limit::Admission;
use crate::admission::request::RankingRequest;
use crate::admission::size::AnswerSizes;
use crate::engine::{Engine, StageTimes};
use crate::error::{RouterError, VARIANT_HEADER};
use crate::events::recorder::{Events, Exposed, Feedback};
use crate::explanation::answer::RankingAnswer;
use crate::fanout::FanOutCounts;
use crate::lookup::row_cache::RowCounts;
use crate::telemetry::{AnswerScope, Credits, ObservedCall, Observer, name_answer, sign};
use futures::StreamExt as _;
use marquee_core::bounds::FULL_WEIGHT_BASIS_POINTS;
use marquee_core::id::check_name;
use marquee_core::plan::SegmentSet;
use marquee_core::time_spent::TimeSpent;
use marquee_proto::convert::caller::{RankItems, Recommend, SearchItems, SimilarItems};
use marquee_proto::convert::events::recorded;
use marquee_proto::v1;
use marquee_proto::v1::recommender_service_server::RecommenderService;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// Answers callers. Cheap to clone.
#[derive(Clone)]
pub struct RouterService {
    shared: Arc<ServiceState>,
}

struct ServiceState {
    engine: Arc<Engine>,
    admission: Admission,
    observer: Observer,
    events: Events,
    drawn_slots: DrawnSlots,
    default_deadline: Duration,
    /// Whether calls may ask for a variant of a trial.
    allows_forced_variants: bool,
    /// Different for every process.
    id_prefix: String,
    answers: AtomicU64,
    sizes: AnswerSizes,
}

/// How answers are given.
pub(crate) struct ServiceSettings {
    /// The share of answers in which one slot is drawn.
    pub(crate) drawn_slots: DrawnSlots,
    /// The deadline of calls that bring none.
    pub(crate) default_deadline: Duration,
    /// Whether calls may ask for a variant of a trial.
    pub(crate) allows_forced_variants: bool,
    /// What recommendation ids begin with: different for every process.
    pub(crate) id_prefix: String,
}

impl RouterService {
    pub(crate) fn new(
        engine: Arc<Engine>,
        admission: Admission,
        observer: Observer,
        feedback: Feedback,
        settings: ServiceSettings,
    ) -> Self {
        let ServiceSettings { drawn_slots, default_deadline, allows_forced_variants, id_prefix } =
            settings;
        let (answers, events) = (AtomicU64::new(0), Events::new(feedback));
        Self {
            shared: Arc::new(ServiceState {
                engine,
                admission,
                observer,
                events,
                drawn_slots,
                default_deadline,
                allows_forced_variants,
                id_prefix,
                answers,
                sizes: AnswerSizes::default(),
            }),
        }
    }

    /// The time that merging and fusing took so far, of all answers.
    pub fn merging(&self) -> &TimeSpent {
        self.shared.engine.merging()
    }

    /// How long the stages of answers took so far.
    pub fn stage_times(&self) -> &StageTimes {
        self.shared.engine.stage_times()
    }

    /// How many calls of shard nodes it made so far, and how they ended.
    pub fn fan_out_counts(&self) -> &FanOutCounts {
        self.shared.engine.fan_out_counts()
    }

    /// How often remembered rows of bundles spared a lookup.
    pub fn row_counts(&self) -> RowCounts {
        self.shared.engine.row_counts()
    }

    /// The logs that it was started with.
    pub fn feedback(&self) -> &Feedback {
        self.shared.events.feedback()
    }

    /// Admits requests, has them answered, names the answers and tells telemetry of them.
    async fn admit_and_answer(
        &self,
        rankings: &[RankingRequest],
        deadline: Instant,
    ) -> Result<Vec<RankingAnswer>, RouterError> {
        self.shared.sizes.check(rankings, &self.shared.engine.latest_plan())?;
        self.answer_of_any_size(rankings, deadline).await
    }

    /// The same, where each answer has a message of its own.
    async fn answer_of_any_size(
        &self,
        rankings: &[RankingRequest],
        deadline: Instant,
    ) -> Result<Vec<RankingAnswer>, RouterError> {
        let place = self.shared.admission.admit(rankings.len())?;
        let began = Instant::now();
        // Two lists take twice the time of one: callers come first.
        let may_interleave = !self.shared.admission.is_pressed();
        let drawn_slots = &self.shared.drawn_slots;
        let deepened = drawn_slots.deepen(rankings);
        let (plan, mut result) =
            self.shared.engine.answer_batch(&deepened, may_interleave, deadline).await;
        let (took, time) = (began.elapsed(), deadline.saturating_duration_since(began));
        drop(place);
        let answered_second = self.shared.observer.unix_second(began + took);
        for (ranking, answer) in rankings.iter().zip(result.iter_mut().flatten()) {
            // What comes of a list of given or of similar items says nothing of an arm's recommendations.
            let credits = credits_of(answer);
            let scope = match (&answer.route.trial, &credits) {
                _ if !ranking.is_recommendation() => None,
                (Some(trial), Some(credits)) => Some(AnswerScope::Interleaved { trial, credits }),
                _ => AnswerScope::of(&answer.route),
            };
            let segments = ranking.segments(&plan);
            let name = self.name(answered_second, scope, segments);
            // An item that was drawn would be credited to a side that did not give it.
            if credits.is_none() {
                drawn_slots.draw(ranking, answer, |below| fastrand::u32(..below));
            }
            let user = ranking.subject.user().unwrap_or_default();
            let items = answer.items.iter().map(|item| item.item_id.as_str());
            answer.recommendation_id = sign(name, &plan.answer_keys, plan.epoch, user, items);
        }
        let call = ObservedCall {
            requests: rankings,
            plan: &plan,
            result: &result,
            began,
            took,
            answered_second,
            time,
        };
        self.shared.observer.observe(&call, || fastrand::u32(..FULL_WEIGHT_BASIS_POINTS));
        result
    }

    async fn answer_one(
        &self,
        ranking: RankingRequest,
        deadline: Instant,
    ) -> Result<RankingAnswer, RouterError> {
        let answers =
            self.admit_and_answer(&[ranking], deadline).await.map_err(|error| match error {
                RouterError::InBatch { source, .. } => *source,
                of_all => of_all,
            })?;
        Ok(answers.into_iter().next().expect("one request has one answer"))
    }

    fn deadline(&self, metadata: &MetadataMap, requests: usize) -> Result<Instant, RouterError> {
        Ok(deadline_of(metadata, requests, self.shared.default_deadline)?)
    }

    /// The variant that a call asks for in [`VARIANT_HEADER`], if it does.
    fn forced_variant(&self, metadata: &MetadataMap) -> Result<Option<Arc<str>>, RouterError> {
        let Some(value) = metadata.get(VARIANT_HEADER) else { return Ok(None) };
        if !self.shared.allows_forced_variants {
            return Err(RouterError::VariantNotAllowed);
        }
        let variant = value.to_str().ok().filter(|variant| check_name("it", variant).is_ok());
        Ok(Some(variant.ok_or(RouterError::VariantMalformed)?.into()))
    }

    /// Hides a user who is forgotten, adds what the user had lately, and says what an exposure of the answer would.
    fn prepare(&self, ranking: &mut RankingRequest) -> Option<Exposed> {
        let plan = self.shared.engine.latest_plan();
        ranking.hide_forgotten(&plan.privacy);
        self.shared.events.add_recent(ranking);
        self.shared.events.exposed(ranking, &plan.privacy)
    }

    fn exposed(&self, ranking: &RankingRequest) -> Option<Exposed> {
        self.shared.events.exposed(ranking, &self.shared.engine.latest_plan().privacy)
    }

    fn expose(&self, exposed: Option<Exposed>, answer: WireAnswer<'_>) {
        self.shared.events.expose(exposed, answer.recommendation_id, || answer.shown());
    }

    /// What an answer is called: unique among all answers of all routers.
    fn name(&self, second: u64, scope: Option<AnswerScope<'_>>, segments: SegmentSet) -> String {
        let number = self.shared.answers.fetch_add(1, Ordering::Relaxed);
        name_answer(&self.shared.id_prefix, number, second, scope, segments)
    }
}

/// Whom clicks on an answer's items are credited to, if it is interleaved.
fn credits_of(answer: &RankingAnswer) -> Option<Credits> {
    let made = answer.interleaved.as_ref()?;
    let ids = answer.items.iter().map(|item| item.item_id.as_str());
    Some(Credits::of(ids.zip(made.credited.iter().copied())))
}

impl BatchAnswers for RouterService {
    fn is_pressed(&self) -> bool {
        self.shared.admission.is_pressed()
    }

    async fn answer(
        &self,
        mut part: Vec<RankingRequest>,
        deadline: Instant,
    ) -> Result<Vec<v1::RecommendResponse>, RouterError> {
        let mut exposed = Vec::with_capacity(part.len());
        for ranking in &mut part {
            exposed.push(self.prepare(ranking));
        }
        let answers = self.answer_of_any_size(&part, deadline).await?;
        let mut responses = Vec::with_capacity(answers.len());
        for (exposed, answer) in exposed.into_iter().zip(answers) {
            let draw = answer.draw;
            let response = check_size(answer.into_recommendations())?;
            self.expose(exposed, WireAnswer::from(&response).filled_by(draw));
            responses.push(response);
        }
        Ok(responses)
    }
}

#[async_trait]
impl RecommenderService for RouterService {
    type StreamBatchRecommendStream = BatchStream;

    async fn recommend(
        &self,
        request: Request<v1::RecommendRequest>,
    ) -> Result<Response<v1::RecommendResponse>, Status> {
        let deadline = self.deadline(request.metadata(), 1)?;
        let forced_variant = self.forced_variant(request.metadata())?;
        let mut ranking: RankingRequest =
            Recommend::from_wire(request.into_inner()).map_err(RouterError::from)?.into();
        ranking.forced_variant = forced_variant;
        let exposed = self.prepare(&mut ranking);
        let explain = ranking.explain;
        let answer = self.answer_one(ranking, deadline).await?;
        let draw = answer.draw;
        let response = check_size(answer.into_recommendations())?;
        self.shared.sizes.note(explain, &response);
        self.expose(exposed, WireAnswer::from(&response).filled_by(draw));
        Ok(Response::new(response))
    }

    async fn batch_recommend(
        &self,
        request: Request<v1::BatchRecommendRequest>,
    ) -> Result<Response<v1::BatchRecommendResponse>, Status> {
        let (metadata, _, batch) = request.into_parts();
        let deadline = self.deadline(&metadata, batch.requests.len())?;
        let forced_variant = self.forced_variant(&metadata)?;
        let requests = Recommend::batch_from_wire(batch).map_err(RouterError::from)?;
        let mut rankings: Vec<RankingRequest> =
            requests.into_iter().map(RankingRequest::from).collect();
        let mut exposed = Vec::with_capacity(rankings.len());
        for ranking in &mut rankings {
            ranking.forced_variant.clone_from(&forced_variant);
            exposed.push(self.prepare(ranking));
        }
        let answers = self.admit_and_answer(&rankings, deadline).await?;
        let draws: Vec<_> = answers.iter().map(|answer| answer.draw).collect();
        let responses = answers.into_iter().map(RankingAnswer::into_recommendations).collect();
        // Also of an answer that is too large: the next one is then refused before it is made.
        let batch = v1::BatchRecommendResponse { responses };
        if let (Some(ranking), Some(first)) = (rankings.first(), batch.responses.first()) {
            self.shared.sizes.note(ranking.explain, first);
        }
        let batch = check_size(batch)?;
        for ((exposed, response), draw) in exposed.into_iter().zip(&batch.responses).zip(draws) {
            self.expose(exposed, WireAnswer::from(response).filled_by(draw));
        }
        Ok(Response::new(batch))
    }

    async fn stream_batch_recommend(
        &self,
        request: Request<v1::StreamBatchRecommendRequest>,
    ) -> Result<Response<Self::StreamBatchRecommendStream>, Status> {
        let (metadata, _, v1::StreamBatchRecommendRequest { requests }) = request.into_parts();
        let deadline = self.deadline(&metadata, requests.len())?;
        let forced_variant = self.forced_variant(&metadata)?;
        let batch = v1::BatchRecommendRequest { requests };
        let mut rankings = Vec::new();
        for request in Recommend::batch_from_wire(batch).map_err(RouterError::from)? {
            let mut ranking = RankingRequest::from(request);
            ranking.forced_variant.clone_from(&forced_variant);
            rankings.push(ranking);
        }
        Ok(Response::new(stream_answers(self.clone(), rankings, deadline)))
    }

    async fn similar_items(
        &self,
        request: Request<v1::SimilarItemsRequest>,
    ) -> Result<Response<v1::SimilarItemsResponse>, Status> {
        let deadline = self.deadline(request.metadata(), 1)?;
        let forced_variant = self.forced_variant(request.metadata())?;
        let mut ranking: RankingRequest =
            SimilarItems::from_wire(request.into_inner()).map_err(RouterError::from)?.into();
        ranking.forced_variant = forced_variant;
        let exposed = self.exposed(&ranking);
        let answer = self.answer_one(ranking, deadline).await?;
        let response = check_size(answer.into_similar_items())?;
        self.expose(exposed, WireAnswer::from(&response));
        Ok(Response::new(response))
    }

    async fn search_items(
        &self,
        request: Request<v1::SearchItemsRequest>,
    ) -> Result<Response<v1::SearchItemsResponse>, Status> {
        let deadline = self.deadline(request.metadata(), 1)?;
        let forced_variant = self.forced_variant(request.metadata())?;
        let mut ranking: RankingRequest =
            SearchItems::from_wire(request.into_inner()).map_err(RouterError::from)?.into();
        ranking.forced_variant = forced_variant;
        let exposed = self.exposed(&ranking);
        let answer = self.answer_one(ranking, deadline).await?;
        let response = check_size(answer.into_found_items())?;
        self.expose(exposed, WireAnswer::from(&response));
        Ok(Response::new(response))
    }

    async fn rank_items(
        &self,
        request: Request<v1::RankItemsRequest>,
    ) -> Result<Response<v1::RankItemsResponse>, Status> {
        let deadline = self.deadline(request.metadata(), 1)?;
        let forced_variant = self.forced_variant(request.metadata())?;
        let mut ranking: RankingRequest =
            RankItems::from_wire(request.into_inner()).map_err(RouterError::from)?.into();
        ranking.forced_variant = forced_variant;
        let plan = self.shared.engine.latest_plan();
        ranking.hide_forgotten(&plan.privacy);
        let exposed = self.shared.events.exposed(&ranking, &plan.privacy);
        let answer = self.answer_one(ranking, deadline).await?;
        let response = check_size(answer.into_ranked_items())?;
        self.expose(exposed, WireAnswer::from(&response));
        Ok(Response::new(response))
    }

    async fn record_events(
        &self,
        request: Request<v1::RecordEventsRequest>,
    ) -> Result<Response<v1::RecordEventsResponse>, Status> {
        let events = &self.shared.events;
        events.check_log()?;
        let new = recorded(request.into_inner()).map_err(RouterError::from)?;
        let counts = events.record(new).await?;
        Ok(Response::new(check_size(counts.into_recorded())?))
    }

    async fn stream_events(
        &self,
        request: Request<Streaming<v1::StreamEventsRequest>>,
    ) -> Result<Response<v1::StreamEventsResponse>, Status> {
        let messages = request.into_inner().map(streamed_events);
        let counts = self.shared.events.record_stream(messages).await?;
        Ok(Response::new(check_size(counts.into_streamed())?))
    }
}
