//! Writes a log: opened after any crash, appended to by commits, rotated, bounded.

use super::contents::Fsync;
use super::eraser::{LogEraser, TORN_EXTENSION, remove_unfinished};
use super::error::LogError;
use super::frame::{Frame, MAX_FRAME_BYTES};
use super::options::{LogOptions, WriteStep};
use super::private::{create_private_directory, make_private, private_file};
use super::reader::SegmentReader;
use super::segment::{self, SEGMENT_HEADER_BYTES, Segment};
use fs_err as fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long after a failed write the log is tried again: often enough for callers who wait for room, and seldom enough for
/// a disk that has none.
const RECOVER_EVERY: Duration = Duration::from_secs(1);
/// The file that a writer holds locked.
const LOCK_FILE: &str = "lock";

/// Why nothing is written.
#[derive(Debug)]
struct Failure {
    reason: String,
    /// When it is tried again; none if only opening the log again would tell what is there.
    retry_at: Option<Instant>,
}

/// Appends to a log. One process has it at a time.
#[derive(Debug)]
pub struct LogWriter {
    options: LogOptions,
    file: fs::File,
    path: PathBuf,
    /// The number of the current segment's first record.
    first: u64,
    /// Bytes of the current segment.
    at: u64,
    /// The number of the next record.
    next: u64,
    /// The first write since the last sync.
    unsynced_since: Option<Instant>,
    failed: Option<Failure>,
    /// The segments before the current one. One of which something was erased has fewer bytes than it says.
    older: Vec<Segment>,
    /// Held while a segment is deleted or replaced.
    files: Arc<Mutex<()>>,
    /// Held until the writer is gone.
    _lock: std::fs::File,
}

impl LogWriter {
    /// Opens a log, or begins one, and cuts off what a crash left of its last commit.
    ///
    /// # Errors
    /// Damage that is no torn tail, another writer, or what the system says.
    pub fn open(options: LogOptions) -> Result<Self, LogError> {
        let directory = &options.directory;
        make_directory(directory)?;
        let lock = lock(directory)?;
        remove_unfinished(directory)?;
        let mut older = segment::list(directory)?;
        for pair in older.windows(2) {
            // What can be told without reading: a name cannot come again, and none is empty.
            if pair[0].bytes < SEGMENT_HEADER_BYTES as u64 {
                let (path, reason) = (pair[0].path.clone(), "the segment is cut off".into());
                return Err(LogError::Damaged { path, offset: 0, reason });
            }
        }
        let last = older.pop();
        let opened = match &last {
            Some(last) => SegmentReader::open(last, options.contents, true)?,
            None => None,
        };
        let (file, path, first, at, next) = match (opened, last) {
            (Some(reader), Some(last)) => {
                let (file, at, next) = recover(reader, &last, directory)?;
                (file, last.path, last.first, at, next)
            }
            // Its header was never whole, so it never had a record.
            (_, last) => {
                let first = last.map_or(0, |last| last.first);
                let (file, path) = segment::create(directory, options.contents, first)?;
                (file, path, first, SEGMENT_HEADER_BYTES as u64, first)
            }
        };
        let mut writer = Self {
            options,
            file,
            path,
            first,
            at,
            next,
            unsynced_since: None,
            failed: None,
            older,
            files: Arc::default(),
            _lock: lock,
        };
        writer.retain()?;
        Ok(writer)
    }

    /// The number that the next record will have.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Writes a commit, makes it as durable as the policy says, and empties the frame. Returns the number
    /// of its first record.
    ///
    /// # Errors
    /// What keeps it from the disk. It is unknown then whether it is there, and everything is refused until
    /// the log has [recovered](Self::recover) or is opened again.
    pub fn commit(&mut self, frame: &mut Frame) -> Result<u64, LogError> {
        self.check()?;
        let first = self.next;
        if let Err(error) = self.make_room(frame) {
            return Err(self.fail_between_commits(error));
        }
        let before = (self.at, self.next, self.unsynced_since);
        if let Err(error) = self.append(frame) {
            // All that was acknowledged is before it.
            (self.at, self.next, self.unsynced_since) = before;
            return Err(self.fail(error, true));
        }
        Ok(first)
    }

