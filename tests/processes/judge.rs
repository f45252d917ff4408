//! The judge on live traffic. What both variants have in common, and what comes of a few users, rolls nothing back; a
//! candidate that is worse is found without a click; and without traffic nothing is promoted.

use crate::support::caller::client;
use crate::support::cluster::Cluster;
use crate::support::data::USERS;
use crate::support::eventually_within;
use marquee_core::plan::assignment::bucket;
use marquee_proto::control::v1::{
    PublishModelRequest, Rollout, RolloutState, RolloutStep, Shadow, StartRolloutRequest,
};
use marquee_proto::v1::{
    Event, EventType, RecommendRequest, RecommendResponse, RecordEventsRequest,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::Code;

/// The first step of a candidate that is no other than the baseline, and its last one, in 1/10,000.
const SHARES: [u32; 2] = [1_000, 5_000];
/// How long these steps are held, in seconds: clicks of the second one count within it.
const HOLDS: [u64; 2] = [20, 100];
/// How long one of two replicas of everything is dead in the last step.
const DEAD: Duration = Duration::from_secs(5);
/// How late clicks are, in the surface where they are late.
const LATE: Duration = Duration::from_secs(40);
/// A deadline that no answer keeps.
const POISONOUS_DEADLINE: Duration = Duration::from_millis(2);
/// The share of requests that both versions answer, in 1/10,000: a router's spare time on a busy machine is short.
const MIRRORED: u32 = 2_000;
/// Far above the time that the rollouts take.
const PATIENCE: Duration = Duration::from_secs(600);

/// The users of one surface.
struct Audience {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Audience {
    fn new() -> Self {
        Self { stop: Arc::default(), tasks: Vec::new() }
    }

    /// Adds users who call one after the other, at random; three of ten answers are clicked, so long after.
    fn visitors(&mut self, routers: Vec<String>, surface: &str, clicks_after: Duration) {
        let (stop, surface) = (self.stop.clone(), surface.to_owned());
        self.tasks.push(tokio::spawn(async move {
            let mut clients: Vec<_> = routers.iter().map(|at| client(at)).collect();
            let mut random = fastrand::Rng::with_seed(11);
            while !stop.load(Ordering::Relaxed) {
                let user = format!("user-{}", random.usize(..USERS));
                let router = random.usize(..clients.len());
                let request = request_on(&surface, &user);
                let answer =
                    clients[router].recommend(request).await.expect("answered").into_inner();
                if random.f64() < 0.3 {
                    let mut events = clients[router].clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(clicks_after).await;
                        let event = click(&user, &answer);
                        // Late ones may come when the cluster is gone.
                        let _ =
                            events.record_events(RecordEventsRequest { events: vec![event] }).await;
                    });
                }
                tokio::time::sleep(Duration::from_millis(12)).await;
            }
        }));
    }

    /// Adds one user who calls this often, with this deadline, and never clicks.
    fn single(
        &mut self,
        router: &str,
        surface: &str,
        user: &str,
        every: Duration,
        deadline: Duration,
    ) {
        let (stop, mut client) = (self.stop.clone(), client(router));
        let wanted = request_on(surface, user);
        self.tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let mut request = tonic::Request::new(wanted.clone());
                request.set_timeout(deadline);
                // Whether it fails is what it is for.
                let _ = client.recommend(request).await;
                tokio::time::sleep(every).await;
            }
        }));
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("no call of a visitor fails");
        }
    }
}

fn request_on(surface: &str, user: &str) -> RecommendRequest {
    RecommendRequest {
        user_id: user.into(),
        surface: surface.into(),
        ..RecommendRequest::default()
    }
}

fn click(user: &str, answer: &RecommendResponse) -> Event {
    Event {
        user_id: user.into(),
        item_id: answer.items[0].item_id.clone(),
        r#type: EventType::Click as i32,
        recommendation_id: answer.recommendation_id.clone(),
        ..Event::default()
    }
}

/// Starts a rollout with the default gates, mirrors a fifth of its requests, and returns its id.
async fn start(cluster: &Cluster, surface: &str, candidate: &str, steps: &[(u32, u64)]) -> String {
    let steps = steps.iter().map(|&(weight_basis_points, hold_seconds)| RolloutStep {
        weight_basis_points,
        hold_seconds,
        ..RolloutStep::default()
    });
    let request = StartRolloutRequest {
        surface: surface.into(),
        candidate: candidate.into(),
        steps: steps.collect(),
        shadow: Some(Shadow { mirror_basis_points: MIRRORED, ..Shadow::default() }),
        ..StartRolloutRequest::default()
    };
    let started = cluster.control_client(0).start_rollout(request).await.expect("started");
    started.into_inner().rollout.expect("there").rollout_id
}

/// Gives a new surface its first version, and waits until every router has it.
async fn open(cluster: &Cluster, surface: &str) {
    let id = start(cluster, surface, "films@1", &[]).await;
    until(cluster, &id, "it is live", |it| it.state() == RolloutState::Promoted).await;
    for router in cluster.routers_at() {
        eventually_within(PATIENCE, &format!("{router} serves {surface}"), || async {
            client(&router).recommend(request_on(surface, "user-1")).await.is_ok()
        })
        .await;
    }
}

