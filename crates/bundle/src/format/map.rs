//! Mapping a file into memory, from front to back in small steps.
//!
//! A thread that loads a file shares processors with threads that answer. A kernel that is not
//! preemptible, as servers' often are, lets no other thread go first while it reads ahead by
//! megabytes or fills the page table of a whole file: measured, threads that woke waited up to five
//! milliseconds for that. So the file is asked for in steps of [`STEP_BYTES`], each a system call
//! or a few page faults of its own.
//!
//! A file is never changed once it has its name (the writer renames whole directories into place),
//! which is what makes mapping it sound.

use super::fault::{Watched, watch};
use super::file_info::FileInfo;
#[cfg(feature = "memory")]
use super::memory::{self, MemoryFile};
use crate::error::{BundleError, FileDefect};
use memmap2::{Advice, Mmap, MmapOptions};
#[cfg(unix)]
use rustix::fs::OFlags;
use std::io::ErrorKind;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// What is asked of the disk, and looked at, in one go: a tenth of a millisecond's work.
const STEP_BYTES: usize = 256 << 10;
/// Steps that the disk is ahead of the one that is looked at.
const STEPS_AHEAD: usize = 8;
/// The smallest page there is: a byte of each such stretch is a byte of every page.
const PAGE_BYTES: usize = 4_096;

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
    /// The mapping, and its registration, which goes first.
    Mapped { _watched: Watched, map: Mmap },
    #[cfg(feature = "memory")]
    Memory(MemoryFile),
}

impl FileBytes {
    /// Gives the pages back to the system, which reads them again where they are used, here and there.
    pub(crate) fn give_back(&self) {
        #[cfg(unix)]
        #[allow(irrefutable_let_patterns)] // without the feature there is one kind
        if let Self::Mapped { map, .. } = self {
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
            Self::Mapped { map, .. } => map,
            #[cfg(feature = "memory")]
            Self::Memory(file) => file,
        }
    }
}

/// Maps one file of the manifest, after checking its length and (if wanted) its checksum.
pub(crate) fn map_file(
    root: &Path,
    info: &FileInfo,
    options: &LoadOptions,
) -> Result<(PathBuf, FileBytes), BundleError> {
    let path = root.join(&info.path);
    #[cfg(feature = "memory")]
    if let Some(found) = memory::find(&path) {
        let bytes = found?;
        check_length(&path, bytes.len() as u64, info)?;
        if options.verify {
            check_sum(&path, blake3::hash(&bytes), info)?;
        }
        return Ok((path, FileBytes::Memory(bytes)));
    }
    let file = open_file(&path)?;
    check_length(&path, file.metadata()?.len(), info)?;
    // SAFETY: bundles are immutable once named, so the file neither changes nor shrinks while mapped; a node maps copies
    // that nothing else writes. A page that cannot be read all the same becomes one of zeros (see `fault`).
    let map = unsafe { MmapOptions::new().map(file.file())? };
    let watched = watch(&path, &map)?;
    if options.verify {
        let mut sum = blake3::Hasher::new();
        in_steps(&map, |step| {
            sum.update(step);
        });
        check_sum(&path, sum.finalize(), info)?;
    } else if options.populate {
        in_steps(&map, |step| {
            for byte in step.iter().step_by(PAGE_BYTES) {
                std::hint::black_box(*byte);
            }
        });
    }
    Ok((path, FileBytes::Mapped { _watched: watched, map }))
}

/// Asks the system to read a step of the file, counted from 0, if there is one.
fn read_ahead(map: &Mmap, step: usize) {
    let offset = step * STEP_BYTES;
    let len = map.len().saturating_sub(offset).min(STEP_BYTES);
    if len > 0 {
        // Advice is a hint: a system that doesn't take it is slower, not wrong.
        let _ = map.advise_range(Advice::WillNeed, offset, len);
    }
}

