//! How a dense matrix is kept and indexed.

use serde::{Deserialize, Serialize};

/// Rows of a shard from which on [`IndexMode::Auto`] builds an index. Below it an exact scan takes
/// some microseconds, and nothing could save much of that.
pub const AUTO_INDEX_MIN_ROWS: usize = 2_000;

/// What of a dense matrix's rows is kept in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowFormat {
    /// The rows themselves: four bytes a column.
    #[default]
    F32,
    /// Coarse rows of one byte a column; the rows themselves are read from disk where they matter.
    /// Answers are the same.
    Int8,
}

impl RowFormat {
    /// Whether there is nothing but the rows themselves.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::F32
    }
}

/// Whether to build an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexMode {
    /// Where a shard has rows enough that the index beats the exact scan.
    #[default]
    Auto,
    /// In every shard that has rows, even where the scan would be faster.
    Always,
    /// Nowhere: every search is exact.
    Never,
}

/// What an index is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexKind {
    /// Rows grouped by direction, in four-bit codes: see [`cells`](crate::matrix::cells).
    #[default]
    Cells,
    /// A navigable small-world graph, built with hnsw_rs: see [`graph`](crate::matrix::graph).
    Hnsw,
}

/// How to build an index.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexOptions {
    /// Whether to build it at all.
    pub mode: IndexMode,
    /// The kind of index to build.
    pub kind: IndexKind,
    /// Of a graph (Malkov and Yashunin 2016): links of a row on each upper layer; twice as many on
    /// the lowest. 2 to 128.
    pub m: usize,
    /// Of a graph: width of the search for a new row's neighbours. 1 to 10,000.
    pub ef_construction: usize,
    /// Shuffles the rows before they are put in, and so makes another index of the same rows.
    pub seed: u64,
    /// Below this many rows in a shard, [`IndexMode::Auto`] builds no index.
    pub min_rows: usize,
    /// The recall@100 against the exact scan that searches are tuned for, and below which
    /// [`IndexMode::Auto`] drops a graph. In 0..=1.
    pub target_recall: f64,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self {
            mode: IndexMode::Auto,
            kind: IndexKind::Cells,
            m: 16,
            ef_construction: 100,
            seed: 1,
            min_rows: AUTO_INDEX_MIN_ROWS,
            target_recall: 0.95,
        }
    }
}
