//! Variants that callers ask for and users whom a rollout lists: answered by their side, and not compared.

use crate::support::{Bundle, TRIAL, World, films, roll_out, user};
use marquee_core::plan::assignment::bucket;
use marquee_core::rollout::ListedUsers;
use marquee_core::rollout::experiment::{Arm, Experiment, ExperimentState};
use marquee_core::rollout::window::{Measure, Scope};
use marquee_proto::v1::recommender_service_server::RecommenderService as _;
use marquee_proto::v1::{self, Variant};
use marquee_router::{Report, Reward, RouterConfig};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::sleep;
use tonic::{Code, Request, Status};

/// Longer than a window.
const A_WINDOW: Duration = Duration::from_millis(2_100);

fn bundles() -> Vec<Bundle> {
    vec![films(1, 3, "a", 100, 60), films(2, 4, "a", 100, 60)]
}

fn world(allow_forced_variants: bool) -> World {
    let config = RouterConfig { allow_forced_variants, ..RouterConfig::default() };
    World::with_config(bundles(), 4, 2, config)
}

fn asking<T>(message: T, variant: &'static str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("marquee-variant", variant.parse().expect("text"));
    request
}

async fn recommend(
    world: &World,
    user_id: &str,
    variant: &'static str,
) -> Result<v1::RecommendResponse, Status> {
    let request = asking(user(user_id, 5), variant);
    Ok(world.service().recommend(request).await?.into_inner())
}

