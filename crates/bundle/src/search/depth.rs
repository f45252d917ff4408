//! How deep the results of a search lie among all rows, and with how much care it has to be made for that.
//!
//! A search that excludes the best rows, as one for a user's next page does, has results that lie deeper than their
//! number says: rows there score alike, and codes tell them apart less well. The same goes for a
//! filter. So the effort follows the depth, and a search that turns out to have gone less deep than its
//! results are is made again with more ([`Depth::wider`]).

use super::query::SearchParams;
use crate::effort::Effort;
use crate::matrix::tuning::Care;

/// The misses that are tolerated of up to ten results.
const MISSES_AT_10: f64 = 0.01;
/// The misses that are tolerated of a hundred results, and of more; in between in proportion.
const MISSES_AT_100: f64 = 0.05;
/// The misses of a filtered search, of all rows down to its depth.
const FILTERED_MISSES: f64 = 0.005;
/// So much of what is tolerated is used: other queries than those measured will come.
const USED: f64 = 0.5;
/// Excluded rows for each result with which a search is still a usual one: what it misses more is within the
/// margin that it was tuned with.
const FEW_EXCLUDED: f64 = 0.02;
/// Standard deviations of the number of allowed rows in a margin that are added to it.
const CHANCE: f64 = 2.0;
/// Results of filtered searches vary in how deep they lie: a search is made again where it has visited
/// less than this share of the margin that their depth needs.
const ENOUGH_MARGIN: f64 = 0.6;
/// … or where its reach was less than what their depth needs by more than this.
const ENOUGH_REACH: f32 = 0.25;

/// What is asked of a search, as far as its effort depends on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Depth {
    /// How many results are wanted.
    pub(crate) count: usize,
    /// Rows that must not be among them, which are often the best.
    pub(crate) excluded: usize,
    /// Rows that the filter allows, of all `rows`.
    pub(crate) allowed: usize,
    pub(crate) rows: usize,
}

/// How deep the results of a search turned out to lie, and how deep it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Rows met that score no worse than the last result, whether they may be in the result or not.
    pub(crate) depth: usize,
    /// Rows met that score no worse than the worst of the pool; none where every row was met.
    pub(crate) visited: Option<usize>,
}

impl Depth {
    pub(crate) fn of(params: &SearchParams<'_>, allowed: usize, rows: usize) -> Self {
        Self { count: params.count, excluded: params.exclude_rows.len(), allowed, rows }
    }

    /// The share of the rows that the filter allows.
    fn share(&self) -> f64 {
        self.allowed as f64 / self.rows.max(1) as f64
    }

    /// Of how many best rows the results are found among: the filter takes some out, and excluded rows are
    /// often the best ones.
    pub(crate) fn rows_deep(&self) -> usize {
        ((self.count + self.excluded) as f64 / self.share()).ceil() as usize
    }

    /// Whether rows that score well may not be among the results.
    pub(crate) fn is_limited(&self) -> bool {
        self.excluded > 0 || self.allowed < self.rows
    }

    /// The care that it takes. Of the rows down to its depth a search misses mostly the last. All that it
    /// misses may be results, of which there are fewer.
    pub(crate) fn care(&self) -> Care {
        let (count, excluded) = (self.count.max(1) as f64, self.excluded as f64);
        let tolerated = (MISSES_AT_10 * count / 10.0).clamp(MISSES_AT_10, MISSES_AT_100);
        let is_filtered = self.allowed < self.rows;
        if excluded <= FEW_EXCLUDED * count {
            return if is_filtered { Care::Filtered } else { Care::Usual };
        }
        let missed = FILTERED_MISSES * (count + excluded) / count;
        if missed <= USED * tolerated { Care::Filtered } else { Care::Tail }
    }

    /// The effort, its pool in multiples of the count, that comes to what was tuned for a depth.
    pub(crate) fn effort(&self, tuned: Effort, depth: usize) -> Effort {
        let margin = f64::from(tuned.pool - 1.0) * depth as f64;
        self.with_margin(tuned.reach, margin * self.share())
    }

