//! A comparison of two arms within strata: short stretches of time in which users are split by the same share.
//!
//! A rollout changes the share of its candidate, and traffic changes by the hour. Evidence that is added up over
//! both takes what changes in time for a difference between the arms (Simpson's paradox). Here arms are compared within each
//! stratum, and the differences are added up: the estimator of Mantel and Haenszel ("Statistical aspects of the analysis of
//! data from retrospective studies of disease", 1959), in the form for rates of Greenland and Robins ("Estimation of a common effect
//! parameter from sparse follow-up data", Biometrics 1985). What is common to both arms at a time cancels.
//!
//! For a stratum with `n1` answers of the candidate that add up to `s1`, and `n0` and `s0` of the baseline,
//! the excess over `ratio` times the baseline is `(n0·s1 − ratio·n1·s0) / (n0 + n1)`, and its weight `n0·n1 / (n0 + n1)`.
//! The excess is kept by group of users, as what each group contributes to it. Users are split by a hash, once
//! for all: what is uncertain is which users an arm has, not how often they come. So the spread of the contributions of groups
//! is the uncertainty, however many answers a user has, and whatever they have in common.

use super::estimate::Estimate;
use crate::rollout::window::{GROUPS, GroupedSum};

/// What two arms have been measured by, within one stratum.
#[derive(Clone, Copy, Debug)]
pub struct Stratum<'a> {
    /// The values of the baseline.
    pub baseline: &'a GroupedSum,
    /// The values of the candidate.
    pub candidate: &'a GroupedSum,
    /// The share of users that have the candidate, above 0 and below 1.
    pub share: f64,
    /// Whether both arms answered the same requests, so that no user belongs to one of them.
    pub is_paired: bool,
}

/// Sums over strata, by group of users. Everything in it adds up, so the sums of a stretch of time are the
/// difference of two of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Stratified {
    /// What each group contributes to the mean of the candidate, by group.
    pub candidate: Vec<f64>,
    /// What each group contributes to the mean of the baseline, by group.
    pub baseline: Vec<f64>,
    /// The weight of each group.
    pub weight: Vec<f64>,
    /// How far the sums of each group and arm are from what they would be if all users were alike and the candidate
    /// at its bound: first the groups of the baseline, then those of the candidate.
    pub residual: Vec<f64>,
}

impl Default for Stratified {
    fn default() -> Self {
        let zeros = || vec![0.0; GROUPS];
        Self {
            candidate: zeros(),
            baseline: zeros(),
            weight: zeros(),
            residual: vec![0.0; 2 * GROUPS],
        }
    }
}

impl Stratified {
    /// Adds a stratum. `ratio`: the candidate's bound, as a multiple of the baseline.
    pub fn add(&mut self, stratum: Stratum<'_>, ratio: f64) {
        let Stratum { baseline, candidate, share, is_paired } = stratum;
        let (n0, n1) = (baseline.total() as f64, candidate.total() as f64);
        if n0 + n1 == 0.0 {
            return;
        }
        let (s0, s1) = (baseline.sum.iter().sum::<f64>(), candidate.sum.iter().sum::<f64>());
        // The means over both arms of the values, where those of the other arm are zero.
        let (mean0, mean1, part0) = (s0 / (n0 + n1), s1 / (n0 + n1), n0 / (n0 + n1));
        let rest = 1.0 - share;
        // Chance splits no users where both arms have all of them.
        let scale = if is_paired { 0.0 } else { (share * rest).sqrt() };
        for group in 0..GROUPS {
            let (count0, count1) = (baseline.count[group] as f64, candidate.count[group] as f64);
            let (sum0, sum1) = (baseline.sum[group], candidate.sum[group]);
            let balance = rest * count1 - share * count0;
            self.candidate[group] += rest * sum1 - balance * mean1;
            self.baseline[group] += share * sum0 + balance * mean0;
            self.weight[group] += share * count0 + balance * part0;
            let mean = ratio * mean0 + mean1;
            self.residual[group] += scale * (ratio * sum0 - count0 * mean);
            self.residual[GROUPS + group] += scale * (sum1 - count1 * mean);
        }
    }

    /// Adds values that are compared with a constant: then the ratio is that constant.
    pub fn add_alone(&mut self, values: &GroupedSum) {
        for group in 0..GROUPS {
            let count = values.count[group] as f64;
            self.candidate[group] += values.sum[group];
            self.baseline[group] += count;
            self.weight[group] += count;
        }
    }

    /// Adds the sums of other strata.
    pub fn absorb(&mut self, other: &Self) {
        for (mine, theirs) in self.parts_mut().into_iter().zip(other.parts()) {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        }
    }

