//! Mapping a file into memory: verified first through one mapping, served through another.
//!
//! The first mapping is read once from front to back, as the checksum wants it and as disks like it;
//! the second finds every page in memory already. A file is never changed once it has its name
//! (the writer renames whole directories into place), which is what makes mapping it sound.

use crate::error::BundleError;
use crate::manifest::FileInfo;
use memmap2::{Advice, Mmap, MmapOptions};
use std::path::{Path, PathBuf};

/// How to open a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Check every byte against the manifest's checksums. Leave it on unless this very process
    /// has checked the files before.
    pub verify: bool,
    /// Bring every page into memory before the shard answers, so that no search waits for a disk.
    pub populate: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { verify: true, populate: true }
    }
}

/// Maps one file of the manifest, after checking its length and (if asked) its checksum.
pub(crate) fn map_file(
    root: &Path,
    info: &FileInfo,
    options: &LoadOptions,
) -> Result<(PathBuf, Mmap), BundleError> {
    let path = root.join(&info.path);
    let file = match fs_err::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(BundleError::Missing { path });
        }
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(BundleError::Format { path, reason: "it is not a regular file".into() });
    }
    if metadata.len() != info.bytes {
        return Err(BundleError::Length { path, found: metadata.len(), expected: info.bytes });
    }
    if options.verify || options.populate {
        // SAFETY: bundles are immutable once named, so the file neither changes nor shrinks while mapped.
        let sequential = unsafe { MmapOptions::new().map(file.file())? };
        // Advice is a hint: a system that doesn't take it is slower, not wrong.
        let _ = sequential.advise(Advice::Sequential);
        if options.verify {
            // On this thread alone: loading must not take processors from searches.
            let found = blake3::hash(&sequential);
            if found.to_hex().as_str() != info.blake3 {
                return Err(BundleError::Checksum { path, source_of_truth: "manifest" });
            }
        } else {
            #[cfg(target_os = "linux")]
            let _ = sequential.advise(Advice::PopulateRead);
        }
    }
    let mut serving = MmapOptions::new();
    if options.populate {
        serving.populate();
    }
    // SAFETY: as above.
    let map = unsafe { serving.map(file.file())? };
    Ok((path, map))
}
