//! The manifest: what a bundle is, and the checksum of every byte it has.
//!
//! `manifest.json` is read by operators and programs alike. It names every file with its length and BLAKE3
//! checksum, so one trusted manifest makes the whole bundle trusted; `manifest.blake3` holds the
//! checksum of the manifest itself, and `model.sig` or `manifest.sig`, where there is one, its signature.
//!
//! What is deliberately missing: the version number (publishing gives it) and anything that a shard
//! needs to answer (that lies in the shard's own files).

mod contents;
pub(crate) mod names;
pub(crate) mod read;
pub mod signature;
mod small_file;
pub(crate) mod stray_files;

pub use contents::{
    AuditedRecall, CellsInfo, Counts, ForgottenUpTo, GraphInfo, IndexInfo, Manifest,
    ManifestDigest, MatrixInfo, MatrixLayout, Quality, Recall, ShardIndexInfo,
};
pub use names::shard_directory;
pub use read::{read_manifest, read_signed_manifest};
