//! What a search is asked for.

use super::strategy::DenseStrategy;
use crate::bitmap::RowBitmap;
use crate::error::SearchError;
use std::sync::atomic::{AtomicBool, Ordering};

/// Results of one search: ten times what a request may want, so that an ensemble can fuse.
pub const MAX_SEARCH_COUNT: usize = 10_000;

/// A flag that a caller raises when it gives up; searches look at it every few microseconds.
#[derive(Debug, Default)]
pub struct CancelFlag(AtomicBool);

impl CancelFlag {
    /// A flag that isn't raised.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Raises it, for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is raised.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn check(&self) -> Result<(), SearchError> {
        if self.is_cancelled() { Err(SearchError::Cancelled) } else { Ok(()) }
    }
}

/// Which rows may be in a result.
#[derive(Clone, Copy, Debug)]
pub enum Allow<'a> {
    /// All rows of the shard.
    All,
    /// Those of a filter, such as [`filter_rows`](crate::filter_rows) makes.
    Rows(&'a RowBitmap),
}

/// What a search is to find, and how.
#[derive(Clone, Copy, Debug)]
pub struct SearchParams<'a> {
    /// Results wanted, at most [`MAX_SEARCH_COUNT`]; fewer come back where fewer are allowed.
    pub count: usize,
    /// Which rows may be in the result.
    pub allow: Allow<'a>,
    /// Rows that must not be in the result (seen items, say), ascending. Meant for up to a few
    /// thousand; others belong into the filter.
    pub exclude_rows: &'a [u32],
    /// The flag that stops the search when it is raised.
    pub cancel: &'a CancelFlag,
    /// Whether to miss nothing, whatever it costs.
    pub exact: bool,
    /// Search by this strategy, where the matrix has what it needs, instead of the one that costs least.
    pub strategy: Option<DenseStrategy>,
}

impl<'a> SearchParams<'a> {
    /// The best `count` of all rows.
    pub fn new(count: usize, cancel: &'a CancelFlag) -> Self {
        Self { count, allow: Allow::All, exclude_rows: &[], cancel, exact: false, strategy: None }
    }

    /// Checks what is common to both operations, for a shard of `rows` rows.
    pub(super) fn check(&self, rows: usize) -> Result<(), SearchError> {
        if self.count > MAX_SEARCH_COUNT {
            return Err(SearchError::Count { count: self.count, max: MAX_SEARCH_COUNT });
        }
        debug_assert!(self.exclude_rows.is_sorted(), "exclude_rows must be ascending");
        if let Allow::Rows(bitmap) = self.allow
            && bitmap.rows() != rows
        {
            return Err(SearchError::Bitmap { expected: rows, found: bitmap.rows() });
        }
        self.cancel.check()
    }

    /// Whether a row may be in the result.
    #[inline]
    pub(super) fn admits(&self, row: u32) -> bool {
        let allowed = match self.allow {
            Allow::All => true,
            Allow::Rows(bitmap) => bitmap.contains(row),
        };
        allowed && self.exclude_rows.binary_search(&row).is_err()
    }

    /// How many of `rows` rows the filter allows.
    pub(super) fn allowed(&self, rows: usize) -> usize {
        match self.allow {
            Allow::All => rows,
            Allow::Rows(bitmap) => bitmap.count(),
        }
    }
}

/// One of several searches over one matrix.
#[derive(Clone, Copy, Debug)]
pub struct DenseQuery<'a> {
    /// As long as the matrix's rank.
    pub vector: &'a [f32],
    /// What the search is to find, and how.
    pub params: SearchParams<'a>,
}
