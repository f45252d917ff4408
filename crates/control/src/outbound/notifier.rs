//! Tells targets of rollouts, while this node leads.

use super::config::NotificationTarget;
use super::sign::signature;
use super::text::{AfterFailure, after_failure, body};
use crate::clock::wall_ms;
use crate::leader::{Leader, duty};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use marquee_core::command::Action;
use marquee_core::notification::{AllTold, NextNotification, Transition, next_notification};
use marquee_core::plan::Plan;
use marquee_net::{HttpClient, HttpError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often it is looked whether something is to be told, where no plan says so.
const TICK: Duration = Duration::from_secs(1);
/// How long a target may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many bytes a target may answer: it need not answer anything.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// How long it is waited until this node has applied what it had committed.
const SHOWN_WITHIN: Duration = Duration::from_secs(2);

/// Why the last attempt to tell a target failed, by its name.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastErrors(Arc<Mutex<BTreeMap<String, String>>>);

impl LastErrors {
    /// Why the last attempt failed; empty if it did not, or if this node does not lead.
    pub(crate) fn of(&self, target: &str) -> String {
        let errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        errors.get(target).cloned().unwrap_or_default()
    }

    fn set(&self, target: &str, error: Option<String>) {
        let mut errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) => errors.insert(target.into(), error),
            None => errors.remove(target),
        };
    }
}

/// Sends notifications and has their deliveries committed.
#[derive(Clone)]
pub(crate) struct Notifier {
    leader: Arc<Leader>,
    client: Arc<HttpClient>,
    cluster: Arc<str>,
    plan: watch::Receiver<Arc<Plan>>,
    told: watch::Receiver<Arc<AllTold>>,
    errors: LastErrors,
}

impl Notifier {
    pub(crate) fn new(
        leader: Arc<Leader>,
        client: Arc<HttpClient>,
        cluster: &str,
        plan: watch::Receiver<Arc<Plan>>,
        told: watch::Receiver<Arc<AllTold>>,
    ) -> Self {
        let errors = LastErrors::default();
        Self { leader, client, cluster: cluster.into(), plan, told, errors }
    }

    pub(crate) fn errors(&self) -> LastErrors {
        self.errors.clone()
    }

    /// Tells all targets for as long as the node runs: each in its own task, so that none waits for another.
    pub(crate) async fn run(self, targets: Vec<NotificationTarget>) {
        let names: Vec<String> = targets.iter().map(|target| target.name.clone()).collect();
        let mut tasks = JoinSet::new();
        for target in targets {
            tasks.spawn(self.clone().tell(target));
        }
        loop {
            tokio::time::sleep(TICK).await;
            let is_known = {
                let told = self.told.borrow();
                told.len() == names.len() && names.iter().all(|name| told.contains_key(name))
            };
            if self.leader.leads() && !is_known {
                self.commit(Action::SetNotificationTargets { targets: names.clone() }).await;
            }
        }
    }

