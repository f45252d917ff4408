//! What of a call is an observation, and which requests are mirrored.

use super::buffer::{InterleavedObservation, RouterTelemetry};
use super::mirror::{Mirror, MirroredRequest};
use super::observation::{AnswerOutcome, ArmAnswer, Observation, SubjectHash, hash_of};
use super::outcome::outcome_of;
use super::scope::AnswerScope;
use crate::admission::request::{RankingRequest, Subject};
use crate::error::RouterError;
use crate::explanation::answer::RankingAnswer;
use marquee_core::bounds::FULL_WEIGHT_BASIS_POINTS;
use marquee_core::plan::{Plan, Route};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What a call was and what came of it.
pub(crate) struct ObservedCall<'a> {
    pub(crate) requests: &'a [RankingRequest],
    /// The plan that it was answered by.
    pub(crate) plan: &'a Arc<Plan>,
    pub(crate) result: &'a Result<Vec<RankingAnswer>, RouterError>,
    pub(crate) began: Instant,
    /// How long it took.
    pub(crate) took: Duration,
    /// The second of Unix time in which it was answered, as the answers' ids say.
    pub(crate) answered_second: u64,
    /// How long it might have taken.
    pub(crate) time: Duration,
}

/// Notes answers once they are made.
pub(crate) struct Observer {
    telemetry: Arc<RouterTelemetry>,
    mirror: Mirror,
}

impl Observer {
    pub(crate) fn new(telemetry: Arc<RouterTelemetry>, mirror: Mirror) -> Self {
        Self { telemetry, mirror }
    }

    /// The second of Unix time that an answer of this moment is dated by.
    pub(crate) fn unix_second(&self, at: Instant) -> u64 {
        self.telemetry.clock().unix_second(at)
    }

    /// Notes what answers were like. `draw`: numbers in 0..10,000 that decide what is mirrored, and which
    /// arm answers first then.
    pub(crate) fn observe(&self, call: &ObservedCall<'_>, mut draw: impl FnMut() -> u32) {
        if !self.telemetry.is_on() {
            return;
        }
        let latency_micros = (call.requests.len() == 1).then_some(call.took.as_micros() as u64);
        match call.result {
            Ok(answers) => {
                for (request, answer) in call.requests.iter().zip(answers) {
                    if answer.interleaved.is_some() {
                        self.note_interleaved(call, request, answer);
                        continue;
                    }
                    let answered =
                        ArmAnswer { latency_micros, outcome: outcome_of(request, answer) };
                    self.note(
                        call,
                        request,
                        &answer.route,
                        answered,
                        &answer.recommendation_id,
                        &mut draw,
                    );
                }
            }
            Err(error) => {
                let Some(code) = error.blames_arm() else { return };
                let blamed = match error {
                    RouterError::InBatch { index, .. } => &call.requests[*index..=*index],
                    _ => call.requests,
                };
                for request in blamed {
                    // The same plan gives the same route as it did for the call.
                    let Ok(route) = call.plan.route(&request.surface, request.subject.id()) else {
                        continue;
                    };
                    let answered =
                        ArmAnswer { latency_micros, outcome: AnswerOutcome::Failed(code as u32) };
                    self.note(call, request, &route, answered, "", &mut draw);
                }
            }
        }
    }

    fn note_interleaved(
        &self,
        call: &ObservedCall<'_>,
        request: &RankingRequest,
        answer: &RankingAnswer,
    ) {
        // None for users who are not compared.
        let Some(trial) = &answer.route.trial else { return };
        let observation = InterleavedObservation {
            subject: hash_of_subject(&request.subject, call.plan),
            at_micros: self.telemetry.clock().micros(call.began),
            answer: hash_of(&answer.recommendation_id),
        };
        self.telemetry.with(|batch| batch.interleave(trial, observation));
    }

    fn note(
        &self,
        call: &ObservedCall<'_>,
        request: &RankingRequest,
        route: &Route,
        answered: ArmAnswer,
        recommendation_id: &str,
        draw: &mut impl FnMut() -> u32,
    ) {
        // The route of an error is the one that the user would have had.
        if request.forced_variant.is_some() {
            return;
        }
        let Some(scope) = AnswerScope::of(route) else { return };
        let subject = hash_of_subject(&request.subject, call.plan);
        let at_micros = self.telemetry.clock().micros(call.began);
        let observation = Observation {
            arm: scope.arm(),
            subject,
            at_micros,
            answered_second: call.answered_second,
            segments: request.segments(call.plan),
            answer: answered,
        };
        self.telemetry.with(|batch| batch.observe(scope, observation));
        let Some(trial) = &route.trial else { return };
        let Some(routes) = mirrored_by(call.plan, request, route, trial.arm, draw()) else {
            return;
        };
        self.mirror.start(trial, || MirroredRequest {
            plan: Arc::clone(call.plan),
            request: RankingRequest { explain: false, ..request.clone() },
            routes,
            first: (draw() % 2) as usize,
            trial: trial.clone(),
            subject,
            recommendation_id: recommendation_id.into(),
            time: call.time,
            is_alone: call.requests.len() == 1,
        });
    }
}

/// The routes of both sides by which a request is answered again, if it is: with the chance that its rollout
/// says. Requests that ended in an error are mirrored, too: else the arm that served would look as if it never
/// failed.
fn mirrored_by(
    plan: &Plan,
    request: &RankingRequest,
    route: &Route,
    arm: usize,
    draw: u32,
) -> Option<[Route; 2]> {
    debug_assert!(draw < FULL_WEIGHT_BASIS_POINTS);
    // Most requests are not mirrored, and to know that costs no route.
    let rollout = plan.rollout(route.rollout_id.as_ref()?)?;
    if draw >= rollout.mirror_basis_points() || !request.is_recommendation() {
        return None;
    }
    let other = plan.other_variant(route, request.subject.id())?;
    Some(if arm == 0 { [route.clone(), other] } else { [other, route.clone()] })
}

fn hash_of_subject(subject: &Subject, plan: &Plan) -> SubjectHash {
    match subject {
        Subject::User(id) | Subject::Forgotten(id) => SubjectHash::user(id, &plan.privacy),
        Subject::Item(id) | Subject::Text(id) => SubjectHash::item(id),
    }
}