/// All that was reported within a window.
async fn reports(reports: &mut Receiver<Report>) -> Vec<Report> {
    sleep(A_WINDOW).await;
    let mut all = Vec::new();
    while let Ok(report) = reports.try_recv() {
        all.push(report);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_forced_variant_answers_is_marked_and_counts_for_nothing() {
    let mut world = world(true);
    // Everything is mirrored that may be.
    world.change(|plan| roll_out(plan, "films@2", 2_500, 10_000));
    let mut receiver = world.router.reports();
    let mut forced = Vec::new();
    for n in 0..40 {
        for (wanted, variant) in
            [("baseline", Variant::Baseline), ("candidate", Variant::Candidate)]
        {
            let answer = recommend(&world, &format!("u{n}"), wanted).await.expect("an answer");
            let served_by = answer.served_by.clone().expect("always there");
            assert_eq!((served_by.variant(), served_by.forced), (variant, true));
            assert_eq!(served_by.rollout_id, TRIAL);
            let version = if wanted == "candidate" { 2 } else { 1 };
            assert_eq!(served_by.models[0].version, version);
            forced.push(answer);
        }
    }
    let batch = v1::BatchRecommendRequest { requests: vec![user("u1", 3), user("u2", 3)] };
    let answers = world.service().batch_recommend(asking(batch, "candidate")).await;
    for answer in answers.expect("answers").into_inner().responses {
        let served_by = answer.served_by.expect("always there");
        assert_eq!((served_by.variant(), served_by.forced), (Variant::Candidate, true));
    }
    let ranked = v1::RankItemsRequest {
        user_id: "u1".into(),
        item_ids: vec!["a1".into()],
        surface: String::new(),
    };
    let answer = world.service().rank_items(asking(ranked, "candidate")).await.expect("an answer");
    assert!(answer.into_inner().served_by.expect("always there").forced);
    for (n, answer) in forced.iter().enumerate() {
        let id = &answer.recommendation_id;
        assert!(!id.contains(['.', '@']), "{id} says what it counts for");
        world.router.telemetry().event(id, &format!("u{}", n / 2), "", Reward::Click);
    }
    let all = reports(&mut receiver).await;
    let counted = all.iter().flat_map(|report| &report.window.arms).map(|arm| arm.requests());
    assert_eq!(counted.sum::<u64>(), 0, "{all:?}");
    assert!(all.iter().all(|report| report.window.mirror.overlap.total() == 0));
    let clicks = |report: &Report| {
        let of_arm = report.window.arms.iter().filter_map(|arm| arm.measures.get(&Measure::Clicks));
        of_arm.map(|sums| sums.sum.iter().sum::<f64>()).sum::<f64>()
    };
    assert_eq!(all.iter().map(clicks).sum::<f64>(), 0.0);

    // Others are counted, and what they get is not marked.
    let answer = world.recommend(user("u1", 5)).await.expect("an answer");
    assert!(!answer.served_by.expect("always there").forced);
    let all = reports(&mut receiver).await;
    let counted = all.iter().flat_map(|report| &report.window.arms).map(|arm| arm.requests());
    assert_eq!(counted.sum::<u64>(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_variant_is_refused_that_is_not_there() {
    let mut world = world(true);
    let refused = |status: Status| (status.code(), status.message().to_owned());
    let (code, says) = recommend(&world, "u1", "candidate").await.map_err(refused).expect_err("no");
    assert_eq!(code, Code::FailedPrecondition, "{says}");
    assert!(says.contains("no trial runs on surface \"default\""), "{says}");
    world.change(|plan| roll_out(plan, "films@2", 2_500, 0));
    for (variant, expected) in [
        ("treatment", "ask for baseline or candidate"),
        ("", "is no name of a variant"),
        ("no name", "is no name of a variant"),
    ] {
        let said = recommend(&world, "u1", variant).await.map_err(refused);
        let (code, says) = said.expect_err(variant);
        assert_eq!(code, Code::InvalidArgument, "{says}");
        assert!(says.contains(expected), "{says:?} does not say {expected:?}");
    }
    let arm = |name: &str, ensemble: &str| Arm {
        name: name.into(),
        ensemble: ensemble.into(),
        weight_basis_points: 5_000,
    };
    world.change(|plan| {
        plan.rollouts.clear();
        plan.surfaces.values_mut().for_each(|surface| surface.rollout_id = None);
        plan.experiments.push(Experiment {
            id: "default-ab-2".into(),
            surface: "default".into(),
            layer: "default".into(),
            from_basis_points: 0,
            share_basis_points: 10_000,
            arms: vec![arm("old", "films@1"), arm("new", "films@2")],
            state: ExperimentState::Running,
            started_at_ms: 0,
            stopped_at_ms: 0,
            reason: String::new(),
        });
    });
    for (name, version) in [("old", 1), ("new", 2)] {
        let answer = recommend(&world, "u1", name).await.expect("an answer");
        let served_by = answer.served_by.expect("always there");
        assert_eq!((served_by.arm.as_str(), served_by.forced), (name, true));
        assert_eq!(served_by.models[0].version, version);
    }
    let (code, says) = recommend(&world, "u1", "candidate").await.map_err(refused).expect_err("no");
    assert_eq!(code, Code::InvalidArgument);
    assert!(says.contains("ask for old or new"), "{says}");
}

#[tokio::test(start_paused = true)]
async fn no_variant_is_forced_where_the_router_allows_none() {
    let mut world = world(false);
    world.change(|plan| roll_out(plan, "films@2", 2_500, 0));
    for variant in ["candidate", "nonsense"] {
        let status = recommend(&world, "u1", variant).await.expect_err("not allowed");
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.message().contains("router.allow_forced_variants"), "{status}");
    }
    world.recommend(user("u1", 5)).await.expect("others get an answer");
}

#[tokio::test(start_paused = true)]
async fn listed_users_get_their_side_and_are_not_compared() {
    let mut world = world(false);
    let ids =
        |range: std::ops::Range<u32>| -> Vec<String> { range.map(|n| format!("u{n}")).collect() };
    let listed = ListedUsers::of_ids(&ids(0..10), &ids(10..20)).expect("in bounds");
    world.change(|plan| {
        roll_out(plan, "films@2", 5_000, 10_000);
        plan.rollouts[0].terms.listed = listed;
    });
    let mut receiver = world.router.reports();
    for n in 0..40 {
        let id = format!("u{n}");
        let answer = world.recommend(user(&id, 5)).await.expect("an answer");
        let served_by = answer.served_by.expect("always there");
        let expected = match n {
            0..10 => Variant::Candidate,
            10..20 => Variant::Baseline,
            _ if bucket(TRIAL, &id) < 5_000 => Variant::Candidate,
            _ => Variant::Baseline,
        };
        assert_eq!((served_by.variant(), served_by.forced), (expected, false), "{id}");
    }
    let (mut compared, mut live) = (0, 0);
    for Report { scope, window, .. } in reports(&mut receiver).await {
        let requests: u64 = window.arms.iter().map(|arm| arm.requests()).sum();
        match scope {
            Scope::Trial(_) => compared += requests,
            Scope::Surface(_) => live += requests,
        }
    }
    assert_eq!((compared, live), (20, 20));
}
