//! Is B better than A? Two evaluations of the same users, with paired tests of the difference.
//!
//! Users are paired: each has a difference B − A in every measure, and what is tested is whether their
//! mean could be luck of the draw of users. Three answers, which agree for hundreds of users
//! (Smucker, Allan and Carterette 2007, "A comparison of statistical significance tests for information
//! retrieval evaluation"):
//!
//! - **p by randomisation** (Fisher 1935): were A and B the same, either list of a user could as well
//!   have come from the other. The share of random exchanges whose mean difference is at least as far
//!   from 0, the observed one among them: (1 + count) / (1 + resamples), as Phipson and Smyth 2010
//!   have it, so it is never 0.
//! - **p by Student's paired t-test**, two-sided, t = mean / (s / √n) with n − 1 degrees of freedom.
//! - **A 95 % interval by the paired bootstrap** (Efron and Tibshirani 1993, percentile interval):
//!   users are drawn with replacement, and the middle 95 % of the means is the interval.
//!
//! A user's exchange or draw takes all measures at all cut-offs together. Resample n has random
//! numbers of its own, from the seed and n: the figures do not depend on the number of threads.
//!
//! Deliberately missing: a correction for looking at many measures. Decide beforehand on one, or
//! multiply p by the number of those you look at (Bonferroni). Coverage and Gini are of all lists
//! together, and have no pairs.

use super::metrics::{Measure, Moments};
use super::per_user::PerUser;
use crate::error::TrainError;
use crate::random::Random;
use rayon::prelude::*;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF as _, StudentsT};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Resamples where none are asked for: p near 0.05 is then known to ±0.004.
pub const DEFAULT_RESAMPLES: usize = 10_000;
/// Fewest: with fewer there is no 95 % interval to speak of.
const MIN_RESAMPLES: usize = 100;
/// Most: the means of all are held in memory, some hundred bytes each.
const MAX_RESAMPLES: usize = 1_000_000;
/// What the interval covers, and what is outside on either side.
const TAIL: f64 = 0.025;

/// How two evaluations are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompareOptions {
    /// Random exchanges and random draws of users.
    pub resamples: usize,
    /// What they come from.
    pub seed: u64,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self { resamples: DEFAULT_RESAMPLES, seed: 1 }
    }
}

impl CompareOptions {
    /// Checks that every option is within its bounds.
    ///
    /// # Errors
    /// The first option that is out of its bounds.
    pub fn validate(&self) -> Result<(), TrainError> {
        if (MIN_RESAMPLES..=MAX_RESAMPLES).contains(&self.resamples) {
            Ok(())
        } else {
            Err(TrainError::option(
                "--resamples",
                format!("{} is not in {MIN_RESAMPLES} to {MAX_RESAMPLES}", self.resamples),
            ))
        }
    }
}

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Users whom both have.
    pub users: usize,
    /// Users whom only A has; they are left out.
    pub users_only_in_a: usize,
    /// Users whom only B has; they are left out.
    pub users_only_in_b: usize,
    /// Random exchanges and draws.
    pub resamples: usize,
    /// What they came from.
    pub seed: u64,
    /// By cut-off and measure.
    pub differences: Vec<Difference>,
}

/// One measure at one cut-off.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The measure that is compared.
    pub metric: Measure,
    /// How many recommendations of a user count.
    pub cutoff: usize,
    /// Users for whom it is defined in both: for novelty, those with two lists.
    pub users: usize,
    /// A's mean over these users.
    pub a: f64,
    /// B's mean over these users.
    pub b: f64,
    /// Mean of B − A.
    pub difference: f64,
    /// Lower end of the 95 % interval of the difference.
    pub interval_low: f64,
    /// Upper end of the interval.
    pub interval_high: f64,
    /// By randomisation: how likely a difference as large is if A and B are alike.
    pub p_value: f64,
    /// Student's t, of so many users less one degrees of freedom; none where all users differ alike.
    pub t: Option<f64>,
    /// The same likelihood by the t-test; none for fewer than two users.
    pub p_value_t_test: Option<f64>,
}

