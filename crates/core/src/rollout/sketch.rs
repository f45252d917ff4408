//! Sketches: what can be said of many answers without keeping them, and added up over routers.
//!
//! [`Distinct`] counts different items, [`Scores`] holds a distribution. Both have a bound on their size
//! that does not depend on how much went into them. They are here, and no crate's, because they cross the wire
//! and the log of control: their parts must be checked where they come in, and be the same on every node.

use std::collections::BTreeMap;

/// Bits of a hash that choose a register.
const PRECISION: u32 = 10;
/// Registers of a [`Distinct`]: its standard error is 1.04/√1024, or 3 %.
pub const REGISTERS: usize = 1 << PRECISION;
/// The most that a register can be: one more than the bits of a hash that choose none.
pub const MAX_REGISTER: u8 = (64 - PRECISION + 1) as u8;

/// How many different things there were: a HyperLogLog (Flajolet, Fusy, Gandouet, Meunier 2007).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distinct {
    /// Nothing, or [`REGISTERS`].
    registers: Vec<u8>,
}

impl Distinct {
    /// Of registers as [`Self::registers`] gave them; none if they are no such thing.
    pub fn of_registers(registers: Vec<u8>) -> Option<Self> {
        let is_whole = registers.is_empty() || registers.len() == REGISTERS;
        let fits = is_whole && registers.iter().all(|&register| register <= MAX_REGISTER);
        fits.then_some(Self { registers })
    }

    /// Nothing, or [`REGISTERS`] numbers up to [`MAX_REGISTER`].
    pub fn registers(&self) -> &[u8] {
        &self.registers
    }

    /// One more, by a hash of 64 evenly spread bits.
    pub fn add(&mut self, hash: u64) {
        if self.registers.is_empty() {
            self.registers = vec![0; REGISTERS];
        }
        let rest = hash << PRECISION;
        let rank = (rest.leading_zeros() as u8 + 1).min(MAX_REGISTER);
        let register = &mut self.registers[(hash >> (64 - PRECISION)) as usize];
        *register = rank.max(*register);
    }

    /// Adds another one up: what is in both counts once.
    pub fn absorb(&mut self, other: &Self) {
        if self.registers.is_empty() {
            self.registers.clone_from(&other.registers);
        }
        for (mine, &theirs) in self.registers.iter_mut().zip(&other.registers) {
            *mine = theirs.max(*mine);
        }
    }

    /// How many there were, about: the improved raw estimator (Ertl, "New cardinality estimation algorithms
    /// for HyperLogLog sketches", 2017, algorithm 6), which needs no corrections for few or many.
    pub fn estimate(&self) -> f64 {
        if self.registers.is_empty() {
            return 0.0;
        }
        let m = REGISTERS as f64;
        let mut counts = [0.0; MAX_REGISTER as usize + 1];
        for &register in &self.registers {
            counts[usize::from(register)] += 1.0;
        }
        let mut z = m * tau(1.0 - counts[usize::from(MAX_REGISTER)] / m);
        for &count in counts[1..usize::from(MAX_REGISTER)].iter().rev() {
            z = 0.5 * (z + count);
        }
        z += m * sigma(counts[0] / m);
        m * m / (2.0 * std::f64::consts::LN_2 * z)
    }
}

/// `x + Σ x^(2^k)·2^(k-1)`, infinite at 1.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// `(1 - x - Σ (1 - x^(2^-k))²·2^-k) / 3`.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// How much larger a bucket's largest score is than its smallest.
const GROWTH: f64 = 1.1;
/// Scores nearer to 0 are 0.
const LEAST_SCORE: f64 = 1e-9;
/// Scores further from 0 are this: routers cut them long before.
const LARGEST_SCORE: f64 = 1e9;
/// The last bucket on either side of 0; ⌈ln(10^18) / ln 1.1⌉.
pub const MAX_BUCKET: i32 = 435;

/// How scores are distributed: counts by buckets that grow by a tenth, so that any quantile is right to
/// 5 % (the sketch of Masson, Rim, Lee, "DDSketch", VLDB 2019).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scores(BTreeMap<i32, u64>);

impl Scores {
    /// One more.
    pub fn add(&mut self, score: f64) {
        self.add_to(bucket_of(score), 1);
    }

    /// `count` more in a bucket, -[`MAX_BUCKET`]..=[`MAX_BUCKET`].
    pub fn add_to(&mut self, bucket: i32, count: u64) {
        debug_assert!(bucket.abs() <= MAX_BUCKET);
        *self.0.entry(bucket).or_insert(0) += count;
    }

    /// Adds others up.
    pub fn absorb(&mut self, other: &Self) {
        for (&bucket, &count) in &other.0 {
            self.add_to(bucket, count);
        }
    }

    /// Buckets, growing, and how many are in each.
    pub fn buckets(&self) -> impl Iterator<Item = (i32, u64)> {
        self.0.iter().map(|(&bucket, &count)| (bucket, count))
    }

