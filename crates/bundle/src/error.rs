//! What can go wrong with a bundle: writing, opening and searching it.

use marquee_core::id::IdError;
use std::path::PathBuf;

/// Why a bundle could not be written, signed or opened.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The operating system refused; its message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The input of a new bundle is wrong.
    #[error("cannot write the bundle: {reason}")]
    Input {
        /// What is wrong, where, and what would be right.
        reason: String,
    },
    /// An id or a name is refused.
    #[error("cannot write the bundle: {0}")]
    Id(#[from] IdError),
    /// Something stands where the bundle is to be written.
    #[error("{path} exists and is not an empty directory: choose another place or remove it")]
    Exists {
        /// The place.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error(
        "{path} has format version {found}, written by a newer marquee: upgrade the nodes first \
         (this one reads up to {supported})"
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest that is understood here.
        supported: u32,
    },
    /// A file that the manifest names isn't there.
    #[error("{path} is missing: fetch the bundle again")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file that the manifest doesn't name lies in the bundle.
    #[error("{path} is not named by the manifest: remove it, or fetch the bundle again")]
    Unexpected {
        /// The file.
        path: PathBuf,
    },
    /// A file hasn't the length that the manifest says.
    #[error("{path} has {found} bytes where the manifest says {expected}: fetch the bundle again")]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// The length it should have.
        expected: u64,
    },
    /// A file's bytes aren't those that were written.
    #[error(
        "{path} is damaged: its checksum differs from the {source_of_truth}'s; fetch the bundle again"
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Which file holds the checksum.
        source_of_truth: &'static str,
    },
    /// A file's bytes are as written, but they don't make sense.
    #[error("{path} is not a valid part of a bundle: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, naming the section.
        reason: String,
    },
    /// The signature is missing, wrong, or made by an unknown key.
    #[error("{path}: {reason}")]
    Signature {
        /// The signature's or key's file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// No such shard.
    #[error("the bundle has {shards} shards: there is no shard {shard}")]
    NoSuchShard {
        /// The shard asked for.
        shard: u32,
        /// How many there are.
        shards: u32,
    },
}

/// Why a search has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SearchError {
    /// No matrix of that name and kind.
    #[error("the bundle has no {kind} matrix {name:?}: its recipe and the request disagree")]
    NoSuchMatrix {
        /// The name asked for.
        name: String,
        /// `dense` or `sparse`.
        kind: &'static str,
    },
    /// A query of the wrong length.
    #[error(
        "matrix {matrix:?} has {expected} columns, the query {found}: send a vector of {expected} values"
    )]
    Rank {
        /// The matrix.
        matrix: String,
        /// Its columns.
        expected: usize,
        /// The query's length.
        found: usize,
    },
    /// A query or weight that is NaN or infinite.
    #[error("{field}[{index}] is not a finite number")]
    NotFinite {
        /// `query` or `weights`.
        field: &'static str,
        /// Which element.
        index: usize,
    },
    /// A score beyond the range of 32-bit floats.
    #[error(
        "the score of row {row} of {matrix:?} is beyond the range of 32-bit floats: scale the query down"
    )]
    ScoreRange {
        /// The matrix.
        matrix: String,
        /// The row.
        row: u32,
    },
    /// Rows and weights that aren't pairs.
    #[error("{rows} rows but {weights} weights: send one weight for each row")]
    Weights {
        /// How many rows.
        rows: usize,
        /// How many weights.
        weights: usize,
    },
    /// A row that the matrix doesn't have.
    #[error("matrix {matrix:?} has {rows} rows: there is no row {row}")]
    Row {
        /// The matrix.
        matrix: String,
        /// The row asked for.
        row: u32,
        /// How many it has.
        rows: usize,
    },
    /// A matrix partitioned the other way.
    #[error("matrix {matrix:?} is partitioned by row: it has rows to look up, not columns to sum")]
    Partition {
        /// The matrix.
        matrix: String,
    },
    /// More results than any caller may want.
    #[error("count is {count}: at most {max} are allowed")]
    Count {
        /// The count asked for.
        count: usize,
        /// Its bound.
        max: usize,
    },
    /// A filter's range that no number can satisfy.
    #[error("filter range on {attribute:?} is not valid: {reason}")]
    Range {
        /// The attribute.
        attribute: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A bitmap of another shard or entity.
    #[error("the filter has {found} rows, the matrix {expected}: it was made for another shard")]
    Bitmap {
        /// Rows of the matrix.
        expected: usize,
        /// Rows of the bitmap.
        found: usize,
    },
    /// The caller gave up.
    #[error("the search was cancelled")]
    Cancelled,
}
