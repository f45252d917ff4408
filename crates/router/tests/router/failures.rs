//! Nodes that die, hang and lie. Time is virtual: what is asserted of it is exact.

use crate::ids;
use crate::support::{Mood, World, films, user, users};
use marquee_core::id::ModelVersion;
use marquee_core::plan::ReplicaState;
use marquee_proto::v1::{self, FallbackReason};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;

fn all_users() -> impl Iterator<Item = String> {
    (0..20).map(|n| format!("u{n}"))
}

#[tokio::test(start_paused = true)]
async fn with_two_replicas_a_failing_node_loses_nothing() {
    let whole = films(1, 1, "i", 150, 20);
    for mood in [Mood::Dead, Mood::Hung, Mood::Busy, Mood::Mad, Mood::Slow(10_000)] {
        for failing in 0..4 {
            let world = World::new(vec![films(1, 4, "i", 150, 20)], 4, 2);
            world.nodes[failing].feels(mood);
            for name in all_users() {
                let answer = world.recommend(user(&name, 10)).await.expect("an answer");
                assert_eq!(ids(&answer.items), whole.expected(&name, 10), "{mood:?} {failing}");
                assert_eq!(answer.coverage.expect("always there").shards_answered, 4);
            }
            let batch = world.batch(users(20)).await.expect("an answer");
            assert!(batch.iter().all(|a| a.coverage.as_ref().expect("there").shards_answered == 4));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hung_node_costs_a_part_of_the_deadline_and_then_nothing() {
    let world = World::new(vec![films(1, 4, "i", 150, 20)], 4, 2);
    world.nodes[1].feels(Mood::Hung);
    let mut worst = Duration::ZERO;
    for name in all_users() {
        let begun = Instant::now();
        world.recommend(user(&name, 10)).await.expect("an answer");
        worst = worst.max(begun.elapsed());
    }
    assert!(worst <= Duration::from_millis(400), "{worst:?} of 1 s");
    for name in all_users() {
        let begun = Instant::now();
        world.recommend(user(&name, 10)).await.expect("an answer");
        assert_eq!(begun.elapsed(), Duration::ZERO, "the node is known to hang");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_node_is_hedged_when_its_usual_time_is_known() {
    let world = World::new(vec![films(1, 2, "i", 50, 20)], 2, 2);
    world.all_feel(Mood::Slow(5));
    for _ in 0..20 {
        for name in all_users() {
            world.recommend(user(&name, 10)).await.expect("an answer");
        }
    }
    let holder = &world.nodes[0];
    holder.feels(Mood::Slow(300));
    let mut quick = 0;
    for name in all_users().take(8) {
        let begun = Instant::now();
        world.recommend(user(&name, 10)).await.expect("an answer");
        // 5 ms till the hedge and 5 ms of it, for each of two rounds; the timer's grain on top.
        quick += usize::from(begun.elapsed() <= Duration::from_millis(24));
    }
    assert!(quick >= 7, "{quick} of 8");
}

#[tokio::test(start_paused = true)]
async fn what_a_hedge_and_the_hedged_call_both_found_is_listed_once() {
    let whole = films(1, 1, "i", 150, 20);
    let mut world = World::new(vec![films(1, 2, "i", 150, 20)], 3, 3);
    // One node has both shards; each other has one of them.
    world.change(|plan| {
        let version = plan.versions.values_mut().next().expect("a version");
        version.placements[0].replicas.remove("n2");
        version.placements[1].replicas.remove("n1");
    });
    world.all_feel(Mood::Slow(5));
    for _ in 0..5 {
        for name in all_users() {
            world.recommend(user(&name, 10)).await.expect("an answer");
        }
    }
    assert_eq!(world.node("n1").take_calls(), (0, 0), "few nodes are called");
    world.node("n0").feels(Mood::Slow(40));
    world.node("n2").feels(Mood::Slow(200));
    let begun = Instant::now();
    let answer = world.recommend(user("u3", 150)).await.expect("an answer");
    // The search was hedged, half of the hedge came in at once, and then the original.
    assert_eq!(world.node("n1").take_calls().1, 1);
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    assert_eq!(ids(&answer.items), whole.expected("u3", 150));
}

#[tokio::test(start_paused = true)]
async fn without_a_replica_the_answer_is_partial_and_says_so() {
    let world = World::new(vec![films(1, 4, "i", 150, 20)], 4, 1);
    let dead = world.holders(2)[0].clone();
    for mood in [Mood::Dead, Mood::Hung, Mood::Mad] {
        world.node(&dead).feels(mood);
        for name in all_users().chain(["unknown".into()]) {
            let lost_user = mood != Mood::Mad && marquee_core::hash::shard_of(&name, 4) == 2;
            let answer = world.recommend(user(&name, 150)).await.expect("a partial answer");
            let coverage = answer.coverage.clone().expect("always there");
            assert_eq!((coverage.shards_total, coverage.shards_answered), (4, 3), "{mood:?}");
            assert_eq!(coverage.shards_missing, ["films@1/2"]);
            assert!(!answer.items.is_empty());
            let expected = match (lost_user, name.as_str()) {
                (true, _) => FallbackReason::UserShardUnavailable,
                (false, "unknown") => FallbackReason::UnknownUser,
                (false, _) => FallbackReason::Unspecified,
            };
            assert_eq!(answer.fallback_reason(), expected, "{name} {mood:?}");

            let request = v1::RecommendRequest { min_coverage: 0.75, ..user(&name, 10) };
            world.recommend(request).await.expect("three of four are enough");
            let request = v1::RecommendRequest { min_coverage: 0.76, ..user(&name, 10) };
            let refused = world.recommend(request).await.expect_err("three of four are too few");
            assert_eq!(refused.code(), Code::Unavailable);
            assert!(refused.message().contains("films@1/2"), "{}", refused.message());
        }
    }
    world.node(&dead).feels(Mood::Well);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let whole = world.recommend(user("u1", 10)).await.expect("an answer");
    assert_eq!(whole.coverage.expect("always there").shards_answered, 4);
}

#[tokio::test(start_paused = true)]
async fn an_item_whose_shard_is_missing_is_not_called_unknown() {
    let world = World::new(vec![films(1, 4, "i", 40, 20)], 4, 1);
    world.node(&world.holders(2)[0].clone()).feels(Mood::Dead);
    let given: Vec<String> =
        (0..40).map(|n| format!("i{n}")).chain((0..40).map(|n| format!("x{n}"))).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let gone = |id: &&str| marquee_core::hash::shard_of(id, 4) == 2;
    let answer = world.rank("u1", &given).await.expect("a partial answer");
    let ranked: BTreeSet<&str> = ids(&answer.items).into_iter().collect();
    let expected: BTreeSet<&str> = given[..40].iter().filter(|id| !gone(id)).copied().collect();
    assert_eq!(ranked, expected);
    let unknown: Vec<&str> = given[40..].iter().filter(|id| !gone(id)).copied().collect();
    assert_eq!(answer.unknown_item_ids, unknown);
    assert_eq!(answer.coverage.expect("always there").shards_missing, ["films@1/2"]);
}

#[tokio::test(start_paused = true)]
async fn a_partial_answer_comes_before_the_deadline_and_later_ones_at_once() {
    let world = World::new(vec![films(1, 4, "i", 150, 20)], 4, 1);
    world.node(&world.holders(2)[0].clone()).feels(Mood::Hung);
    for n in 0..20 {
        let (begun, deadline) = (Instant::now(), Duration::from_millis(800));
        let answer = world.recommend_within(user("unknown", 10), deadline).await;
        let answer = answer.expect("a partial answer");
        assert_eq!(answer.coverage.expect("always there").shards_answered, 3);
        let most = if n < 4 { deadline } else { Duration::from_millis(250) };
        assert!(begun.elapsed() < most, "call {n} took {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_node_that_answers_there_is_no_answer() {
    let world = World::new(vec![films(1, 2, "i", 150, 20)], 2, 2);
    world.all_feel(Mood::Dead);
    let dead = world.recommend(user("u1", 10)).await.expect_err("no node is there");
    assert_eq!(dead.code(), Code::Unavailable);
    assert!(dead.message().contains("films@1/0, films@1/1"), "{}", dead.message());
    let item = world.similar("i1").await.expect_err("no node is there");
    assert_eq!(item.code(), Code::Unavailable);

    let world = World::new(vec![films(1, 2, "i", 150, 20)], 2, 2);
    world.all_feel(Mood::Hung);
    let begun = Instant::now();
    let hung = world.recommend(user("u1", 10)).await.expect_err("no node answers");
    // The lookup had half of the second, and there was nothing to search for: another router may know more in time.
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(hung.code(), Code::Unavailable);

    let world = World::new(vec![films(1, 2, "i", 150, 20)], 2, 2);
    world.all_feel(Mood::Busy);
    let busy = world.recommend(user("u1", 10)).await.expect_err("no node has time");
    assert_eq!(busy.code(), Code::ResourceExhausted);
}

#[tokio::test(start_paused = true)]
async fn large_batches_without_a_deadline_get_the_time_they_need() {
    let world = World::new(vec![films(1, 2, "i", 50, 20)], 2, 1);
    world.all_feel(Mood::Slow(1_500));
    let late = world.recommend(user("u1", 5)).await.expect_err("a second is not enough");
    assert_eq!(late.code(), Code::DeadlineExceeded);
    let answers = world.batch(users(200)).await.expect("an answer");
    let whole =
        |a: &v1::RecommendResponse| a.coverage.as_ref().expect("there").shards_answered == 2;
    assert!(answers.iter().all(whole));
}

#[tokio::test(start_paused = true)]
async fn calls_carry_what_is_left_of_the_callers_time() {
    let world = World::new(vec![films(1, 1, "i", 50, 20)], 1, 1);
    world.all_feel(Mood::Slow(30));
    world.recommend_within(user("u1", 10), Duration::from_millis(600)).await.expect("an answer");
    let mut timeouts = world.nodes[0].take_timeouts_ms();
    // The readiness probe has its own.
    timeouts.retain(|ms| *ms != 500);
    let [lookup, search] = timeouts[..] else { panic!("{timeouts:?}") };
    assert!(lookup <= 300, "half for the lookup, not {lookup} ms");
    assert!((500..=570).contains(&search), "the rest for the search, not {search} ms");
}

#[tokio::test(start_paused = true)]
async fn one_absent_shard_costs_no_other() {
    let version = ModelVersion::new("films", 1);
    // A single node that lacks one of four shards.
    let world = World::new(vec![films(1, 4, "i", 150, 20)], 1, 1);
    world.nodes[0].lacks(&version, 3);
    let answer = world.recommend(user("u1", 10)).await.expect("a partial answer");
    assert_eq!(answer.coverage.expect("always there").shards_missing, ["films@1/3"]);

    // Two nodes, one of which lacks a shard: nothing is missing.
    let world = World::new(vec![films(1, 4, "i", 150, 20)], 2, 2);
    world.nodes[0].lacks(&version, 3);
    for name in all_users() {
        let answer = world.recommend(user(&name, 10)).await.expect("an answer");
        assert_eq!(answer.coverage.expect("always there").shards_answered, 4);
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_tells_the_truth() {
    let mut world = World::new(vec![films(1, 4, "i", 50, 5)], 4, 2);
    let (serves, ready) = (world.router.ready(), world.router.full_coverage());
    let pass_time = || tokio::time::sleep(Duration::from_secs(4));
    assert!(*ready.borrow() && *serves.borrow(), "optimistic until tried");
    pass_time().await;
    assert!(*ready.borrow());

    let (one, other) = (world.holders(0)[0].clone(), world.holders(0)[1].clone());
    world.node(&one).feels(Mood::Dead);
    pass_time().await;
    assert!(*ready.borrow(), "every shard has another replica");
    world.node(&other).feels(Mood::Hung);
    pass_time().await;
    assert!(!*ready.borrow(), "no request came, and still it is known");
    assert!(*serves.borrow(), "three of four shards are answers, too");
    world.node(&one).feels(Mood::Well);
    pass_time().await;
    assert!(*ready.borrow(), "known as alive again, without traffic");

    world.change(|plan| {
        let version = plan.versions.values_mut().next().expect("a version");
        let replicas = version.placements[1].replicas.values_mut();
        replicas.for_each(|replica| replica.state = ReplicaState::Loading);
    });
    pass_time().await;
    assert!(!*ready.borrow(), "a shard is nowhere");
    world.change(|plan| plan.surfaces.clear());
    pass_time().await;
    assert!(!*ready.borrow() && !*serves.borrow(), "nothing is live");
}
