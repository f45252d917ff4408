//! Refusing bundles with files that their manifest doesn't name.

use super::contents::Manifest;
use super::names::{TOP_FILES, shard_directory};
use crate::error::BundleError;
#[cfg(feature = "memory")]
use crate::format::memory;
use std::io::ErrorKind;
use std::path::Path;

/// Refuses a bundle with files, at the top or in this shard's directory, that the manifest doesn't
/// name. Other shards' directories may be missing: a node fetches those it serves.
pub(crate) fn check_no_stray_files(
    dir: &Path,
    manifest: &Manifest,
    shard: u32,
) -> Result<(), BundleError> {
    #[cfg(feature = "memory")]
    if memory::is_mounted(dir) {
        return Ok(());
    }
    for found in fs_err::read_dir(dir)? {
        let entry = found?;
        let file_name = entry.file_name();
        let name = file_name.to_str().unwrap_or_default();
        if !TOP_FILES.contains(&name) && !is_shard_directory(name, manifest.shards) {
            return Err(BundleError::Unexpected { path: entry.path() });
        }
    }
    let own = shard_directory(shard);
    let entries = match fs_err::read_dir(dir.join(&own)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(BundleError::Missing { path: dir.join(own) });
        }
        Err(error) => return Err(error.into()),
    };
    for found in entries {
        let entry = found?;
        let path = entry.file_name().to_str().map(|name| format!("{own}/{name}"));
        if !path.is_some_and(|path| manifest.files.iter().any(|file| file.path == path)) {
            return Err(BundleError::Unexpected { path: entry.path() });
        }
    }
    Ok(())
}

/// Whether this is the directory's name of one of so many shards.
fn is_shard_directory(name: &str, shards: u32) -> bool {
    let Some(number) = name.strip_prefix("shard-") else { return false };
    number.parse().is_ok_and(|shard| shard < shards && name == shard_directory(shard))
}
