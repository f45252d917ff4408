//! A backend that calls Recommend until it is stopped, and keeps every answer.

use super::data::USERS;
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{RecommendRequest, RecommendResponse, Variant};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// One request for a user with everything else by default.
pub(crate) fn request(user_id: &str) -> RecommendRequest {
    RecommendRequest { user_id: user_id.into(), ..RecommendRequest::default() }
}

/// A client of the router at `endpoint`, connected when first used.
pub(crate) fn client(endpoint: &str) -> RecommenderServiceClient<Channel> {
    let endpoint = Channel::from_shared(endpoint.to_owned()).expect("an endpoint");
    RecommenderServiceClient::new(endpoint.connect_lazy())
}

/// Calls until [`Caller::stop`].
pub(crate) struct Caller {
    stop: Arc<AtomicBool>,
    task: JoinHandle<CallerLog>,
}

/// The answers and failures of a caller.
#[derive(Default)]
pub(crate) struct CallerLog {
    /// The answers in order, with the user's number.
    pub(crate) ok: Vec<(usize, RecommendResponse)>,
    /// The statuses of failed calls.
    pub(crate) failed: Vec<tonic::Status>,
}

impl Caller {
    /// Starts calling the routers in turn, for random users: a fixed order would look automated.
    pub(crate) fn start(endpoints: Vec<String>) -> Self {
        Self::start_with(endpoints, |user| request(&format!("user-{user}")))
    }

    /// The same, and says of users with even numbers that they have an iPhone.
    pub(crate) fn start_on_devices(endpoints: Vec<String>) -> Self {
        Self::start_with(endpoints, |user| {
            let device = if user % 2 == 0 { "iOS" } else { "web" };
            let context = [("device".to_owned(), device.to_owned())].into();
            RecommendRequest { context, ..request(&format!("user-{user}")) }
        })
    }

    fn start_with(endpoints: Vec<String>, make: fn(usize) -> RecommendRequest) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut clients: Vec<_> = endpoints.iter().map(|at| client(at)).collect();
            let mut answers = CallerLog::default();
            let mut random = fastrand::Rng::with_seed(1);
            for n in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (user, router) = (random.usize(..USERS), n % clients.len());
                match clients[router].recommend(make(user)).await {
                    Ok(answer) => answers.ok.push((user, answer.into_inner())),
                    Err(status) => answers.failed.push(status),
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            answers
        });
        Self { stop, task }
    }

    /// Stops the caller and returns what it got.
    pub(crate) async fn stop(self) -> CallerLog {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("the caller does not panic")
    }
}

impl CallerLog {
    /// Asserts that no call failed, and that every answer has all shards and one version.
    pub(crate) fn assert_perfect(&self) {
        assert!(self.failed.is_empty(), "{} calls failed: {:?}", self.failed.len(), self.failed[0]);
        assert!(self.ok.len() > 100, "only {} calls were made", self.ok.len());
        for (user, answer) in &self.ok {
            assert_eq!(answer.items.len(), 10, "user-{user}: {answer:?}");
            assert_eq!(answer.fallback_reason, 0, "user-{user}: {answer:?}");
            let served_by = answer.served_by.as_ref().expect("served_by is set");
            assert_eq!(served_by.models.len(), 1, "user-{user}: {served_by:?}");
            let coverage = answer.coverage.as_ref().expect("coverage is set");
            assert_eq!(
                coverage.shards_answered, coverage.shards_total,
                "user-{user}: {coverage:?}"
            );
        }
    }

    /// Asserts that within the rollout every user moves at most once, to the candidate, and that under one
    /// epoch a user has one variant on all routers.
    pub(crate) fn assert_sticky_and_monotone(&self, rollout_id: &str) {
        let mut candidates = BTreeSet::new();
        let mut by_epoch = BTreeMap::new();
        let mut epochs = BTreeSet::new();
        for (user, answer) in &self.ok {
            let served_by = answer.served_by.as_ref().expect("served_by is set");
            if served_by.rollout_id != rollout_id {
                continue;
            }
            epochs.insert(served_by.plan_epoch);
            let before = by_epoch.insert((served_by.plan_epoch, user), served_by.variant);
            assert!(
                before.is_none_or(|before| before == served_by.variant),
                "user-{user} changed within an epoch"
            );
            match served_by.variant() {
                Variant::Candidate => {
                    candidates.insert(user);
                }
                Variant::Interleaved => {}
                Variant::Baseline => assert!(!candidates.contains(user), "user-{user} moved back"),
                Variant::Unspecified => panic!("a rollout without a variant: {served_by:?}"),
            }
        }
        assert!(epochs.len() > 1, "the rollout was seen under {} epochs", epochs.len());
    }

    /// The share of users that the candidate served under `epoch`, and how many users were seen.
    pub(crate) fn share(&self, rollout_id: &str, epoch: u64) -> (f64, usize) {
        let users: BTreeMap<usize, bool> = self
            .ok
            .iter()
            .filter_map(|(user, answer)| Some((user, answer.served_by.as_ref()?)))
            .filter(|(_, by)| by.rollout_id == rollout_id && by.plan_epoch == epoch)
            .map(|(user, by)| (*user, by.variant() == Variant::Candidate))
            .collect();
        let inside = users.values().filter(|&&candidate| candidate).count();
        (inside as f64 / users.len().max(1) as f64, users.len())
    }
}
