//! Takes records out of full segments.
//!
//! A segment is read; where a record is to be erased or replaced, the segment is written anew beside the old one,
//! synced, renamed over it, and the directory synced. A record that is erased leaves an empty one behind, so that no
//! number changes and frames stay as they are; readers skip these. After a crash a segment is the old one or the new
//! one, and what is left of a new one is removed when the log is opened. To do it again changes nothing.
//!
//! The bytes of the old file are the file system's to overwrite.

use super::contents::Contents;
use super::error::LogError;
use super::frame::{Frame, each_record};
use super::options::{Faults, WriteStep};
use super::private::private_file;
use super::reader::SegmentReader;
use super::segment::{self, Segment};
use fs_err as fs;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The extension of a segment that is being written anew.
const NEW_EXTENSION: &str = "new";
/// The extension of what a crash left of a last commit.
pub(super) const TORN_EXTENSION: &str = "torn";

/// What becomes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordFate {
    /// It stays as it is.
    Keep,
    /// Nothing is left of it but its number.
    Erase,
    /// These bytes stand in its place.
    Replace(Vec<u8>),
}

/// What was erased of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErasedCounts {
    /// Records of which nothing is left.
    pub erased: u64,
    /// Records that others stand for.
    pub replaced: u64,
    /// Segments that were written anew.
    pub segments: u64,
}

impl ErasedCounts {
    /// Adds the counts of another log.
    pub fn add(&mut self, other: Self) {
        let Self { erased, replaced, segments } = other;
        self.erased += erased;
        self.replaced += replaced;
        self.segments += segments;
    }
}

/// Takes records out of the full segments of a log that is being written.
#[derive(Clone)]
pub struct LogEraser {
    pub(super) directory: PathBuf,
    pub(super) contents: Contents,
    /// Held while a segment is deleted or replaced: what was deleted must not come back.
    pub(super) files: Arc<Mutex<()>>,
    pub(super) faults: Option<Faults>,
}

impl fmt::Debug for LogEraser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { directory, contents, files: _, faults: _ } = self;
        let mut shown = f.debug_struct("LogEraser");
        shown.field("directory", directory).field("contents", contents).finish_non_exhaustive()
    }
}

impl LogEraser {
    /// Does with each record of all segments but the newest, which is written to, what `fate` says of it.
    ///
    /// # Errors
    /// What is wrong with a segment, or what the system says. Segments before it are done.
    pub fn erase(
        &self,
        mut fate: impl FnMut(&[u8]) -> RecordFate,
    ) -> Result<ErasedCounts, LogError> {
        let mut segments = segment::list(&self.directory)?;
        segments.pop();
        let mut counts = ErasedCounts::default();
        for segment in &segments {
            match self.of_segment(segment, &mut fate) {
                Ok(of_segment) => counts.add(of_segment),
                // It made room for newer ones meanwhile.
                Err(LogError::Deleted { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.remove_torn()?;
        Ok(counts)
    }

    fn of_segment(
        &self,
        segment: &Segment,
        fate: &mut impl FnMut(&[u8]) -> RecordFate,
    ) -> Result<ErasedCounts, LogError> {
        let mut is_touched = false;
        self.each_frame(segment, |_, records, count| {
            each_record(records, count, |record| {
                is_touched |= !record.is_empty() && fate(record) != RecordFate::Keep;
            });
            Ok(())
        })?;
        if !is_touched {
            return Ok(ErasedCounts::default());
        }
        let new_path = segment.path.with_extension(NEW_EXTENSION);
        let mut file = private_file().create(true).truncate(true).write(true).open(&new_path)?;
        file.write_all(&segment::header(self.contents, segment.first))?;
        let mut counts = ErasedCounts { segments: 1, ..ErasedCounts::default() };
        self.each_frame(segment, |first, records, count| {
            self.check_fault(WriteStep::Rewrite)?;
            let mut frame = plan_frame(records, count, fate, &mut counts);
            Ok(file.write_all(frame.seal(first))?)
        })?;
        file.sync_all()?;
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_fault(WriteStep::Replace)?;
        if segment.path.exists() {
            fs::rename(&new_path, &segment.path)?;
        } else {
            fs::remove_file(&new_path)?;
        }
        drop(files);
        segment::sync_directory(&self.directory)?;
        Ok(counts)
    }

    /// Reads the frames of a full segment: the number of the first record, the records, and how many they are.
    fn each_frame(
        &self,
        segment: &Segment,
        mut take: impl FnMut(u64, &[u8], u32) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let Some(mut reader) = SegmentReader::open(segment, self.contents, false)? else {
            return Ok(());
        };
        while let Some(header) = reader.next_frame()? {
            take(header.first, &reader.records, header.records)?;
        }
        Ok(())
    }

    /// Removes the copies of torn commits: they were never acknowledged, and may have anybody's records.
    fn remove_torn(&self) -> Result<(), LogError> {
        remove_files(&self.directory, TORN_EXTENSION)
    }

    fn check_fault(&self, step: WriteStep) -> std::io::Result<()> {
        match &self.faults {
            Some(faults) => faults(step),
            None => Ok(()),
        }
    }
}

/// The frame that stands for these records afterwards: as many, in their order.
fn plan_frame(
    records: &[u8],
    count: u32,
    fate: &mut impl FnMut(&[u8]) -> RecordFate,
    counts: &mut ErasedCounts,
) -> Frame {
    let mut frame = Frame::default();
    each_record(records, count, |record| {
        let of_record = if record.is_empty() { RecordFate::Keep } else { fate(record) };
        match of_record {
            RecordFate::Keep => frame.push(|out| out.extend_from_slice(record)),
            RecordFate::Erase => {
                counts.erased += 1;
                frame.push(|_| {});
            }
            RecordFate::Replace(other) => {
                counts.replaced += 1;
                frame.push(|out| out.extend_from_slice(&other));
            }
        }
    });
    frame
}

/// Removes what a crash left of segments that were being written anew.
pub(super) fn remove_unfinished(directory: &Path) -> Result<(), LogError> {
    remove_files(directory, NEW_EXTENSION)
}

fn remove_files(directory: &Path, extension: &str) -> Result<(), LogError> {
    let mut removed = false;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            fs::remove_file(&path)?;
            removed = true;
        }
    }
    if removed { segment::sync_directory(directory) } else { Ok(()) }
}
