//! One bundle: the immutable output of one training run, on disk and in memory.
//!
//! A bundle is a directory: a manifest that names every file with its checksum, and for each shard a
//! handful of binary files that are used where they are mapped. [`write_bundle`] makes one from a
//! [`BundleInput`]; [`read_manifest`] and [`BundleShard::open`] verify and map one; [`dense_top_k`]
//! and [`sparse_row_sum`] answer from it, within what [`filter_rows`] allows. A shard knows nothing
//! of algorithms: those two operations carry every model.
//!
//! Start with [`bundle`](mod@bundle), which draws the directory, then [`format`](mod@format), which
//! draws the files. Invariants: a file never changes once it has its name; nothing read from disk is
//! used before it was checked; opening copies nothing to the heap; the same input gives the same
//! bytes, and the same query the same answer, on every machine. This is the one crate with `unsafe`
//! code, for mapping files and for vector instructions.
//!
//! What is deliberately missing: fetching bundles, versions and their lifecycle, threads and time.

mod bitmap;
pub mod bundle;
pub mod cells;
mod coarse;
pub mod dense;
mod error;
mod filter;
pub mod format;
pub mod graph;
pub mod ids;
mod index;
mod input;
pub mod kernels;
pub mod labels;
mod manifest;
pub mod remove;
mod search;
mod shard;
pub mod sign;
pub mod sparse;
mod text;
mod write;

pub use bitmap::RowBitmap;
pub use bundle::{Bundle, read_manifest};
pub use cells::{Cells, Effort};
pub use dense::DenseMatrix;
pub use error::{BundleError, SearchError};
pub use filter::{AttributeRange, FilterSpec, filter_rows};
pub use format::LoadOptions;
pub use graph::FrozenGraph;
pub use ids::{IdTable, MAX_TITLE_BYTES};
pub use index::AUTO_INDEX_MIN_ROWS;
pub use input::{
    BundleInput, CsrInput, DenseInput, Entity, IndexKind, IndexMode, IndexOptions, ItemRecord,
    RowFormat, RowSpace, SparseInput, SparseShape, WriteProgress,
};
pub use labels::{Labels, MAX_ATTRIBUTES, MAX_TAG_BYTES};
pub use manifest::{
    CellsInfo, Counts, FORMAT_VERSION, FileInfo, GraphInfo, IndexInfo, Manifest, ManifestDigest,
    MatrixInfo, MatrixLayout, Quality, Recall, ShardIndexInfo, shard_directory,
};
pub use remove::remove_bundle;
pub use search::{
    Allow, CancelFlag, DenseHits, DenseQuery, DenseStrategy, Hit, MAX_SCANNED_TOGETHER,
    MAX_SEARCH_COUNT, Metric, SearchParams, SearchScratch, Work, cost, costs_of_strategies,
    dense_top_k, dense_top_k_each, sparse_row_sum,
};
pub use shard::BundleShard;
pub use sign::{TrustedKeys, generate_keys, sign_bundle};
pub use sparse::{Partition, SparseMatrix};
pub use write::write_bundle;
