//! Broken candidates: they are found before many users meet them.

use super::rollouts::{many, share};
use super::traffic::Candidate;
use super::world::World;
use marquee_core::rollout::RolloutState;
use marquee_core::rollout::gate::{Bound, Gate, Metric};

/// Rolled back before the second step is over.
fn is_found(name: &str, candidate: Candidate) {
    let ends = many(name, &World::default(), candidate);
    let found = share(&ends, |end| end.is_back_by_step_two());
    assert!(found >= 0.99, "{name}: only {found} were rolled back before step 2 was over");
}

#[test]
fn shuffled_item_factors() {
    let candidate = Candidate {
        similarity: 0.0,
        overlap: 0.003,
        overlap_with_others: 0.003,
        ..Candidate::clicked(0.1)
    };
    is_found("shuffled item factors", candidate);
}

#[test]
fn slow_answers() {
    is_found("20 ms slower", Candidate { slower_micros: 20_000.0, ..Candidate::SAME });
}

#[test]
fn errors() {
    is_found("one request of a hundred fails", Candidate { failing: 0.01, ..Candidate::SAME });
}

#[test]
fn empty_answers() {
    is_found("one answer of five is empty", Candidate { empty: 0.2, ..Candidate::SAME });
}

#[test]
fn the_same_popular_items_for_all() {
    let candidate = Candidate {
        similarity: 0.9,
        overlap: 0.15,
        overlap_with_others: 0.15,
        ..Candidate::clicked(0.7)
    };
    is_found("the same popular items for all", candidate);
}

#[test]
fn fallbacks_where_there_were_none() {
    let world = World { unknown: 0.0, ..World::default() };
    let candidate = Candidate { falling_back: 0.5, ..Candidate::clicked(0.8) };
    let ends = many("half of the users fall back, baseline 0", &world, candidate);
    assert!(share(&ends, |end| end.is_back_by_step_two()) >= 0.99);
}

/// Users whose calls fail for both, and a candidate that fails more: the one does not hide the other.
#[test]
fn errors_among_users_who_always_fail() {
    let world = World { always_failing: 0.002, ..World::default() };
    let candidate = Candidate { failing: 0.01, ..Candidate::SAME };
    let ends = many("one of a hundred fails; 0.2 % of users always do", &world, candidate);
    assert!(share(&ends, |end| end.is_back_by_step_two()) >= 0.99);
}

/// Three or four of a hundred answers take longer than 30 ms; with the candidate these take twice as long.
#[test]
fn a_longer_tail() {
    for (name, slowness) in [("", 0.0), (", some users are slow", 0.3)] {
        let mut world = World { rate: 100.0, slowness, ..World::default() };
        (world.window_ms, world.steps) = (4_000, vec![(5_000, 600)]);
        world.gates.push(Gate::new(Metric::LatencyP99, Bound::MaxRatio(1.5)));
        let beyond = if slowness > 0.0 { 30_000.0 } else { 26_000.0 };
        let candidate = Candidate { doubles_beyond_micros: beyond, ..Candidate::SAME };
        let name = format!("p99 alone doubled, 100 a second, half the users{name}");
        let ends = many(&name, &world, candidate);
        let within = |minutes| share(&ends, |end| end.is_back_within(minutes));
        println!("{name}: {} within 2 min, {} within 4", within(2.0), within(4.0));
        assert!(within(2.0) >= 0.9, "{name}: {} within two minutes", within(2.0));
    }
}

/// Lists that look like any other, and are meant for another user, clicked as rarely as they fit, or by all users alike.
#[test]
fn lists_that_fit_nobody() {
    for (name, clicks, overlap) in [("permuted users", 0.59, 0.15), ("scrambled items", 0.1, 0.003)]
    {
        let lists =
            Candidate { overlap, overlap_with_others: overlap, ..Candidate::clicked(clicks) };
        is_found(name, lists);
        let name = format!("{name}, clicked all the same");
        let ends = many(&name, &World::default(), Candidate { clicks: 1.0, ..lists });
        assert!(share(&ends, |end| end.is(RolloutState::RolledBack)) >= 0.98, "{name}");
    }
}

#[test]
fn half_of_the_catalogue_gone() {
    let candidate = Candidate { similarity: 0.2, overlap: 0.5, ..Candidate::clicked(0.75) };
    let ends = many("half of the catalogue gone", &World::default(), candidate);
    assert!(share(&ends, |end| end.is(RolloutState::RolledBack)) >= 0.99);
}
