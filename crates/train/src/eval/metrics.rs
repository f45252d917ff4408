//! What is measured, each with its formula: the one place of definitions.
//!
//! For a user with held-out items T and a list cut at K, let hits be the places k ≤ K whose item is in
//! T, and m = min(K, |T|), the most hits there can be. Means are over all users of the test file.
//!
//! | name | of one user | source |
//! |---|---|---|
//! | `recall` | hits / m | |
//! | `precision` | hits / K | |
//! | `ndcg` | Σ over hits of 1 / log₂(k + 1), divided by the same sum over k = 1 … m | Järvelin and Kekäläinen 2002, binary gains |
//! | `map` | average precision: Σ over hits of (hits up to k) / k, divided by m | Manning, Raghavan and Schütze 2008, 8.4, cut at K |
//! | `mrr` | 1 / k of the first hit, 0 without one | Voorhees 1999 |
//! | `hit_rate` | 1 with a hit, 0 without one | Deshpande and Karypis 2004 |
//! | `recall_all` | hits / \|T\|: what papers on LightGCN's splits call recall | He et al. 2020 |
//! | `novelty` | mean over the list of −log₂(share of train users who have the item) | Zhou et al. 2010, self-information |
//!
//! A user without a list counts 0 everywhere but in novelty, where only lists count. An item that no
//! train user has counts there as if one had. Dividing recall and MAP by m, not by |T|, lets a perfect
//! list score 1 at any cut-off.
//!
//! Two are of all lists together, over the catalogue, which is the n items of train and test:
//!
//! - `coverage` is the share of the catalogue that some list holds (Herlocker et al. 2004).
//! - `gini` is Σᵢ (2i − n − 1) xᵢ / (n Σᵢ xᵢ), where x₁ ≤ … ≤ xₙ are how often the items are
//!   recommended (Fleder and Hosanagar 2009): 0 when all are equally often, near 1 when it is always
//!   the same few.
//!
//! A standard error is s / √users with s the sample standard deviation (n − 1) over users: how much
//! of a mean is luck of the draw of users, and not of the seed or the split.

use crate::error::TrainError;
use serde::{Deserialize, Serialize};

/// Largest cut-off: the most that one answer can hold.
pub const MAX_CUTOFF: usize = marquee_core::bounds::MAX_COUNT as usize;
/// Most cut-offs at once: a printed table has no room for more.
pub const MAX_CUTOFFS: usize = 16;

/// Places at which lists are cut: ascending, distinct, at least one, each 1 to [`MAX_CUTOFF`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cutoffs(Vec<usize>);

impl Cutoffs {
    /// These cut-offs, in any order.
    ///
    /// # Errors
    /// None, too many, or one out of its bounds.
    pub fn new(cutoffs: &[usize]) -> Result<Self, TrainError> {
        if let Some(cutoff) = cutoffs.iter().find(|cutoff| !(1..=MAX_CUTOFF).contains(*cutoff)) {
            let problem = format!("{cutoff} is not in 1 to {MAX_CUTOFF}");
            return Err(TrainError::option("--cutoff", problem));
        }
        let mut all = cutoffs.to_vec();
        all.sort_unstable();
        all.dedup();
        match all.len() {
            1..=MAX_CUTOFFS => Ok(Self(all)),
            n => Err(TrainError::option(
                "--cutoff",
                format!("{n} cut-offs: give 1 to {MAX_CUTOFFS}"),
            )),
        }
    }

    /// A single cut-off; one out of bounds counts as the nearest within.
    pub fn one(cutoff: usize) -> Self {
        Self(vec![cutoff.clamp(1, MAX_CUTOFF)])
    }

    /// The cut-offs, ascending.
    pub fn all(&self) -> &[usize] {
        &self.0
    }

    /// The largest: how long lists need to be.
    pub fn largest(&self) -> usize {
        self.0.last().copied().unwrap_or(1)
    }
}

/// What is measured of each user's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Share of the hits there can be.
    Recall,
    /// Share of the list that is hits.
    Precision,
    /// Discounted gain of the hits over that of a perfect list.
    Ndcg,
    /// Average precision: the mean of the precision at each hit.
    Map,
    /// Reciprocal of the first hit's place.
    Mrr,
    /// Whether there is a hit.
    HitRate,
    /// Share of all that was held out, however short the list is.
    RecallAll,
    /// Mean self-information of the list's items, in bits.
    Novelty,
}