    /// Notes an error before anything of a commit was written.
    fn fail_between_commits(&mut self, error: LogError) -> LogError {
        // If it was a sync that failed, what waited for it may be lost, though it was acknowledged.
        let is_certain = self.options.fsync == Fsync::Always || self.unsynced_since.is_none();
        self.fail(error, is_certain)
    }

    fn fail(&mut self, error: LogError, may_recover: bool) -> LogError {
        let retry_at = may_recover.then(|| Instant::now() + RECOVER_EVERY);
        self.failed = Some(Failure { reason: error.to_string(), retry_at });
        error
    }

    /// Tries a log again whose last commit failed a while ago, perhaps because its disk was full: cuts off what came of
    /// that commit, which was not acknowledged. Whether it takes commits again is told by the next one.
    pub fn recover(&mut self, now: Instant) {
        let Some(Failure { retry_at: Some(retry_at), .. }) = self.failed else { return };
        if now < retry_at {
            return;
        }
        match self.cut_off() {
            Ok(()) => {
                self.failed = None;
                tracing::info!(path = %self.path.display(), "tries a log again whose last write failed");
            }
            Err(error) => {
                let retry_at = Some(now + RECOVER_EVERY);
                self.failed = Some(Failure { reason: error.to_string(), retry_at });
            }
        }
    }

    /// Removes what is behind the last acknowledged commit.
    fn cut_off(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.at)?;
        self.file.seek(SeekFrom::Start(self.at))?;
        self.file.sync_all()
    }

    /// Whether it takes commits.
    ///
    /// # Errors
    /// [`LogError::Failed`] if an earlier one failed.
    pub fn check(&self) -> Result<(), LogError> {
        match &self.failed {
            Some(failed) => Err(LogError::Failed(failed.reason.clone())),
            None => Ok(()),
        }
    }

    fn make_room(&mut self, frame: &Frame) -> Result<(), LogError> {
        if frame.len() > MAX_FRAME_BYTES {
            return Err(LogError::TooLarge { bytes: frame.len() });
        }
        let is_begun = self.at > SEGMENT_HEADER_BYTES as u64;
        if is_begun && self.at + frame.len() as u64 > self.options.segment_bytes {
            self.rotate()?;
        }
        Ok(())
    }

    fn append(&mut self, frame: &mut Frame) -> Result<(), LogError> {
        self.check_fault(WriteStep::Write)?;
        let bytes = frame.seal(self.next);
        self.file.write_all(bytes)?;
        self.at += bytes.len() as u64;
        self.next += u64::from(frame.records());
        frame.clear();
        self.unsynced_since.get_or_insert_with(Instant::now);
        if self.options.fsync == Fsync::Always {
            self.sync_now()?;
        }
        Ok(())
    }

    /// Ends the current segment, so that all records so far are in full ones.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub fn seal(&mut self) -> Result<(), LogError> {
        self.check()?;
        if self.at == SEGMENT_HEADER_BYTES as u64 {
            return Ok(());
        }
        self.rotate().map_err(|error| self.fail_between_commits(error))
    }

    /// What takes records out of the full segments of this log, on any thread.
    pub fn eraser(&self) -> LogEraser {
        LogEraser {
            directory: self.options.directory.clone(),
            contents: self.options.contents,
            files: Arc::clone(&self.files),
            faults: self.options.faults.clone(),
        }
    }

    /// How long until a sync is due; none if none is, or if none would do.
    pub fn sync_due(&self, now: Instant) -> Option<Duration> {
        if self.failed.is_some() {
            return None;
        }
        let Fsync::IntervalMs(interval) = self.options.fsync else { return None };
        let due = self.unsynced_since? + Duration::from_millis(interval);
        Some(due.saturating_duration_since(now))
    }

    /// Makes all that was written outlive the machine.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.check()?;
        // Acknowledged records may be lost: nothing is written behind them.
        self.sync_now().inspect_err(|error| {
            self.failed = Some(Failure { reason: error.to_string(), retry_at: None });
        })
    }

    fn sync_now(&mut self) -> Result<(), LogError> {
        if self.unsynced_since.is_some() {
            self.check_fault(WriteStep::Sync)?;
            self.file.sync_data()?;
            self.unsynced_since = None;
        }
        Ok(())
    }

    fn check_fault(&self, step: WriteStep) -> std::io::Result<()> {
        match &self.options.faults {
            Some(faults) => faults(step),
            None => Ok(()),
        }
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        // Under every policy: only the last segment may be torn.
        self.sync_now()?;
        let (file, path) =
            segment::create(&self.options.directory, self.options.contents, self.next)?;
        self.file = file;
        let full = Segment {
            first: std::mem::replace(&mut self.first, self.next),
            path: std::mem::replace(&mut self.path, path),
            bytes: self.at,
        };
        self.older.push(full);
        self.at = SEGMENT_HEADER_BYTES as u64;
        self.retain()
    }

    /// Deletes the oldest segments where there are more bytes than may be.
    fn retain(&mut self) -> Result<(), LogError> {
        let mut bytes = self.at + self.older.iter().map(|segment| segment.bytes).sum::<u64>();
        let mut deleted = 0;
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for segment in &self.older {
            if bytes <= self.options.max_bytes {
                break;
            }
            fs::remove_file(&segment.path)?;
            bytes -= segment.bytes;
            deleted += 1;
        }
        drop(files);
        if deleted > 0 {
            segment::sync_directory(&self.options.directory)?;
            let next = self.older.get(deleted).map_or(self.path.as_path(), |s| s.path.as_path());
            tracing::info!(
                segments = deleted,
                max_bytes = self.options.max_bytes,
                oldest = %next.display(),
                "deleted the oldest segments of a log: it has as many bytes as it may"
            );
            self.older.drain(..deleted);
        }
        Ok(())
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        if self.failed.is_none()
            && let Err(error) = self.sync_now()
        {
            tracing::error!(path = %self.path.display(), %error, "the last records may not outlive the machine");
        }
    }
}

