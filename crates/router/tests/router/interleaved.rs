//! Answers that are made of both variants' lists.

use crate::ids;
use crate::support::{TRIAL, World, films, interleave, roll_out, user};
use marquee_core::id::ModelVersion;
use marquee_core::plan::assignment::bucket;
use marquee_core::ranking::interleave::Interleaving;
use marquee_core::rollout::window::{Window, group_of};
use marquee_proto::v1::{RecommendResponse, ServedBy, Variant};
use marquee_router::{Report, Reward};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::sleep;

/// Longer than a window.
const A_WINDOW: Duration = Duration::from_millis(2_100);
const COUNT: u32 = 6;

/// A cluster whose rollout to films@2 interleaves the answers to this share of the users.
fn world(share_basis_points: u32, how: Interleaving) -> World {
    let mut world = World::new(vec![films(1, 3, "a", 100, 60), films(2, 4, "a", 100, 60)], 4, 2);
    world.change(|plan| {
        roll_out(plan, "films@2", 0, 0);
        interleave(plan, share_basis_points, how);
    });
    world
}

fn served_by(answer: &RecommendResponse) -> &ServedBy {
    answer.served_by.as_ref().expect("always there")
}

/// What each variant alone would list for a user.
async fn lists_of(world: &mut World, user_id: &str) -> [Vec<String>; 2] {
    let mut lists = Vec::new();
    for weight in [1, 10_000] {
        world.change(|plan| roll_out(plan, "films@2", weight, 0));
        let answer = world.recommend(user(user_id, COUNT)).await.expect("an answer");
        lists.push(ids(&answer.items).iter().map(ToString::to_string).collect());
    }
    lists.try_into().expect("two")
}

/// All of a router's windows so far.
async fn window(reports: &mut Receiver<Report>) -> Window {
    sleep(A_WINDOW).await;
    let mut all = Window::new(2);
    while let Ok(report) = reports.try_recv() {
        all.absorb(&report.window);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn the_users_of_the_stage_get_one_list_of_two() {
    for how in [Interleaving::TeamDraft, Interleaving::Balanced] {
        let mut world = world(5_000, how);
        let mut interleaved = 0;
        for n in 0..20 {
            let id = format!("u{n}");
            let lists = lists_of(&mut world, &id).await;
            world.change(|plan| interleave(plan, 5_000, how));
            let answer = world.recommend(user(&id, COUNT)).await.expect("an answer");
            let listed = ids(&answer.items);
            let ServedBy { ensemble, models, interleaved_with, rollout_id, .. } =
                served_by(&answer);
            assert_eq!((&**ensemble, &**rollout_id), ("films@1", TRIAL));
            if bucket(TRIAL, &id) >= 5_000 {
                assert_eq!(served_by(&answer).variant(), Variant::Baseline);
                assert_eq!((listed, interleaved_with.as_str()), (ids_of(&lists[0]), ""));
                continue;
            }
            interleaved += 1;
            assert_eq!(served_by(&answer).variant(), Variant::Interleaved);
            assert_eq!((models.len(), interleaved_with.as_str()), (2, "films@2"));
            let coverage = answer.coverage.as_ref().expect("always there");
            assert_eq!((coverage.shards_total, coverage.shards_answered), (7, 7));
            assert_eq!(listed.len(), COUNT as usize);
            assert!(
                listed.iter().all(|it| lists.iter().any(|list| list.contains(&it.to_string())))
            );
            let first = [&lists[0][0], &lists[1][0]];
            assert!(first.iter().any(|it| it.as_str() == listed[0]), "{listed:?} of {lists:?}");
        }
        assert!(interleaved > 4, "{interleaved}");
    }
}

fn ids_of(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn explanations_and_batches_are_interleaved_too() {
    let world = world(5_000, Interleaving::TeamDraft);
    let explained = |n: u32| marquee_proto::v1::RecommendRequest {
        explain: true,
        ..user(&format!("u{n}"), COUNT)
    };
    let answers = world.batch((0..20).map(explained).collect()).await.expect("answers");
    for (n, answer) in answers.iter().enumerate() {
        let is_in_stage = bucket(TRIAL, &format!("u{n}")) < 5_000;
        assert_eq!(served_by(answer).variant() == Variant::Interleaved, is_in_stage, "u{n}");
        let mut versions = std::collections::BTreeSet::new();
        for item in &answer.items {
            let [explanation] = &item.explanations[..] else { panic!("{item:?}") };
            versions.insert(explanation.model.as_ref().expect("named").version);
        }
        assert!(
            versions.contains(&1) && (is_in_stage || versions.len() == 1),
            "u{n}: {versions:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_candidate_it_is_an_answer_of_the_baseline_like_any_other() {
    let mut world = world(10_000, Interleaving::TeamDraft);
    let mut reports = world.router.reports();
    world.change(|plan| {
        let candidate = plan.versions.get_mut(&ModelVersion::new("films", 2)).expect("there");
        for placement in &mut candidate.placements {
            placement.node_ids.clear();
            placement.replicas.clear();
        }
    });
    for n in 0..20 {
        let answer = world.recommend(user(&format!("u{n}"), COUNT)).await.expect("an answer");
        assert_eq!(served_by(&answer).variant(), Variant::Baseline);
        assert_eq!(served_by(&answer).models.len(), 1);
        assert!(answer.recommendation_id.ends_with(&format!(".0.0.{TRIAL}")));
    }
    let window = window(&mut reports).await;
    assert_eq!((window.interleaved.answers, window.arms[0].requests()), (0, 20));
}

#[tokio::test(start_paused = true)]
async fn clicks_are_credited_at_any_router_and_answers_count_for_no_arm() {
    let mut world = world(10_000, Interleaving::TeamDraft);
    let mut other = world.second_router();
    let (mut reports, mut others_reports) = (world.router.reports(), other.reports());
    let (mut clicks, mut by_group) = (0, [0_u64; 64]);
    for n in 0..30 {
        let id = format!("u{n}");
        let answer = world.recommend(user(&id, COUNT)).await.expect("an answer");
        let told = if n % 2 == 0 { world.router.telemetry() } else { other.telemetry() };
        for item in &answer.items {
            // Each twice, which counts once.
            for _ in 0..2 {
                told.event(&answer.recommendation_id, &id, &item.item_id, Reward::Click);
            }
        }
        let (_, rest) = answer.recommendation_id.split_once(".0.i").expect("interleaved");
        let credits = rest.strip_suffix(&format!(".{TRIAL}")).expect("of the rollout");
        assert_eq!(credits.len() % 3, 0);
        clicks += credits.len() as u64 / 3;
        by_group[group_of(&id)] += credits.len() as u64 / 3;
    }
    let (mine, theirs) = (window(&mut reports).await, window(&mut others_reports).await);
    assert_eq!((mine.interleaved.answers, theirs.interleaved.answers), (30, 0));
    assert!(mine.interleaved.clicks.total() > 0 && theirs.interleaved.clicks.total() > 0);
    let mut all = mine.clone();
    all.absorb(&theirs);
    let found = &all.interleaved.clicks;
    assert_eq!((found.total(), &found.count[..]), (clicks, &by_group[..]));
    // Every item was clicked: of each pair both, but for one that the answer had no room for.
    let candidates = found.sum.iter().sum::<f64>();
    assert!((2.0 * candidates - clicks as f64).abs() <= 30.0, "{candidates} of {clicks}");
    for arm in &all.arms {
        assert_eq!(arm.requests(), 0);
    }
}