    /// The effort with a pool of so many rows more than are wanted, on average.
    fn with_margin(&self, reach: f32, margin: f64) -> Effort {
        let count = self.count.max(1) as f64;
        let chance = if self.allowed < self.rows { CHANCE * margin.sqrt() } else { 0.0 };
        Effort { reach, pool: ((count + margin + chance) / count) as f32 }
    }

    /// The effort of another search, where the results of one with this effort lie deeper than it went; `tuned`
    /// is what suffices at the depth that they were found at.
    pub(crate) fn wider(&self, used: Effort, tuned: Effort, reached: Reached) -> Option<Effort> {
        let visited = reached.visited?;
        let needed = f64::from(tuned.pool - 1.0) * reached.depth as f64;
        let margin = visited.saturating_sub(reached.depth) as f64;
        let is_deep = margin >= ENOUGH_MARGIN * needed;
        if is_deep && used.reach >= tuned.reach - ENOUGH_REACH {
            return None;
        }
        // So many more rows of the pool as there were too few of all. They are allowed rows, so that no more than
        // needed can be wanted.
        let pool = (f64::from(used.pool) - 1.0) * self.count as f64;
        let more = (pool.max(1.0) * needed / margin.max(1.0)).clamp(pool, needed.max(pool));
        Some(self.with_margin(used.reach.max(tuned.reach), more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(count: usize, excluded: usize, allowed: usize) -> Depth {
        Depth { count, excluded, allowed, rows: 1_000 }
    }

    #[test]
    fn filters_and_exclusions_let_results_lie_deeper() {
        assert_eq!(depth(10, 0, 1_000).rows_deep(), 10);
        assert_eq!(depth(10, 10, 1_000).rows_deep(), 20);
        assert_eq!(depth(10, 10, 100).rows_deep(), 200);
    }

    #[test]
    fn care_grows_with_what_may_be_missed() {
        let cases = [
            (10, 0, 1_000, Care::Usual),
            (10, 1, 1_000, Care::Tail),
            (10, 0, 500, Care::Filtered),
            (10, 30, 500, Care::Tail),
            (100, 2, 1_000, Care::Usual),
            (100, 3, 1_000, Care::Filtered),
            (100, 400, 500, Care::Filtered),
            (100, 401, 1_000, Care::Tail),
        ];
        for (count, excluded, allowed, care) in cases {
            assert_eq!(depth(count, excluded, allowed).care(), care, "{count} {excluded}");
        }
    }

    /// 200 deep, a margin of a quarter is 50 rows, whether 10 or 200 of the rows before are results.
    #[test]
    fn the_margin_is_that_of_the_depth() {
        let tuned = Effort { reach: 2.0, pool: 1.25 };
        assert_eq!(depth(10, 190, 1_000).effort(tuned, 200), Effort { reach: 2.0, pool: 6.0 });
        assert_eq!(depth(200, 0, 1_000).effort(tuned, 200), tuned);
        // Of a filter that leaves a half, a half of the margin is met, and more or less by chance.
        let filtered = depth(100, 0, 500).effort(tuned, 200);
        assert!((filtered.pool - 1.35).abs() < 0.01, "{filtered:?}");
    }

    #[test]
    fn a_search_that_did_not_go_deep_enough_is_made_again() {
        let asked = depth(10, 0, 100);
        let (used, tuned) = (Effort { reach: 2.0, pool: 2.0 }, Effort { reach: 2.0, pool: 1.5 });
        let reached = |depth, visited| Reached { depth, visited };
        assert_eq!(asked.wider(used, tuned, reached(100, Some(150))), None);
        assert_eq!(asked.wider(used, tuned, reached(100, Some(131))), None);
        assert_eq!(asked.wider(used, tuned, reached(800, None)), None, "all rows were met");
        let wider = asked.wider(used, tuned, reached(300, Some(330))).expect("too little");
        assert!(wider.pool > 5.0 && wider.reach == 2.0, "{wider:?}");
        // Where all rows beyond the results are allowed, the pool need not hold more than the margin.
        let wider = asked.wider(used, tuned, reached(300, Some(310))).expect("too little");
        assert!((14.0..22.0).contains(&wider.pool), "{wider:?}");
        let near = Effort { reach: 2.5, ..tuned };
        assert_eq!(asked.wider(used, near, reached(100, Some(150))).map(|e| e.reach), Some(2.5));
    }
}