/// Waits until the rollout is as wanted; panics with all that happened to it if it ends before that.
async fn until(cluster: &Cluster, id: &str, what: &str, wanted: impl Fn(&Rollout) -> bool) {
    eventually_within(PATIENCE, &format!("{id}: {what}"), || async {
        let Some(rollout) = cluster.rollout(0, id).await else { return false };
        let is_over = matches!(
            rollout.state(),
            RolloutState::Promoted | RolloutState::RolledBack | RolloutState::Aborted
        );
        let is_wanted = wanted(&rollout);
        assert!(is_wanted || !is_over, "{id}: {what}: {:#?}", rollout.history);
        is_wanted
    })
    .await;
}

/// A user of this name and a number whom the first step of the rollout gives the candidate.
fn user_on_candidate(name: &str, rollout_id: &str) -> String {
    let named = (0..).map(|n| format!("{name}-{n}"));
    named.into_iter().find(|user| bucket(rollout_id, user) < SHARES[0]).expect("one in ten")
}

/// A candidate of the same bytes is promoted on each of three surfaces: where clicks come 40 s late, where one user's
/// calls always fail, and where a tenth of the calls are one user's who never clicks; and a shard node dies in the last
/// step of all.
#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_is_no_other_is_promoted_whatever_happens() {
    let mut cluster = Cluster::start().await;
    let candidate = cluster.publish(&cluster.bundles.train_again(4, 4)).await;
    let surfaces = ["late-clicks", "poisonous-user", "bot"];
    for surface in surfaces {
        open(&cluster, surface).await;
    }
    let mut audience = Audience::new();
    for surface in surfaces {
        let late = if surface == "late-clicks" { LATE } else { Duration::from_millis(200) };
        audience.visitors(cluster.routers_at(), surface, late);
    }
    // Routers know users and rewards from before.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let steps = [(SHARES[0], HOLDS[0]), (SHARES[1], HOLDS[1])];
    let mut rollouts = Vec::new();
    for surface in surfaces {
        rollouts.push(start(&cluster, surface, &candidate, &steps).await);
    }
    let router = &cluster.routers_at()[0];
    let poisonous = user_on_candidate("poisonous", &rollouts[1]);
    let twice_a_second = Duration::from_millis(500);
    audience.single(router, surfaces[1], &poisonous, twice_a_second, POISONOUS_DEADLINE);
    let bot = user_on_candidate("bot", &rollouts[2]);
    let a_tenth = Duration::from_millis(160);
    audience.single(router, surfaces[2], &bot, a_tenth, Duration::from_secs(5));

    for rollout in &rollouts {
        until(&cluster, rollout, "it is in the last step", |it| {
            it.weight_basis_points == SHARES[1]
        })
        .await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    cluster.shards[0].kill();
    tokio::time::sleep(DEAD).await;
    cluster.shards[0].restart();
    for rollout in &rollouts {
        until(&cluster, rollout, "it is promoted", |it| it.state() == RolloutState::Promoted).await;
    }
    audience.stop().await;
}

/// Lists that are meant for other users are found without a click, half of the catalogue is refused at publish, and a
/// surface that nobody visits promotes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_worse_is_found_without_a_click_and_without_traffic_nothing_passes() {
    let cluster = Cluster::start().await;
    for surface in ["visited", "quiet"] {
        open(&cluster, surface).await;
    }
    let mut audience = Audience::new();
    audience.visitors(cluster.routers_at(), "visited", Duration::from_millis(200));

    let half = cluster.bundles.train_half_of_the_items(4);
    let request = PublishModelRequest {
        allow_older: false,
        bundle_uri: format!("file://{}", half.display()),
        ..PublishModelRequest::default()
    };
    let refused = cluster.control_client(0).publish_model(request).await.expect_err("half is gone");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("items"), "{refused}");

    let permuted = cluster.publish(&cluster.bundles.train_permuted(4, 4)).await;
    let quiet = start(&cluster, "quiet", &permuted, &[(1_000, 1), (10_000, 1)]).await;
    let visited = start(&cluster, "visited", &permuted, &[(2_000, 3_600), (10_000, 1)]).await;
    until(&cluster, &visited, "it is rolled back", |it| it.state() == RolloutState::RolledBack)
        .await;
    let rollout = cluster.rollout(0, &visited).await.expect("known");
    let reason = rollout.history.last().map(|event| event.reason.clone()).unwrap_or_default();
    assert!(reason.contains("personalisation") || reason.contains("per_answer"), "{reason}");

    let rollout = cluster.rollout(0, &quiet).await.expect("known");
    assert_eq!(rollout.state(), RolloutState::Canary, "{:#?}", rollout.history);
    assert_eq!(rollout.weight_basis_points, 1_000, "{:#?}", rollout.history);
    audience.stop().await;
}
