//! How long the operations over one replica take: a [`Pace`] for each sort of them.
//!
//! Searches of one kind that want about as many results take about as long: the same matrix, or one
//! of the same bundle, walked about as widely.

use crate::pool::Pace;
use marquee_bundle::{MAX_SEARCH_COUNT, Metric};

/// Classes of counts: by the power of two below.
const COUNT_CLASSES: usize = MAX_SEARCH_COUNT.ilog2() as usize + 1;
/// Kinds of searches.
const KINDS: usize = 3;

/// What a search does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Dense(Metric),
    Sparse,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    /// Of one key.
    lookup: Pace,
    searches: [[Pace; COUNT_CLASSES]; KINDS],
}

impl Paces {
    /// Of looking one key up.
    pub(super) fn lookup(&self) -> &Pace {
        &self.lookup
    }

    /// Of a search for so many results.
    pub(super) fn search(&self, kind: Kind, count: usize) -> &Pace {
        let kind = match kind {
            Kind::Dense(Metric::InnerProduct) => 0,
            Kind::Dense(Metric::Cosine) => 1,
            Kind::Sparse => 2,
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
        let paces = Paces::default();
        let kind = Kind::Dense(Metric::InnerProduct);
        paces.search(kind, 100).record(Duration::from_micros(7));
        assert_eq!(paces.search(kind, 120).expected(), Some(Duration::from_micros(7)));
        assert_eq!(paces.search(kind, 10).expected(), None);
        assert_eq!(paces.search(kind, MAX_SEARCH_COUNT).expected(), None);
        assert_eq!(paces.search(Kind::Dense(Metric::Cosine), 100).expected(), None);
        assert_eq!(paces.search(Kind::Sparse, 100).expected(), None);
        assert_eq!(paces.lookup().expected(), None);
    }
}
