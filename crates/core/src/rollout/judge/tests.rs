//! One gate at a time, on windows made by hand. What the default gates do to traffic is in
//! `tests/simulation`.

use super::*;
use crate::rollout::gate::{Bound, Metric, slow_beyond_micros};
use crate::rollout::tried::try_gates;
use crate::rollout::window::{GROUPS, Measure};
use crate::rollout::{RolloutStep, Terms};

fn rollout(gate: Gate) -> Rollout {
    let terms = Terms { gates: vec![gate], ..Terms::unguarded() };
    let steps = vec![RolloutStep::new(5_000, 60)];
    let baseline = Some("films@1".into());
    let mut rollout =
        Rollout::start("home-1".into(), "home".into(), baseline, "films@2".into(), steps, terms, 0);
    assert!(rollout.advance(None, &Clearance::Clear, 0));
    rollout
}

/// So many answers to each group of users, with this latency and these values of a measure in both variants.
fn window(each: u64, millis: [u64; 2], measure: Measure, values: [f64; 2]) -> Window {
    let mut window = Window::new(2);
    for ((arm, millis), value) in window.arms.iter_mut().zip(millis).zip(values) {
        for group in 0..GROUPS {
            for n in 0..each {
                // Spread a little, so that there is something to estimate.
                let spread = 1.0 + 0.1 * ((n + group as u64) % 5) as f64;
                let micros = (millis as f64 * 1_000.0 * spread) as u64;
                arm.latencies.add(micros, 1);
                arm.measure(Measure::Failed, group, 0.0);
                arm.measure(Measure::LogLatency, group, (micros as f64 + 2_000.0).ln());
                if measure != Measure::Failed {
                    arm.measure(measure, group, value * spread);
                }
            }
        }
    }
    window
}

/// Counts the answers that are slow for a latency gate, as a router does that knows the baseline.
fn count_slow_answers(gate: &Gate, window: &mut Window) {
    let (Some(tail), Some(measure)) = (gate.metric.tail(), gate.metric.measure()) else { return };
    let usual = window.arms[0].latencies.quantile(1.0 - tail);
    for (arm, is_candidate) in window.arms.iter_mut().zip([false, true]) {
        let beyond = slow_beyond_micros(gate, is_candidate, usual).expect("known");
        let latencies = arm.latencies.clone();
        for (n, (&micros, &count)) in latencies.0.iter().enumerate() {
            for times in 0..count {
                let slow = f64::from(u8::from(micros > beyond));
                arm.measure(measure, (n + 7 * times as usize) % GROUPS, slow);
            }
        }
    }
}

/// Judges the same window again and again.
fn judged(gate: Gate, window: &Window, times: usize) -> (GateEvidence, Decision) {
    let rollout = rollout(gate);
    let mut window = window.clone();
    count_slow_answers(&gate, &mut window);
    let window = &window;
    let mut evidence = Evidence::default();
    let mut decision = Decision::Continue;
    for _ in 0..times {
        let judgement = judge_rollout(&rollout, &evidence, 5_000, window);
        evidence.absorb(&rollout, 5_000, window);
        evidence.windows += 1;
        (evidence.gates, evidence.split) = (judgement.gates, judgement.split);
        decision = judgement.decision;
    }
    (evidence.gates.remove(0), decision)
}

fn verdict(gate: Gate, window: &Window) -> Verdict {
    judged(gate, window, 5).0.verdict
}

fn ratio(metric: Metric, at_most: f64) -> Gate {
    Gate::new(metric, Bound::MaxRatio(at_most))
}

#[test]
fn latencies_are_compared_with_the_baseline_of_the_same_time() {
    let latencies =
        [Metric::LatencyMean, Metric::LatencyP50, Metric::LatencyP95, Metric::LatencyP99];
    for metric in latencies {
        let gate = ratio(metric, 1.5);
        let slow = window(4, [10, 30], Measure::Failed, [0.0; 2]);
        assert_eq!(verdict(gate, &slow), Verdict::Breached, "{metric}");
        let alike = window(4, [10, 10], Measure::Failed, [0.0; 2]);
        assert_ne!(verdict(gate, &alike), Verdict::Breached, "{metric}");
        let quick = window(4, [10, 2], Measure::Failed, [0.0; 2]);
        assert_ne!(verdict(gate, &quick), Verdict::Breached, "{metric}");
    }
    let unnoticeable = window(4, [1, 2], Measure::Failed, [0.0; 2]);
    assert_ne!(verdict(ratio(Metric::LatencyMean, 1.5), &unnoticeable), Verdict::Breached);
}

