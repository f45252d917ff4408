//! The names of files and directories within a bundle.

use crate::format::FileKind;

/// The name of the manifest's file.
pub(crate) const MANIFEST_FILE: &str = "manifest.json";
/// The file with the manifest's checksum.
pub(crate) const CHECKSUM_FILE: &str = "manifest.blake3";
/// The file with the manifest's signature, in a signed bundle.
pub(crate) const SIGNATURE_FILE: &str = "manifest.sig";

/// The directory of one shard within a bundle.
pub fn shard_directory(shard: u32) -> String {
    format!("shard-{shard:04}")
}

/// The path of a shard's file within the bundle.
pub(crate) fn file_path(shard: u32, stem: &str, kind: FileKind) -> String {
    format!("{}/{stem}.{}", shard_directory(shard), kind.extension())
}
