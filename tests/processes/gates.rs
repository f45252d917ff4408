//! Rollouts that are judged by what real routers measure, and experiments.

use crate::support::caller::{Caller, client};
use crate::support::cluster::Cluster;
use crate::support::process::marquee_ok;
use crate::support::{eventually, eventually_within};
use marquee_proto::control::v1::{
    Effect, ExperimentArm, ExperimentState, GetExperimentRequest, GetRolloutRequest, Measure,
    RolloutState, StartExperimentRequest, StopExperimentRequest, Verdict,
};
use marquee_proto::v1::{Event, EventType, RecommendResponse, RecordEventsRequest};
use std::time::Duration;

/// A click counts when its answer has had a minute for clicks.
const TIME_FOR_CLICKS: Duration = Duration::from_secs(150);

/// A candidate that recommends the same few items to all users is rolled back before its first step is over,
/// no call fails, and every control node has the reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_knows_no_user_is_rolled_back() {
    let cluster = Cluster::start().await;
    let candidate = cluster.publish(&cluster.bundles.train_popularity(4)).await;
    let caller = Caller::start(cluster.routers_at());
    let rollout_id = cluster.start_rollout(&candidate, vec![(4_000, 600), (10_000, 600)]).await;
    eventually("the rollout is over", || async {
        let rollout = cluster.rollout(0, &rollout_id).await;
        rollout.is_some_and(|rollout| rollout.state() == RolloutState::RolledBack)
    })
    .await;
    let answers = caller.stop().await;
    answers.assert_perfect();

    let last = |rollout: &marquee_proto::control::v1::Rollout| {
        rollout.history.last().map(|event| event.reason.clone()).unwrap_or_default()
    };
    let request = || GetRolloutRequest { rollout_id: rollout_id.clone() };
    for n in 0..3 {
        let known = cluster.control_client(n).get_rollout(request()).await.expect("known");
        let known = known.into_inner();
        let reason = last(&known.rollout.expect("there"));
        assert!(reason.starts_with("gate "), "{reason}");
        let evidence = known.evidence.expect("it was measured");
        assert!(evidence.gates.iter().any(|gate| gate.verdict() == Verdict::Breached));
        assert!(evidence.windows > 0);
    }
    let endpoint = cluster.control_at(1);
    let status = marquee_ok(["ctl", "--endpoint", &endpoint, "rollout", "status", &rollout_id]);
    for word in ["BREACHED", "sameness", "at most 3 × baseline", "ROLLED_BACK"] {
        assert!(status.contains(word), "no {word} in:\n{status}");
    }
    let diff = marquee_ok(["ctl", "--endpoint", &endpoint, "rollout", "diff", &rollout_id]);
    assert!(diff.contains("in common") || diff.contains("no request of"), "{diff}");
}

/// Records clicks on the last answers of the arm `popular`, at a router that may not have given them.
async fn click_on(cluster: &Cluster, answers: &[(usize, RecommendResponse)], experiment: &str) {
    let of_arm = answers.iter().filter(|(_, answer)| {
        let served = answer.served_by.clone().unwrap_or_default();
        served.experiment_id == experiment && served.arm == "popular"
    });
    let event = |(user, answer): &(usize, RecommendResponse)| Event {
        user_id: format!("user-{user}"),
        item_id: answer.items[0].item_id.clone(),
        r#type: EventType::Click as i32,
        recommendation_id: answer.recommendation_id.clone(),
        ..Event::default()
    };
    let events: Vec<Event> = of_arm.rev().take(100).map(event).collect();
    assert!(events.len() >= 20, "only {} answers of the arm", events.len());
    let sent = events.len() as u32;
    let mut router = client(&cluster.routers_at()[1]);
    let recorded = router.record_events(RecordEventsRequest { events }).await.expect("recorded");
    assert_eq!(recorded.into_inner().accepted, sent);
}