/// Makes a directory that outlives a crash of the machine, as what is in it does.
fn make_directory(directory: &Path) -> Result<(), LogError> {
    if directory.is_dir() {
        // An earlier release made it readable by all users of the machine.
        return Ok(make_private(directory)?);
    }
    let made = directory.ancestors().take_while(|path| !path.is_dir()).count();
    create_private_directory(directory)?;
    for parent in directory.ancestors().skip(1).take(made) {
        let is_here = parent.as_os_str().is_empty();
        segment::sync_directory(if is_here { Path::new(".") } else { parent })?;
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<std::fs::File, LogError> {
    let path = directory.join(LOCK_FILE);
    let file = private_file().create(true).truncate(false).write(true).open(&path)?;
    let (file, _) = file.into_parts();
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(LogError::InUse { path: directory.into() }),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Reads the last segment to its end and cuts off a torn tail, keeping a copy of it.
fn recover(
    mut reader: SegmentReader,
    last: &Segment,
    directory: &Path,
) -> Result<(fs::File, u64, u64), LogError> {
    while reader.next_frame()?.is_some() {}
    let (at, next) = (reader.at, reader.next);
    let tail = reader.tail()?;
    let mut file = fs::OpenOptions::new().write(true).open(&last.path)?;
    make_private(&last.path)?;
    if !tail.is_empty() {
        let copy = directory.join(format!("{:020}-{at}.{TORN_EXTENSION}", last.first));
        private_file().create(true).truncate(true).write(true).open(&copy)?.write_all(&tail)?;
        file.set_len(at)?;
        file.sync_all()?;
        segment::sync_directory(directory)?;
        tracing::warn!(
            path = %last.path.display(), offset = at, bytes = tail.len(), copy = %copy.display(),
            "cut off the last commit, which a crash left torn: it was not acknowledged"
        );
    }
    file.seek(SeekFrom::Start(at))?;
    Ok((file, at, next))
}
