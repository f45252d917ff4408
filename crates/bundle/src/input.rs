//! What a trainer hands to the writer: everything one bundle is to hold, by input index.
//!
//! Rows are given in any order (row i of an item matrix belongs to `items[i]`); the writer cuts them
//! into shards, numbers the ordinals and chooses the order of rows on disk. Nothing here is checked
//! before [`write_bundle`](crate::write_bundle), which names what it refuses.

use crate::manifest::{ForgottenUpTo, Quality};
use crate::options::{IndexOptions, RowFormat};
use marquee_core::model::recipe::{Entity, MatrixShape, Recipe, RowSpace};
use std::collections::BTreeMap;

/// Everything of one bundle. The same input gives the same bytes on disk.
#[derive(Clone, Debug)]
pub struct BundleInput {
    /// The model's name, checked by `marquee_core::id::check_name`.
    pub model: String,
    /// How the model turns a request into scores; its matrices must be among those below.
    pub recipe: Recipe,
    /// What trained it, such as `mf`.
    pub kind: String,
    /// Into how many shards to cut, 1 to `MAX_SHARDS`.
    pub shards: u32,
    /// The items, each id once, in any order.
    pub items: Vec<ItemRecord>,
    /// The users' ids, each once, in any order.
    pub users: Vec<String>,
    /// The terms, each once, in any order; none where no matrix is about them.
    pub terms: Vec<String>,
    /// The dense matrices, in any order.
    pub dense: Vec<DenseInput>,
    /// Users × items by input index, stored as the row-partitioned matrix `history`; none makes a
    /// matrix of empty rows.
    pub history: Option<CsrInput>,
    /// How popular each item is, as long as `items`; stored as the matrix `popularity` of one row,
    /// with an entry for every item, so that every item can be a fallback. Empty means all zeros.
    pub popularity: Vec<f32>,
    /// Further sparse matrices: rows to be summed (neighbours, rules, histories), or looked up.
    pub sparse: Vec<SparseInput>,
    /// What the evaluation on held-out interactions measured.
    pub quality: Quality,
    /// The parameters of training, for information only.
    pub parameters: BTreeMap<String, String>,
    /// Whom the training left out, if it was told.
    pub forgotten: Option<ForgottenUpTo>,
    /// When it was trained, in milliseconds since the Unix epoch. Given by the caller, so that the
    /// same input gives the same bytes.
    pub created_at_ms: u64,
}

/// An item of the catalogue, as a trainer knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemRecord {
    /// The external id, 1 to 256 bytes.
    pub id: String,
    /// The title, empty if it has none; at most [`MAX_TITLE_BYTES`](crate::MAX_TITLE_BYTES).
    pub title: String,
    /// Its tags (genres, say) in any order; duplicates count once.
    pub tags: Vec<String>,
    /// Its numeric attributes by name (a year, say), finite; each name at most once.
    pub attributes: Vec<(String, f64)>,
}

/// A dense matrix, row-major.
#[derive(Clone, Debug)]
pub struct DenseInput {
    /// Its name, unique among all matrices.
    pub name: String,
    /// Whose rows it has.
    pub entity: Entity,
    /// The number of columns.
    pub rank: usize,
    /// rows × rank finite values; row i belongs to `items[i]`, `users[i]` or `terms[i]`.
    pub data: Vec<f32>,
    /// Whether and how to build an index for fast searches.
    pub index: Option<IndexOptions>,
    /// What of the rows is kept in memory to search them.
    pub rows: RowFormat,
}

/// A sparse matrix by input index.
#[derive(Clone, Debug)]
pub struct SparseInput {
    /// Its name, unique among all matrices.
    pub name: String,
    /// What its rows and columns are.
    pub shape: SparseShape,
    /// Its entries, rows by input index.
    pub matrix: CsrInput,
}

/// What the rows and columns of a sparse matrix are, and how it is cut into shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SparseShape {
    /// Users × items, cut by row: to be looked up by user.
    ByUser,
    /// Users × terms, cut by row: to be looked up by user.
    TermsByUser,
    /// Cut by column: to be summed.
    Sums {
        /// What the rows are.
        rows: RowSpace,
        /// What the columns are.
        columns: Entity,
    },
}

impl SparseShape {
    /// Items × items, to be summed: neighbours, rules, transitions.
    pub const ITEM_ROWS: Self = Self::Sums { rows: RowSpace::Items, columns: Entity::Item };
}

impl From<SparseShape> for MatrixShape {
    fn from(shape: SparseShape) -> Self {
        match shape {
            SparseShape::ByUser => Self::ByUser,
            SparseShape::TermsByUser => Self::TermsByUser,
            SparseShape::Sums { rows, columns } => Self::Sums { rows, columns },
        }
    }
}

/// A sparse matrix in compressed rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CsrInput {
    /// rows + 1 offsets into `columns`, from 0, never falling.
    pub offsets: Vec<usize>,
    /// The column of each entry, in any order within a row; a column twice in one row is refused,
    /// for only the trainer knows what a duplicate means.
    pub columns: Vec<u32>,
    /// The value of each entry, finite.
    pub values: Vec<f32>,
}

impl CsrInput {
    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }
}

/// What the writer is doing, for progress bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteProgress {
    /// Indexes grow: so many rows of so many are put in.
    Indexing {
        /// Rows put in so far, over all shards and matrices.
        done: u64,
        /// Rows to put in.
        total: u64,
    },
    /// Files are written: so many of so many shards are on disk.
    Writing {
        /// Shards that are on disk.
        done: u32,
        /// Shards to write.
        total: u32,
    },
}