#[test]
fn latencies_are_compared_with_constants() {
    let slow = window(4, [10, 30], Measure::Failed, [0.0; 2]);
    for (metric, millis, expected) in [
        (Metric::LatencyP95, 20.0, Verdict::Breached),
        (Metric::LatencyP95, 60.0, Verdict::Proven),
        (Metric::LatencyMean, 20.0, Verdict::Breached),
        (Metric::LatencyMean, 60.0, Verdict::Proven),
    ] {
        let gate = Gate::new(metric, Bound::Max(millis));
        let (found, _) = judged(gate, &slow, 20);
        assert_eq!(found.verdict, expected, "{metric} {millis}: {found:?}");
    }
    let (found, _) = judged(Gate::new(Metric::LatencyMean, Bound::Max(60.0)), &slow, 5);
    let shown = found.candidate.expect("measured");
    assert!((30.0..42.0).contains(&shown), "in ms: {shown}");
}

#[test]
fn without_rewards_nothing_is_said() {
    let gate = Gate::new(Metric::ClicksPerAnswer, Bound::MinRatio(0.95));
    let no_clicks = window(4, [10, 10], Measure::Clicks, [0.0, 0.0]);
    let (found, decision) = judged(gate, &no_clicks, 5);
    assert_eq!((found.verdict, decision), (Verdict::Inconclusive, Decision::Continue));
    let fewer = window(4, [10, 10], Measure::Clicks, [0.2, 0.1]);
    let (found, _) = judged(gate, &fewer, 5);
    assert_eq!(found.verdict, Verdict::Breached);
    let (low, high) = found.effect.expect("means of live answers");
    assert!(low < -0.5 && -0.5 < high && high < -0.3, "half as many: {low} to {high}");
    let more = window(4, [10, 10], Measure::Clicks, [0.1, 0.2]);
    assert_eq!(verdict(gate, &more), Verdict::Proven);
}

/// The time for rewards of an earlier share is over while the present one is measured.
#[test]
fn rewards_of_an_earlier_share_do_not_interrupt_what_is_measured_now() {
    let rollout = rollout(ratio(Metric::ListSimilarity, 3.0));
    let now = window(1, [10, 10], Measure::ListSimilarity, [0.1, 0.2]);
    let mut rewards = Window::new(2);
    rewards.arms[0].measure(Measure::Clicks, 3, 1.0);
    rewards.arms[1].reward(Measure::Clicks, 3, 1.0);
    let (mut interrupted, mut alone) = (Evidence::default(), Evidence::default());
    for _ in 0..50 {
        alone.absorb(&rollout, 5_000, &now);
        interrupted.absorb(&rollout, 5_000, &now);
        interrupted.absorb(&rollout, 1_000, &rewards);
    }
    assert_eq!(alone.comparisons[0].live, interrupted.comparisons[0].live);
    assert_eq!(interrupted.total.arms[0].measures[&Measure::Clicks].total(), 50);
}

#[test]
fn one_busy_user_is_no_population() {
    let gate = ratio(Metric::EmptyRate, 1.2);
    let mut window = Window::new(2);
    for _ in 0..10_000 {
        window.arms[0].measure(Measure::Empty, 3, 0.0);
        window.arms[1].measure(Measure::Empty, 7, 1.0);
    }
    let (found, decision) = judged(gate, &window, 3);
    assert_eq!((found.verdict, decision), (Verdict::Inconclusive, Decision::Continue));
}

#[test]
fn a_gate_may_want_several_breaches_in_a_row() {
    let gate = Gate { consecutive_breaches: 3, ..ratio(Metric::ListSimilarity, 3.0) };
    let window = window(4, [10, 10], Measure::ListSimilarity, [0.1, 0.9]);
    for (times, expected) in [(1, false), (2, false), (3, true)] {
        let (found, decision) = judged(gate, &window, times);
        assert_eq!(found.breaches as usize, times);
        assert_eq!(matches!(decision, Decision::RollBack(_)), expected, "{times}");
    }
}

