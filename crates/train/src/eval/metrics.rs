//! Recall and nDCG of lists of recommendations against held-out items.

use serde::{Deserialize, Serialize};

/// Means over users.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// How many recommendations of a user count.
    pub cutoff: usize,
    /// How many users were evaluated; one without a list counts 0.
    pub users: usize,
    /// Mean over users of hits / min(cutoff, held-out items).
    pub recall: f64,
    /// Mean over users of the discounted gain of hits over that of a perfect list.
    pub ndcg: f64,
    /// Standard error of `recall`: how much of it is luck of the draw of users.
    pub recall_standard_error: f64,
    /// Share of the items that some list holds.
    pub coverage: f64,
}

/// Metrics in the making, a user at a time.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    cutoff: usize,
    users: usize,
    recall: f64,
    recall_squared: f64,
    ndcg: f64,
    /// `discounts[k]` is the gain of a hit at place k, `ideal[m]` that of m hits in the first places.
    discounts: Vec<f64>,
    ideal: Vec<f64>,
}

impl Tally {
    pub(crate) fn new(cutoff: usize) -> Self {
        let discounts: Vec<f64> =
            (0..cutoff).map(|place| 1.0 / (place as f64 + 2.0).log2()).collect();
        let ideal = std::iter::once(0.0).chain(discounts.iter().scan(0.0, |sum, gain| {
            *sum += gain;
            Some(*sum)
        }));
        let ideal = ideal.collect();
        Self { cutoff, users: 0, recall: 0.0, recall_squared: 0.0, ndcg: 0.0, discounts, ideal }
    }

    /// Counts one user: whether each recommendation, best first, was held out, and how many were.
    pub(crate) fn add(&mut self, hits: impl Iterator<Item = bool>, held_out: usize) {
        self.users += 1;
        let possible = held_out.min(self.cutoff);
        if possible == 0 {
            return;
        }
        let (mut count, mut gain) = (0usize, 0.0);
        for (hit, discount) in hits.zip(&self.discounts) {
            if hit {
                count += 1;
                gain += discount;
            }
        }
        let recall = count as f64 / possible as f64;
        self.recall += recall;
        self.recall_squared += recall * recall;
        self.ndcg += gain / self.ideal[possible];
    }

    /// The means so far; `recommended` of `items` items were in some list.
    pub(crate) fn finish(&self, recommended: usize, items: usize) -> Metrics {
        let users = self.users.max(1) as f64;
        let (recall, ndcg) = (self.recall / users, self.ndcg / users);
        let variance = (self.recall_squared / users - recall * recall).max(0.0);
        Metrics {
            cutoff: self.cutoff,
            users: self.users,
            recall,
            ndcg,
            recall_standard_error: (variance / users).sqrt(),
            coverage: recommended as f64 / items.max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: user 1 has 2 held out and hits at places 1 and 3; user 2 has 3 held out and hits at 2;
    /// cutoff 3.
    #[test]
    fn recall_and_ndcg_as_by_hand() {
        let mut tally = Tally::new(3);
        tally.add([true, false, true].into_iter(), 2);
        tally.add([false, true, false].into_iter(), 3);
        let metrics = tally.finish(4, 8);
        let second = 1.0 / 3f64.log2();
        let ndcg = [(1.0 + 0.5) / (1.0 + second), second / (1.0 + second + 0.5)];
        assert!((metrics.recall - (1.0 + 1.0 / 3.0) / 2.0).abs() < 1e-12);
        assert!((metrics.ndcg - (ndcg[0] + ndcg[1]) / 2.0).abs() < 1e-12);
        assert!((metrics.recall_standard_error - (1.0 / 3.0) / 2f64.sqrt()).abs() < 1e-12);
        assert_eq!((metrics.users, metrics.coverage), (2, 0.5));
    }

    #[test]
    fn more_held_out_than_the_cutoff_can_still_be_perfect() {
        let mut tally = Tally::new(2);
        tally.add([true, true].into_iter(), 10);
        let metrics = tally.finish(2, 2);
        assert_eq!((metrics.recall, metrics.ndcg), (1.0, 1.0));
    }

    #[test]
    fn a_user_without_list_counts_nothing() {
        let mut tally = Tally::new(2);
        tally.add(std::iter::empty(), 3);
        tally.add([true].into_iter(), 1);
        let metrics = tally.finish(1, 2);
        assert_eq!((metrics.recall, metrics.users), (0.5, 2));
    }
}
