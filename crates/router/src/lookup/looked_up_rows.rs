//! The rows that were found for one request, as the interpreter reads them.

use super::stored_row::{FoundRow, StoredRow};
use crate::fanout::CallFailure;
use crate::planning::wanted_rows::{RowSource, WantedRows};
use marquee_core::model::interpreter::{KnownRows, RowOf, seen_entries};
use marquee_core::model::recipe::{HISTORY_MATRIX, HISTORY_ORDER_MATRIX, Seen};
use std::borrow::Cow;

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

    /// Whether no row was wanted.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether some version has a row of the subject.
    pub(crate) fn has_subject(&self) -> bool {
        self.of(RowOf::Subject).any(|(_, found)| found.row().is_some())
    }

    /// The shards that did not answer, and why.
    pub(crate) fn unavailable(&self) -> impl Iterator<Item = (usize, CallFailure)> {
        self.found.iter().filter_map(FoundRow::unavailable)
    }

    /// The rows of one version.
    pub(crate) fn of_version(&self, version: usize) -> VersionRows<'_> {
        VersionRows { rows: self, version }
    }

    fn of(&self, owner: RowOf) -> impl Iterator<Item = (&RowSource<'a>, &FoundRow)> {
        self.wanted.of(owner).map(|(place, source)| (source, &self.found[place]))
    }
}

/// What one version knows, as far as it was looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VersionRows<'r> {
    rows: &'r LookedUpRows<'r>,
    /// The version's number in the shard map.
    version: usize,
}

impl<'r> VersionRows<'r> {
    fn of(&self, owner: RowOf) -> impl Iterator<Item = (&'r RowSource<'r>, &'r FoundRow)> {
        let version = self.version;
        self.rows.of(owner).filter(move |(source, _)| source.version == version)
    }

    /// The subject's row of a sparse matrix.
    fn sparse(&self, matrix: &str) -> Option<&'r StoredRow> {
        let mut rows = self.of(RowOf::Subject).filter(|(source, _)| source.sparse == matrix);
        rows.find_map(|(_, found)| found.row())
    }
}

impl KnownRows for VersionRows<'_> {
    fn ordinal(&self, of: RowOf) -> Option<u32> {
        self.of(of).find_map(|(_, found)| Some(found.row()?.ordinal))
    }

    fn vector(&self, of: RowOf, matrix: &str) -> Option<&[f32]> {
        let mut rows = self.of(of).filter(|(source, _)| source.dense == matrix);
        rows.find_map(|(_, found)| Some(found.row()?.vector.as_slice()))
    }

    fn history(&self) -> Cow<'_, [Seen]> {
        let Some(history) = self.sparse(HISTORY_MATRIX) else { return Cow::default() };
        let order: (&[u32], &[f32]) =
            self.sparse(HISTORY_ORDER_MATRIX).map_or((&[], &[]), |row| (&row.columns, &row.values));
        Cow::Owned(seen_entries((&history.columns, &history.values), order))
    }

    fn terms(&self, matrix: &str) -> &[u32] {
        self.sparse(matrix).map_or(&[], |row| &row.columns)
    }

    fn is_subject_unavailable(&self) -> bool {
        self.of(RowOf::Subject).any(|(_, found)| found.unavailable().is_some())
    }
}