impl Measure {
    /// All, in the order of tables.
    pub const ALL: [Self; 8] = [
        Self::Recall,
        Self::Precision,
        Self::Ndcg,
        Self::Map,
        Self::Mrr,
        Self::HitRate,
        Self::RecallAll,
        Self::Novelty,
    ];

    /// As in JSON and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recall => "recall",
            Self::Precision => "precision",
            Self::Ndcg => "ndcg",
            Self::Map => "map",
            Self::Mrr => "mrr",
            Self::HitRate => "hit_rate",
            Self::RecallAll => "recall_all",
            Self::Novelty => "novelty",
        }
    }
}

/// One user's list at one cut-off, by the definitions of this module.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UserScores([Option<f64>; Measure::ALL.len()]);

impl UserScores {
    /// The value; none where it isn't defined: the novelty of no list.
    pub fn get(&self, measure: Measure) -> Option<f64> {
        self.0[measure as usize]
    }

    pub(crate) fn set(&mut self, measure: Measure, value: Option<f64>) {
        self.0[measure as usize] = value;
    }
}

/// Means over users at one cut-off, and what all lists together are like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// How many recommendations of a user count.
    pub cutoff: usize,
    /// How many users were evaluated; one without a list counts 0.
    pub users: usize,
    /// Hits of those there can be.
    pub recall: f64,
    /// Standard error of `recall`; 0 with fewer than two users, as for all that follow.
    pub recall_standard_error: f64,
    /// Hits of the list's places.
    pub precision: f64,
    /// Its standard error.
    pub precision_standard_error: f64,
    /// Discounted gain of the hits over that of a perfect list.
    pub ndcg: f64,
    /// Its standard error.
    pub ndcg_standard_error: f64,
    /// Mean over users of the average precision.
    pub map: f64,
    /// Its standard error.
    pub map_standard_error: f64,
    /// Mean reciprocal rank of the first hit.
    pub mrr: f64,
    /// Its standard error.
    pub mrr_standard_error: f64,
    /// Share of users with a hit.
    pub hit_rate: f64,
    /// Its standard error.
    pub hit_rate_standard_error: f64,
    /// Hits of all that was held out: recall divides by the list's length where more was.
    pub recall_all: f64,
    /// Its standard error.
    pub recall_all_standard_error: f64,
    /// Mean self-information in bits over the users with a list; none without lists or train users.
    pub novelty: Option<f64>,
    /// Its standard error.
    pub novelty_standard_error: Option<f64>,
    /// Share of the items that some list holds.
    pub coverage: f64,
    /// How unequally often items are recommended; none when nothing was.
    pub gini: Option<f64>,
}

impl Metrics {
    /// The mean of a measure and its standard error.
    pub fn get(&self, measure: Measure) -> Option<(f64, f64)> {
        Some(match measure {
            Measure::Recall => (self.recall, self.recall_standard_error),
            Measure::Precision => (self.precision, self.precision_standard_error),
            Measure::Ndcg => (self.ndcg, self.ndcg_standard_error),
            Measure::Map => (self.map, self.map_standard_error),
            Measure::Mrr => (self.mrr, self.mrr_standard_error),
            Measure::HitRate => (self.hit_rate, self.hit_rate_standard_error),
            Measure::RecallAll => (self.recall_all, self.recall_all_standard_error),
            Measure::Novelty => (self.novelty?, self.novelty_standard_error?),
        })
    }
}

/// One recommendation as it is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Whether the item was held out.
    pub(crate) hit: bool,
    /// The item's number in the catalogue, none for one that neither train nor test has.
    pub(crate) item: Option<u32>,
}

/// Metrics in the making, a user at a time, at all cut-offs in one pass over the list.
#[derive(Clone, Debug)]
pub(crate) struct MetricTally {
    /// `discounts[k]` is the gain of a hit at place k from 0, `ideal[m]` that of m hits in the first places.
    discounts: Vec<f64>,
    ideal: Vec<f64>,
    /// −log₂(share) of each item of the catalogue, and of items outside; none without train users.
    information: Option<(Vec<f64>, f64)>,
    users: usize,
    at: Vec<AtCutoff>,
}

