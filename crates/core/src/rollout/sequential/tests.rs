//! The tests by hand, and how often they alarm when one looks after every window.

use super::share_test::RATIOS_ABOVE;
use super::*;
use crate::rollout::window::{GROUPS, GroupedSum};
use statrs::distribution::{ContinuousCDF as _, Normal, StudentsT};

/// Of so many sequences, those whose evidence ever crosses what an alpha of 5 % needs.
fn alarms(sequences: u64, mut crosses: impl FnMut(&mut fastrand::Rng) -> bool) -> f64 {
    let crossed = (0..sequences).filter(|&seed| crosses(&mut fastrand::Rng::with_seed(seed)));
    crossed.count() as f64 / sequences as f64
}

fn binomial(of: u64, chance: f64, random: &mut fastrand::Rng) -> Occurrences {
    let times = (0..of).filter(|_| random.f64() < chance).count() as u64;
    Occurrences { times, of }
}

fn normal(random: &mut fastrand::Rng) -> f64 {
    let (u, v) = (1.0 - random.f64(), random.f64());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[test]
fn shares_by_hand() {
    let mut test = ShareTest::default();
    // Equal arms: a fault is the candidate's with chance 1/2; for "twice as often", with 2/3.
    test.add_window(Occurrences { times: 1, of: 10 }, Occurrences { times: 3, of: 10 }, 1.0);
    let twice = RATIOS_ABOVE.iter().position(|&ratio| ratio == 2.0).expect("there");
    let expected = 3.0 * (2.0f64 / 3.0 / 0.5).ln() + (1.0f64 / 3.0 / 0.5).ln();
    assert!((test.above[twice] - expected).abs() < 1e-12, "{:?}", test.above);
    let mut nothing = ShareTest::default();
    nothing.add_window(Occurrences { times: 5, of: 9 }, Occurrences { times: 0, of: 0 }, 1.0);
    assert_eq!(nothing, ShareTest::default(), "one arm alone says nothing");
}

#[test]
fn equal_shares_hardly_ever_alarm_however_often_one_looks() {
    let found = alarms(2_000, |random| {
        let mut test = ShareTest::default();
        (0..200).any(|window| {
            // The rate changes all the time, for both.
            let rate = if window % 7 == 0 { 0.2 } else { 0.02 };
            let (baseline, candidate) = (binomial(90, rate, random), binomial(10, rate, random));
            test.add_window(baseline, candidate, 1.0);
            test.log_evidence_above() >= required_log_evidence(0.05)
        })
    });
    assert!(found <= 0.05, "{found}");
}

#[test]
fn rates_are_compared_with_constants_too() {
    let run = |chance: f64| {
        alarms(500, |random| {
            let mut test = ShareTest::default();
            (0..100).any(|_| {
                test.add_window_against_constant(binomial(20, chance, random), 0.05);
                test.log_evidence_above() >= required_log_evidence(0.05)
            })
        })
    };
    assert!(run(0.05) <= 0.05, "{}", run(0.05));
    assert!(run(0.15) >= 0.99, "{}", run(0.15));
}

#[test]
fn means_above_hardly_ever_alarm_however_often_one_looks() {
    let run = |mean: f64| {
        alarms(500, |random| {
            let mut sums = GroupedSum::default();
            (0..60).any(|_| {
                for group in 0..GROUPS {
                    sums.add(group, mean + normal(random));
                }
                let estimate = Estimate::of(&sums, 0.1).expect("all groups");
                mean_above(estimate, 0.2) >= required_log_evidence(0.05)
            })
        })
    };
    assert!(run(0.0) <= 0.06, "{}", run(0.0));
    assert!(run(0.3) >= 0.99, "{}", run(0.3));
}

#[test]
fn intervals_cover_the_truth_at_all_times() {
    let missed = alarms(500, |random| {
        let mut sums = GroupedSum::default();
        (0..60).any(|_| {
            for group in 0..GROUPS {
                sums.add(group, 1.0 + normal(random));
            }
            let estimate = Estimate::of(&sums, 0.1).expect("all groups");
            (estimate.value - 1.0).abs() > estimate.half_width(0.2, 0.05)
        })
    });
    assert!(missed <= 0.06, "{missed}");
}

#[test]
fn an_estimate_by_hand() {
    let mut sums = GroupedSum::default();
    for (group, value) in [(0, 1.0), (0, 0.0), (1, 1.0), (1, 1.0)] {
        sums.add(group, value);
    }
    let Estimate { value, variance, freedom, of } = Estimate::of(&sums, 0.0).expect("two groups");
    // Mean 3/4; groups are off by 1 − 3/4·2 and 2 − 3/4·2.
    assert_eq!((value, freedom, of), (0.75, 1.0, 4.0));
    let expected = 64.0 / 63.0 * (0.25 + 0.25) / 16.0;
    assert!((variance - expected).abs() < 1e-12, "{variance} and not {expected}");
    let mut one = GroupedSum::default();
    one.add(5, 1.0);
    assert_eq!(Estimate::of(&one, 0.1), None, "one group has no spread");
}

#[test]
fn deviates_have_the_chances_of_students_t() {
    for freedom in [5.0, 31.0, 63.0] {
        let student = StudentsT::new(0.0, 1.0, freedom).expect("fine");
        let standard = Normal::new(0.0, 1.0).expect("fine");
        for t in [-3.0, -0.5, 0.5, 1.0, 2.0, 4.0, 6.0] {
            let estimate = Estimate { value: t, variance: 1.0, freedom, of: 100.0 };
            let (ours, exact) = (estimate.deviate(), student.sf(f64::abs(t)));
            let chance = standard.sf(ours.abs());
            assert!((chance / exact).ln().abs() < 0.1, "t {t} of {freedom}: {chance} {exact}");
            assert_eq!(ours.signum(), t.signum());
        }
    }
}
