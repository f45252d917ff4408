//! Plans that change while answers are made, and rollouts.

use crate::ids;
use crate::support::{Mood, World, films, leaf, roll_out, user, users};
use marquee_core::id::ModelVersion;
use marquee_core::plan::{Plan, Surface};
use marquee_proto::v1::recommender_service_server::RecommenderService as _;
use marquee_proto::v1::{self, Variant};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Request};

fn two_versions() -> World {
    World::new(vec![films(1, 3, "a", 100, 60), films(2, 4, "b", 100, 60)], 4, 2)
}

/// Whether the items are all of the version that is said to have served, and which that is.
fn served_by(answer: &v1::RecommendResponse) -> u64 {
    let models = &answer.served_by.as_ref().expect("always there").models;
    assert_eq!(models.len(), 1);
    let prefix = if models[0].version == 1 { "a" } else { "b" };
    assert!(!answer.items.is_empty());
    assert!(answer.items.iter().all(|item| item.item_id.starts_with(prefix)), "{answer:?}");
    models[0].version
}

#[tokio::test(start_paused = true)]
async fn in_a_rollout_a_user_has_one_side_on_every_router() {
    let mut world = two_versions();
    let other = world.second_router();
    let mut before = BTreeSet::new();
    for weight in [100, 1_000, 5_000, 10_000] {
        world.change(|plan| roll_out(plan, "films@2", weight, 0));
        let mut on_candidate = BTreeSet::new();
        let answers = world.batch(users(60)).await.expect("an answer");
        for (request, answer) in users(60).into_iter().zip(answers) {
            let version = served_by(&answer);
            let theirs = other.service().recommend(Request::new(request.clone())).await;
            assert_eq!(served_by(&theirs.expect("an answer").into_inner()), version);
            let served = answer.served_by.expect("always there");
            let variant = if version == 2 { Variant::Candidate } else { Variant::Baseline };
            assert_eq!((served.variant(), served.rollout_id.as_str()), (variant, "default-1"));
            if version == 2 {
                on_candidate.insert(request.user_id);
            }
        }
        assert!(on_candidate.is_superset(&before), "no user goes back at {weight}");
        before = on_candidate;
    }
    assert_eq!(before.len(), 62, "at 100 % all users have the candidate");
}

/// On several threads, so that plans change at any moment of a request and not only between rounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn answers_never_mix_versions_or_epochs_while_plans_change() {
    let mut world = two_versions();
    // Epoch and version belong together: even epochs serve films@2.
    let version_of = |epoch: u64| if epoch.is_multiple_of(2) { 2 } else { 1 };
    world.serve(leaf(version_of(world.plan.epoch + 1)));
    let service = world.service();
    let callers: Vec<_> = (0..4)
        .map(|n| {
            let service = service.clone();
            tokio::spawn(async move {
                let mut epochs = BTreeSet::new();
                for round in 0..60 {
                    let requests = users(20 + (n + round) % 40);
                    let request = Request::new(v1::BatchRecommendRequest { requests });
                    let answers = service.batch_recommend(request).await.expect("an answer");
                    let answers = answers.into_inner().responses;
                    let of = |a: &v1::RecommendResponse| {
                        (a.served_by.as_ref().expect("there").plan_epoch, served_by(a))
                    };
                    let all: BTreeSet<(u64, u64)> = answers.iter().map(of).collect();
                    assert_eq!(all.len(), 1, "one batch, one epoch: {all:?}");
                    epochs.extend(all);
                }
                epochs
            })
        })
        .collect();
    while !callers.iter().all(|caller| caller.is_finished()) {
        let epoch = world.plan.epoch + 1;
        world.change(|plan| {
            let ensemble = Some(format!("films@{}", version_of(epoch)));
            plan.surfaces.insert("default".into(), Surface { ensemble, ..Surface::default() });
        });
        tokio::task::yield_now().await;
    }
    let mut epochs = BTreeSet::new();
    for caller in callers {
        epochs.extend(caller.await.expect("no panic"));
    }
    assert!(epochs.iter().all(|(epoch, version)| version_of(*epoch) == *version), "{epochs:?}");
    assert!(epochs.len() > 10, "plans changed while answers were made");
}

#[tokio::test(start_paused = true)]
async fn when_the_plan_moved_on_the_whole_batch_is_answered_anew() {
    let mut world = two_versions();
    let old = ModelVersion::new("films", 1);
    // The shards have followed a plan that the router has not seen yet.
    world.nodes.iter().for_each(|node| node.drops(&old));
    let late = world.recommend(user("u1", 5)).await.expect_err("no newer plan comes");
    assert_eq!(late.code(), Code::Unavailable);

    let mut world_with_news = two_versions();
    world_with_news.nodes.iter().for_each(|node| node.drops(&old));
    let service = world_with_news.service();
    let asked = tokio::spawn(async move {
        let request = v1::BatchRecommendRequest { requests: users(20) };
        service.batch_recommend(Request::new(request)).await
    });
    tokio::time::sleep(Duration::from_millis(30)).await;
    world_with_news.serve(leaf(2));
    let answers = asked.await.expect("no panic").expect("an answer").into_inner().responses;
    for answer in &answers {
        assert_eq!(served_by(answer), 2);
        assert_eq!(answer.served_by.as_ref().expect("there").plan_epoch, 8);
        assert_eq!(answer.coverage.as_ref().expect("there").shards_answered, 4);
    }

    // Where it is not the plan that is late, no request waits for long.
    world.all_feel(Mood::Well);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begun = tokio::time::Instant::now();
    world.recommend(user("u1", 5)).await.expect_err("still nothing");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    world.serve(leaf(2));
    world.recommend(user("u1", 5)).await.expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn without_a_plan_there_is_no_answer_and_with_one_there_is() {
    let mut world = two_versions();
    let good = world.plan.clone();
    world.sender.send_replace(Arc::new(Plan::default()));
    let early = world.recommend(user("u1", 5)).await.expect_err("no plan");
    assert_eq!(early.code(), Code::Unavailable);
    assert!(early.message().contains("no plan"), "{}", early.message());
    world.plan = good;
    world.change(|_| {});
    world.recommend(user("u1", 5)).await.expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn a_router_serves_on_when_no_plans_come_any_more() {
    let world = two_versions();
    let expected = films(1, 1, "a", 100, 60).expected("u1", 5);
    let World { sender, router, nodes, .. } = world;
    drop(sender);
    nodes[0].feels(Mood::Dead);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(*router.ready().borrow());
    let answer = router.service().recommend(Request::new(user("u1", 5))).await.expect("an answer");
    assert_eq!(ids(&answer.into_inner().items), expected);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_do_not_report_are_asked_last_and_still_asked() {
    let mut world = World::new(vec![films(1, 4, "i", 50, 5)], 2, 2);
    world.change(|plan| plan.nodes.get_mut("n0").expect("there").alive = false);
    for _ in 0..20 {
        world.recommend(user("u1", 5)).await.expect("an answer");
    }
    assert_eq!(world.node("n0").take_calls(), (0, 0));
    world.change(|plan| plan.nodes.get_mut("n1").expect("there").alive = false);
    world.node("n1").feels(Mood::Dead);
    let answer = world.recommend(user("u1", 5)).await.expect("control may be wrong");
    assert_eq!(answer.coverage.expect("always there").shards_answered, 4);
}
