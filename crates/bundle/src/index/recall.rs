//! The recall that indexes are tuned for, and what is written about it.

use super::queries::share;
use crate::manifest::AuditedRecall;

/// Of the best 10 only this share of the misses is tolerated: they are what users see, and finding
/// them costs little more. With the default target that is a recall of 0.995, of which other
/// queries than those measured have 0.99: the least effort that suffices for some is a little too
/// little for others.
const MISSES_AT_10: f64 = 0.1;
/// So much of the misses that are tolerated is not looked for, since other queries than those
/// measured will come.
const MARGIN: f64 = 0.2;
/// The recall that searches with a filter are tuned for.
pub(crate) const FILTERED_RECALL: f64 = 0.995;
/// The recall of the last rows, for searches that exclude those before them.
pub(crate) const TAIL_RECALL: f64 = 0.995;
/// The last rows are this share of all down to a depth.
const TAIL_SHARE: f64 = 0.05;
/// The last rows are at least so many.
const LEAST_TAIL: usize = 10;

/// Searches that an index is audited with: results wanted, between the depths that it was tuned at, and how
/// many of the best rows are excluded.
pub(super) const AUDITED: [(usize, usize); 16] = [
    (1, 0),
    (11, 0),
    (20, 0),
    (55, 0),
    (101, 0),
    (200, 0),
    (550, 0),
    (1_000, 0),
    (10, 10),
    (10, 30),
    (10, 100),
    (10, 300),
    (10, 1_000),
    (100, 10),
    (100, 100),
    (100, 1_000),
];

/// The recall to look for at this count of results, for the target recall at 100: between 10 and 100, the misses
/// that are tolerated are in proportion to the results.
pub(super) fn wanted_recall(target: f64, count: usize) -> f64 {
    let tolerated = (MISSES_AT_10 * count as f64 / 10.0).clamp(MISSES_AT_10, 1.0);
    1.0 - tolerated * (1.0 - MARGIN) * (1.0 - target)
}

/// The recall that an audit demands at this count: that is, what is promised, for the target recall at 100.
pub(super) fn promised_recall(target: f64, count: usize) -> f64 {
    let tolerated = (2.0 * MISSES_AT_10 * count as f64 / 10.0).clamp(2.0 * MISSES_AT_10, 1.0);
    1.0 - tolerated * (1.0 - target)
}

/// Efforts are raised where an audit finds less than is promised by more than so many standard errors.
pub(super) const RAISED_BEYOND: f64 = 1.0;
/// … and given up where that did not help and it is by more than so many.
pub(super) const GIVEN_UP_BEYOND: f64 = 2.0;

/// The first of the last rows down to a depth.
pub(super) fn tail_from(depth: usize) -> usize {
    depth - LEAST_TAIL.max((TAIL_SHARE * depth as f64) as usize).min(depth)
}

/// The recalls of some queries, of one kind of search.
#[derive(Default)]
pub(super) struct Recalls {
    found: usize,
    wanted: usize,
    each: Vec<f64>,
}

impl Recalls {
    pub(super) fn add(&mut self, found: usize, wanted: usize) {
        self.found += found;
        self.wanted += wanted;
        self.each.push(share(found, wanted));
    }

    /// The share of all rows that were found.
    pub(super) fn mean(&self) -> f64 {
        share(self.found, self.wanted)
    }

    /// Whether the mean is less than what is promised, by more than so many standard errors of as many results that are
    /// found or not by chance: of 100 queries for one result each, two misses say nothing.
    pub(super) fn miss(&self, promised: f64, standard_errors: f64) -> bool {
        let error = (promised * (1.0 - promised) / self.wanted.max(1) as f64).sqrt();
        self.mean() < promised - standard_errors * error
    }

    /// What is written of them.
    pub(super) fn audited(mut self, count: usize, excluded: usize) -> AuditedRecall {
        let recall = self.mean();
        self.each.sort_unstable_by(f64::total_cmp);
        let worst = &self.each[..self.each.len().div_ceil(100)];
        let worst_percent = worst.iter().sum::<f64>() / worst.len().max(1) as f64;
        AuditedRecall {
            count: count as u32,
            excluded: excluded as u32,
            recall,
            worst_percent: (worst_percent * 1e6).round() / 1e6,
            queries: self.each.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_that_are_tolerated_grow_with_the_results() {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(wanted_recall(0.95, 1), 0.996) && near(wanted_recall(0.95, 10), 0.996));
        assert!(near(wanted_recall(0.95, 50), 0.98) && near(wanted_recall(0.95, 1_000), 0.96));
        assert!(near(promised_recall(0.95, 10), 0.99) && near(promised_recall(0.95, 100), 0.95));
    }

    #[test]
    fn the_tail_is_a_twentieth_and_at_least_ten_rows() {
        assert_eq!([5, 10, 30, 1_000].map(tail_from), [0, 0, 20, 950]);
    }

    #[test]
    fn the_worst_percent_is_at_least_one_query() {
        let mut recalls = Recalls::default();
        for query in 0..150 {
            recalls.add(if query < 2 { 5 + query } else { 10 }, 10);
        }
        let audited = recalls.audited(10, 30);
        assert_eq!((audited.count, audited.excluded, audited.queries), (10, 30, 150));
        assert_eq!(audited.worst_percent, 0.55);
        assert_eq!(audited.recall, 0.994);
        assert_eq!(Recalls::default().audited(1, 0).recall, 1.0);
    }

    #[test]
    fn what_chance_explains_is_not_missed() {
        let mut recalls = Recalls::default();
        (0..100).for_each(|query| recalls.add(usize::from(query >= 2), 1));
        assert!(recalls.miss(0.99, 0.5) && !recalls.miss(0.99, 1.5));
        // Of more results the same mean says more.
        (0..10_000).for_each(|query| recalls.add(usize::from(query >= 200), 1));
        assert!(recalls.miss(0.99, 1.5));
    }
}