#[derive(Clone, Debug)]
struct AtCutoff {
    cutoff: usize,
    moments: [Moments; Measure::ALL.len()],
    /// How often each item of the catalogue was recommended.
    recommended: Vec<u32>,
}

/// The bits of information in a recommendation of an item that so many of the users have, at least one.
fn information_of(count: u32, users: usize) -> f64 {
    (users as f64 / f64::from(count.max(1))).log2()
}

impl MetricTally {
    /// `train_counts` is, for each item of the catalogue, how many of the `train_users` have it.
    pub(crate) fn new(cutoffs: &Cutoffs, train_counts: &[u32], train_users: usize) -> Self {
        let discounts: Vec<f64> =
            (0..cutoffs.largest()).map(|place| 1.0 / (place as f64 + 2.0).log2()).collect();
        let ideal = std::iter::once(0.0).chain(discounts.iter().scan(0.0, |sum, gain| {
            *sum += gain;
            Some(*sum)
        }));
        let ideal = ideal.collect();
        let information = (train_users > 0).then(|| {
            let of_items = train_counts.iter().map(|&count| information_of(count, train_users));
            (of_items.collect(), information_of(0, train_users))
        });
        let at = cutoffs.all().iter().map(|&cutoff| AtCutoff {
            cutoff,
            moments: Default::default(),
            recommended: vec![0; train_counts.len()],
        });
        Self { discounts, ideal, information, users: 0, at: at.collect() }
    }

    /// Counts one user: the list, best first, and how many items were held out. Returns the scores
    /// at each cut-off.
    pub(crate) fn add(&mut self, list: &[Place], held_out: usize) -> Vec<UserScores> {
        self.users += 1;
        let (mut hits, mut gain, mut precisions, mut bits) = (0usize, 0.0, 0.0, 0.0);
        let mut first = None;
        let mut place = 0;
        let mut scores = Vec::with_capacity(self.at.len());
        for at in &mut self.at {
            for &Place { hit, item } in &list[place.min(list.len())..at.cutoff.min(list.len())] {
                if hit {
                    hits += 1;
                    gain += self.discounts[place];
                    precisions += hits as f64 / (place + 1) as f64;
                    first = first.or(Some(place + 1));
                }
                if let Some((items, outside)) = &self.information {
                    bits += item.map_or(*outside, |item| items[item as usize]);
                }
                place += 1;
            }
            list[..place].iter().filter_map(|place| place.item).for_each(|item| {
                at.recommended[item as usize] += 1;
            });
            let possible = held_out.min(at.cutoff);
            let of_possible = |x: f64| if possible == 0 { 0.0 } else { x / possible as f64 };
            let mut mine = UserScores::default();
            mine.set(Measure::Recall, Some(of_possible(hits as f64)));
            mine.set(Measure::Precision, Some(hits as f64 / at.cutoff as f64));
            let ideal = self.ideal[possible];
            mine.set(Measure::Ndcg, Some(if possible == 0 { 0.0 } else { gain / ideal }));
            mine.set(Measure::Map, Some(of_possible(precisions)));
            mine.set(Measure::Mrr, Some(first.map_or(0.0, |place: usize| 1.0 / place as f64)));
            mine.set(Measure::HitRate, Some(f64::from(u8::from(hits > 0))));
            let of_all = hits as f64 / held_out.max(1) as f64;
            mine.set(Measure::RecallAll, Some(of_all));
            let has_novelty = place > 0 && self.information.is_some();
            mine.set(Measure::Novelty, has_novelty.then(|| bits / place as f64));
            for measure in Measure::ALL {
                if let Some(value) = mine.get(measure) {
                    at.moments[measure as usize].add(value);
                }
            }
            scores.push(mine);
        }
        scores
    }

    /// The means so far, at each cut-off.
    pub(crate) fn finish(&self) -> Vec<Metrics> {
        self.at.iter().map(|at| self.metrics(at)).collect()
    }

