//! Rewards count when the time of their answers is over, however late they come and whatever the share is by then.

use super::*;
use crate::telemetry::rewards::MAX_REWARDS;
use marquee_core::rollout::gate::{Bound, Metric};
use std::collections::{BTreeMap, VecDeque};

/// A plan in which answers have so long for clicks.
fn plan_with_time_for_clicks(seconds: u32) -> Plan {
    let gate = Gate::new(Metric::ClicksPerAnswer, Bound::MinRatio(0.98));
    plan_with(vec![Gate { maturity_seconds: Some(seconds), ..gate }])
}

/// Half an hour of a rollout whose share grows each minute of the first three, with ten answers a second of which each is clicked
/// `delay` later. All windows, with their second.
fn windows_of_growing_share(plan: &Plan, delay: u64) -> Vec<(u64, WindowKey, Window)> {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut memory = Memory::default();
    let (mut windows, mut clicks, mut batch) = (Vec::new(), VecDeque::new(), Batch::default());
    for second in 0..1_800 {
        let weight = [100, 2_500, 5_000][(second as usize / 60).min(2)];
        for number in 0..if second < 300 { 10 } else { 0 } {
            let user = format!("u{}", rng.u32(..2_000));
            let arm = usize::from(is_on_arm(&trial(weight, 1), &user));
            let trial = trial(weight, arm);
            let id = named("3f", 10 * second + number, second, &trial);
            let micros = second * SECOND + rng.u64(..SECOND);
            batch.observe(&trial, answered(arm, &user, micros, list(&id, &["a"])));
            clicks.push_back((second + delay, id, user));
        }
        while let Some((due, id, user)) = clicks.pop_front_if(|(due, ..)| *due <= second) {
            batch.event(came(&id, &user, Reward::Click, due));
        }
        if second % 2 == 1 {
            let closed = close(&batch, &mut memory, plan, at(second + 1));
            windows.extend(closed.into_iter().map(|(key, window)| (second, key, window)));
            batch.clear();
        }
    }
    windows
}

#[test]
fn late_rewards_make_no_difference_between_arms_while_the_share_grows() {
    for (time, delay, share_in_time) in [(60, 40, 1.0), (60, 300, 0.0), (360, 300, 1.0)] {
        let windows = windows_of_growing_share(&plan_with_time_for_clicks(time), delay);
        let mut answers = BTreeMap::new();
        let (mut clicked, mut late) = (0.0, 0);
        for (second, key, window) in &windows {
            late += window.late;
            for arm in [0, 1] {
                let (count, clicks) = sum(window, arm, Measure::Clicks);
                // In every window and on every arm, so that no difference can arise.
                assert_eq!(
                    clicks,
                    share_in_time * count as f64,
                    "{time} {delay}: {second} {key:?}"
                );
                let of_arm = answers.entry((key.weight_basis_points, arm)).or_insert((0, 0));
                of_arm.0 += window.arms[arm].requests();
                of_arm.1 += count;
                clicked += clicks;
            }
        }
        // Every answer has counted, at the share it was given at.
        assert_eq!(answers.len(), 6, "{answers:?}");
        for (whose, (requests, counted)) in &answers {
            assert_eq!(requests, counted, "{whose:?}");
        }
        let requests: u64 = answers.values().map(|(requests, _)| requests).sum();
        assert!(requests > 2_900, "{requests}");
        assert_eq!(clicked, share_in_time * requests as f64);
        assert_eq!(late > 0, share_in_time == 0.0, "{late}");
    }
}

#[test]
fn a_cohort_counts_at_the_share_it_was_answered_at() {
    let windows = windows_of_growing_share(&plan(), 20);
    let of_first = |measure: Measure| {
        let first = windows.iter().filter(|(_, key, _)| key.weight_basis_points == 100);
        let counted = first.filter(|(_, _, window)| sum(window, 0, measure).0 > 0);
        counted.map(|(second, ..)| *second).collect::<Vec<u64>>()
    };
    let (answered, counted) = (of_first(Measure::Failed), of_first(Measure::Clicks));
    assert!(answered.iter().all(|&second| second <= 60), "{answered:?}");
    // One cohort each 10 s, a minute after its end.
    assert_eq!(counted, [69, 79, 89, 99, 109, 119]);
    assert_eq!(of_first(Measure::Purchases), [], "their time is not over");
    assert_eq!(of_first(Measure::PlaySeconds), [609, 619, 629, 639, 649, 659]);
}

