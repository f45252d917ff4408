//! The rows that the caller found, behind a trait.

use super::request::RowOf;
use crate::model::recipe::Seen;
use std::borrow::Cow;

/// What one model version knows, as far as it was looked up.
///
/// What was not found, was not looked up, or was on a shard that did not answer, is none or empty.
pub trait KnownRows {
    /// The ordinal of a row, from 0.
    fn ordinal(&self, of: RowOf) -> Option<u32>;

    /// A row of a dense matrix, of rank components.
    fn vector(&self, of: RowOf, matrix: &str) -> Option<&[f32]>;

    /// What the user has seen, by ascending item: the row of
    /// [`HISTORY_MATRIX`](crate::model::recipe::HISTORY_MATRIX) with the ages of
    /// [`HISTORY_ORDER_MATRIX`](crate::model::recipe::HISTORY_ORDER_MATRIX). [`seen_entries`](super::seen_entries) makes it of the two.
    fn history(&self) -> Cow<'_, [Seen]>;

    /// The terms that training knew of the user: the columns of the user's row of this sparse matrix.
    fn terms(&self, matrix: &str) -> &[u32];

    /// Whether a shard that holds the subject did not answer.
    fn is_subject_unavailable(&self) -> bool {
        false
    }
}
