//! The rows that were found for one request.

use super::stored_row::{FoundRow, StoredRow};
use crate::fanout::Failure;
use crate::planning::wanted_rows::{RowOwner, RowSource, WantedRows};

/// What became of each row that a request wanted.
#[derive(Debug)]
pub(crate) struct LookedUpRows<'a> {
    wanted: WantedRows<'a>,
    /// Of each of [`WantedRows::rows`].
    found: Vec<FoundRow>,
}

impl<'a> LookedUpRows<'a> {
    /// What was `found` of each of the rows that were `wanted`.
    pub(crate) fn new(wanted: WantedRows<'a>, found: Vec<FoundRow>) -> Self {
        assert_eq!(wanted.rows().len(), found.len(), "each row that is wanted is looked up");
        Self { wanted, found }
    }

    /// What became of the rows of the subject, each with the number of its version.
    pub(crate) fn of_subject(&self) -> impl Iterator<Item = (usize, &FoundRow)> {
        let wanted = self.wanted.of(RowOwner::Subject);
        wanted.map(|(place, source)| (source.version, &self.found[place]))
    }

    /// The shards that did not answer, and why.
    pub(crate) fn unavailable(&self) -> impl Iterator<Item = (usize, Failure)> {
        self.found.iter().filter_map(FoundRow::unavailable)
    }

    /// A row that was found and that has these matrices; an empty name stands for any.
    pub(crate) fn row(
        &self,
        owner: RowOwner,
        version: usize,
        dense: &str,
        sparse: &str,
    ) -> Option<&StoredRow> {
        let fits = |have: &str, wanted: &str| wanted.is_empty() || have == wanted;
        let is_it = |source: &RowSource<'_>| {
            source.version == version && fits(source.dense, dense) && fits(source.sparse, sparse)
        };
        let mut wanted = self.wanted.of(owner).filter(|(_, source)| is_it(source));
        wanted.find_map(|(place, _)| self.found[place].row())
    }
}