/// Users of an experiment keep their arms on every router, its report compares them, and after its end
/// all users get what is live.
#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_compares_its_arms() {
    let cluster = Cluster::start().await;
    let other = cluster.publish(&cluster.bundles.train_popularity(4)).await;
    let control = cluster.control_at(0);
    let segments = marquee_ok(["ctl", "--endpoint", &control, "segments", "set", "device=ios,tv"]);
    assert!(segments.contains("device=ios, device=tv, device=other"), "{segments}");
    let arm = |name: &str, ensemble: &str| ExperimentArm {
        name: name.into(),
        ensemble: ensemble.into(),
        weight_basis_points: 5_000,
    };
    let request = StartExperimentRequest {
        arms: vec![arm("control", "films@1"), arm("popular", &other)],
        ..StartExperimentRequest::default()
    };
    let started = cluster.control_client(0).start_experiment(request).await.expect("started");
    let id = started.into_inner().experiment.expect("there").experiment_id;
    let get = || GetExperimentRequest { experiment_id: id.clone() };
    eventually("the experiment runs", || async {
        let found = cluster.control_client(1).get_experiment(get()).await;
        found.is_ok_and(|found| {
            let experiment = found.into_inner().experiment.unwrap_or_default();
            experiment.state() == ExperimentState::Running
        })
    })
    .await;
    let caller = Caller::start_on_devices(cluster.routers_at());
    eventually("the arms are compared", || async {
        let found = cluster.control_client(2).get_experiment(get()).await;
        found.is_ok_and(|found| {
            let report = found.into_inner().report.unwrap_or_default();
            report.effects.iter().any(|effect| effect.effect.is_some())
        })
    })
    .await;
    let answers = caller.stop().await;
    answers.assert_perfect();
    let mut arms = std::collections::BTreeMap::new();
    for (user, answer) in &answers.ok {
        let served = answer.served_by.clone().unwrap_or_default();
        // The first answers may be of the plan before.
        if served.experiment_id == id {
            let known = arms.entry(*user).or_insert_with(|| served.arm.clone());
            assert_eq!(*known, served.arm, "user {user} changed arms");
            let version = served.models[0].version;
            assert_eq!(version == 1, served.arm == "control", "{served:?}");
        }
    }
    assert!(arms.values().any(|arm| arm == "control") && arms.values().any(|arm| arm == "popular"));
    click_on(&cluster, &answers.ok, &id).await;
    eventually_within(
        TIME_FOR_CLICKS,
        "clicks are counted for the arm that they came of",
        || async {
            let found = cluster.control_client(0).get_experiment(get()).await;
            found.is_ok_and(|found| {
                let effects = found.into_inner().report.unwrap_or_default().effects;
                let clicks = |arm| {
                    let of_arm = |e: &&Effect| e.measure() == Measure::Clicks && e.arm == arm;
                    effects.iter().find(of_arm).map_or(0.0, |effect| effect.mean)
                };
                clicks(1) > 0.0 && clicks(0) == 0.0
            })
        },
    )
    .await;
    // What router 1 was told of is of answers of both routers: the segment is in their ids.
    let found = cluster.control_client(0).get_experiment(get()).await.expect("there").into_inner();
    let segments = found.report.unwrap_or_default().segments;
    let names: Vec<&str> = segments.iter().map(|segment| segment.name.as_str()).collect();
    assert_eq!(names, ["device=ios", "device=other"]);
    for segment in &segments {
        let found = |measure| {
            let of_arm = |e: &&Effect| e.measure() == measure && e.arm == 1;
            segment.effects.iter().find(of_arm).map_or((0, 0.0), |e| (e.samples, e.mean))
        };
        assert!(found(Measure::Failed).0 >= 20, "{segment:?}");
        assert!(found(Measure::Clicks).1 > 0.0, "{segment:?}");
    }
    let report = marquee_ok(["ctl", "--endpoint", &control, "experiment", "report", &id]);
    for word in ["list similarity", "popular", "split:", "RUNNING", "device=ios", "device=other"] {
        assert!(report.contains(word), "no {word} in:\n{report}");
    }
    let stop = StopExperimentRequest { experiment_id: id, ..StopExperimentRequest::default() };
    cluster.control_client(0).stop_experiment(stop).await.expect("stopped");
    for endpoint in cluster.routers_at() {
        cluster.answers(&endpoint, "films", 1).await;
    }
}