    fn metrics(&self, at: &AtCutoff) -> Metrics {
        let of = |measure: Measure| at.moments[measure as usize];
        let novelty = Some(of(Measure::Novelty)).filter(|moments| moments.count > 0);
        let items = at.recommended.len();
        let covered = at.recommended.iter().filter(|&&count| count > 0).count();
        Metrics {
            cutoff: at.cutoff,
            users: self.users,
            recall: of(Measure::Recall).mean,
            recall_standard_error: of(Measure::Recall).standard_error(),
            precision: of(Measure::Precision).mean,
            precision_standard_error: of(Measure::Precision).standard_error(),
            ndcg: of(Measure::Ndcg).mean,
            ndcg_standard_error: of(Measure::Ndcg).standard_error(),
            map: of(Measure::Map).mean,
            map_standard_error: of(Measure::Map).standard_error(),
            mrr: of(Measure::Mrr).mean,
            mrr_standard_error: of(Measure::Mrr).standard_error(),
            hit_rate: of(Measure::HitRate).mean,
            hit_rate_standard_error: of(Measure::HitRate).standard_error(),
            recall_all: of(Measure::RecallAll).mean,
            recall_all_standard_error: of(Measure::RecallAll).standard_error(),
            novelty: novelty.map(|moments| moments.mean),
            novelty_standard_error: novelty.map(|moments| moments.standard_error()),
            coverage: covered as f64 / items.max(1) as f64,
            gini: gini(&at.recommended),
        }
    }
}

/// Mean and variance of a stream of values (Welford 1962).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    pub(super) count: usize,
    pub(super) mean: f64,
    /// Sum of squared deviations from the mean.
    squares: f64,
}

impl Moments {
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        let deviation = value - self.mean;
        self.mean += deviation / self.count as f64;
        self.squares += deviation * (value - self.mean);
    }

    /// s / √n; 0 with fewer than two values, where it isn't known.
    pub(super) fn standard_error(&self) -> f64 {
        match self.count {
            0 | 1 => 0.0,
            n => (self.squares.max(0.0) / (n - 1) as f64 / n as f64).sqrt(),
        }
    }
}

