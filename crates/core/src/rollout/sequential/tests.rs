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

fn normal(random: &mut fastrand::Rng) -> f64 {
    let (u, v) = (1.0 - random.f64(), random.f64());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[test]
fn shares_by_hand() {
    let mut test = ShareTest::default();
    // Equal arms: a fault is the candidate's with chance 1/2; for "twice as often", with 2/3.
    test.add(1, 3, 1.0);
    let twice = RATIOS_ABOVE.iter().position(|&ratio| ratio == 2.0).expect("there");
    let expected = 3.0 * (2.0f64 / 3.0 / 0.5).ln() + (1.0f64 / 3.0 / 0.5).ln();
    assert!((test.above[twice] - expected).abs() < 1e-12, "{:?}", test.above);
}

#[test]
fn equal_shares_rarely_alarm_however_often_one_looks() {
    let found = alarms(2_000, |random| {
        let mut test = ShareTest::default();
        (0..200).any(|_| {
            let candidate = u64::from(random.f64() < 0.1);
            test.add(1 - candidate, candidate, 0.1 / 0.9);
            test.log_evidence_above() >= required_log_evidence(0.05)
        })
    });
    assert!(found <= 0.05, "{found}");
}

/// Answers to users of groups of their own, with a mean that is a user's, while both arms change alike.
struct World {
    /// The arm, the group and the mean of each user.
    users: Vec<(bool, usize, f64)>,
}

impl World {
    /// `users` users, of whom a share has the candidate, whose means are `effect` times as high.
    fn new(users: usize, share: f64, effect: f64, random: &mut fastrand::Rng) -> Self {
        let draw = |_| {
            let is_candidate = random.f64() < share;
            let mean = (0.5 * normal(random)).exp() * if is_candidate { effect } else { 1.0 };
            (is_candidate, random.usize(..GROUPS), mean)
        };
        Self { users: (0..users).map(draw).collect() }
    }

    /// One answer to each user, times a level that is common to all.
    fn answers(&self, level: f64, random: &mut fastrand::Rng) -> [GroupedSum; 2] {
        let mut sums = [GroupedSum::default(), GroupedSum::default()];
        for &(is_candidate, group, mean) in &self.users {
            let value = level * mean * (0.3 * normal(random)).exp();
            sums[usize::from(is_candidate)].add(group, value);
        }
        sums
    }
}

fn add(sums: &mut Stratified, [baseline, candidate]: &[GroupedSum; 2], share: f64, ratio: f64) {
    sums.add(Stratum { baseline, candidate, share, is_paired: false }, ratio);
}

#[test]
fn a_stratum_by_hand() {
    let mut values = [GroupedSum::default(), GroupedSum::default()];
    for (arm, group, value) in [(0, 0, 1.0), (0, 1, 3.0), (1, 0, 4.0)] {
        values[arm].add(group, value);
    }
    let mut sums = Stratified::default();
    add(&mut sums, &values, 0.5, 1.0);
    // n0 = 2, s0 = 4, n1 = 1, s1 = 4: the weight is 2/3, the excess (2·4 − 1·4)/3.
    assert!((sums.total_weight() - 2.0 / 3.0).abs() < 1e-12);
    assert!((sums.candidate_mean().expect("weight") - 4.0).abs() < 1e-12);
    assert!((sums.baseline_mean().expect("weight") - 2.0).abs() < 1e-12);
    let before = sums.clone();
    add(&mut sums, &values, 0.5, 1.0);
    for (twice, once) in sums.since(&before).candidate.iter().zip(&before.candidate) {
        assert!((twice - once).abs() < 1e-12);
    }
}

#[test]
fn what_changes_for_both_is_no_evidence_while_the_share_grows() {
    for (effect, expected) in [(1.0, 0.0..=0.02), (0.7, 0.95..=1.0)] {
        let found = alarms(300, |random| {
            // The share grows while the level falls by half: pooled, the candidate would look a fifth worse.
            let mut sums = Stratified::default();
            (0..3).any(|step| {
                let share = [0.05, 0.2, 0.5][step];
                let world = World::new(1_000, share, effect, random);
                (0..20).any(|_| {
                    let level = [2.0, 1.5, 1.0][step];
                    add(&mut sums, &world.answers(level, random), share, 0.95);
                    let Some(excess) = sums.excess(0.95, None, 1.0) else { return false };
                    mean_above(excess.negated(), 0.2) >= required_log_evidence(0.02)
                })
            })
        });
        assert!(expected.contains(&found), "{effect}: {found}");
    }
}

#[test]
fn one_user_with_most_of_the_answers_is_no_evidence() {
    let found = alarms(200, |random| {
        let (share, mut sums) = (0.1, Stratified::default());
        let world = World::new(300, share, 1.0, random);
        (0..50).any(|_| {
            let mut values = world.answers(1.0, random);
            // A user of the candidate with half of its answers, all of them zero.
            (0..30).for_each(|_| values[1].add(7, 0.0));
            add(&mut sums, &values, share, 0.95);
            let Some(excess) = sums.excess(0.95, None, 1.0) else { return false };
            mean_above(excess.negated(), 0.2) >= required_log_evidence(0.02)
        })
    });
    assert!(found <= 0.02, "{found}");
}

#[test]
fn what_users_did_before_makes_an_excess_more_certain() {
    let mut random = fastrand::Rng::with_seed(5);
    let (mut sums, mut before) = (Stratified::default(), Stratified::default());
    let world = World::new(1_000, 0.5, 0.9, &mut random);
    for _ in 0..10 {
        add(&mut sums, &world.answers(1.0, &mut random), 0.5, 1.0);
    }
    let mut habits = [GroupedSum::default(), GroupedSum::default()];
    for &(is_candidate, group, mean) in &world.users {
        // Before the trial the candidate's users were like the others.
        let habit = if is_candidate { mean / 0.9 } else { mean };
        habits[usize::from(is_candidate)].add(group, habit);
    }
    for _ in 0..10 {
        add(&mut before, &habits, 0.5, 1.0);
    }
    let plain = sums.excess(1.0, None, 0.1).expect("groups enough");
    let adjusted = sums.excess(1.0, Some(&before), 0.1).expect("groups enough");
    assert!(adjusted.variance < 0.2 * plain.variance, "{adjusted:?} {plain:?}");
    let error = (adjusted.value / 1.13 + 0.1).abs();
    assert!(error < 3.0 * adjusted.variance.sqrt(), "{adjusted:?}");
}

#[test]
fn means_above_rarely_alarm_however_often_one_looks() {
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
