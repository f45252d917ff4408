//! What is measured of rollouts, and the requests that both sides answer.

use crate::ids;
use crate::support::{Bundle, TRIAL, World, films, roll_out, user};
use marquee_core::ensemble::EnsembleNode;
use marquee_core::id::ModelVersion;
use marquee_core::plan::assignment::bucket;
use marquee_core::rollout::window::{ArmStats, Measure, Scope, Window, group_of};
use marquee_proto::v1::recommender_service_server::RecommenderService as _;
use marquee_proto::v1::{self, Variant};
use marquee_router::{Report, Reward, RouterConfig};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep};
use tonic::{Code, Request};

/// Longer than any answer has for its rewards.
const TIME_FOR_REWARDS: Duration = Duration::from_secs(1_830);
/// Longer than a window.
const A_WINDOW: Duration = Duration::from_millis(2_100);

fn bundles() -> Vec<Bundle> {
    // The same items, scored otherwise, and others.
    vec![films(1, 3, "a", 100, 60), films(2, 4, "a", 100, 60), films(3, 2, "b", 100, 60)]
}

/// A cluster with a rollout to films@2.
fn world(weight: u32, mirror_basis_points: u32) -> (World, Receiver<Report>) {
    let mut world = World::new(bundles(), 4, 2);
    world.change(|plan| roll_out(plan, "films@2", weight, mirror_basis_points));
    let reports = world.router.reports();
    (world, reports)
}

/// All windows so far, by share.
async fn windows(reports: &mut Receiver<Report>) -> BTreeMap<u32, Window> {
    let mut all: BTreeMap<u32, Window> = BTreeMap::new();
    let mut take_all = |reports: &mut Receiver<Report>| {
        while let Ok(report) = reports.try_recv() {
            assert_eq!(report.scope, Scope::Trial(TRIAL.into()));
            assert_eq!(report.to_wire().weight_basis_points, report.weight_basis_points);
            all.entry(report.weight_basis_points).or_default().absorb(&report.window);
        }
    };
    // What found no room in the queue comes after there is some.
    take_all(reports);
    sleep(A_WINDOW).await;
    take_all(reports);
    all
}

/// The only window.
async fn window(reports: &mut Receiver<Report>) -> Window {
    let mut all = windows(reports).await;
    assert_eq!(all.len(), 1, "{:?}", all.keys());
    all.pop_first().expect("one").1
}

fn mean(arm: &ArmStats, measure: Measure) -> f64 {
    arm.measures[&measure].mean().expect("some were measured")
}

fn arm_of(answer: &v1::RecommendResponse) -> usize {
    match answer.served_by.as_ref().expect("always there").variant() {
        Variant::Candidate => 1,
        _ => 0,
    }
}