    /// Tells one target, one transition after another.
    async fn tell(self, target: NotificationTarget) {
        let mut plan = self.plan.clone();
        // The transition that was tried last, and how often that failed.
        let mut tried: Option<(String, u32)> = None;
        loop {
            let next = {
                let told = self.told.borrow();
                match told.get(&target.name) {
                    Some(told) if self.leader.leads() => {
                        let now = plan.borrow_and_update();
                        next_notification(&now, told, &target.surfaces, wall_ms())
                    }
                    Some(_) | None => NextNotification::Nothing,
                }
            };
            match next {
                NextNotification::Nothing => {
                    if !self.leader.leads() {
                        tried = None;
                        self.errors.set(&target.name, None);
                    }
                    let changed = tokio::time::timeout(TICK, plan.changed());
                    if let Ok(Err(_)) = changed.await {
                        return;
                    }
                }
                NextNotification::GiveUp { rollout_id, number, dropped } => {
                    self.give_up(&target, rollout_id, number, dropped).await;
                }
                NextNotification::Tell(transition) => {
                    let id = transition.delivery_id();
                    let failures = match &tried {
                        Some((last, failures)) if *last == id => *failures,
                        Some(_) | None => 0,
                    };
                    let failed = self.send(&target, &transition).await.err();
                    let Transition { rollout_id, number, .. } = *transition;
                    let Some((why, status)) = failed else {
                        tried = None;
                        self.errors.set(&target.name, None);
                        self.confirm(&target.name, rollout_id, number, 0).await;
                        continue;
                    };
                    tracing::warn!(target = target.name, delivery = id, %why, "a notification was not taken");
                    self.errors.set(&target.name, Some(why));
                    match after_failure(failures + 1, status, fastrand::f64()) {
                        AfterFailure::GiveUp => {
                            tried = None;
                            self.give_up(&target, rollout_id, number, 1).await;
                        }
                        AfterFailure::Wait(wait) => {
                            tried = Some((id, failures + 1));
                            tokio::time::sleep(wait).await;
                        }
                    }
                }
            }
        }
    }

    /// Posts one transition. An error has the status of the answer, if there was one.
    async fn send(
        &self,
        target: &NotificationTarget,
        transition: &Transition,
    ) -> Result<(), (String, Option<u16>)> {
        let NotificationTarget { name: _, url, format, secret, surfaces: _ } = target;
        let body = Bytes::from(body(*format, &self.cluster, transition));
        let timestamp = wall_ms() / 1_000;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("marquee-timestamp", HeaderValue::from(timestamp));
        // Names and digits only: they are values of headers.
        if let Ok(id) = HeaderValue::from_str(&transition.delivery_id()) {
            headers.insert("marquee-delivery", id);
        }
        let signed = secret.as_ref().map(|secret| signature(secret, timestamp, &body));
        if let Some(Ok(signed)) = signed.map(|signed| HeaderValue::from_str(&signed)) {
            headers.insert("marquee-signature", signed);
        }
        let answer = self.client.post(url, headers, body, TIMEOUT, MAX_ANSWER_BYTES).await;
        match answer {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => {
                Err((format!("it answers {}", answer.status), Some(answer.status.as_u16())))
            }
            // It was told all the same, and says too much.
            Err(HttpError::TooLarge(_)) => Ok(()),
            Err(error) => Err((error.to_string(), None)),
        }
    }

    async fn give_up(
        &self,
        target: &NotificationTarget,
        rollout_id: String,
        number: u64,
        dropped: u64,
    ) {
        tracing::error!(
            target = target.name,
            rollout_id,
            number,
            dropped,
            "notifications are given up"
        );
        self.confirm(&target.name, rollout_id, number, dropped).await;
    }

    /// Has it committed that a target need not be told more, and waits until that is seen here.
    async fn confirm(&self, target: &str, rollout_id: String, number: u64, dropped: u64) {
        let (name, id) = (target.to_owned(), rollout_id.clone());
        let action =
            Action::ConfirmNotification { target: target.into(), rollout_id, number, dropped };
        if !self.commit(action).await {
            // It is told again: at least once.
            tokio::time::sleep(TICK).await;
            return;
        }
        let mut told = self.told.clone();
        let is_seen = told.wait_for(|told| {
            let known = told.get(&name).map(|told| told.rollouts.get(&id).copied());
            known.is_none_or(|known| known.unwrap_or_default() >= number)
        });
        // What is not seen in time is told twice, no harm.
        let _ = tokio::time::timeout(SHOWN_WITHIN, is_seen).await;
    }

    async fn commit(&self, action: Action) -> bool {
        let command = duty(wall_ms(), action);
        match self.leader.commit(&command).await {
            Ok(Ok(_)) => true,
            Ok(Err(refusal)) => {
                tracing::warn!(%refusal, "notifications");
                false
            }
            Err(refused) => {
                tracing::debug!(%refused, "what was told must be noted later");
                false
            }
        }
    }
}
