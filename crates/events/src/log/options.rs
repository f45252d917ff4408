//! How a log is written.

use super::contents::{Contents, Fsync};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// How a log is written.
#[derive(Clone)]
pub struct LogOptions {
    /// The directory; made if it is not there.
    pub directory: PathBuf,
    /// What its records are.
    pub contents: Contents,
    /// When what was written is synced.
    pub fsync: Fsync,
    /// A segment that has as many bytes is followed by another.
    pub segment_bytes: u64,
    /// What all segments may have together; the oldest are deleted beyond it.
    pub max_bytes: u64,
    /// What a test lets go wrong; none outside of tests.
    #[doc(hidden)]
    pub faults: Option<Faults>,
}

/// What a test lets go wrong, or wait.
pub type Faults = Arc<dyn Fn(WriteStep) -> std::io::Result<()> + Send + Sync>;

/// What a writer is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteStep {
    /// Writes the frames of a commit into the segment.
    Write,
    /// Syncs the segment's file to disk.
    Sync,
    /// Writes a frame of a segment that is written anew.
    Rewrite,
    /// Puts a segment in the place of the one that it was made of.
    Replace,
}

impl fmt::Debug for LogOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { directory, contents, fsync, segment_bytes, max_bytes, faults: _ } = self;
        f.debug_struct("LogOptions")
            .field("directory", directory)
            .field("contents", contents)
            .field("fsync", fsync)
            .field("segment_bytes", segment_bytes)
            .field("max_bytes", max_bytes)
            .finish()
    }
}

impl LogOptions {
    /// A log in this directory, with segments of 64 MiB, 1 GiB for all of them, synced always.
    pub fn new(directory: impl Into<PathBuf>, contents: Contents) -> Self {
        Self {
            directory: directory.into(),
            contents,
            fsync: Fsync::Always,
            segment_bytes: 64 << 20,
            max_bytes: 1 << 30,
            faults: None,
        }
    }
}
