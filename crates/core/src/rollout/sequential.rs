//! Tests that may be looked at after every window.
//!
//! A test that is looked at again and again finds something sooner or later, unless it was made for it.
//! These are *e-processes*: evidence that starts at 1 and, while the hypothesis holds, exceeds 1/α at any
//! time at all with a chance of at most α (Ville 1939; Ramdas, Grünwald, Vovk, Shafer, "Game-theoretic
//! statistics and safe anytime-valid inference", 2023). So a gate may be judged every few seconds for
//! days. Evidence is kept as a natural logarithm: it has to cross [`needed`].
//!
//! - [`ShareTest`] compares how often something happens to two arms: given that it happens, the chance
//!   that it happens to the candidate is known if the rates are equal, however they vary in time
//!   (Lindon, Sanden, Shirikian, "Rapid regression detection in software deployments through
//!   sequential testing", KDD 2022).
//! - [`mean_above`] is the mixture sequential probability ratio test for a mean that is normal
//!   by the central limit theorem (Robbins 1970; Johari, Koomen, Pekelis, Walsh, "Always valid
//!   inference", 2022), one-sided, with standard errors over groups of users.
//!
//! Both approximate: the first takes what happens for independent, the second means for normal. How far
//! that holds for traffic in which users differ is measured by simulation in the tests.

use crate::rollout::window::{GROUPS, GroupedSum};
use statrs::function::erf::erfc;
use std::f64::consts::{LN_2, SQRT_2};

/// Groups of users that must have been seen before a mean says anything: one busy user is no population.
pub const MIN_GROUPS: usize = GROUPS / 2;
/// How many times more often a thing may happen to the candidate: the alternatives that a share test
/// weighs against the hypothesis.
const RATIOS_ABOVE: [f64; 9] = [1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1_000.0];
/// How many times as often, if it happens less: the alternatives to "it is worse".
const RATIOS_BELOW: [f64; 6] = [0.9, 0.8, 0.65, 0.5, 0.25, 0.1];

/// What the logarithm of the evidence must reach for a chance of false alarm of `alpha`.
pub fn needed(alpha: f64) -> f64 {
    -alpha.ln()
}

/// How often something happened to an arm of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrences {
    /// How often.
    pub times: u64,
    /// Of how many.
    pub of: u64,
}

impl Occurrences {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self { times: self.times + other.times, of: self.of + other.of }
    }
}

/// Whether something happens to the candidate more than `ratio` times as often as to the baseline; see
/// the module. One log-likelihood ratio for each alternative, summed over windows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShareTest {
    /// Against "at most `ratio` times", by alternative.
    pub above: Vec<f64>,
    /// Against "at least `ratio` times", by alternative.
    pub below: Vec<f64>,
}

impl ShareTest {
    /// Takes in a window.
    pub fn learn(&mut self, baseline: Occurrences, candidate: Occurrences, ratio: f64) {
        if baseline.of == 0 || candidate.of == 0 {
            return;
        }
        let odds = ratio * candidate.of as f64 / baseline.of as f64;
        let update = |evidence: &mut Vec<f64>, alternatives: &[f64]| {
            evidence.resize(alternatives.len(), 0.0);
            for (log_ratio, times) in evidence.iter_mut().zip(alternatives) {
                // Shares odds/(1 + odds) and odds·times/(1 + odds·times).
                let to_baseline = (1.0 + odds).ln() - (1.0 + odds * times).ln();
                let to_candidate = times.ln() + to_baseline;
                *log_ratio += candidate.times as f64 * to_candidate;
                *log_ratio += baseline.times as f64 * to_baseline;
            }
        };
        update(&mut self.above, &RATIOS_ABOVE);
        update(&mut self.below, &RATIOS_BELOW);
    }

