//! Candidates that are the same as the baseline, in every situation that real traffic gets into: nothing that is common to both
//! variants may be taken for a difference between them.

use super::rollouts::{End, MANY_ROLLOUTS, many, rollouts_and_seed, share};
use super::traffic::Candidate;
use super::world::{OddUser, Trouble, World};
use marquee_core::rollout::RolloutState;
use marquee_core::rollout::gate::{Bound, Gate, Metric};

/// At most one of a hundred is rolled back or paused; where only a hundred are tried, two may be by chance.
fn is_left_alone(name: &str, world: &World) {
    let (rollouts, _) = rollouts_and_seed();
    let mut world = world.clone();
    if rollouts < MANY_ROLLOUTS as u64 {
        // To save time; each window is another chance to be wrong.
        world.window_ms *= 2;
    }
    let ends = many(name, &world, Candidate::SAME);
    let disturbed = |end: &End| end.is(RolloutState::RolledBack) || end.is(RolloutState::Paused);
    ends.iter().filter(|end| disturbed(end)).for_each(|end| println!("  {name}: {end}"));
    let allowed = if ends.len() >= MANY_ROLLOUTS { 0.01 } else { 0.02 };
    let found = share(&ends, disturbed);
    assert!(found <= allowed, "{name}: {found} of equal candidates were rolled back or paused");
    assert!(share(&ends, |end| end.is(RolloutState::Promoted)) >= 1.0 - allowed, "{name}: waits");
}

fn with_delay(seconds: f64, minutes_a_step: u64) -> World {
    World { click_delay_seconds: seconds, ..World::with_minutes_a_step(minutes_a_step) }
}

fn with_odd_user(rate: f64, always_fails: bool) -> World {
    World { odd_user: Some(OddUser { rate, always_fails }), ..World::default() }
}

#[test]
fn nothing_happens() {
    is_left_alone("the same", &World::default());
}

#[test]
fn clicks_come_40_s_late() {
    is_left_alone("the same; clicks 40 s late, steps of 1 min", &with_delay(40.0, 1));
}

#[test]
fn clicks_come_60_s_late() {
    is_left_alone("the same; clicks 60 s late, steps of 1 min", &with_delay(60.0, 1));
}

#[test]
fn clicks_come_120_s_late() {
    is_left_alone("the same; clicks 120 s late, steps of 5 min", &with_delay(120.0, 5));
}

#[test]
fn clicks_come_300_s_late() {
    is_left_alone("the same; clicks 300 s late, steps of 10 min", &with_delay(300.0, 10));
}

#[test]
fn clicks_fall_by_20_per_cent_over_the_day() {
    is_left_alone("the same; clicks fall over the day, ±20 %", &World::half_a_day(0.2));
}

#[test]
fn clicks_fall_by_30_per_cent_over_the_day() {
    is_left_alone("the same; clicks fall over the day, ±30 %", &World::half_a_day(0.3));
}

#[test]
fn clicks_rise_over_the_day() {
    is_left_alone("the same; clicks rise over the day, ±30 %", &World::half_a_day(-0.3));
}

#[test]
fn all_answers_are_partial_for_a_minute() {
    let world = World::troubled(Trouble::AllPartial, 60);
    is_left_alone("the same; all partial for 60 s in the last step", &world);
}

#[test]
fn everything_gets_slower() {
    let world = World::troubled(Trouble::Slower, 540);
    is_left_alone("the same; everything 3 × slower in the last step", &world);
}

#[test]
fn unknown_users_come() {
    let world = World::troubled(Trouble::NewUsers, 540);
    is_left_alone("the same; unknown users 10 → 30 % in the last step", &world);
}

#[test]
fn a_shard_is_lost() {
    let world = World::troubled(Trouble::ShardLost, 120);
    is_left_alone("the same; a shard lost for 120 s in the last step", &world);
}

#[test]
fn the_machine_is_busy_with_something_else() {
    let mut world = World { weather: 0.8, weather_windows: 3, ..World::default() };
    for metric in [Metric::LatencyP50, Metric::LatencyP99] {
        world.gates.push(Gate::new(metric, Bound::MaxRatio(1.1)));
    }
    is_left_alone("the same; neighbours' load comes and goes", &world);
}

#[test]
fn a_heavy_user_never_clicks() {
    is_left_alone("the same; a heavy user with 5 % of traffic", &with_odd_user(2.6, false));
}

#[test]
fn a_bot_never_clicks() {
    is_left_alone("the same; a bot with 10 % of traffic", &with_odd_user(5.5, false));
}

#[test]
fn one_user_always_fails_twice_a_second() {
    is_left_alone("the same; one user with deadlines of 2 ms", &with_odd_user(2.0, true));
}

#[test]
fn calls_of_a_few_users_always_fail() {
    let world = World { always_failing: 0.002, ..World::default() };
    is_left_alone("the same; calls of 0.2 % of the users always fail", &world);
}

#[test]
fn calls_of_some_users_fail_half_of_the_time() {
    let world = World { half_failing: 0.01, ..World::default() };
    is_left_alone("the same; calls of 1 % of the users fail half of the time", &world);
}

#[test]
fn users_come_in_sessions() {
    let world = World { session: 5.0, ..World::default() };
    is_left_alone("the same; users ask five times in a row, in moods", &world);
}

#[test]
fn there_are_few_users() {
    let world = World { users: 500, rate: 10.0, ..World::default() };
    is_left_alone("the same; 500 users, 10 requests a second", &world);
}

#[test]
fn there_is_little_traffic() {
    is_left_alone("the same; 1 request a second", &World { rate: 1.0, ..World::default() });
}

/// Nothing is known then, and no step is left.
#[test]
fn there_is_no_traffic() {
    let world = World { rate: 0.0, ..World::default() };
    let ends = many("the same; no traffic at all", &world, Candidate::SAME);
    assert!(ends.iter().all(|end| end.is(RolloutState::Canary) && end.step == Some(0)));
}