#[test]
fn what_comes_too_late_is_counted_as_late_and_for_no_arm() {
    let (mut memory, plan, now) = (Memory::default(), plan(), trial(5_000, 1));
    let user = user_on(&now);
    let mut batch = Batch::default();
    let id = named("3f", 1, 9, &now);
    batch.observe(&now, answered(1, &user, 9 * SECOND, list(&id, &["a"])));
    close(&batch, &mut memory, &plan, at(10));
    batch.clear();
    // The cohort ends at 10, and its time for clicks at 70.
    batch.event(came(&id, &user, Reward::Click, 69));
    batch.event(came(&id, &user, Reward::Click, 70));
    batch.event(came(&id, &user, Reward::Play { seconds: 30.0 }, 70));
    // Of other routers and other times: long ago, not yet, and from a clock that is a little ahead.
    for (number, second) in [(1, 0), (2, 81), (3, 80)] {
        batch.event(came(&named("4f", number, second, &now), &user, Reward::Click, 70));
    }
    let windows = close(&batch, &mut memory, &plan, at(70));
    let [(_, window)] = &windows[..] else { panic!("{windows:?}") };
    assert_eq!(sum(window, 1, Measure::Clicks), (1, 1.0));
    assert_eq!(sum(window, 1, Measure::PlaySeconds), (0, 0.0), "there is time");
    assert_eq!(window.late, 2);
    let windows = close(&Batch::default(), &mut memory, &plan, at(610));
    let all = windows.iter().fold(Window::new(2), |mut all, (_, window)| {
        all.absorb(window);
        all
    });
    assert_eq!(sum(&all, 1, Measure::PlaySeconds), (1, 30.0));
    assert_eq!(sum(&all, 1, Measure::Clicks), (0, 1.0), "of the clock that is ahead");
}

#[test]
fn a_click_at_another_router_counts_with_the_answer() {
    let (plan, now) = (plan(), trial(5_000, 0));
    let user = user_on(&now);
    let (mut here, mut there) = (Memory::default(), Memory::default());
    let id = named("3f", 1, 0, &now);
    let mut batch = Batch::default();
    batch.observe(&now, answered(0, &user, 1, list(&id, &["a"])));
    close(&batch, &mut here, &plan, at(2));
    batch.clear();
    batch.event(came(&id, &user, Reward::Click, 50));
    let told = close(&batch, &mut there, &plan, at(50));
    assert_eq!(sum(&told[0].1, 0, Measure::Clicks), (0, 0.0));
    let nothing = Batch::default();
    let mut close_both = |second| {
        let mut all = Window::new(2);
        for memory in [&mut here, &mut there] {
            for (key, window) in close(&nothing, memory, &plan, at(second)) {
                assert_eq!(key, WindowKey::of((&now).into()));
                all.absorb(&window);
            }
        }
        sum(&all, 0, Measure::Clicks)
    };
    assert_eq!(close_both(69), (0, 0.0));
    assert_eq!(close_both(70), (1, 1.0));
    assert_eq!(close_both(72), (0, 0.0));
}

