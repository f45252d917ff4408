//! What of a call is an observation, and which requests are mirrored.

use super::buffer::RouterTelemetry;
use super::mirror::{Mirror, Request};
use super::observation::{List, Observation, Outcome, Side, Who};
use crate::ask::{Answer, Ask, Subject};
use crate::error::RouterError;
use marquee_core::bounds::FULL_WEIGHT_BASIS_POINTS;
use marquee_core::plan::{Plan, Route, Trial};
use marquee_proto::v1::FallbackReason;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What a call was and what came of it.
pub(crate) struct Call<'a> {
    pub(crate) asks: &'a [Ask],
    /// The plan that it was answered by.
    pub(crate) plan: &'a Arc<Plan>,
    pub(crate) result: &'a Result<Vec<Answer>, RouterError>,
    pub(crate) began: Instant,
    /// How long it took.
    pub(crate) took: Duration,
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

    /// Notes what belongs to trials. `draw`: numbers in 0..10,000 that decide what is mirrored.
    pub(crate) fn observe(&self, call: &Call<'_>, mut draw: impl FnMut() -> u32) {
        if !self.telemetry.is_on() {
            return;
        }
        let latency_micros = (call.asks.len() == 1).then_some(call.took.as_micros() as u64);
        match call.result {
            Ok(answers) => {
                for (ask, answer) in call.asks.iter().zip(answers) {
                    let Some(trial) = &answer.route.trial else { continue };
                    let outcome = outcome_of(ask, answer);
                    let side = Side { latency_micros, outcome };
                    self.note(call, ask, &answer.route, trial, side, Some(answer), draw());
                }
            }
            Err(error) => {
                let Some(code) = error.blames_arm() else { return };
                let blamed = match error {
                    RouterError::InBatch { index, .. } => &call.asks[*index..=*index],
                    _ => call.asks,
                };
                for ask in blamed {
                    // The same plan gives the same route as it did for the call.
                    let Ok(route) = call.plan.route(&ask.surface, ask.subject.id()) else {
                        continue;
                    };
                    let Some(trial) = &route.trial else { continue };
                    let side = Side { latency_micros, outcome: Outcome::Failed(code as u32) };
                    self.note(call, ask, &route, trial, side, None, draw());
                }
            }
        }
    }

    fn note(
        &self,
        call: &Call<'_>,
        ask: &Ask,
        route: &Route,
        trial: &Trial,
        side: Side,
        answer: Option<&Answer>,
        draw: u32,
    ) {
        let who = who_of(&ask.subject);
        let mirrored = mirrored_by(call.plan, ask, route, draw).map(|other| (other, side.clone()));
        let at_micros = self.telemetry.micros(call.began);
        let observation = Observation { arm: trial.arm, who, at_micros, side };
        self.telemetry.with(|batch| batch.observe(trial, observation));
        let Some((other, served)) = mirrored else { return };
        self.mirror.start(trial, || Request {
            plan: Arc::clone(call.plan),
            ask: Ask { explain: false, ..ask.clone() },
            other,
            trial: trial.clone(),
            who,
            served,
            items: answer.map(first_items).unwrap_or_default(),
            recommendation_id: answer.map(|it| it.recommendation_id.clone()).unwrap_or_default(),
            time: call.time,
            is_alone: call.asks.len() == 1,
        });
    }
}

/// The route by which a request is answered again, if it is: with the chance that its rollout says. Errors
/// are asked again too: else the side that served would look as if it never failed.
fn mirrored_by(plan: &Plan, ask: &Ask, route: &Route, draw: u32) -> Option<Route> {
    debug_assert!(draw < FULL_WEIGHT_BASIS_POINTS);
    // Most requests are not mirrored, and to know that costs no route.
    let rollout = plan.rollout(route.rollout_id.as_ref()?)?;
    if draw >= rollout.mirror_basis_points() || !ask.is_recommendation() {
        return None;
    }
    plan.other_side(route, ask.subject.id())
}

fn who_of(subject: &Subject) -> Who {
    match subject {
        Subject::User(id) => Who::user(id),
        Subject::Item(id) | Subject::Text(id) => Who::item(id),
    }
}

/// An answer in numbers.
pub(crate) fn outcome_of(ask: &Ask, answer: &Answer) -> Outcome {
    let score = answer.items.first().map(|item| item.score);
    let ids = answer.items.iter().map(|item| item.item_id.as_str());
    Outcome::Answered {
        is_empty: answer.items.is_empty(),
        is_partial: !answer.shards_missing.is_empty(),
        is_fallback: answer.fallback != FallbackReason::Unspecified,
        list: ask.is_recommendation().then(|| List::of(&answer.recommendation_id, ids, score)),
    }
}

/// The ids of an answer's first items, for those who read what was compared.
pub(crate) fn first_items(answer: &Answer) -> Vec<String> {
    let first = answer.items.iter().take(marquee_core::telemetry::MAX_DIFF_ITEMS);
    first.map(|item| item.item_id.clone()).collect()
}
