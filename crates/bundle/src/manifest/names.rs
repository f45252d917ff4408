//! The names of files and directories within a bundle.

use crate::format::FileKind;

/// The name of the manifest's file.
pub(crate) const MANIFEST_FILE: &str = "manifest.json";
/// The file with the manifest's checksum.
pub(crate) const CHECKSUM_FILE: &str = "manifest.blake3";
/// The file with an Ed25519 signature of the manifest, in a bundle that is signed so.
pub(crate) const SIGNATURE_FILE: &str = "manifest.sig";
/// The file with a signature in the OpenSSF model-signing form, in a bundle that is signed so.
pub(crate) const MODEL_SIGNATURE_FILE: &str = "model.sig";
/// The files that lie beside the shards' directories. The last two may be missing.
pub(crate) const TOP_FILES: [&str; 4] =
    [MANIFEST_FILE, CHECKSUM_FILE, SIGNATURE_FILE, MODEL_SIGNATURE_FILE];

/// The directory of one shard within a bundle.
pub fn shard_directory(shard: u32) -> String {
    format!("shard-{shard:04}")
}

/// The path of a shard's file within the bundle.
pub(crate) fn file_path(shard: u32, stem: &str, kind: FileKind) -> String {
    format!("{}/{stem}.{}", shard_directory(shard), kind.extension())
}
