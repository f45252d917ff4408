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
//! The layers, each of which uses those above it only (`tests/layers.rs` checks it):
//!
//! 1. `error`, `effort`, `options`, `bitmap`, `safe_path`: small parts that all share.
//! 2. [`kernels`]: vector arithmetic. [`format`](mod@format): files of sections.
//! 3. [`entities`]: ids, titles, tags. [`matrix`]: dense and sparse matrices, cells, graphs.
//! 4. [`manifest`]: what the bundle is, read and verified.
//! 5. `shard`, [`bundle`](mod@bundle): what is open. `filter`: which of its rows are allowed.
//! 6. `search`: the two operations, and the planner that picks a strategy.
//! 7. `index`: building cells and graphs, measured by searches. `input`: what a trainer hands over.
//! 8. `write`, [`sign`], [`remove`], `private_copy`: making, signing, deleting and copying bundles.
//!
//! What is deliberately missing: fetching bundles, versions and their lifecycle, threads and time.

mod bitmap;
pub mod bundle;
mod effort;
pub mod entities;
mod error;
mod filter;
pub mod format;
mod index;
mod input;
mod input_file;
pub mod kernels;
mod location;
pub mod manifest;
pub mod matrix;
mod options;
mod private_copy;
pub mod remove;
mod safe_path;
mod search;
mod shard;
pub mod sign;
mod write;

pub use bitmap::RowBitmap;
pub use bundle::Bundle;
pub use effort::Effort;
pub use entities::ids::{IdTable, MAX_TITLE_BYTES};
pub use entities::labels::{Labels, MAX_ATTRIBUTES, MAX_TAG_BYTES};
pub use error::{BundleError, FileDefect, ManifestDefect, QueryPart, SearchError};
pub use filter::{AttributeRange, FilterSpec, filter_rows};
pub use format::{FORMAT_VERSION, FileInfo, LoadOptions, faults};
pub use input::{
    BundleInput, CsrInput, DenseInput, ItemRecord, SparseInput, SparseShape, WriteProgress,
};
pub use input_file::{InputStream, PIPE_WRITER_WAIT, open_input, open_stream, read_text_input};
pub use location::{BundleRoots, MAX_URI_BYTES, UriDefect, directory_of};
pub use manifest::signature::{SignedTerms, TrustedKeys};
pub use manifest::{
    AuditedRecall, CellsInfo, Counts, ForgottenUpTo, GraphInfo, IndexInfo, Manifest,
    ManifestDigest, MatrixInfo, MatrixLayout, Quality, Recall, ShardIndexInfo, read_manifest,
    read_signed_manifest, shard_directory,
};
pub use marquee_core::model::interpreter::VectorMeasure;
pub use marquee_core::model::recipe::{Entity, RowSpace};
pub use matrix::cells::Cells;
pub use matrix::dense::DenseMatrix;
pub use matrix::graph::FrozenGraph;
pub use matrix::sparse::{Partition, SparseMatrix};
pub use options::{AUTO_INDEX_MIN_ROWS, IndexKind, IndexMode, IndexOptions, RowFormat};
pub use private_copy::{
    CopiedBytes, copy_manifest, copy_shard, create_private_directory, make_private,
};
pub use remove::{remove_bundle, share_files};
pub use search::{
    Allow, CancelFlag, CellsWork, DenseHits, DenseQuery, DenseStrategy, Hit, MAX_SCANNED_TOGETHER,
    MAX_SEARCH_COUNT, SearchParams, SearchScratch, cost, costs_of_strategies, dense_top_k,
    dense_top_k_each, sparse_row_sum,
};
pub use shard::BundleShard;
pub use sign::{KeyKind, generate_keys, sign_bundle};
pub use write::write_bundle;