    /// Takes in a window of a candidate that something may happen to with a chance of at most `chance`.
    pub fn learn_constant(&mut self, candidate: Occurrences, chance: f64) {
        let Occurrences { times, of } = candidate;
        let chance = chance.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        let update = |evidence: &mut Vec<f64>, alternatives: &[f64]| {
            evidence.resize(alternatives.len(), 0.0);
            for (log_ratio, factor) in evidence.iter_mut().zip(alternatives) {
                // By odds, so that every alternative is a chance.
                let odds = factor * chance / (1.0 - chance);
                let other = odds / (1.0 + odds);
                *log_ratio += times as f64 * (other / chance).ln();
                *log_ratio += (of - times) as f64 * ((1.0 - other) / (1.0 - chance)).ln();
            }
        };
        update(&mut self.above, &RATIOS_ABOVE);
        update(&mut self.below, &RATIOS_BELOW);
    }

    /// Evidence that it happens more often than allowed.
    pub fn worse(&self) -> f64 {
        log_mean_exp(&self.above)
    }

    /// Evidence that it does not.
    pub fn fine(&self) -> f64 {
        log_mean_exp(&self.below)
    }
}

/// ln of the mean of the exponentials; 0 of none.
fn log_mean_exp(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return 0.0;
    }
    let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
    largest + (sum / logs.len() as f64).ln()
}

/// Joins evidence from several sources on one hypothesis: their mean is evidence too.
pub fn join(logs: &[f64]) -> f64 {
    log_mean_exp(logs)
}

/// A mean, and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean, or a difference of means.
    pub value: f64,
    /// The square of its standard error.
    pub variance: f64,
    /// Degrees of freedom of the variance.
    pub freedom: f64,
    /// How many values there are.
    pub of: f64,
}

impl Estimate {
    /// The mean of a sum by groups of users, as a ratio of totals (Cochran, "Sampling Techniques", 1977,
    /// §6.3). `spread` is how far single values may plausibly lie from their mean: that of one further
    /// observation is added, so that equal values are not taken for certainty. None without two groups.
    pub fn of(sums: &GroupedSum, spread: f64) -> Option<Self> {
        let (total, filled) = (sums.total() as f64, sums.filled());
        let value = sums.mean()?;
        if filled < 2 {
            return None;
        }
        let squares: f64 = sums
            .count
            .iter()
            .zip(&sums.sum)
            .map(|(&count, &sum)| (sum - value * count as f64).powi(2))
            .sum();
        let groups = GROUPS as f64;
        let variance = groups / (groups - 1.0) * squares / (total * total);
        let variance = variance + spread * spread / (total * total);
        Some(Self { value, variance, freedom: filled as f64 - 1.0, of: total })
    }

    /// The share of those that count 1, where each user has a chance of `share` to be one. The variance is
    /// that of the split itself: groups are drawn like arms, so the spread of their sizes says how unequal
    /// users are, whoever of them was chosen.
    pub fn of_share(sums: &GroupedSum, share: f64) -> Option<Self> {
        let (total, groups) = (sums.total() as f64, GROUPS as f64);
        let value = sums.mean()?;
        let usual = total / groups;
        let squares: f64 = sums.count.iter().map(|&count| (count as f64 - usual).powi(2)).sum();
        // One of as many users as there are counts is the least that it can be.
        let squares = (squares * groups / (groups - 1.0)).max(total);
        let variance = share * (1.0 - share) * squares / (total * total);
        Some(Self { value, variance, freedom: groups - 1.0, of: total })
    }

    /// `self − factor × other`, of independent users (Welch 1947).
    pub fn minus(self, factor: f64, other: Self) -> Self {
        let theirs = factor * factor * other.variance;
        let variance = self.variance + theirs;
        let spent = self.variance.powi(2) / self.freedom + theirs.powi(2) / other.freedom;
        let freedom = if spent > 0.0 { variance.powi(2) / spent } else { self.freedom };
        Self { value: self.value - factor * other.value, variance, freedom, ..self }
    }

    /// The same, where enough users were seen to speak for all.
    pub fn of_population(sums: &GroupedSum, spread: f64) -> Option<Self> {
        if sums.filled() >= MIN_GROUPS { Self::of(sums, spread) } else { None }
    }