/// Looks at the whole file, on this thread, and so has every page in memory and in the page table.
fn in_steps(map: &Mmap, mut look: impl FnMut(&[u8])) {
    // What the system would read ahead on its own is not bounded by a step.
    let _ = map.advise(Advice::Random);
    for step in 0..STEPS_AHEAD {
        read_ahead(map, step);
    }
    for (number, step) in map.chunks(STEP_BYTES).enumerate() {
        read_ahead(map, number + STEPS_AHEAD);
        look(step);
    }
    let _ = map.advise(Advice::Normal);
}

/// Opens a file for reading, if it is one and no symbolic link. Opening a pipe would wait until it has a writer, so it is
/// opened without waiting, and then looked at.
pub(crate) fn open_file(path: &Path) -> Result<fs_err::File, BundleError> {
    let refused = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => BundleError::Missing { path: path.into() },
        _ => error.into(),
    };
    let not_regular = || BundleError::Format { path: path.into(), defect: FileDefect::NotRegular };
    if !fs_err::symlink_metadata(path).map_err(refused)?.is_file() {
        return Err(not_regular());
    }
    let mut options = fs_err::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use fs_err::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
    }
    let file = options.open(path).map_err(refused)?;
    // Another one may have been put there meanwhile.
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

fn check_length(path: &Path, found: u64, info: &FileInfo) -> Result<(), BundleError> {
    if found != info.bytes {
        return Err(BundleError::Length { path: path.into(), found, expected: info.bytes });
    }
    Ok(())
}

fn check_sum(path: &Path, sum: blake3::Hash, info: &FileInfo) -> Result<(), BundleError> {
    if sum.to_hex().as_str() != info.blake3 {
        return Err(BundleError::Checksum { path: path.into(), source_of_truth: "manifest" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of more steps than the disk is ahead, and no whole number of them.
    fn file() -> (tempfile::TempDir, FileInfo, Vec<u8>) {
        let bytes: Vec<u8> =
            (0..(STEPS_AHEAD + 2) * STEP_BYTES + 5).map(|n| (n >> 9) as u8).collect();
        let dir = tempfile::tempdir().expect("a directory");
        fs_err::write(dir.path().join("rows"), &bytes).expect("written");
        let blake3 = blake3::hash(&bytes).to_hex().to_string();
        let info = FileInfo { path: "rows".into(), bytes: bytes.len() as u64, blake3 };
        (dir, info, bytes)
    }

    #[test]
    fn every_step_counts_towards_the_checksum() {
        let (dir, info, mut bytes) = file();
        let open = || map_file(dir.path(), &info, &LoadOptions::default());
        let (_, mapped) = open().expect("it is as the manifest says");
        assert!(*mapped == *bytes);
        drop(mapped);
        for changed in [0, STEP_BYTES, STEPS_AHEAD * STEP_BYTES - 1, bytes.len() - 1] {
            bytes[changed] ^= 1;
            fs_err::write(dir.path().join("rows"), &bytes).expect("written");
            assert!(matches!(open(), Err(BundleError::Checksum { .. })), "byte {changed}");
            bytes[changed] ^= 1;
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn every_page_is_in_the_page_table_where_that_is_asked_for() {
        let (dir, info, _) = file();
        for (verify, populate, all) in
            [(true, true, true), (false, true, true), (false, false, false)]
        {
            let options = LoadOptions { verify, populate };
            let (path, mapped) = map_file(dir.path(), &info, &options).expect("mapped");
            let path = path.to_str().expect("plain").to_owned();
            let maps = fs_err::read_to_string("/proc/self/smaps").expect("Linux tells");
            let mut of_file = maps.lines().skip_while(|line| !line.ends_with(&path));
            let rss = of_file.find_map(|line| line.strip_prefix("Rss:")).expect("its size");
            let kib: usize = rss.trim_end_matches("kB").trim().parse().expect("a number");
            let pages = info.bytes.div_ceil(PAGE_BYTES as u64) as usize;
            assert_eq!(kib * 1_024 == pages * PAGE_BYTES, all, "{options:?}: {kib} KiB");
            drop(mapped);
        }
    }
}