#[test]
fn overlaps_are_of_pairs_alone() {
    let gate = Gate::new(Metric::Overlap, Bound::Min(0.05));
    for (overlap, expected) in [(0.0, Verdict::Breached), (0.5, Verdict::Proven)] {
        let mut window = window(2, [10, 10], Measure::Failed, [0.0; 2]);
        for group in 0..GROUPS {
            for n in 0..4 {
                window.mirror.overlap.add(group, overlap * (1.0 + 0.1 * f64::from(n)));
            }
        }
        let (found, _) = judged(gate, &window, 5);
        assert_eq!((found.verdict, found.baseline), (expected, None), "{overlap}");
    }
}

/// Clicks that users share evenly over groups, so many of them for the candidate of 20.
fn interleaved(for_candidate: usize) -> Window {
    let mut window = Window::new(2);
    for group in 0..GROUPS {
        for n in 0..20 {
            // Each group begins at another place, so that groups are not all the same.
            let is_for_candidate = (n + group) % 20 < for_candidate;
            window.interleaved.clicks.add(group, f64::from(u8::from(is_for_candidate)));
        }
        window.interleaved.clicks.add(group, f64::from(u8::from(group % 2 == 0)));
    }
    window.interleaved.answers = 2_000;
    window
}

#[test]
fn a_preference_is_of_credited_clicks_on_interleaved_answers() {
    let gate = Gate::new(Metric::Preference, Bound::Min(0.49));
    for (for_candidate, expected) in
        [(6, Verdict::Breached), (10, Verdict::Holds), (14, Verdict::Proven)]
    {
        let (found, decision) = judged(gate, &interleaved(for_candidate), 2);
        assert_eq!((found.verdict, found.baseline), (expected, None), "{found:?}");
        assert_eq!(found.samples, [2 * 21 * GROUPS as u64; 2]);
        let preference = found.candidate.expect("measured");
        assert!((preference - for_candidate as f64 / 20.0).abs() < 0.02, "{preference}");
        assert_eq!(matches!(decision, Decision::RollBack(_)), expected == Verdict::Breached);
    }
    let without_clicks = window(4, [10, 10], Measure::Clicks, [0.2, 0.1]);
    assert_eq!(verdict(gate, &without_clicks), Verdict::Inconclusive);
}

#[test]
fn a_split_that_is_off_pauses() {
    let rollout = rollout(ratio(Metric::ErrorRate, 1.2));
    // Half of the users should have the candidate.
    for (users, is_off) in [([20, 20], false), ([30, 10], true), ([10, 30], true)] {
        let mut window = Window::new(2);
        for (arm, count) in window.arms.iter_mut().zip(users) {
            for group in 0..GROUPS {
                for _ in 0..count {
                    arm.measure(Measure::Users, group, 1.0);
                }
            }
        }
        let judgement = judge_rollout(&rollout, &Evidence::default(), 5_000, &window);
        let pauses = matches!(&judgement.decision, Decision::Pause(why) if why.contains("split"));
        assert_eq!(pauses, is_off, "{users:?}: {:?}", judgement.split);
        // What was measured at another share says nothing of this one.
        let other = judge_rollout(&rollout, &Evidence::default(), 1_000, &window);
        assert_eq!(other.split.verdict, Verdict::Inconclusive);
    }
}

#[test]
fn rolling_back_goes_before_pausing() {
    let slow = Gate { on_breach: OnBreach::Pause, ..ratio(Metric::LatencyMean, 1.5) };
    let same = ratio(Metric::ListSimilarity, 3.0);
    let window = window(4, [10, 40], Measure::ListSimilarity, [0.1, 0.9]);
    for gates in [vec![slow, same], vec![same, slow]] {
        let mut rollout = rollout(slow);
        rollout.terms.gates = gates;
        let judgement = judge_rollout(&rollout, &Evidence::default(), 5_000, &window);
        assert!(matches!(judgement.decision, Decision::RollBack(_)), "{:?}", judgement.decision);
    }
}