    /// At least as uncertain as `other` would be of as few values. The fewer there are, the more a low
    /// mean goes with a small spread, and would be taken for more certain than it is.
    pub fn as_wide_as(self, other: Self) -> Self {
        let scaled = other.variance * other.of / self.of;
        if scaled <= self.variance {
            return self;
        }
        Self { variance: scaled, freedom: other.freedom, ..self }
    }

    /// The same, turned round.
    pub fn negated(self) -> Self {
        Self { value: -self.value, ..self }
    }

    /// `self − constant`.
    pub fn less(self, constant: f64) -> Self {
        Self { value: self.value - constant, ..self }
    }

    /// How many standard errors the value is from 0, as if the variance were known: Student's t turned
    /// into a normal deviate (Wallace 1959).
    fn deviate(self) -> f64 {
        let t = self.value / self.variance.sqrt();
        let Self { freedom, .. } = self;
        let factor = (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0);
        factor * (freedom * (t * t / freedom).ln_1p()).sqrt() * t.signum()
    }

    /// Half the width of an interval that covers the truth at all times with chance `1 − alpha`
    /// (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory", 2021).
    /// `scale`: the size of differences that it should be narrow for.
    pub fn half_width(self, scale: f64, alpha: f64) -> f64 {
        let (v, s) = (self.variance, scale * scale);
        let bound = v * (v + s) / s * (2.0 * needed(alpha) + ((v + s) / v).ln());
        // The normal bound, widened as far as Student's t is wider (Wallace, turned round).
        let z = (bound / v).sqrt();
        let factor = (8.0 * self.freedom + 1.0) / (8.0 * self.freedom + 3.0);
        let t = (self.freedom * ((z / factor).powi(2) / self.freedom).exp_m1()).sqrt();
        t.max(z) * v.sqrt()
    }
}

/// Evidence that a mean is above 0, against "it is 0 or below". `scale`: how far above is worth finding
/// first; larger differences are found sooner still.
pub fn mean_above(estimate: Estimate, scale: f64) -> f64 {
    let Estimate { variance: v, .. } = estimate;
    if v <= 0.0 || scale <= 0.0 || !v.is_finite() {
        return 0.0;
    }
    let s = scale * scale;
    let z = estimate.deviate();
    // A half-normal mixture of means above 0, of standard deviation `scale`.
    let x = z * (s / (v + s)).sqrt();
    LN_2 + 0.5 * (v / (v + s)).ln() + 0.5 * x * x + log_normal_cdf(x)
}

/// ln Φ(x), for what is not far below 0.
fn log_normal_cdf(x: f64) -> f64 {
    (0.5 * erfc(-x / SQRT_2)).max(f64::MIN_POSITIVE).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
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
        test.learn(Occurrences { times: 1, of: 10 }, Occurrences { times: 3, of: 10 }, 1.0);
        let twice = RATIOS_ABOVE.iter().position(|&ratio| ratio == 2.0).expect("there");
        let expected = 3.0 * (2.0f64 / 3.0 / 0.5).ln() + (1.0f64 / 3.0 / 0.5).ln();
        assert!((test.above[twice] - expected).abs() < 1e-12, "{:?}", test.above);
        let mut nothing = ShareTest::default();
        nothing.learn(Occurrences { times: 5, of: 9 }, Occurrences { times: 0, of: 0 }, 1.0);
        assert_eq!(nothing, ShareTest::default(), "one arm alone says nothing");
    }

    #[test]
    fn equal_shares_hardly_ever_alarm_however_often_one_looks() {
        let found = alarms(2_000, |random| {
            let mut test = ShareTest::default();
            (0..200).any(|window| {
                // The rate changes all the time, for both.
                let rate = if window % 7 == 0 { 0.2 } else { 0.02 };
                let (baseline, candidate) =
                    (binomial(90, rate, random), binomial(10, rate, random));
                test.learn(baseline, candidate, 1.0);
                test.worse() >= needed(0.05)
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
                    test.learn_constant(binomial(20, chance, random), 0.05);
                    test.worse() >= needed(0.05)
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
                    mean_above(estimate, 0.2) >= needed(0.05)
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
        let Estimate { value, variance, freedom, of } =
            Estimate::of(&sums, 0.0).expect("two groups");
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
}
