//! Mapping a file into memory: verified first through one mapping, served through another.
//!
//! The first mapping is read once from front to back, as the checksum wants it and as disks like it;
//! the second finds every page in memory already. A file is never changed once it has its name
//! (the writer renames whole directories into place), which is what makes mapping it sound.

use crate::error::BundleError;
use crate::manifest::FileInfo;
use memmap2::{Advice, Mmap, MmapOptions};
use std::io::ErrorKind;
use std::ops::Deref;
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

/// The bytes of an open file, which stay where they are.
pub(crate) enum FileBytes {
    Mapped(Mmap),
    #[cfg(feature = "memory")]
    Memory(super::memory::MemoryFile),
}

impl FileBytes {
    /// Gives the pages back to the system, which reads them again where they are used, here and there.
    pub(crate) fn give_back(&self) {
        #[cfg(unix)]
        #[allow(irrefutable_let_patterns)] // without the feature there is one kind
        if let Self::Mapped(map) = self {
            // SAFETY: the mapping is of a file and never written: pages that go come back as they were.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
            let _ = map.advise(Advice::Random);
        }
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            #[cfg(feature = "memory")]
            Self::Memory(file) => file,
        }
    }
}

/// Maps one file of the manifest, after checking its length and (if asked) its checksum.
pub(crate) fn map_file(
    root: &Path,
    info: &FileInfo,
    options: &LoadOptions,
) -> Result<(PathBuf, FileBytes), BundleError> {
    let path = root.join(&info.path);
    #[cfg(feature = "memory")]
    if let Some(found) = super::memory::find(&path) {
        let bytes = found?;
        check_length(&path, bytes.len() as u64, info)?;
        if options.verify {
            check_sum(&path, &bytes, info)?;
        }
        return Ok((path, FileBytes::Memory(bytes)));
    }
    let file = open_file(&path)?;
    check_length(&path, file.metadata()?.len(), info)?;
    if options.verify || options.populate {
        // SAFETY: bundles are immutable once named, so the file neither changes nor shrinks while mapped.
        let sequential = unsafe { MmapOptions::new().map(file.file())? };
        // Advice is a hint: a system that doesn't take it is slower, not wrong.
        let _ = sequential.advise(Advice::Sequential);
        if options.verify {
            // On this thread alone: loading must not take processors from searches.
            check_sum(&path, &sequential, info)?;
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
    Ok((path, FileBytes::Mapped(map)))
}

/// Opens a file for reading, if it is one: opening a pipe would wait until somebody writes to it.
pub(crate) fn open_file(path: &Path) -> Result<fs_err::File, BundleError> {
    let refused = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => BundleError::Missing { path: path.into() },
        _ => error.into(),
    };
    if !fs_err::metadata(path).map_err(refused)?.is_file() {
        let reason = "it is not a regular file".into();
        return Err(BundleError::Format { path: path.into(), reason });
    }
    fs_err::File::open(path).map_err(refused)
}

fn check_length(path: &Path, found: u64, info: &FileInfo) -> Result<(), BundleError> {
    if found != info.bytes {
        return Err(BundleError::Length { path: path.into(), found, expected: info.bytes });
    }
    Ok(())
}

fn check_sum(path: &Path, bytes: &[u8], info: &FileInfo) -> Result<(), BundleError> {
    if blake3::hash(bytes).to_hex().as_str() != info.blake3 {
        return Err(BundleError::Checksum { path: path.into(), source_of_truth: "manifest" });
    }
    Ok(())
}
