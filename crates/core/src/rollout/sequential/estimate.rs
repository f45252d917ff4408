//! A test of means, with standard errors over groups of users.

use super::log_evidence::{join_weighted, required_log_evidence};
use crate::rollout::window::{GROUPS, GroupedSum};
use statrs::function::erf::erfc;
use std::f64::consts::{LN_2, SQRT_2};

/// Groups of users that must have been seen before a mean says anything: one busy user is no population.
pub const MIN_GROUPS: usize = GROUPS / 2;

/// A mean, and how uncertain it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean, or a difference of means.
    pub value: f64,
    /// The square of its standard error.
    pub variance: f64,
    /// Degrees of freedom of the variance.
    pub freedom: f64,
    /// How many values the mean is taken of.
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

    /// The mean of values that are 1 or 0, where each user has a chance of `share` to have 1. The variance is
    /// that of the split itself: groups are drawn like arms, so the spread of their sizes says how unequal
    /// users are, whichever of them were chosen.
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

    /// The mean as [`Self::of`] gives it; none unless enough groups of users were seen to speak for all.
    pub fn of_population(sums: &GroupedSum, spread: f64) -> Option<Self> {
        if sums.filled() >= MIN_GROUPS { Self::of(sums, spread) } else { None }
    }

    /// This estimate, at least as uncertain as `other` would be of as few values. The fewer values there are,
    /// the more a low mean goes with a small spread, and would be taken for more certain than it is.
    pub fn as_wide_as(self, other: Self) -> Self {
        let scaled = other.variance * other.of / self.of;
        if scaled <= self.variance {
            return self;
        }
        Self { variance: scaled, freedom: other.freedom, ..self }
    }

    /// The estimate of the difference with the opposite sign.
    pub fn negated(self) -> Self {
        Self { value: -self.value, ..self }
    }

    /// `self − constant`.
    pub fn minus_constant(self, constant: f64) -> Self {
        Self { value: self.value - constant, ..self }
    }

    /// How many standard errors the value is from 0, as if the variance were known: Student's t turned
    /// into a normal deviate (Wallace 1959).
    pub(super) fn deviate(self) -> f64 {
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
        let bound = v * (v + s) / s * (2.0 * required_log_evidence(alpha) + ((v + s) / v).ln());
        // The normal bound, widened as far as Student's t is wider (Wallace, turned round).
        let z = (bound / v).sqrt();
        let factor = (8.0 * self.freedom + 1.0) / (8.0 * self.freedom + 3.0);
        let t = (self.freedom * ((z / factor).powi(2) / self.freedom).exp_m1()).sqrt();
        t.max(z) * v.sqrt()
    }
}

/// Natural logarithm of the evidence that a mean is above 0, against "it is 0 or below". `scale`: the size of
/// differences that is found first; larger ones are found sooner still.
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

/// The evidence of [`mean_above`], mixed over several sizes of differences, each with its weight, which add up to at most
/// 1: small ones are found by one, large ones sooner by another.
pub fn mean_above_by_scales(estimate: Estimate, scales: &[(f64, f64)]) -> f64 {
    let logs = scales.iter().map(|&(weight, scale)| (weight, mean_above(estimate, scale)));
    join_weighted(logs)
}

/// ln Φ(x), for what is not far below 0.
fn log_normal_cdf(x: f64) -> f64 {
    (0.5 * erfc(-x / SQRT_2)).max(f64::MIN_POSITIVE).ln()
}