#[tokio::test(start_paused = true)]
async fn both_sides_are_counted_on_their_arm_by_group_of_users() {
    let (world, mut reports) = world(2_500, 0);
    let mut by_arm_and_group = [[0_u64; 64], [0_u64; 64]];
    for part in 0..4 {
        let requests = (0..500).map(|n| user(&format!("u{}", 500 * part + n), 5)).collect();
        for (n, answer) in world.batch(requests).await.expect("an answer").iter().enumerate() {
            let id = format!("u{}", 500 * part + n as u32);
            by_arm_and_group[arm_of(answer)][group_of(&id)] += 1;
        }
    }
    let window = window(&mut reports).await;
    for (arm, groups) in window.arms.iter().zip(by_arm_and_group) {
        for measure in [Measure::Failed, Measure::Users, Measure::Score] {
            assert_eq!(arm.measures[&measure].count, groups, "{measure:?}");
        }
        assert_eq!(mean(arm, Measure::Failed), 0.0);
        assert_eq!(mean(arm, Measure::Partial), 0.0);
        assert!(mean(arm, Measure::Fallback) > 0.5, "most are not known");
        assert!(mean(arm, Measure::ListSimilarity) > 0.5, "and get what is popular");
        assert_eq!(arm.latencies.total(), 0, "the time of a batch counts for no request");
    }
    let (all, share) = (2_000.0, 0.25_f64);
    let measured = window.arms[1].requests() as f64 / all;
    let standard_error = (share * (1.0 - share) / all).sqrt();
    assert!((measured - share).abs() <= 3.0 * standard_error, "{measured}");
    assert_eq!((window.automated, window.dropped), (0, 0));

    sleep(TIME_FOR_REWARDS).await;
    let later = self::window(&mut reports).await;
    for (arm, groups) in later.arms.iter().zip(by_arm_and_group) {
        for measure in [Measure::Clicks, Measure::PurchasesBefore] {
            assert_eq!(arm.measures[&measure].count, groups, "{measure:?}");
        }
    }

    world.all_feel(crate::support::Mood::Slow(5));
    let begun = Instant::now();
    let answer = world.recommend(user("u1", 5)).await.expect("an answer");
    let took = begun.elapsed().as_micros() as u64;
    world.similar("a9").await.expect("an answer");
    let window = self::window(&mut reports).await;
    let arm = &window.arms[arm_of(&answer)];
    let known: Vec<u64> =
        window.arms.iter().flat_map(|arm| arm.latencies.0.keys()).copied().collect();
    assert!(known.iter().any(|micros| micros.abs_diff(took) <= took / 50), "{known:?} {took}");
    assert_eq!(arm.measures[&Measure::Score].total(), 1, "similar items have no score here");
    assert_eq!(window.arms.iter().map(ArmStats::requests).sum::<u64>(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failing_shard_counts_on_the_arm_that_needs_it() {
    let (world, mut reports) = world(5_000, 0);
    let candidate = ModelVersion::new("films", 2);
    world.nodes.iter().for_each(|node| node.lacks(&candidate, 1));
    for n in 0..60 {
        world.recommend(user(&format!("u{n}"), 5)).await.expect("an answer");
    }
    let all = windows(&mut reports).await.remove(&5_000).expect("there");
    assert_eq!(mean(&all.arms[0], Measure::Partial), 0.0);
    assert_eq!(mean(&all.arms[1], Measure::Partial), 1.0);
    assert_eq!(all.arms[0].failed() + all.arms[1].failed(), 0);

    world.nodes.iter().for_each(|node| node.drops(&candidate));
    let mut failed = 0;
    for n in 0..60 {
        let result = world.recommend(user(&format!("u{n}"), 5)).await;
        failed += u64::from(result.is_err_and(|status| status.code() == Code::Unavailable));
    }
    // A request for something that is not there, or for more than there can be, blames no arm.
    let mut nothings = (0..).map(|n| format!("nothing-{n}"));
    let on_baseline = nothings.find(|id| bucket(TRIAL, id) >= 5_000).expect("some are");
    let nothing = world.similar(&on_baseline).await.expect_err("there is no such item");
    assert_eq!(nothing.code(), Code::NotFound);
    world.recommend(user("u1", 5_000)).await.expect_err("too many");
    let all = windows(&mut reports).await.remove(&5_000).expect("there");
    assert!(failed > 10);
    assert_eq!(all.arms[1].errors, BTreeMap::from([(Code::Unavailable as u32, failed)]));
    assert_eq!(all.arms[1].requests(), failed);
    assert_eq!((all.arms[0].failed(), all.arms[0].requests()), (0, 60 - failed));

    // A batch fails as a whole, by the fault of one request.
    let requests = (0..60).map(|n| user(&format!("u{n}"), 5)).collect();
    world.batch(requests).await.expect_err("a candidate's user is in it");
    let all = windows(&mut reports).await.remove(&5_000).expect("there");
    assert_eq!((all.arms[0].requests(), all.arms[1].requests(), all.arms[1].failed()), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn two_sides_that_are_the_same_have_all_in_common_and_others_little() {
    for (candidate, is_same) in [("same", true), ("films@2", false), ("films@3", false)] {
        for weight in [0, 5_000] {
            let mut world = World::new(bundles(), 4, 2);
            let root = EnsembleNode::Model(ModelVersion::new("films", 1));
            world.plan.ensembles.insert("same".into(), root);
            world.change(|plan| roll_out(plan, candidate, weight, 10_000));
            let mut reports = world.router.reports();
            let mut served = [0, 0];
            for n in 0..60 {
                let answer = world.recommend(user(&format!("u{n}"), 10)).await.expect("an answer");
                served[arm_of(&answer)] += 1;
            }
            assert_eq!(
                served[1] > 0,
                weight > 0,
                "no caller gets the candidate in the shadow stage"
            );
            let window = window(&mut reports).await;
            let mirror = &window.mirror;
            assert_eq!((mirror.overlap.total(), mirror.skipped), (60, 0));
            assert_eq!([mirror.arms[0].requests(), mirror.arms[1].requests()], [60, 60]);
            assert_eq!([window.arms[0].requests(), window.arms[1].requests()], served);
            let overlap = mirror.overlap.mean().expect("measured");
            let rank_biased = mirror.rank_biased_overlap.mean().expect("measured");
            match is_same {
                true => assert!((overlap - 1.0).abs() + (rank_biased - 1.0).abs() < 1e-9),
                false => assert!(overlap < 0.4 && rank_biased < 0.4, "{overlap} {rank_biased}"),
            }
            assert_eq!(mirror.diffs.len(), 2);
            for diff in &mirror.diffs {
                assert_eq!((diff.baseline.len(), diff.candidate.len()), (10, 10));
                assert_eq!(diff.baseline == diff.candidate, is_same);
                let prefix = if candidate == "films@3" { "b" } else { "a" };
                assert!(diff.baseline.iter().all(|item| item.starts_with('a')));
                assert!(diff.candidate.iter().all(|item| item.starts_with(prefix)));
                assert!(
                    diff.recommendation_id.ends_with(&format!(".{weight}.{}.{TRIAL}", diff.served))
                );
            }
            // Which side is which does not depend on who served.
            let own = |arm: usize| mean(&mirror.arms[arm], Measure::ListSimilarity);
            assert!(own(0) < 1.0 && own(1) < 1.0);
        }
    }
}

/// Requests that are mirrored hang with the candidate, and callers neither notice nor pay.
#[tokio::test(start_paused = true)]
async fn what_is_mirrored_changes_nothing_for_callers_and_has_a_budget() {
    let config = RouterConfig { max_in_flight: 64, ..RouterConfig::default() };
    let mut world = World::with_config(bundles(), 4, 1, config);
    let mut expected = Vec::new();
    for n in 0..60 {
        expected.push(world.recommend(user(&format!("u{n}"), 10)).await.expect("an answer"));
    }
    world.change(|plan| roll_out(plan, "films@2", 0, 10_000));
    let mut reports = world.router.reports();
    let candidate = ModelVersion::new("films", 2);
    world.nodes.iter().for_each(|node| node.hangs_on(&candidate));
    let mut ready = world.router.ready();
    assert!(*ready.borrow_and_update());
    for round in 0..20 {
        for (n, expected) in expected.iter().enumerate() {
            let begun = Instant::now();
            let answer = world.recommend(user(&format!("u{n}"), 10)).await.expect("an answer");
            assert_eq!(begun.elapsed(), Duration::ZERO);
            assert_eq!(ids(&answer.items), ids(&expected.items));
            assert_eq!(answer.coverage, expected.coverage, "no node is in doubt, round {round}");
        }
        sleep(Duration::from_millis(500)).await;
    }
    assert!(!ready.has_changed().expect("it runs"), "no node is in doubt at any time");
    let all = windows(&mut reports).await.remove(&0).expect("there");
    assert_eq!(all.arms[0].requests(), 20 * 60);
    let mirrored = all.mirror.arms[1].requests();
    assert_eq!(mirrored + all.mirror.skipped, 20 * 60);
    // Four places of 64, each for a second and two rounds.
    assert!((30..=60).contains(&mirrored), "{mirrored}");
    assert_eq!(
        all.mirror.arms[1].errors,
        BTreeMap::from([(Code::DeadlineExceeded as u32, mirrored)])
    );
    assert_eq!(all.mirror.arms[0].failed(), 0);
    assert_eq!(all.mirror.overlap.total(), 0, "there is nothing to compare");
}

#[tokio::test(start_paused = true)]
async fn a_router_that_is_half_full_mirrors_nothing() {
    let config = RouterConfig { max_in_flight: 64, ..RouterConfig::default() };
    let mut world = World::with_config(bundles(), 4, 2, config);
    world.change(|plan| roll_out(plan, "films@2", 0, 10_000));
    let mut reports = world.router.reports();
    world.all_feel(crate::support::Mood::Slow(200));
    let service = world.service();
    let requests = (0..32).map(|n| user(&format!("u{n}"), 5)).collect();
    let batch = tokio::spawn(async move {
        service.batch_recommend(Request::new(v1::BatchRecommendRequest { requests })).await
    });
    tokio::task::yield_now().await;
    world.all_feel(crate::support::Mood::Well);
    world.recommend(user("u1", 5)).await.expect("an answer");
    let few = windows(&mut reports);
    batch.await.expect("no panic").expect("an answer");
    let all = few.await.remove(&0).expect("there");
    // The first while 32 others were under way; of the batch, as many as there are places.
    assert_eq!((all.mirror.skipped, all.mirror.overlap.total()), (1 + 28, 4));
}

#[tokio::test(start_paused = true)]
async fn windows_do_not_mix_shares() {
    let (mut world, mut reports) = world(1_000, 5_000);
    for weight in [1_000, 5_000] {
        world.change(|plan| roll_out(plan, "films@2", weight, 5_000));
        for n in 0..60 {
            world.recommend(user(&format!("u{n}"), 5)).await.expect("an answer");
        }
    }
    let all = windows(&mut reports).await;
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), [1_000, 5_000]);
    for (weight, window) in all {
        let candidates =
            (0..60).filter(|n| bucket(TRIAL, &format!("u{n}")) < weight).count() as u64;
        let requests = [window.arms[0].requests(), window.arms[1].requests()];
        assert_eq!(requests, [60 - candidates, candidates], "at {weight}");
        // Half of them, by chance: twenty off are five standard errors.
        assert!((10..=50).contains(&window.mirror.overlap.total()));
    }
}

#[tokio::test(start_paused = true)]
async fn automated_callers_are_left_out() {
    let (world, mut reports) = world(5_000, 10_000);
    for n in 0..100 {
        world.recommend(user("u3", 5)).await.expect("an answer");
        if n % 10 == 0 {
            world.recommend(user(&format!("u{}", 10 + n), 5)).await.expect("an answer");
        }
        sleep(Duration::from_millis(15)).await;
    }
    let window = window(&mut reports).await;
    assert_eq!(window.automated, 100);
    assert_eq!(window.arms.iter().map(ArmStats::requests).sum::<u64>(), 10);
    assert_eq!(window.mirror.overlap.total(), 10);
    // It is remembered.
    world.recommend(user("u3", 5)).await.expect("an answer");
    let answer = world.recommend(user("u4", 5)).await.expect("an answer");
    world.router.telemetry().event(&answer.recommendation_id, "u4", "i1", Reward::Click);
    let window = self::window(&mut reports).await;
    assert_eq!((window.automated, window.arms[arm_of(&answer)].requests()), (1, 1));
    sleep(TIME_FOR_REWARDS).await;
    let window = self::window(&mut reports).await;
    let clicks = &window.arms[arm_of(&answer)].measures[&Measure::Clicks];
    assert_eq!(clicks.sum.iter().sum::<f64>(), 1.0, "of the user who is no crawler");
    let answers = window.arms.iter().map(|arm| arm.measures[&Measure::Clicks].total());
    assert_eq!(answers.sum::<u64>(), 11, "of no answer to the crawler");
}

#[tokio::test(start_paused = true)]
async fn rewards_count_once_on_the_arm_and_in_the_group_of_the_answer() {
    let (world, mut reports) = world(5_000, 0);
    let mut other = world.second_router();
    let mut others_reports = other.reports();
    let mut expected = [[0.0; 64], [0.0; 64]];
    for n in 0..40 {
        let id = format!("u{n}");
        let answer = world.recommend(user(&id, 5)).await.expect("an answer");
        // Some while the window is open, some later, some told to a router that did not answer.
        if n % 2 == 0 {
            sleep(A_WINDOW).await;
        }
        let told = if n % 3 == 0 { other.telemetry() } else { world.router.telemetry() };
        told.event(&answer.recommendation_id, &id, "i1", Reward::Click);
        told.event(&answer.recommendation_id, &id, "i1", Reward::Play { seconds: 30.0 });
        expected[arm_of(&answer)][group_of(&id)] += 1.0;
        // Of no trial, of no such trial, and of an arm that the user is not on.
        let (head, _) = answer.recommendation_id.split_once('.').expect("it belongs to a trial");
        told.event(head, &id, "i1", Reward::Click);
        told.event(&format!("{head}.5000.1.default-2"), &id, "i1", Reward::Click);
        let wrong = 1 - arm_of(&answer);
        told.event(&format!("{head}.5000.{wrong}.{TRIAL}"), &id, "i1", Reward::Click);
    }
    sleep(TIME_FOR_REWARDS).await;
    let mut all = windows(&mut reports).await.remove(&5_000).expect("there");
    let theirs = windows(&mut others_reports).await.remove(&5_000).expect("there");
    assert_eq!(theirs.arms[0].requests() + theirs.arms[1].requests(), 0);
    all.absorb(&theirs);
    for (arm, expected) in all.arms.iter().zip(expected) {
        assert_eq!(arm.measures[&Measure::Clicks].sum, expected);
        assert_eq!(arm.measures[&Measure::PlaySeconds].sum, expected.map(|clicks| 30.0 * clicks));
        assert_eq!(mean(arm, Measure::Clicks), 1.0);
        assert_eq!(mean(arm, Measure::Purchases), 0.0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_window_is_handed_over() {
    let mut world = World::new(bundles(), 4, 2);
    let mut reports = world.router.reports();
    sleep(A_WINDOW).await;
    assert!(reports.try_recv().is_err(), "nothing to say");
    world.change(|plan| roll_out(plan, "films@2", 5_000, 0));
    world.recommend(user("u1", 5)).await.expect("an answer");
    world.router.shutdown().await;
    let last = reports.recv().await.expect("the last window");
    assert_eq!(last.window.arms[0].requests() + last.window.arms[1].requests(), 1);
    assert!(reports.recv().await.is_none());
}

/// Else the side that serves would look as if it never failed.
#[tokio::test(start_paused = true)]
async fn requests_that_failed_are_mirrored_too() {
    // Whichever side serves.
    for (weight, broken) in [(0, 0), (5_000, 0), (5_000, 1), (10_000, 1)] {
        let (world, mut reports) = world(weight, 10_000);
        let version = ModelVersion::new("films", broken as u64 + 1);
        world.nodes.iter().for_each(|node| node.drops(&version));
        for n in 0..20 {
            let result = world.recommend(user(&format!("u{n}"), 5)).await;
            let is_on_candidate = bucket(TRIAL, &format!("u{n}")) < weight;
            assert_eq!(result.is_err(), is_on_candidate == (broken == 1));
        }
        let mirror = windows(&mut reports).await.remove(&weight).expect("there").mirror;
        let of = |arm: usize| (mirror.arms[arm].requests(), mirror.arms[arm].failed());
        assert_eq!((of(broken), of(1 - broken)), ((20, 20), (20, 0)), "{weight} {broken}");
        assert_eq!((mirror.overlap.total(), mirror.diffs.len()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_mirrored_request_that_the_plan_has_left_behind_says_nothing() {
    let (mut world, mut reports) = world(0, 10_000);
    let candidate = ModelVersion::new("films", 2);
    world.recommend(user("u1", 5)).await.expect("an answer");
    // Rolled back, and dropped by the shards, before the second side is searched.
    world.nodes.iter().for_each(|node| node.drops(&candidate));
    world.change(|plan| plan.rollouts.clear());
    let window = window(&mut reports).await;
    assert_eq!((window.mirror.skipped, window.mirror.arms[1].requests()), (1, 0));
    assert_eq!(window.arms[0].requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_trial_answers_and_rewards_count_for_their_surface() {
    let mut world = World::new(bundles(), 4, 2);
    let mut reports = world.router.reports();
    let mut answers = Vec::new();
    for n in 0..30 {
        answers.push(world.recommend(user(&format!("u{n}"), 20)).await.expect("an answer"));
    }
    let id = &answers[3].recommendation_id;
    assert!(id.ends_with("@default"), "{id}");
    world.router.telemetry().event(id, "u3", "i1", Reward::Click);
    world.router.telemetry().event(&id.replace("@default", "@other"), "u3", "i1", Reward::Click);
    let mut similar = world.similar("a9").await.expect("an answer").items;
    similar.truncate(10);
    world.all_feel(crate::support::Mood::Slow(5));
    world.recommend(user("u1", 5)).await.expect("an answer");
    sleep(A_WINDOW).await;
    let report = reports.try_recv().expect("one window");
    assert!(reports.try_recv().is_err(), "of one surface");
    assert_eq!(report.scope, Scope::Surface("default".into()));
    let [arm] = &report.window.arms[..] else { panic!("{report:?}") };
    assert_eq!(arm.requests(), 32);
    assert_eq!(arm.latencies.total(), 32);
    assert_eq!((arm.scores.total(), arm.measures[&Measure::Score].total()), (31, 31));
    assert_eq!(arm.measures[&Measure::Clicks].sum[group_of("u3")], 1.0);
    assert_eq!(arm.measures[&Measure::Clicks].sum.iter().sum::<f64>(), 1.0, "no other surface");
    // The first ten of every list, and nothing else: a list of twenty has ten.
    let shown: std::collections::BTreeSet<&str> =
        answers.iter().flat_map(|answer| ids(&answer.items).into_iter().take(10)).collect();
    let (estimate, exact) = (arm.items.estimate(), shown.len() as f64);
    assert!((estimate - exact).abs() <= 0.1 * exact, "{estimate} of {exact}");
}

/// A user who saw the candidate goes on to see it while its share grows, whichever router answers.
#[tokio::test(start_paused = true)]
async fn two_routers_agree_at_every_epoch_and_no_user_moves_back() {
    let (mut world, _reports) = world(100, 0);
    let mut before = vec![0; 400];
    for weight in [100, 1_000, 2_500, 5_000, 9_999] {
        world.change(|plan| roll_out(plan, "films@2", weight, 0));
        let other = world.second_router();
        let mut of_candidate = 0;
        for (n, before) in before.iter_mut().enumerate() {
            let request = || Request::new(user(&format!("u{n}"), 3));
            let one = world.service().recommend(request()).await.expect("an answer").into_inner();
            let two = other.service().recommend(request()).await.expect("an answer").into_inner();
            assert_eq!(one.served_by, two.served_by, "u{n} at {weight}");
            assert_eq!(ids(&one.items), ids(&two.items), "u{n} at {weight}");
            let arm = arm_of(&one);
            assert!(arm >= *before, "u{n} moved back at {weight}");
            *before = arm;
            of_candidate += arm;
        }
        let (share, users) = (f64::from(weight) / 10_000.0, before.len() as f64);
        let standard_error = (share * (1.0 - share) / users).sqrt();
        let measured = of_candidate as f64 / users;
        assert!((measured - share).abs() <= 3.0 * standard_error, "{measured} at {weight}");
    }
}

/// Both sides answer what is mirrored anew, each of them first in half of the cases: what comes first pays for
/// both where caches are cold.
#[tokio::test(start_paused = true)]
async fn neither_side_of_a_mirrored_request_always_comes_first() {
    let (world, mut reports) = world(0, 10_000);
    let mut times = [0, 0];
    for n in 0..60 {
        // The first mirrored answer finds slow nodes, the second one nodes that are well.
        world.recommend(user(&format!("u{n}"), 5)).await.expect("an answer");
        world.all_feel(crate::support::Mood::Slow(5));
        sleep(Duration::from_millis(2)).await;
        world.all_feel(crate::support::Mood::Well);
        sleep(Duration::from_millis(20)).await;
    }
    let window = window(&mut reports).await;
    for (arm, times) in window.mirror.arms.iter().zip(&mut times) {
        assert_eq!(arm.latencies.total(), 60);
        *times = arm.latencies.above(1_000);
    }
    // A fair coin thrown sixty times: five standard errors.
    assert_eq!(times[0] + times[1], 60, "one of each pair was first: {times:?}");
    assert!(times[0].abs_diff(times[1]) <= 40, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn all_surfaces_are_reported_when_their_window_is_over() {
    let mut world = World::new(bundles(), 4, 2);
    let mut reports = world.router.reports();
    world.change(|plan| {
        let surface = plan.surfaces["default"].clone();
        plan.surfaces.extend((0..100).map(|n| (format!("s{n}"), surface.clone())));
    });
    for n in 0..100 {
        let request = v1::RecommendRequest { surface: format!("s{n}"), ..user("u1", 5) };
        world.recommend(request).await.expect("an answer");
    }
    sleep(A_WINDOW).await;
    let mut seen = 0;
    while reports.try_recv().is_ok() {
        seen += 1;
    }
    assert_eq!(seen, 100);
}