    /// How many there are.
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

/// What is no number is 0.
fn bucket_of(score: f64) -> i32 {
    let size = score.abs().min(LARGEST_SCORE);
    if score.is_nan() || size < LEAST_SCORE {
        return 0;
    }
    let steps = ((size / LEAST_SCORE).ln() / GROWTH.ln()).floor() as i32;
    (steps + 1).min(MAX_BUCKET) * if score < 0.0 { -1 } else { 1 }
}

fn middle_of(bucket: i32) -> f64 {
    match bucket {
        0 => 0.0,
        _ => f64::from(bucket.signum()) * LEAST_SCORE * GROWTH.powf(f64::from(bucket.abs()) - 0.5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{Purpose, stable_hash};
    use proptest::prelude::*;

    fn of_items(items: impl IntoIterator<Item = u32>) -> Distinct {
        let mut distinct = Distinct::default();
        for item in items {
            distinct.add(stable_hash(Purpose::Item, &[&item.to_le_bytes()]));
        }
        distinct
    }

    #[test]
    fn counts_are_right_to_four_standard_errors_from_one_to_a_million() {
        for many in [0u32, 1, 2, 10, 100, 1_000, 3_000, 5_000, 20_000, 1_000_000] {
            let estimate = of_items(0..many).estimate();
            let allowed = 4.0 * 1.04 / (REGISTERS as f64).sqrt() * f64::from(many);
            assert!((estimate - f64::from(many)).abs() <= allowed, "{many}: {estimate}");
        }
    }

    #[test]
    fn registers_are_checked() {
        assert!(Distinct::of_registers(vec![]).is_some());
        assert!(Distinct::of_registers(vec![MAX_REGISTER; REGISTERS]).is_some());
        assert!(Distinct::of_registers(vec![MAX_REGISTER + 1; REGISTERS]).is_none());
        assert!(Distinct::of_registers(vec![0; REGISTERS - 1]).is_none());
        let mut all_ones = Distinct::default();
        all_ones.add(0);
        assert_eq!(all_ones.registers()[0], MAX_REGISTER);
        let full = Distinct::of_registers(vec![MAX_REGISTER; REGISTERS]).expect("it is whole");
        assert!(full.estimate() > 1e15, "{}", full.estimate());
    }

    #[test]
    fn quantiles_and_distances_by_hand() {
        let of = |scores: &[f64]| {
            let mut sum = Scores::default();
            scores.iter().for_each(|&score| sum.add(score));
            sum
        };
        let scores = of(&[-3.0, -0.5, 0.0, 0.0, 2.0, 7.0, 7.0, 40.0, 40.0, 1e300]);
        for (share, expected) in
            [(0.0, -3.0), (0.1, -3.0), (0.2, -0.5), (0.3, 0.0), (0.5, 2.0), (0.7, 7.0), (0.9, 40.0)]
        {
            let found = scores.quantile(share).expect("there are some");
            assert!((found - expected).abs() <= 0.05 * f64::abs(expected), "{share}: {found}");
        }
        assert!(scores.quantile(1.0) > Some(0.9 * LARGEST_SCORE));
        assert_eq!(of(&[f64::NAN]), of(&[0.0]));
        assert_eq!(Scores::default().quantile(0.5), None);

        let (low, high) = (of(&[1.0, 1.0, 2.0, 2.0]), of(&[2.0, 2.0, 2.0, 9.0]));
        assert_eq!(low.distance(&high), Some(0.5), "at 1: 2 of 4 against none");
        assert_eq!(low.distance(&of(&[100.0])), Some(1.0));
        assert_eq!(low.distance(&low), Some(0.0));
        assert_eq!(low.distance(&Scores::default()), None);
    }

    proptest! {
        #[test]
        fn adding_up_is_the_same_as_having_seen_all(
            one in prop::collection::vec(any::<u32>(), 0..300), other in prop::collection::vec(any::<u32>(), 0..300),
        ) {
            let mut sum = of_items(one.iter().copied());
            sum.absorb(&of_items(other.iter().copied()));
            let both = || one.iter().chain(&other).copied();
            prop_assert_eq!(&sum, &of_items(both()));
            let scores = |items: &mut dyn Iterator<Item = u32>| {
                let mut sum = Scores::default();
                items.for_each(|item| sum.add(f64::from(item) - 2e9));
                sum
            };
            let mut sum = scores(&mut one.iter().copied());
            sum.absorb(&scores(&mut other.iter().copied()));
            prop_assert_eq!(sum, scores(&mut both()));
        }

        #[test]
        fn a_bucket_has_what_is_near_its_middle(score in -1e9f64..1e9) {
            let bucket = bucket_of(score);
            prop_assert!(bucket.abs() <= MAX_BUCKET);
            if score.abs() > LEAST_SCORE {
                let off = (middle_of(bucket) - score).abs() / score.abs();
                prop_assert!(off <= 0.0501, "{score} is in {bucket} of {}", middle_of(bucket));
            }
        }
    }
}
