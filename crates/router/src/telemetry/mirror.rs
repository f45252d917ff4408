//! Requests that both sides of a rollout answer again, for comparison only.
//!
//! The caller has the answer by then. Both sides answer anew, in an order drawn by lot: the second one
//! finds the user's rows in the caches, and the side that served had hedges and the caller's place, so that
//! the answer which the caller got is no fair match for one made afterwards.
//!
//! What is mirrored has a budget of its own, yields to callers, and changes nothing that the router knows of its
//! nodes: a candidate whose searches hang must not make nodes look dead that answer the baseline well.

use super::buffer::{Pair, RouterTelemetry};
use super::clock::unix_ms;
use super::observation::{AnswerOutcome, ArmAnswer, SubjectHash, list_of};
use super::outcome::{first_items, outcome_of};
use super::overlap::{overlap, rank_biased_overlap};
use crate::admission::limit::Admission;
use crate::admission::request::RankingRequest;
use crate::engine::Engine;
use marquee_core::plan::{Plan, Route, Trial};
use marquee_core::rollout::window::MirrorDiff;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::Instant;

/// Mirrored requests under way at once: at 10 ms each, 6,400 a second...
pub(crate) const MAX_MIRRORED: usize = 64;
/// ...and at most one for so many requests that the router takes on at once, so that at most 6 % of what
/// it can do is done for comparison only.
pub(crate) const MIRROR_BUDGET_SHARE: usize = 16;

/// The budget of mirrored requests, and what answers them.
pub(crate) struct Mirror {
    engine: Arc<Engine>,
    telemetry: Arc<RouterTelemetry>,
    admission: Admission,
    places: Arc<Semaphore>,
}

/// A request that was answered and is to be answered again.
pub(crate) struct MirroredRequest {
    /// The plan of the first answer; the second is by the same one.
    pub(crate) plan: Arc<Plan>,
    pub(crate) request: RankingRequest,
    /// The routes of the baseline and of the candidate.
    pub(crate) routes: [Route; 2],
    /// Which of them answers first.
    pub(crate) first: usize,
    /// The trial, and the arm that served.
    pub(crate) trial: Trial,
    pub(crate) subject: SubjectHash,
    pub(crate) recommendation_id: String,
    /// How long the caller would have waited.
    pub(crate) time: Duration,
    /// It was no part of a batch, so it has a latency.
    pub(crate) is_alone: bool,
}

impl Mirror {
    /// Mirrors by `engine` what `admission`, of `max_in_flight` places, leaves room for.
    pub(crate) fn new(
        engine: Arc<Engine>,
        telemetry: Arc<RouterTelemetry>,
        admission: Admission,
        max_in_flight: usize,
    ) -> Self {
        let places = (max_in_flight / MIRROR_BUDGET_SHARE).clamp(1, MAX_MIRRORED);
        Self { engine, telemetry, admission, places: Arc::new(Semaphore::new(places)) }
    }

    /// Answers a request again in a task of its own, or counts it as skipped.
    pub(crate) fn start(&self, trial: &Trial, request: impl FnOnce() -> MirroredRequest) {
        match self.place() {
            Some(place) => {
                let (engine, telemetry) = (Arc::clone(&self.engine), Arc::clone(&self.telemetry));
                tokio::spawn(answer_again(engine, telemetry, request(), place));
            }
            None => self.telemetry.with(|batch| batch.skip(trial)),
        }
    }

    fn place(&self) -> Option<OwnedSemaphorePermit> {
        if self.admission.is_pressed() {
            return None;
        }
        Arc::clone(&self.places).try_acquire_owned().ok()
    }
}

async fn answer_again(
    engine: Arc<Engine>,
    telemetry: Arc<RouterTelemetry>,
    request: MirroredRequest,
    _place: OwnedSemaphorePermit,
) {
    // The caller's answer is on its way out on this very thread: let it pass.
    yield_now().await;
    let MirroredRequest {
        plan,
        request,
        routes,
        first,
        trial,
        subject,
        recommendation_id,
        time,
        is_alone,
    } = request;
    let mut answers: [Option<(ArmAnswer, Vec<String>)>; 2] = [None, None];
    let [baseline, candidate] = routes;
    let mut in_order = [(0, baseline), (1, candidate)];
    in_order.rotate_left(first);
    for (arm, route) in in_order {
        let began = Instant::now();
        let result = engine.answer_by(&plan, &request, route, began + time).await;
        let latency_micros = is_alone.then(|| began.elapsed().as_micros() as u64);
        let (outcome, items) = match &result {
            Some(Ok(answer)) => (Some(outcome_of(&request, answer)), first_items(answer)),
            Some(Err(error)) => {
                (error.blames_arm().map(|code| AnswerOutcome::Failed(code as u32)), Vec::new())
            }
            None => (None, Vec::new()),
        };
        answers[arm] = outcome.map(|outcome| (ArmAnswer { latency_micros, outcome }, items));
    }
    // The plan has moved on, or it is no arm's fault: there is nothing to compare.
    let [Some((one, baseline)), Some((other, candidate))] = answers else {
        return telemetry.with(|batch| batch.skip(&trial));
    };
    let in_common = in_common(&one, &other);
    let diff = in_common.map(|(overlap, _)| MirrorDiff {
        recommendation_id,
        at_ms: unix_ms(),
        served: trial.arm,
        overlap,
        baseline,
        candidate,
    });
    telemetry
        .with(|batch| batch.pair(&trial, Pair { subject, answers: [one, other], in_common }, diff));
}

/// What two lists have in common, by both measures; none if one side has no list.
fn in_common(one: &ArmAnswer, other: &ArmAnswer) -> Option<(f64, f64)> {
    let (first, second) = (list_of(one)?, list_of(other)?);
    let (first, second) = (first.items(), second.items());
    Some((overlap(first, second), rank_biased_overlap(first, second)))
}
