//! Writes a log: opened after any crash, appended to by commits, rotated, bounded.

use super::contents::Fsync;
use super::eraser::{LogEraser, TORN_EXTENSION, remove_unfinished};
use super::error::LogError;
use super::frame::{Frame, MAX_FRAME_BYTES};
use super::options::{LogOptions, WriteStep};
use super::private::{create_private_directory, make_private, private_directory, private_file};
use super::reader::SegmentReader;
use super::segment::{self, SEGMENT_HEADER_BYTES, Segment};
use fs_err as fs;
use marquee_core::planted::{PlantedBug, is_planted};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long after a failed write the log is tried again: often enough for callers who wait for room, and seldom enough for
/// a disk that has none.
const RECOVER_EVERY: Duration = Duration::from_secs(1);
/// Bytes that are written and not synced, at most: they are kept in memory, to be written again where a sync fails. More
/// are synced at once, whatever the policy.
const MAX_UNSYNCED_BYTES: usize = 16 << 20;
/// What must fit on the disk before a log whose write failed is believed to be well: more than most commits.
const ROOM_BYTES: usize = 64 << 10;
/// The file that a writer holds locked.
const LOCK_FILE: &str = "lock";

/// Why nothing is written.
#[derive(Debug)]
struct Failure {
    reason: String,
    /// When it is tried again.
    retry_at: Instant,
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
    /// Bytes of the current segment that outlive the machine, and the number of the first record that does not.
    synced: (u64, u64),
    /// The bytes behind them, whole frames. None under [`Fsync::Always`], where nothing is acknowledged without a sync.
    unsynced: Vec<u8>,
    failed: Option<Failure>,
    /// Records that were on disk, and whose files were removed while the log was open.
    lost: u64,
    /// The segments before the current one. One of which something was erased has fewer bytes than it says.
    older: Vec<Segment>,
    /// Held while a segment is deleted or replaced.
    files: Arc<Mutex<()>>,
    /// Held until the writer is gone, or opens the log again.
    lock: Option<std::fs::File>,
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
            synced: (at, next),
            unsynced: Vec::new(),
            failed: None,
            lost: 0,
            older,
            files: Arc::default(),
            lock: Some(lock),
        };
        writer.retain()?;
        Ok(writer)
    }

    /// The number that the next record will have.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How many records were on disk, and are gone with their files, which were removed while the log was open.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes a commit, makes it as durable as the policy says, and empties the frame. Returns the number
    /// of its first record.
    ///
    /// # Errors
    /// What keeps it from the disk. It is unknown then whether it is there, and everything is refused until
    /// the log has [recovered](Self::recover).
    pub fn commit(&mut self, frame: &mut Frame) -> Result<u64, LogError> {
        self.check()?;
        let first = self.next;
        if let Err(error) = self.check_place().and_then(|()| self.make_room(frame)) {
            return Err(self.fail(error));
        }
        let before = (self.at, self.next, self.unsynced_since, self.unsynced.len());
        if let Err(error) = self.append(frame) {
            // All that was acknowledged is before it.
            let unsynced_bytes;
            (self.at, self.next, self.unsynced_since, unsynced_bytes) = before;
            self.unsynced.truncate(unsynced_bytes);
            return Err(self.fail(error));
        }
        Ok(first)
    }

    fn fail(&mut self, error: LogError) -> LogError {
        let retry_at = Instant::now() + RECOVER_EVERY;
        self.failed = Some(Failure { reason: error.to_string(), retry_at });
        error
    }

    /// How long until a log that has failed is to be tried again; none if it has not.
    pub fn retry_due(&self, now: Instant) -> Option<Duration> {
        self.failed.as_ref().map(|failed| failed.retry_at.saturating_duration_since(now))
    }

    /// Tries a log again whose last write or sync failed a while ago, perhaps because its disk was full: writes what was
    /// acknowledged and not synced again, cuts off what was not acknowledged, and goes on if there is room for more.
    /// Where its files were removed, begins new ones, or goes on with those that were put back.
    pub fn recover(&mut self, now: Instant) {
        let Some(Failure { retry_at, .. }) = self.failed else { return };
        if now < retry_at {
            return;
        }
        match self.restore() {
            Ok(()) => {
                self.failed = None;
                tracing::info!(path = %self.path.display(), "the log takes records again");
            }
            Err(error) => {
                let reason = error.to_string();
                self.failed = Some(Failure { reason, retry_at: now + RECOVER_EVERY });
            }
        }
    }

    fn restore(&mut self) -> Result<(), LogError> {
        if !self.is_in_place()? {
            self.open_again()?;
        }
        // In place and not behind a cut: a process that ends here loses nothing that the file has. What a failed sync
        // has left in the system's memory may be taken for written, and is written anew.
        self.check_fault(WriteStep::Write)?;
        self.file.seek(SeekFrom::Start(self.synced.0))?;
        self.file.write_all(&self.unsynced)?;
        self.file.set_len(self.at)?;
        let has_room = self.file.write_all(&[0; ROOM_BYTES]).and_then(|()| self.file.sync_all());
        self.file.set_len(self.at)?;
        has_room?;
        self.check_fault(WriteStep::Sync)?;
        self.file.seek(SeekFrom::Start(self.at))?;
        self.file.sync_all()?;
        self.note_synced();
        Ok(())
    }

    /// Goes on where the current segment was removed: with the files that are in the directory now, or with new ones.
    fn open_again(&mut self) -> Result<(), LogError> {
        // The lock of a directory that is gone keeps nobody out.
        self.lock = None;
        let directory = &self.options.directory;
        let (synced_next, next) = (self.synced.1, self.next);
        if !directory.is_dir() {
            // Not those above it: where the data directory is gone, its disk is.
            private_directory(directory)?;
        }
        let mut lost = self.lost;
        if segment::list(directory)?.is_empty() {
            // It begins with the first record that may be written again.
            segment::create(directory, self.options.contents, synced_next)?;
            lost += synced_next - self.older.first().map_or(self.first, |oldest| oldest.first);
        }
        let mut opened = Self::open(self.options.clone())?;
        if opened.next != synced_next && opened.next != next {
            let path = directory.clone();
            return Err(LogError::OtherRecords { path, found: opened.next, expected: synced_next });
        }
        if opened.next == synced_next {
            opened.unsynced = std::mem::take(&mut self.unsynced);
            (opened.at, opened.next) = (opened.at + opened.unsynced.len() as u64, next);
        }
        (opened.files, opened.lost) = (Arc::clone(&self.files), lost);
        opened.failed = self.failed.take();
        std::mem::swap(self, &mut opened);
        // Nothing of the old file is to be synced when it is dropped.
        opened.unsynced_since = None;
        tracing::warn!(
            path = %self.path.display(), lost = self.lost,
            "the files of a log were removed or replaced while it was written: goes on with those that are there"
        );
        Ok(())
    }

    /// Whether the file that is written is the one at its path.
    fn is_in_place(&self) -> Result<bool, LogError> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let there = match std::fs::metadata(&self.path) {
                Ok(there) => there,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let open = self.file.metadata()?;
            Ok((there.dev(), there.ino()) == (open.dev(), open.ino()))
        }
        #[cfg(not(unix))]
        Ok(true)
    }

    fn check_place(&self) -> Result<(), LogError> {
        if self.is_in_place()? { Ok(()) } else { Err(LogError::Gone { path: self.path.clone() }) }
    }

    /// Why it takes no commits; none if it does.
    pub fn failure(&self) -> Option<&str> {
        self.failed.as_ref().map(|failed| failed.reason.as_str())
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
        if self.options.fsync != Fsync::Always {
            self.unsynced.extend_from_slice(bytes);
        }
        self.at += bytes.len() as u64;
        self.next += u64::from(frame.records());
        self.unsynced_since.get_or_insert_with(Instant::now);
        if self.options.fsync == Fsync::Always || self.unsynced.len() > MAX_UNSYNCED_BYTES {
            self.sync_now()?;
        }
        frame.clear();
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
        self.rotate().map_err(|error| self.fail(error))
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
        let synced = self.check_place().and_then(|()| self.sync_now());
        synced.map_err(|error| self.fail(error))
    }

    fn sync_now(&mut self) -> Result<(), LogError> {
        if self.unsynced_since.is_some() {
            if is_planted(PlantedBug::EventNotSynced) {
                self.note_synced();
                return Ok(());
            }
            self.check_fault(WriteStep::Sync)?;
            self.file.sync_data()?;
            self.note_synced();
        }
        Ok(())
    }

    /// All bytes of the current segment outlive the machine.
    fn note_synced(&mut self) {
        self.unsynced_since = None;
        self.synced = (self.at, self.next);
        self.unsynced.clear();
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
        self.synced = (self.at, self.next);
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