#[test]
fn rewards_find_the_arm_and_the_group_of_the_answer() {
    let (mut memory, plan) = (Memory::default(), plan());
    let (before, now) = (trial(100, 0), trial(5_000, 1));
    let (ann, bob) = (user_on(&before), user_on(&now));
    let id = named("3f", 1, 1, &before);
    let mut batch = Batch::default();
    batch.observe(&before, answered(0, &ann, 1, list(&id, &["a"])));
    close(&batch, &mut memory, &plan, at(2));

    batch.clear();
    let mut event = |id: &str, user: &str, reward| batch.event(came(id, user, reward, 3));
    // The answer is known, so the user of the event does not matter.
    event(&id, "another", Reward::Click);
    // Another router's: its user is the event's, and has to be on that arm.
    let foreign = named("4f", 1, 1, &now);
    event(&foreign, &bob, Reward::Play { seconds: 90.0 });
    event(&foreign, &bob, Reward::Play { seconds: 1e9 });
    event(&named("4f", 2, 1, &trial(5_000, 0)), &bob, Reward::Click);
    event(&named("4f", 3, 1, &now), "", Reward::Click);
    event("4f-1a-692d8f00", &bob, Reward::Click);
    for _ in 0..2 * MAX_REWARDS {
        event(&foreign, &bob, Reward::Purchase);
    }
    close(&batch, &mut memory, &plan, at(4));
    let windows = close(&Batch::default(), &mut memory, &plan, at(4_000));
    let [(first, early), (second, late)] = &windows[..] else { panic!("{windows:?}") };
    assert_eq!((first.weight_basis_points, second.weight_basis_points), (100, 5_000));
    assert_eq!(sum(early, 0, Measure::Clicks), (1, 1.0));
    assert_eq!(of(early, 0, Measure::Clicks).expect("there").sum[group_of(&ann)], 1.0);
    assert_eq!(sum(late, 1, Measure::PlaySeconds), (0, 4.0 * 3_600.0));
    assert_eq!(sum(late, 1, Measure::Purchases), (0, f64::from(MAX_REWARDS)));
    assert_eq!(of(late, 1, Measure::Purchases).expect("there").sum[group_of(&bob)], 10.0);
    assert_eq!(sum(late, 0, Measure::Clicks), (0, 0.0));
    assert_eq!(sum(late, 1, Measure::Clicks), (0, 0.0));
}

#[test]
fn what_users_did_before_counts_with_their_answers_and_is_frozen() {
    let mut memory = Memory::default();
    let mut before = Plan::default();
    before.surfaces.insert("home".into(), marquee_core::plan::Surface::default());
    let mut batch = Batch::default();
    // Of 20 answers to ann ten are clicked, of 20 to bob none; nobody knows eve.
    for number in 0..40 {
        let (user, arm) = if number < 20 { ("ann", 0) } else { ("bob", 0) };
        let scope = AnswerScope::Surface("home");
        let id = name_answer("3f", number, BEGAN, Some(scope), SegmentSet::default());
        batch.observe(scope, answered(arm, user, number * number * 10_000, list(&id, &["a"])));
        if number < 10 {
            batch.event(came(&id, user, Reward::Click, 1));
        }
    }
    let windows = close(&batch, &mut memory, &before, at(16));
    assert_eq!(sum(&windows[0].1, 0, Measure::Clicks), (40, 10.0), "a surface counts at once");

    let mut plan = plan();
    plan.surfaces = before.surfaces;
    let ask = |memory: &mut Memory, second: u64| {
        let mut batch = Batch::default();
        for (number, user) in ["ann", "bob", "eve"].into_iter().enumerate() {
            let trial = trial(5_000, usize::from(is_on_arm(&trial(5_000, 1), user)));
            let id = named("3f", 100 * second + number as u64, second, &trial);
            let micros = second * SECOND;
            batch.observe(&trial, answered(trial.arm, user, micros, list(&id, &["a"])));
            batch.event(came(&id, user, Reward::Click, second + 1));
        }
        close(&batch, memory, &plan, at(second + 2));
    };
    let before = |memory: &mut Memory, second: u64| {
        let windows = close(&Batch::default(), memory, &plan, at(second));
        let [(_, window)] = &windows[..] else { panic!("{windows:?}") };
        let mut of_both = GroupedSum::default();
        for arm in [0, 1] {
            let (clicks, before) =
                (of(window, arm, Measure::Clicks), of(window, arm, Measure::ClicksBefore));
            assert_eq!(clicks.map(|sums| &sums.count), before.map(|sums| &sums.count));
            before.into_iter().for_each(|sums| of_both.absorb(sums));
        }
        ["ann", "bob", "eve"].map(|user| of_both.sum[group_of(user)])
    };
    // A quarter of all answers were clicked.
    let expected = [(10.0 - 20.0 * 0.25) / 30.0, -20.0 * 0.25 / 30.0, 0.0];
    ask(&mut memory, 20);
    assert_eq!(before(&mut memory, 90), expected);
    ask(&mut memory, 100);
    assert_eq!(before(&mut memory, 170), expected, "what they did since does not matter");
}
