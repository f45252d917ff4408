//! How long the operations over one replica have taken lately: an average for each kind of them.
//!
//! Searches of one kind that want about as many results take about as long: they go over the same matrix,
//! or one of the same bundle, and visit about as many of its rows.

use super::query::Operation;
use crate::pool::AverageTime;
use marquee_bundle::{MAX_SEARCH_COUNT, VectorMeasure};

/// Classes of result counts: each has the counts that share the power of two below them.
const COUNT_CLASSES: usize = MAX_SEARCH_COUNT.ilog2() as usize + 1;
/// How many kinds of searches there are: one for each [`Operation`].
const OPERATIONS: usize = 3;

/// The average times of one replica's lookups and searches.
#[derive(Debug, Default)]
pub(crate) struct AverageTimes {
    /// The time of one key.
    lookup: AverageTime,
    searches: [[AverageTime; COUNT_CLASSES]; OPERATIONS],
}

impl AverageTimes {
    /// The time that looking one key up takes.
    pub(super) fn lookup(&self) -> &AverageTime {
        &self.lookup
    }

    /// The time that one search for `count` results takes.
    pub(super) fn search(&self, operation: Operation, count: usize) -> &AverageTime {
        let kind = match operation {
            Operation::DenseTopK(VectorMeasure::InnerProduct) => 0,
            Operation::DenseTopK(VectorMeasure::Cosine) => 1,
            Operation::RowSum => 2,
        };
        // Requests with other counts are refused before.
        &self.searches[kind][count.clamp(1, MAX_SEARCH_COUNT).ilog2() as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn searches_of_other_kinds_and_sizes_do_not_count() {
        let times = AverageTimes::default();
        let inner_product = Operation::DenseTopK(VectorMeasure::InnerProduct);
        times.search(inner_product, 100).record(Duration::from_micros(7));
        assert_eq!(times.search(inner_product, 120).expected(), Some(Duration::from_micros(7)));
        assert_eq!(times.search(inner_product, 10).expected(), None);
        assert_eq!(times.search(inner_product, MAX_SEARCH_COUNT).expected(), None);
        assert_eq!(times.search(Operation::DenseTopK(VectorMeasure::Cosine), 100).expected(), None);
        assert_eq!(times.search(Operation::RowSum, 100).expected(), None);
        assert_eq!(times.lookup().expected(), None);
    }
}
