//! Directories in memory in place of those on disk, for tests that open millions of hostile bundles.
//!
//! While [`MemoryDirectory::mounted_at`] runs, this thread finds the directory's files wherever a
//! bundle's code opens a file below that path; every other check and every parser is the one of
//! production. Each file has an allocation of its own, so that a memory sanitizer sees reads beyond
//! its end. Only with the feature `memory`, which no binary has: served bundles lie on disk.
//!
//! What is deliberately missing: writing, the bounds of the small files beside the manifest, and telling
//! files that it doesn't name.

use super::layout::ALIGNMENT;
use crate::error::BundleError;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

thread_local! {
    static MOUNTED: RefCell<Option<(PathBuf, MemoryDirectory)>> = const { RefCell::new(None) };
}

/// The files of a directory, by path within it, such as `shard-0000/items.ids`. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryDirectory {
    files: Arc<BTreeMap<Arc<str>, MemoryFile>>,
}

impl MemoryDirectory {
    /// Reads everything below a directory on disk.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let mut read = Self::default();
        let mut waiting = vec![(dir.to_owned(), String::new())];
        while let Some((place, prefix)) = waiting.pop() {
            for entry in fs_err::read_dir(place)? {
                let entry = entry?;
                let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
                if entry.file_type()?.is_dir() {
                    waiting.push((entry.path(), format!("{path}/")));
                } else {
                    read.insert(&path, &fs_err::read(entry.path())?);
                }
            }
        }
        Ok(read)
    }

    /// Puts a file in, in place of one of that path.
    pub fn insert(&mut self, path: &str, bytes: &[u8]) {
        Arc::make_mut(&mut self.files).insert(path.into(), MemoryFile::new(bytes));
    }

    /// Takes a file out.
    pub fn remove(&mut self, path: &str) {
        Arc::make_mut(&mut self.files).remove(path);
    }

    /// The bytes of a file, if there is one of that path.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(|file| &**file)
    }

    /// The paths of its files, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(|path| &**path)
    }

    /// Calls `work` while this thread finds the files below `root`, which need not exist on disk.
    pub fn mounted_at<R>(&self, root: &Path, work: impl FnOnce() -> R) -> R {
        struct Unmount(Option<(PathBuf, MemoryDirectory)>);
        impl Drop for Unmount {
            fn drop(&mut self) {
                MOUNTED.replace(self.0.take());
            }
        }
        let _before = Unmount(MOUNTED.replace(Some((root.to_owned(), self.clone()))));
        work()
    }
}

/// The bytes of one file, which begin on a cache line as mapped ones do. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct MemoryFile {
    lines: Arc<[Line]>,
    length: usize,
}

/// As much as sections are aligned to.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; ALIGNMENT]);

impl MemoryFile {
    fn new(bytes: &[u8]) -> Self {
        let mut lines = vec![Line([0; ALIGNMENT]); bytes.len().div_ceil(ALIGNMENT)];
        bytemuck::cast_slice_mut(&mut lines)[..bytes.len()].copy_from_slice(bytes);
        Self { lines: lines.into(), length: bytes.len() }
    }
}

impl std::ops::Deref for MemoryFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.length]
    }
}

/// The file of that path in the mounted directory; none if the path isn't below its root.
pub(crate) fn find(path: &Path) -> Option<Result<MemoryFile, BundleError>> {
    MOUNTED.with_borrow(|mounted| {
        let (root, directory) = mounted.as_ref()?;
        let within = path.strip_prefix(root).ok()?;
        let file = within.to_str().and_then(|within| directory.files.get(within)).cloned();
        Some(file.ok_or_else(|| BundleError::Missing { path: path.into() }))
    })
}

/// Whether the directory of that path is the mounted one.
pub(crate) fn is_mounted(dir: &Path) -> bool {
    MOUNTED.with_borrow(|mounted| mounted.as_ref().is_some_and(|(root, _)| root == dir))
}
