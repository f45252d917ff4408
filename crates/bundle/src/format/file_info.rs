//! What the manifest says of one file.

use serde::{Deserialize, Serialize};

/// The version of the on-disk format that this code writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileInfo {
    /// The path within the bundle, with `/` on every machine, such as `shard-0000/items.ids`.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its BLAKE3 checksum, 64 lower-case hexadecimal digits.
    pub blake3: String,
}
