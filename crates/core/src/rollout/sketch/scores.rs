//! How scores are distributed.

use std::collections::BTreeMap;

/// How much larger a bucket's largest score is than its smallest.
const GROWTH: f64 = 1.1;
/// Scores nearer to 0 are 0.
pub(super) const LEAST_SCORE: f64 = 1e-9;
/// Scores further from 0 are this: routers cut them long before.
pub(super) const LARGEST_SCORE: f64 = 1e9;
/// The last bucket on either side of 0; ⌈ln(10^18) / ln 1.1⌉.
pub const MAX_BUCKET: i32 = 435;

/// A distribution of scores: counts by buckets that grow by a tenth, so that any quantile is right to
/// 5 % (the sketch of Masson, Rim, Lee, "DDSketch", VLDB 2019).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scores(BTreeMap<i32, u64>);

impl Scores {
    /// Adds one score.
    pub fn add(&mut self, score: f64) {
        self.add_to(bucket_of(score), 1);
    }

    /// Adds `count` scores of a bucket, -[`MAX_BUCKET`]..=[`MAX_BUCKET`].
    pub fn add_to(&mut self, bucket: i32, count: u64) {
        debug_assert!(bucket.abs() <= MAX_BUCKET);
        *self.0.entry(bucket).or_insert(0) += count;
    }

    /// Adds the scores of another distribution.
    pub fn absorb(&mut self, other: &Self) {
        for (&bucket, &count) in &other.0 {
            self.add_to(bucket, count);
        }
    }

    /// The buckets, ascending, and how many scores are in each.
    pub fn buckets(&self) -> impl Iterator<Item = (i32, u64)> {
        self.0.iter().map(|(&bucket, &count)| (bucket, count))
    }

    /// How many scores there are.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The score that `share` (0..=1) of all do not exceed; none if there are none.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = (share * self.total() as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        self.0.iter().find_map(|(&bucket, &count)| {
            below += count;
            (below >= wanted).then(|| middle_of(bucket))
        })
    }

    /// How far apart two distributions are, 0..=1: the largest difference between the shares of both that
    /// do not exceed some score (Kolmogorov and Smirnov's). None if one of them is empty.
    pub fn distance(&self, other: &Self) -> Option<f64> {
        let totals = [self.total() as f64, other.total() as f64];
        if totals.contains(&0.0) {
            return None;
        }
        let mut below = [0u64; 2];
        let mut distance: f64 = 0.0;
        let buckets: std::collections::BTreeSet<i32> =
            self.0.keys().chain(other.0.keys()).copied().collect();
        for bucket in buckets {
            below[0] += self.0.get(&bucket).unwrap_or(&0);
            below[1] += other.0.get(&bucket).unwrap_or(&0);
            distance =
                distance.max((below[0] as f64 / totals[0] - below[1] as f64 / totals[1]).abs());
        }
        Some(distance)
    }
}

/// The bucket of a score; 0 for what is no number.
pub(super) fn bucket_of(score: f64) -> i32 {
    let size = score.abs().min(LARGEST_SCORE);
    if score.is_nan() || size < LEAST_SCORE {
        return 0;
    }
    let steps = ((size / LEAST_SCORE).ln() / GROWTH.ln()).floor() as i32;
    (steps + 1).min(MAX_BUCKET) * if score < 0.0 { -1 } else { 1 }
}

/// A score in the middle of a bucket.
pub(super) fn middle_of(bucket: i32) -> f64 {
    match bucket {
        0 => 0.0,
        _ => f64::from(bucket.signum()) * LEAST_SCORE * GROWTH.powf(f64::from(bucket.abs()) - 0.5),
    }
}
