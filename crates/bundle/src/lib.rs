//! placeholder

mod error;
mod input;
pub mod kernels;
mod manifest;

pub use error::{BundleError, SearchError};
pub use input::{
    BundleInput, CsrInput, DenseInput, Entity, IndexMode, IndexOptions, ItemRecord, SparseInput,
    WriteProgress,
};
pub use manifest::*;

/// Rows of a shard from which on [`IndexMode::Auto`] builds a graph.
pub const AUTO_INDEX_MIN_ROWS: usize = 20_000;
/// Bytes of an item's title: a line of text, not a document.
pub const MAX_TITLE_BYTES: usize = 4_096;

/// Writes a new bundle at `out`, which must not exist or be an empty directory.
pub fn write_bundle(
    input: BundleInput,
    out: &std::path::Path,
    progress: &(dyn Fn(WriteProgress) + Sync),
) -> Result<Manifest, BundleError> {
    let _ = (input, progress);
    Err(BundleError::Input { reason: format!("the writer of {} is not built yet", out.display()) })
}
