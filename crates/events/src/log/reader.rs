//! Reads a log from its oldest record to its newest, while another process may write it.

use super::contents::Contents;
use super::error::LogError;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader, each_record, has_frame};
use super::segment::{self, SEGMENT_HEADER_BYTES, Segment};
use fs_err as fs;
use std::collections::VecDeque;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// How far a reader has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// The number of the next record.
    pub next: u64,
    /// Bytes read so far, of [`bytes`](Self::bytes).
    pub done: u64,
    /// Bytes there were when it was opened.
    pub bytes: u64,
}

/// Reads records in order. It sees what was there when it was opened.
#[derive(Debug)]
pub struct LogReader {
    contents: Contents,
    /// The segments that were not begun.
    segments: VecDeque<Segment>,
    current: Option<SegmentReader>,
    next: Option<u64>,
    done: u64,
    bytes: u64,
}

impl LogReader {
    /// Opens the log in a directory.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read.
    pub fn open(directory: &Path, contents: Contents) -> Result<Self, LogError> {
        if !directory.is_dir() {
            return Err(LogError::Missing { path: directory.into() });
        }
        let segments = segment::list(directory)?;
        if segments.is_empty() {
            return Err(LogError::Missing { path: directory.into() });
        }
        let bytes = segments.iter().map(|segment| segment.bytes).sum();
        let segments = VecDeque::from(segments);
        Ok(Self { contents, segments, current: None, next: None, done: 0, bytes })
    }

    /// Leaves out old segments, so long as at least `records` are left.
    pub fn keep_newest(&mut self, records: u64, end: u64) {
        while self.segments.get(1).is_some_and(|second| end.saturating_sub(second.first) >= records)
        {
            let skipped = self.segments.pop_front();
            self.done += skipped.map_or(0, |segment| segment.bytes);
        }
    }

    /// How far it has come.
    pub fn position(&self) -> LogPosition {
        LogPosition { next: self.next.unwrap_or(0), done: self.done, bytes: self.bytes }
    }

    /// Calls `take` with each record of the next commit and its number; false at the end.
    ///
    /// # Errors
    /// Damage that is no torn tail, a gap, or what the system says.
    pub fn next_frame(&mut self, mut take: impl FnMut(u64, &[u8])) -> Result<bool, LogError> {
        loop {
            if self.current.is_none() {
                let Some(segment) = self.segments.pop_front() else { return Ok(false) };
                if let Some(expected) = self.next
                    && expected != segment.first
                {
                    let (path, found) = (segment.path, segment.first);
                    return Err(LogError::Gap { path, expected, found });
                }
                self.next = Some(segment.first);
                let is_last = self.segments.is_empty();
                self.current = SegmentReader::open(&segment, self.contents, is_last)?;
                self.done += SEGMENT_HEADER_BYTES as u64;
                continue;
            }
            let reader = self.current.as_mut().expect("it was just put there");
            let Some(header) = reader.next_frame()? else {
                self.current = None;
                continue;
            };
            self.done += (FRAME_HEADER_BYTES + header.bytes as usize) as u64;
            let mut number = header.first;
            let is_whole = each_record(&reader.records, header.records, |record| {
                // An empty one stands for what was erased.
                if !record.is_empty() {
                    take(number, record);
                }
                number += 1;
            });
            if !is_whole {
                return Err(reader.damaged("the records contradict the frame's header"));
            }
            self.next = Some(header.first + u64::from(header.records));
            return Ok(true);
        }
    }
}

/// Reads the frames of one segment, up to the last whole one.
#[derive(Debug)]
pub(super) struct SegmentReader {
    file: BufReader<fs::File>,
    path: PathBuf,
    /// Whether it may end in a torn tail.
    is_last: bool,
    /// Where the next frame begins.
    pub(super) at: u64,
    end: u64,
    /// The number of its first record.
    pub(super) next: u64,
    /// The records of the frame that was read last.
    pub(super) records: Vec<u8>,
    frame_at: u64,
}

impl SegmentReader {
    /// None for a last segment whose very header a crash cut off, or whose header another process is
    /// about to write.
    pub(super) fn open(
        segment: &Segment,
        contents: Contents,
        is_last: bool,
    ) -> Result<Option<Self>, LogError> {
        let mut file = match fs::File::open(&segment.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(LogError::Deleted { path: segment.path.clone() });
            }
            opened => opened?,
        };
        let end = file.metadata()?.len();
        if end < SEGMENT_HEADER_BYTES as u64 {
            if is_last {
                return Ok(None);
            }
            let (path, reason) = (segment.path.clone(), "the segment is cut off".into());
            return Err(LogError::Damaged { path, offset: 0, reason });
        }
        if is_last && end == SEGMENT_HEADER_BYTES as u64 && segment::is_blank(&mut file)? {
            return Ok(None);
        }
        segment::check_header(&mut file, &segment.path, contents, segment.first)?;
        Ok(Some(Self {
            file: BufReader::with_capacity(BUFFER_BYTES, file),
            path: segment.path.clone(),
            is_last,
            at: SEGMENT_HEADER_BYTES as u64,
            end,
            next: segment.first,
            records: Vec::new(),
            frame_at: SEGMENT_HEADER_BYTES as u64,
        }))
    }

    fn damaged(&self, reason: &str) -> LogError {
        let (path, offset) = (self.path.clone(), self.frame_at);
        LogError::Damaged { path, offset, reason: reason.into() }
    }

    /// The next frame, its records in [`records`](Self::records); none at the end or a torn tail.
    pub(super) fn next_frame(&mut self) -> Result<Option<FrameHeader>, LogError> {
        self.frame_at = self.at;
        let left = self.end - self.at;
        if left == 0 {
            return Ok(None);
        }
        if left < FRAME_HEADER_BYTES as u64 {
            return self.torn("the file ends within a frame's header");
        }
        let mut bytes = [0; FRAME_HEADER_BYTES];
        self.file.read_exact(&mut bytes)?;
        let header = match FrameHeader::decode(&bytes) {
            Ok(header) => header,
            Err(reason) => return self.torn(reason),
        };
        if header.first != self.next {
            let reason = format!("record {} is here and {} should be", header.first, self.next);
            return Err(self.damaged(&reason));
        }
        if left < FRAME_HEADER_BYTES as u64 + u64::from(header.bytes) {
            return self.torn("the file ends within a frame");
        }
        self.records.resize(header.bytes as usize, 0);
        self.file.read_exact(&mut self.records)?;
        if !header.fits(&self.records) {
            return self.torn("the checksum of the records does not match");
        }
        self.at += FRAME_HEADER_BYTES as u64 + u64::from(header.bytes);
        self.next += u64::from(header.records);
        Ok(Some(header))
    }

    /// The end, if this can be what a crash left: in the last segment, with no whole frame behind.
    fn torn(&mut self, reason: &str) -> Result<Option<FrameHeader>, LogError> {
        if !self.is_last {
            return Err(self.damaged(reason));
        }
        let tail = self.tail()?;
        if has_frame(tail.get(1..).unwrap_or_default()) {
            return Err(self.damaged(reason));
        }
        Ok(None)
    }

    /// What is behind the last whole frame.
    pub(super) fn tail(&mut self) -> Result<Vec<u8>, LogError> {
        self.file.seek(SeekFrom::Start(self.at))?;
        let mut tail = Vec::new();
        let left = self.end - self.at;
        (&mut self.file).take(left).read_to_end(&mut tail)?;
        Ok(tail)
    }
}