fn gini(counts: &[u32]) -> Option<f64> {
    let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    if total == 0.0 {
        return None;
    }
    let mut ascending = counts.to_vec();
    ascending.sort_unstable();
    let n = counts.len() as f64;
    let weighted: f64 = ascending
        .iter()
        .enumerate()
        .map(|(i, &count)| (2.0 * (i as f64 + 1.0) - n - 1.0) * f64::from(count))
        .sum();
    Some(weighted / (n * total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cutoffs(all: &[usize]) -> Cutoffs {
        Cutoffs::new(all).expect("within bounds")
    }

    /// A list of items, of whom those with a hit are marked.
    fn list(places: &[(u32, bool)]) -> Vec<Place> {
        places.iter().map(|&(item, hit)| Place { hit, item: Some(item) }).collect()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn recall_of_all_counts_what_no_list_has_room_for() {
        let mut tally = MetricTally::new(&cutoffs(&[1]), &[8, 4], 8);
        tally.add(&list(&[(0, true)]), 4);
        let [one] = tally.finish().try_into().expect("one cut-off");
        assert_eq!((one.recall, one.recall_all), (1.0, 0.25));
    }

    /// By hand, at 1 and 3, over a catalogue of 4 items that 8, 4, 2 and 0 of 8 train users have. User
    /// 1 has 2 held out and hits at places 1 and 3; user 2 has 3 held out and a hit at 2; user 3 has
    /// no list.
    #[test]
    fn all_metrics_as_by_hand() {
        let mut tally = MetricTally::new(&cutoffs(&[3, 1]), &[8, 4, 2, 0], 8);
        tally.add(&list(&[(0, true), (1, false), (2, true)]), 2);
        tally.add(&list(&[(0, false), (2, true), (3, false)]), 3);
        tally.add(&[], 1);
        let [one, three] = tally.finish().try_into().expect("two cut-offs");
        let second = 1.0 / 3f64.log2();
        let expected = [
            (Measure::Recall, [1.0, 1.0 / 3.0]),
            (Measure::Precision, [2.0 / 3.0, 1.0 / 3.0]),
            (Measure::Ndcg, [1.5 / (1.0 + second), second / (1.5 + second)]),
            (Measure::Map, [(1.0 + 2.0 / 3.0) / 2.0, 0.5 / 3.0]),
            (Measure::Mrr, [1.0, 0.5]),
            (Measure::HitRate, [1.0, 1.0]),
            (Measure::RecallAll, [1.0, 1.0 / 3.0]),
        ];
        for (measure, users) in expected {
            let mean = (users[0] + users[1]) / 3.0;
            let squares = (users[0] - mean).powi(2) + (users[1] - mean).powi(2) + mean * mean;
            let (got, error) = three.get(measure).expect("defined");
            assert!(close(got, mean), "{measure:?} {got} {mean}");
            assert!(close(error, (squares / 2.0 / 3.0).sqrt()), "{measure:?} {error}");
        }
        // Bits: 0, 1, 2, and 3 for the item that no user has. Lists: (0 + 1 + 2) / 3 and (0 + 2 + 3) / 3.
        assert!(close(three.novelty.expect("lists"), (1.0 + 5.0 / 3.0) / 2.0), "{three:?}");
        assert!(close(three.novelty_standard_error.expect("lists"), 1.0 / 3.0), "{three:?}");
        // Recommended 1, 1, 2 and 2 times: (-3 - 1 + 2 + 6) / (4 × 6).
        assert!(close(three.gini.expect("lists"), 4.0 / 24.0), "{three:?}");
        assert_eq!((three.users, three.cutoff, three.coverage), (3, 3, 1.0));

        assert!(close(one.recall, 1.0 / 3.0) && close(one.precision, 1.0 / 3.0), "{one:?}");
        assert!(close(one.ndcg, 1.0 / 3.0) && close(one.map, 1.0 / 3.0), "{one:?}");
        assert!(close(one.mrr, 1.0 / 3.0) && close(one.hit_rate, 1.0 / 3.0), "{one:?}");
        assert_eq!((one.cutoff, one.novelty, one.coverage), (1, Some(0.0), 0.25));
        // One of four items, twice: (4 - 1) × 2 / (4 × 2).
        assert_eq!(one.gini, Some(0.75));
    }

    #[test]
    fn more_held_out_than_the_cutoff_can_still_be_perfect() {
        let mut tally = MetricTally::new(&cutoffs(&[2]), &[1, 1], 1);
        tally.add(&list(&[(0, true), (1, true)]), 10);
        let metrics = &tally.finish()[0];
        assert_eq!((metrics.recall, metrics.ndcg, metrics.map), (1.0, 1.0, 1.0));
        assert_eq!((metrics.gini, metrics.recall_standard_error), (Some(0.0), 0.0));
    }

    #[test]
    fn without_lists_or_train_users_some_are_not_defined() {
        let mut tally = MetricTally::new(&cutoffs(&[2]), &[1], 1);
        tally.add(&[], 3);
        let metrics = &tally.finish()[0];
        assert_eq!((metrics.recall, metrics.novelty, metrics.gini), (0.0, None, None));
        let mut tally = MetricTally::new(&cutoffs(&[2]), &[0], 0);
        tally.add(&list(&[(0, true)]), 3);
        assert_eq!(tally.finish()[0].novelty, None);
    }

    #[test]
    fn an_item_outside_the_catalogue_is_new_to_all_users() {
        let mut tally = MetricTally::new(&cutoffs(&[1]), &[4], 4);
        tally.add(&[Place { hit: false, item: None }], 1);
        let metrics = &tally.finish()[0];
        assert_eq!((metrics.novelty, metrics.coverage, metrics.gini), (Some(2.0), 0.0, None));
    }

    #[test]
    fn cutoffs_are_sorted_and_bounded() {
        assert_eq!(cutoffs(&[20, 5, 20]).all(), [5, 20]);
        for bad in [&[][..], &[0], &[1001], &(1..=17).collect::<Vec<_>>()] {
            assert!(Cutoffs::new(bad).is_err(), "{bad:?}");
        }
    }

    const ITEMS: usize = 12;

    /// Lists of distinct items with what was held out, as (items, number held out beyond the hits).
    fn users() -> impl Strategy<Value = Vec<(Vec<(u32, bool)>, usize)>> {
        let items: Vec<u32> = (0..ITEMS as u32).collect();
        let list = (0..=ITEMS)
            .prop_flat_map(move |n| (Just(items.clone()).prop_shuffle(), Just(n)))
            .prop_flat_map(|(items, n)| {
                let hits = prop::collection::vec(any::<bool>(), n);
                hits.prop_map(move |hits| items.iter().copied().zip(hits).collect())
            });
        prop::collection::vec((list, 0usize..5), 1..8)
    }

    fn held_out(user: &(Vec<(u32, bool)>, usize)) -> usize {
        (user.0.iter().filter(|place| place.1).count() + user.1).max(1)
    }

    proptest! {
        #[test]
        fn metrics_are_bounded_and_the_order_of_users_does_not_matter(users in users()) {
            let counts: Vec<u32> = (0..ITEMS as u32).collect();
            let of = |users: &[(Vec<(u32, bool)>, usize)]| {
                let mut tally = MetricTally::new(&cutoffs(&[1, 3, 10]), &counts, ITEMS);
                users.iter().for_each(|user| { tally.add(&list(&user.0), held_out(user)); });
                tally.finish()
            };
            let metrics = of(&users);
            let reversed: Vec<_> = users.iter().rev().cloned().collect();
            for (a, b) in metrics.iter().zip(of(&reversed)) {
                for measure in Measure::ALL {
                    let (a, b) = (a.get(measure), b.get(measure));
                    prop_assert_eq!(a.is_some(), b.is_some());
                    if let (Some(a), Some(b)) = (a, b) {
                        prop_assert!(close(a.0, b.0) && close(a.1, b.1), "{:?} {:?} {:?}", measure, a, b);
                        prop_assert!(a.0 >= 0.0 && (measure == Measure::Novelty || a.0 <= 1.0 + 1e-12));
                    }
                }
                prop_assert_eq!((a.coverage, a.gini), (b.coverage, b.gini));
                // From all items equally often to one item alone.
                prop_assert!(a.gini.is_none_or(|g| (0.0..=1.0 - 1.0 / ITEMS as f64 + 1e-12).contains(&g)));
                // Since m ≤ K, and since one hit makes a hit rate of 1.
                prop_assert!(a.precision <= a.recall + 1e-12 && a.mrr <= a.hit_rate + 1e-12);
                prop_assert!(a.recall <= a.hit_rate + 1e-12);
            }
        }

        #[test]
        fn several_cutoffs_at_once_are_each_alone(users in users()) {
            let counts = vec![1; ITEMS];
            let of = |all: &[usize]| {
                let mut tally = MetricTally::new(&cutoffs(all), &counts, 2);
                users.iter().for_each(|user| { tally.add(&list(&user.0), held_out(user)); });
                tally.finish()
            };
            let together = of(&[2, 5, 11]);
            for (n, &cutoff) in [2, 5, 11].iter().enumerate() {
                prop_assert_eq!(&together[n], &of(&[cutoff])[0]);
            }
        }

        /// Once all that was held out fits into the list, more places can only add hits.
        #[test]
        fn recall_grows_with_the_cutoff_beyond_the_held_out(users in users()) {
            for user in users {
                let held_out = held_out(&user);
                let all: Vec<usize> = (held_out..=ITEMS).collect();
                if all.is_empty() { continue; }
                let mut tally = MetricTally::new(&cutoffs(&all), &[1; ITEMS], 2);
                let scores = tally.add(&list(&user.0), held_out);
                for measure in [Measure::Recall, Measure::Ndcg, Measure::Map, Measure::Mrr, Measure::HitRate] {
                    let values: Vec<_> = scores.iter().map(|scores| scores.get(measure)).collect();
                    prop_assert!(values.is_sorted(), "{:?} {:?}", measure, values);
                }
            }
        }

        #[test]
        fn a_perfect_list_scores_one(held_out in 1usize..15, cutoff in 1usize..15) {
            let mut tally = MetricTally::new(&cutoffs(&[cutoff]), &[1; 20], 2);
            let places: Vec<(u32, bool)> = (0..cutoff as u32).map(|n| (n, (n as usize) < held_out)).collect();
            let scores = tally.add(&list(&places), held_out)[0];
            for measure in [Measure::Recall, Measure::Ndcg, Measure::Map, Measure::Mrr, Measure::HitRate] {
                prop_assert!(close(scores.get(measure).expect("defined"), 1.0), "{:?}", measure);
            }
        }
    }
}