    /// What was added since these were the sums.
    pub fn since(&self, before: &Self) -> Self {
        let mut rest = self.clone();
        for (mine, theirs) in rest.parts_mut().into_iter().zip(before.parts()) {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine -= theirs);
        }
        rest
    }

    /// The sum of the weights; it is at most the number of values of either arm.
    pub fn total_weight(&self) -> f64 {
        self.weight.iter().sum()
    }

    /// The baseline's mean, weighted as the comparison is; none without weight.
    pub fn baseline_mean(&self) -> Option<f64> {
        let weight = self.total_weight();
        (weight > 0.0).then(|| self.baseline.iter().sum::<f64>() / weight)
    }

    /// The candidate's mean, weighted as the comparison is; none without weight.
    pub fn candidate_mean(&self) -> Option<f64> {
        let weight = self.total_weight();
        (weight > 0.0).then(|| self.candidate.iter().sum::<f64>() / weight)
    }

    /// How far the candidate's mean is above `ratio` times the baseline's, less what a covariate explains of it
    /// (Deng, Xu, Kohavi, Walker, "Improving the sensitivity of online controlled experiments by utilizing pre-experiment data",
    /// WSDM 2013). `spread`: how far single values may plausibly be from their mean; that of one further value is added, so that equal
    /// values are not taken for certainty. None where too few groups have weight.
    pub fn excess(&self, ratio: f64, covariate: Option<&Self>, spread: f64) -> Option<Estimate> {
        let total = self.total_weight();
        let squares: f64 = self.weight.iter().map(|weight| weight * weight).sum();
        // As many equal groups would weigh as much.
        let groups = total * total / squares;
        if total <= 0.0 || groups.is_nan() || groups < MIN_EQUAL_GROUPS {
            return None;
        }
        let slope = covariate.map_or(0.0, |covariate| self.slope_on(covariate));
        let mut contributions: Vec<f64> = self
            .candidate
            .iter()
            .zip(&self.baseline)
            .map(|(candidate, baseline)| candidate - ratio * baseline)
            .collect();
        let mut residual_squares = 0.0;
        for (n, residual) in self.residual.iter().enumerate() {
            let explained = covariate.map_or(0.0, |covariate| slope * covariate.residual[n]);
            residual_squares += (residual - explained).powi(2);
        }
        if let Some(covariate) = covariate {
            let explained = covariate.candidate.iter().zip(&covariate.baseline);
            for (mine, (candidate, baseline)) in contributions.iter_mut().zip(explained) {
                *mine -= slope * (candidate - baseline);
            }
        }
        let value = contributions.iter().sum::<f64>() / total;
        // How far the value moves when a group is left out (the jackknife): a group that is most of the whole
        // makes the value uncertain, whatever it is.
        let mut jackknife = 0.0;
        for (contribution, weight) in contributions.iter().zip(&self.weight) {
            let left = (total - weight).max(f64::MIN_POSITIVE);
            jackknife += ((contribution - value * weight) / left).powi(2);
        }
        let groups_seen = GROUPS as f64;
        let jackknife = (groups_seen - 1.0) / groups_seen * jackknife;
        // How far chance can move the value by the split of users alone, from the users of both arms. It holds where
        // few users have the candidate, whose own spread says little.
        let split = residual_squares / (total * total);
        let further = (spread / total).powi(2);
        let (variance, freedom) =
            if jackknife >= split { (jackknife, groups - 1.0) } else { (split, groups_seen - 1.0) };
        Some(Estimate { value, variance: variance + further, freedom, of: total })
    }

    /// The slope of the regression on a covariate, over groups and arms.
    fn slope_on(&self, covariate: &Self) -> f64 {
        let products = self.residual.iter().zip(&covariate.residual);
        let product: f64 = products.map(|(mine, theirs)| mine * theirs).sum();
        let square: f64 = covariate.residual.iter().map(|value| value * value).sum();
        if square > 0.0 { product / square } else { 0.0 }
    }

    fn parts(&self) -> [&Vec<f64>; 4] {
        let Self { candidate, baseline, weight, residual } = self;
        [candidate, baseline, weight, residual]
    }

    fn parts_mut(&mut self) -> [&mut Vec<f64>; 4] {
        let Self { candidate, baseline, weight, residual } = self;
        [candidate, baseline, weight, residual]
    }
}

/// How many equal groups of users a comparison must rest on: with fewer the spread between them says little.
const MIN_EQUAL_GROUPS: f64 = 6.0;
