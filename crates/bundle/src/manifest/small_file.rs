//! Reading the small files of a bundle: the manifest, its checksum, its signature, and keys.

use crate::error::{BundleError, FileDefect};
#[cfg(feature = "memory")]
use crate::format::memory;
use crate::format::open_file;
use std::io::Read;
use std::path::Path;

/// The bytes of a small file, at most `max`.
pub(crate) fn read_small_file(path: &Path, max: u64) -> Result<Vec<u8>, BundleError> {
    #[cfg(feature = "memory")]
    if let Some(found) = memory::find(path) {
        return found.map(|file| file.to_vec());
    }
    let file = open_file(path)?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        let defect = FileDefect::TooLarge { max };
        return Err(BundleError::Format { path: path.into(), defect });
    }
    Ok(bytes)
}
