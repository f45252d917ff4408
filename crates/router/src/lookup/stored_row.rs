//! A row as a bundle has it: what a version knows of one user, item or term.

use crate::fanout::CallFailure;
use std::sync::Arc;

/// What a version knows of one id.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StoredRow {
    /// The number that the version has for it.
    pub(crate) ordinal: u32,
    /// Its vector; empty unless a dense matrix was asked for.
    pub(crate) vector: Vec<f32>,
    /// The columns of its row of a sparse matrix, ascending.
    pub(crate) columns: Vec<u32>,
    /// The value of each column.
    pub(crate) values: Vec<f32>,
    /// The tags of an item, if they were asked for.
    pub(crate) tags: Vec<String>,
}

/// What became of a key that was looked up.
#[derive(Clone, Debug)]
pub(crate) enum FoundRow {
    /// Its row, which may be remembered as well.
    Row(Arc<StoredRow>),
    /// The version does not know the id.
    Unknown,
    /// The shard of this number did not answer.
    Unavailable(usize, CallFailure),
}

impl FoundRow {
    /// The row, if there is one.
    pub(crate) fn row(&self) -> Option<&StoredRow> {
        match self {
            Self::Row(row) => Some(row),
            Self::Unknown | Self::Unavailable(..) => None,
        }
    }

    /// The shard that did not answer and why, if that is what became of the key.
    pub(crate) fn unavailable(&self) -> Option<(usize, CallFailure)> {
        match self {
            Self::Unavailable(shard, failure) => Some((*shard, *failure)),
            Self::Row(_) | Self::Unknown => None,
        }
    }
}