/// Compares two evaluations over the users and cut-offs that both have. `progress(done, total)` is
/// told of resamples.
///
/// # Errors
/// Options out of bounds; no user or no cut-off in common; a user with different numbers of items to find,
/// since then the test files differ.
pub fn compare(
    a: &PerUser,
    b: &PerUser,
    options: &CompareOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Comparison, TrainError> {
    options.validate()?;
    let pairs = Pairs::new(a, b)?;
    let resamples = pairs.resample(options, progress);
    let differences = (0..pairs.columns.len()).map(|column| pairs.test(column, &resamples));
    Ok(Comparison {
        users: pairs.users,
        users_only_in_a: a.rows.len() - pairs.users,
        users_only_in_b: b.rows.len() - pairs.users,
        resamples: options.resamples,
        seed: options.seed,
        differences: differences.collect(),
    })
}

/// Differences of paired users, users × width: a column a measure and cut-off, then for each of these
/// 1 where it is defined for the user, where it isn't for all.
struct Pairs {
    users: usize,
    width: usize,
    differences: Vec<f64>,
    columns: Vec<Column>,
}

struct Column {
    measure: Measure,
    cutoff: usize,
    a: Moments,
    b: Moments,
    difference: Moments,
    /// The column that says for which users it is defined; none where it is for all.
    defined: Option<usize>,
    /// Sum of the differences, added up in the order of users as resamples are.
    sum: f64,
    /// Sum of their sizes.
    size: f64,
}

/// One resample's outcome, by column.
struct Resample {
    /// Mean difference of the users drawn.
    mean: Vec<f64>,
    /// Whether the exchange came out at least as far from 0 as what was observed.
    as_far: Vec<bool>,
}

impl Pairs {
    fn new(a: &PerUser, b: &PerUser) -> Result<Self, TrainError> {
        let place = |table: &PerUser, cutoff| table.cutoffs.iter().position(|&k| k == cutoff);
        let shared: Vec<(usize, usize, usize)> = (a.cutoffs.iter().enumerate())
            .filter_map(|(at_a, &cutoff)| Some((cutoff, at_a, place(b, cutoff)?)))
            .collect();
        if shared.is_empty() {
            return Err(TrainError::Data(format!(
                "A has cut-offs {:?} and B {:?}: evaluate both at one cut-off at least",
                a.cutoffs, b.cutoffs
            )));
        }
        let of_b: HashMap<&str, usize> =
            b.rows.iter().enumerate().map(|(n, row)| (row.user.as_str(), n)).collect();
        let rows: Vec<_> = (a.rows.iter())
            .filter_map(|row| Some((row, &b.rows[*of_b.get(row.user.as_str())?])))
            .collect();
        if rows.is_empty() {
            return Err(TrainError::Data(
                "A and B have no user in common: evaluate both on one test file".into(),
            ));
        }
        if let Some((a, b)) = rows.iter().find(|(a, b)| a.held_out != b.held_out) {
            return Err(TrainError::Data(format!(
                "user {:?} had {} items to find in A and {} in B: evaluate both on one test file",
                a.user, a.held_out, b.held_out
            )));
        }
        let mut columns = Vec::new();
        for &(cutoff, at_a, at_b) in &shared {
            for measure in Measure::ALL {
                let mut column = Column {
                    measure,
                    cutoff,
                    a: Moments::default(),
                    b: Moments::default(),
                    difference: Moments::default(),
                    defined: None,
                    sum: 0.0,
                    size: 0.0,
                };
                for (a, b) in &rows {
                    let pair = (a.scores[at_a].get(measure), b.scores[at_b].get(measure));
                    if let (Some(a), Some(b)) = pair {
                        column.a.add(a);
                        column.b.add(b);
                        column.difference.add(b - a);
                        column.sum += b - a;
                        column.size += (b - a).abs();
                    }
                }
                // A measure that is defined for no user has no mean.
                if column.difference.count > 0 {
                    columns.push((column, at_a, at_b));
                }
            }
        }
        let mut width = columns.len();
        for (column, _, _) in &mut columns {
            if column.difference.count < rows.len() {
                column.defined = Some(width);
                width += 1;
            }
        }
        let mut differences = vec![0.0; rows.len() * width];
        for ((a, b), row) in rows.iter().zip(differences.chunks_exact_mut(width)) {
            for (n, (column, at_a, at_b)) in columns.iter().enumerate() {
                let pair =
                    (a.scores[*at_a].get(column.measure), b.scores[*at_b].get(column.measure));
                if let (Some(a), Some(b)) = pair {
                    row[n] = b - a;
                    column.defined.into_iter().for_each(|place| row[place] = 1.0);
                }
            }
        }
        let columns = columns.into_iter().map(|(column, _, _)| column).collect();
        Ok(Self { users: rows.len(), width, differences, columns })
    }

    fn row(&self, user: usize) -> &[f64] {
        &self.differences[user * self.width..][..self.width]
    }

    fn resample(
        &self,
        options: &CompareOptions,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Vec<Resample> {
        let done = AtomicU64::new(0);
        let numbers = (0..options.resamples).into_par_iter();
        numbers
            .map(|n| {
                let resample = self.resample_once(options.seed, n);
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, options.resamples as u64);
                resample
            })
            .collect()
    }

    /// The n-th resample, of a random stream of its own.
    fn resample_once(&self, seed: u64, n: usize) -> Resample {
        // The seed is mixed first: seeds that differ in low bits only would otherwise have the same streams,
        // in another order.
        let mut random = Random::new(Random::new(Random::new(seed).next() ^ n as u64).next());
        Resample { as_far: self.exchange(&mut random), mean: self.draw(&mut random) }
    }

    /// Exchanges A and B for about half of the users.
    fn exchange(&self, random: &mut Random) -> Vec<bool> {
        let mut sums = vec![0.0; self.columns.len()];
        let mut bits = 0;
        for user in 0..self.users {
            if user % 64 == 0 {
                bits = random.next();
            }
            let sign = if bits >> (user % 64) & 1 == 0 { 1.0 } else { -1.0 };
            sums.iter_mut().zip(self.row(user)).for_each(|(sum, &d)| *sum += sign * d);
        }
        // Exchanges that come to the same sum in another order may differ by rounding.
        const ROUNDING: f64 = 1e-12;
        let as_far =
            |(column, sum): (&Column, f64)| sum.abs() >= column.sum.abs() - ROUNDING * column.size;
        self.columns.iter().zip(sums).map(as_far).collect()
    }

    /// Draws as many users as there are, with replacement.
    fn draw(&self, random: &mut Random) -> Vec<f64> {
        let mut sums = vec![0.0; self.width];
        for _ in 0..self.users {
            let row = self.row(random.below(self.users));
            sums.iter_mut().zip(row).for_each(|(sum, &d)| *sum += d);
        }
        let mut means = Vec::with_capacity(self.columns.len());
        for (n, column) in self.columns.iter().enumerate() {
            let users = match column.defined {
                Some(place) => sums[place],
                None => self.users as f64,
            };
            // Where none of those drawn has it, the mean is taken as 0.
            means.push(sums[n] / users.max(1.0));
        }
        means
    }

    fn test(&self, number: usize, resamples: &[Resample]) -> Difference {
        let column = &self.columns[number];
        let Moments { count, mean, .. } = column.difference;
        let mut means: Vec<f64> = resamples.iter().map(|one| one.mean[number]).collect();
        means.sort_unstable_by(f64::total_cmp);
        let as_far = resamples.iter().filter(|one| one.as_far[number]).count();
        let (t, p_value_t_test) = t_test(&column.difference);
        Difference {
            metric: column.measure,
            cutoff: column.cutoff,
            users: count,
            a: column.a.mean,
            b: column.b.mean,
            difference: mean,
            interval_low: quantile(&means, TAIL),
            interval_high: quantile(&means, 1.0 - TAIL),
            p_value: (1 + as_far) as f64 / (1 + resamples.len()) as f64,
            t,
            p_value_t_test,
        }
    }
}

/// Student's t of a mean difference and its two-sided p.
fn t_test(differences: &Moments) -> (Option<f64>, Option<f64>) {
    let (mean, error) = (differences.mean, differences.standard_error());
    if differences.count < 2 {
        return (None, None);
    }
    if error == 0.0 {
        // No user differs, or all by the same: there is no spread to hold the mean against.
        return (None, Some(if mean == 0.0 { 1.0 } else { 0.0 }));
    }
    let t = mean / error;
    let p = StudentsT::new(0.0, 1.0, (differences.count - 1) as f64)
        .ok()
        .map(|student| 2.0 * student.cdf(-t.abs()));
    (Some(t), p)
}

/// The value below which a share lies, of ascending values; linear between neighbours.
fn quantile(ascending: &[f64], share: f64) -> f64 {
    let place = share * (ascending.len() - 1) as f64;
    let (low, high) = (ascending[place.floor() as usize], ascending[place.ceil() as usize]);
    low + (high - low) * (place - place.floor())
}

#[cfg(test)]
mod tests {
    use super::super::metrics::UserScores;
    use super::super::per_user::UserRow;
    use super::*;
    use proptest::prelude::*;

    /// Users with these values of every measure, at cut-off 5.
    fn table(values: &[f64]) -> PerUser {
        let row = |(n, &value): (usize, &f64)| {
            let mut scores = UserScores::default();
            Measure::ALL.iter().for_each(|&measure| scores.set(measure, Some(value)));
            UserRow { user: n.to_string(), held_out: 3, scores: vec![scores] }
        };
        PerUser { cutoffs: vec![5], rows: values.iter().enumerate().map(row).collect() }
    }

    fn run(a: &PerUser, b: &PerUser, seed: u64) -> Comparison {
        compare(a, b, &CompareOptions { resamples: 2_000, seed }, &|_, _| ()).expect("comparable")
    }

    /// scipy.stats.ttest_rel of 1 … 5 against 0: t = 4.242640687, p = 0.013235600. Of 2⁵ exchanges,
    /// two have a sum as far from 0: p = 1/16.
    #[test]
    fn tests_as_by_hand() {
        let found = run(&table(&[0.0; 5]), &table(&[1.0, 2.0, 3.0, 4.0, 5.0]), 1);
        assert_eq!((found.users, found.differences.len()), (5, Measure::ALL.len()));
        let one = &found.differences[0];
        assert_eq!((one.a, one.b, one.difference), (0.0, 3.0, 3.0));
        assert!((one.t.expect("spread") - 4.242_640_687).abs() < 1e-8, "{one:?}");
        assert!((one.p_value_t_test.expect("spread") - 0.013_235_600).abs() < 1e-8, "{one:?}");
        // 2,000 draws of a share of 1/16 have a standard error of 0.0054.
        assert!((one.p_value - 1.0 / 16.0).abs() < 0.02, "{one:?}");
        // Means of five draws out of 1 … 5 have a deviation of √2 / √5 = 0.63; the middle 95 % is
        // within ±1.4 of 3 or so, and never beyond 1 … 5.
        assert!((1.4..2.2).contains(&one.interval_low), "{one:?}");
        assert!((3.8..4.6).contains(&one.interval_high), "{one:?}");
    }

    #[test]
    fn a_system_is_not_better_than_itself() {
        let a = table(&[0.1, 0.5, 0.0, 1.0]);
        for one in run(&a, &a, 1).differences {
            assert_eq!((one.difference, one.interval_low, one.interval_high), (0.0, 0.0, 0.0));
            assert_eq!((one.p_value, one.t, one.p_value_t_test), (1.0, None, Some(1.0)));
        }
    }

    /// With many users of both signs the two tests agree, and a real difference is found.
    #[test]
    fn tests_agree_with_many_users() {
        let mut random = Random::new(3);
        let a: Vec<f64> = (0..400).map(|_| f64::from(random.uniform())).collect();
        let noise: Vec<f64> = (0..400).map(|_| f64::from(random.uniform()) - 0.5).collect();
        for (shift, significant) in [(0.0, false), (0.05, true)] {
            let b: Vec<f64> = a.iter().zip(&noise).map(|(a, noise)| a + noise + shift).collect();
            let one = run(&table(&a), &table(&b), 1).differences.remove(0);
            let by_t = one.p_value_t_test.expect("spread");
            assert!((one.p_value - by_t).abs() < 0.05, "{one:?}");
            assert_eq!(one.p_value < 0.05, significant, "{one:?}");
            assert_eq!(one.interval_low > 0.0, significant, "{one:?}");
            // The normal interval, which is right here, is 1.96 standard errors to either side.
            let error = one.difference / one.t.expect("spread");
            assert!((one.interval_high - one.difference - 1.96 * error).abs() < 0.2 * error);
        }
    }

    #[test]
    fn only_what_both_have_is_compared() {
        let (mut a, mut b) = (table(&[0.0, 0.5, 1.0]), table(&[0.5, 0.5, 0.5, 0.5]));
        a.rows.remove(0);
        b.rows[1].scores[0].set(Measure::Novelty, None);
        b.cutoffs.push(7);
        b.rows.iter_mut().for_each(|row| row.scores.push(UserScores::default()));
        let found = run(&a, &b, 1);
        assert_eq!((found.users, found.users_only_in_a, found.users_only_in_b), (2, 0, 2));
        let of =
            |measure| found.differences.iter().find(|one| one.metric == measure).expect("there");
        assert_eq!((of(Measure::Recall).users, of(Measure::Recall).difference), (2, -0.25));
        // One user is left for novelty, who has no spread to test.
        let novelty = of(Measure::Novelty);
        assert_eq!((novelty.users, novelty.difference, novelty.p_value_t_test), (1, -0.5, None));
        assert!((-0.5..=0.0).contains(&novelty.interval_low), "{novelty:?}");
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let message = |a: &PerUser, b: &PerUser| {
            compare(a, b, &CompareOptions::default(), &|_, _| ()).expect_err("refused").to_string()
        };
        let a = table(&[0.0]);
        let other = PerUser { cutoffs: vec![6], ..a.clone() };
        assert!(message(&a, &other).contains("cut-offs [5] and B [6]"));
        let mut other = a.clone();
        other.rows[0].user = "x".into();
        assert!(message(&a, &other).contains("no user in common"));
        let mut other = a.clone();
        other.rows[0].held_out = 9;
        assert!(message(&a, &other).contains("had 3 items to find in A and 9 in B"));
        let few = CompareOptions { resamples: 5, seed: 1 };
        let error = compare(&a, &a, &few, &|_, _| ()).expect_err("refused").to_string();
        assert_eq!(error, "--resamples: 5 is not in 100 to 1000000");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn exchanging_a_and_b_turns_the_sign(
            pairs in prop::collection::vec((0u8..5, 0u8..5), 1..20),
            seed in any::<u64>(),
        ) {
            let of = |side: fn(&(u8, u8)) -> u8| -> PerUser {
                table(&pairs.iter().map(|pair| f64::from(side(pair)) / 4.0).collect::<Vec<_>>())
            };
            let (a, b) = (of(|pair| pair.0), of(|pair| pair.1));
            let options = CompareOptions { resamples: 200, seed };
            let there = compare(&a, &b, &options, &|_, _| ()).expect("fine").differences.remove(0);
            let back = compare(&b, &a, &options, &|_, _| ()).expect("fine").differences.remove(0);
            prop_assert!((there.difference + back.difference).abs() < 1e-12);
            prop_assert!((there.interval_low + back.interval_high).abs() < 1e-12);
            prop_assert_eq!(there.p_value, back.p_value);
            prop_assert!((0.0..=1.0).contains(&there.p_value));
            prop_assert!(there.interval_low <= there.interval_high);
            // Means of quarters are exact enough to lie within what users can differ by.
            prop_assert!(there.difference.abs() <= 1.0);
        }
    }
}
