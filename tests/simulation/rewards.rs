//! Candidates that are clicked more or less than the baseline, and nothing else to see.

use super::rollouts::{End, few, many, many_of, median, rollouts_and_seed, share};
use super::traffic::Candidate;
use super::world::{MINUTE_MS, World};
use marquee_core::rollout::RolloutState;

fn rolled_back(ends: &[End]) -> f64 {
    share(ends, |end| end.is(RolloutState::RolledBack))
}

#[test]
fn a_better_one_is_promoted() {
    let ends = many("5 % more clicks", &World::default(), Candidate::clicked(1.05));
    assert!(share(&ends, |end| end.is(RolloutState::Promoted)) >= 0.95);
}

#[test]
fn half_the_clicks_are_found() {
    let ends = many("half the clicks", &World::default(), Candidate::clicked(0.5));
    assert!(rolled_back(&ends) >= 0.99);
}

#[test]
fn a_fifth_fewer_clicks_of_few_users_are_found() {
    let ends =
        many("a fifth fewer clicks, 5,000 users", &World::default(), Candidate::clicked(0.8));
    assert!(rolled_back(&ends) >= 0.9, "{}", rolled_back(&ends));
}

#[test]
fn a_tenth_fewer_clicks_of_many_users_are_found() {
    let world = World { users: 50_000, rate: 500.0, ..World::default() };
    let (_, seed) = rollouts_and_seed();
    let name = "a tenth fewer clicks, 50,000 users, 500 requests a second";
    let ends = many_of(few(), seed, name, &world, Candidate::clicked(0.9));
    assert!(rolled_back(&ends) >= 0.95, "{}", rolled_back(&ends));
}

#[test]
fn a_fifth_fewer_clicks_are_found_while_the_day_rises() {
    let world = World::half_a_day(-0.3);
    let ends = many("a fifth fewer clicks while the day rises", &world, Candidate::clicked(0.8));
    assert!(rolled_back(&ends) >= 0.9, "{}", rolled_back(&ends));
}

/// After health it takes hardly longer than from the start.
#[test]
fn late_harm_is_found() {
    let (rollouts, seed) = rollouts_and_seed();
    let minutes = |healthy_minutes: u64, window_ms: u64, rollouts: u64| {
        let hold = 60 * healthy_minutes + 7_200;
        let world = World { steps: vec![(5_000, hold)], window_ms, ..World::default() };
        let candidate =
            Candidate { begins_ms: healthy_minutes * MINUTE_MS, ..Candidate::clicked(0.5) };
        let name = format!("half the clicks after {healthy_minutes} min of health");
        let ends = many_of(rollouts, seed, &name, &world, candidate);
        let taken = median(ends.iter().map(|end| end.minutes - healthy_minutes as f64));
        (rolled_back(&ends), taken)
    };
    let (_, from_start) = minutes(0, 4_000, rollouts);
    // Four hours take long to simulate.
    for (healthy, window_ms, rollouts) in [(10, 4_000, few()), (240, 20_000, rollouts.div_ceil(20))]
    {
        let (found, taken) = minutes(healthy, window_ms, rollouts);
        println!(
            "after {healthy} min of health: {:.2} of the time from the start, {found} found",
            taken / from_start
        );
        assert!(found >= 0.95, "{healthy} min: only {found} were found");
        assert!(taken <= 1.5 * from_start, "{healthy} min: {taken} and {from_start} minutes");
    }
}
