//! Intervals by drawing users anew: the studentised bootstrap (Efron and Tibshirani 1993, chapter 12).
//!
//! Users are drawn with replacement, all of their answers at a time. Each draw's distance from the estimate is
//! measured in the draw's own standard errors, so that a skewed estimate gets a skewed interval.

use super::sums::{SUMS, Statistic, Sums, add};
use serde::Serialize;

/// What an interval covers.
pub const COVERAGE: f64 = 0.9;
/// Groups that users are put into for drawing, at most: a draw of so many takes milliseconds, and more make an
/// interval no better.
pub const MAX_GROUPS_OF_USERS: usize = 1_024;

/// A value with its standard error and the ends of its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The value that is estimated.
    pub value: f64,
    /// The lower end of the 90 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The standard error, users being independent.
    pub standard_error: f64,
}

/// The interval of each statistic, over groups of users. `below(n)` gives a random number in `0..n`.
pub(super) fn intervals<const N: usize>(
    groups: &[Sums],
    statistics: impl Fn(&Sums) -> [Statistic; N],
    resamples: usize,
    below: &mut dyn FnMut(usize) -> usize,
) -> [Interval; N] {
    let (mut total, mut products) = ([0.0; SUMS], [[0.0; SUMS]; SUMS]);
    groups.iter().for_each(|group| add(&mut total, &mut products, group, 1.0));
    let found = statistics(&total);
    let errors = found.map(|statistic| statistic.standard_error(&products, groups.len()));
    let mut distances: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(resamples));
    let mut times = vec![0.0; groups.len()];
    for _ in 0..resamples {
        times.fill(0.0);
        for _ in 0..groups.len() {
            times[below(groups.len())] += 1.0;
        }
        let (mut drawn_total, mut drawn_products) = ([0.0; SUMS], [[0.0; SUMS]; SUMS]);
        for (group, &times) in groups.iter().zip(&times).filter(|(_, times)| **times > 0.0) {
            add(&mut drawn_total, &mut drawn_products, group, times);
        }
        for (n, drawn) in statistics(&drawn_total).iter().enumerate() {
            let error = drawn.standard_error(&drawn_products, groups.len());
            let distance = (drawn.value - found[n].value) / error;
            if distance.is_finite() {
                distances[n].push(distance);
            }
        }
    }
    let mut intervals = Vec::with_capacity(N);
    for ((statistic, standard_error), mut distances) in found.iter().zip(errors).zip(distances) {
        distances.sort_by(f64::total_cmp);
        let tail = (1.0 - COVERAGE) / 2.0;
        let value = statistic.value;
        let end = |share| value - quantile(&distances, share) * standard_error;
        intervals.push(Interval { value, low: end(1.0 - tail), high: end(tail), standard_error });
    }
    std::array::from_fn(|n| intervals[n])
}

/// The order statistic that so large a share of further values would be below; 0 of none.
fn quantile(ascending: &[f64], share: f64) -> f64 {
    let place = (share * (ascending.len() + 1) as f64).round() as usize;
    let place = place.clamp(1, ascending.len().max(1)) - 1;
    ascending.get(place).copied().unwrap_or(0.0)
}