#[test]
fn what_is_recorded_is_bounded_and_loses_no_request() {
    let gate = ratio(Metric::ErrorRate, 1.2);
    let rollout = rollout(gate);
    let mut evidence = Evidence::default();
    let windows = 300;
    for n in 0..windows {
        let measured = window(1, [10, 10], Measure::Clicks, [0.2; 2]);
        evidence.gates = judge_rollout(&rollout, &evidence, 5_000, &measured).gates;
        record(&rollout, &mut evidence, 5_000, &measured, 1_000 * n);
    }
    // Rewards of an earlier share come late, and are of no step that is there.
    record(&rollout, &mut evidence, 100, &window(1, [10, 10], Measure::Clicks, [0.2; 2]), 400_000);
    assert!(evidence.points.len() <= 120 && evidence.recorded.len() <= MAX_RECORDED);
    let requests = windows * GROUPS as u64;
    let of_points = evidence.points.iter().filter(|it| it.weight_basis_points == 5_000);
    assert_eq!(of_points.map(|it| it.arms[1].requests).sum::<u64>(), requests);
    let recorded = evidence.recorded.iter().filter(|it| it.weight_basis_points == 5_000);
    assert_eq!(recorded.map(|it| it.window.arms[1].requests()).sum::<u64>(), requests);
    let times: Vec<u64> = evidence.points.iter().map(|it| it.until_ms).collect();
    assert!(times.is_sorted(), "{times:?}");
    let [step, late] = &evidence.steps[..] else { panic!("{:?}", evidence.steps) };
    assert_eq!((step.step, step.stage.as_str(), step.windows), (Some(0), "CANARY", windows));
    assert_eq!(step.arms[0].requests, requests);
    assert_eq!((late.weight_basis_points, late.windows), (100, 1));
}

#[test]
fn other_gates_are_tried_on_what_was_recorded() {
    let rollout = rollout(ratio(Metric::ErrorRate, 1.2));
    let mut evidence = Evidence::default();
    for n in 0..60 {
        let clicks = if n < 20 { [0.2, 0.2] } else { [0.2, 0.05] };
        let measured = window(4, [10, 10], Measure::Clicks, clicks);
        record(&rollout, &mut evidence, 5_000, &measured, 1_000 * n);
    }
    let clicks = Gate::new(Metric::ClicksPerAnswer, Bound::MinRatio(0.98));
    let tried = try_gates(&rollout, &[clicks], &evidence.recorded).expect("measured");
    let (at_ms, weight) = tried[0].acts_at.expect("it acts");
    assert!((20_000..60_000).contains(&at_ms) && weight == 5_000, "{at_ms}");
    assert_eq!(tried[0].evidence.verdict, Verdict::Breached);
    let own = try_gates(&rollout, &[], &evidence.recorded).expect("measured");
    assert_eq!((own[0].gate.metric, own[0].acts_at), (Metric::ErrorRate, None));
    for (gate, says) in [
        (ratio(Metric::LatencyP95, 1.1), "latency_p95 can be tried only as"),
        (Gate { maturity_seconds: Some(5), ..clicks }, "had 60 s for their rewards"),
        (Gate { consecutive_breaches: 0, ..clicks }, "consecutive_breaches is 0"),
    ] {
        let refused = try_gates(&rollout, &[gate], &evidence.recorded).expect_err(says);
        assert!(refused.to_string().contains(says), "{refused}");
    }
    assert!(try_gates(&rollout, &[clicks], &[]).is_err(), "nothing is recorded");
}

#[test]
fn requests_that_are_split_wrongly_are_shown_and_do_not_act() {
    let rollout = rollout(ratio(Metric::ErrorRate, 1.2));
    let mut skewed = window(2, [10, 10], Measure::Users, [1.0; 2]);
    // As many users, but those of the candidate ask four times as often.
    for group in 0..GROUPS {
        for _ in 0..6 + group % 3 {
            skewed.arms[1].measure(Measure::Failed, group, 0.0);
        }
    }
    let mut evidence = Evidence::default();
    for _ in 0..5 {
        let judgement = judge_rollout(&rollout, &evidence, 5_000, &skewed);
        evidence.absorb(&rollout, 5_000, &skewed);
        assert_eq!(judgement.decision, Decision::Continue);
        (evidence.split, evidence.split_of_requests) =
            (judgement.split, judgement.split_of_requests);
    }
    assert_eq!(evidence.split.verdict, Verdict::Holds);
    assert_eq!(evidence.split_of_requests.verdict, Verdict::Breached);
    assert!(evidence.split_of_requests.candidate.is_some_and(|share| share > 0.7));
}
