//! The log of changes on this voter's disk: a line of JSON for each entry.
//!
//! ```text
//! audit.jsonl                      the newest entries, which is written to
//! audit-00000000000000000001.jsonl  a file that was full, named by its first entry
//! audit-deleted.json               what the oldest files had that were deleted: see MAX_FULL_FILES
//! ```
//!
//! The replicated state has the newest entries, so a file that is behind catches up from it: after a crash, and
//! after a snapshot of another voter. A voter that was away for more changes than the state keeps writes a line that
//! says which entries it does not have; the other voters have them.

use fs_err::OpenOptions;
use marquee_core::audit::{
    AUDIT_DELETED_FILE, AUDIT_FILE, AuditLine, AuditTrail, ChainPosition, MissingEntries,
    MissingReason, first_of_audit_file, full_audit_file,
};
use std::io::{
    BufRead as _, BufReader, Error, ErrorKind, Read as _, Result, Seek as _, SeekFrom, Write as _,
};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of the longest line: every text is bounded, and JSON makes at most six bytes of one.
const MAX_LINE_BYTES: usize = 64 << 10;
/// Bytes after which a file is full: some 40,000 entries, which a page of the log is read of in little time.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Full files that are kept, 1 GiB: some million changes. Then the oldest is deleted; who needs older entries copies the
/// files away in time.
const MAX_FULL_FILES: usize = 64;

/// The files of a voter. Shared by the voter's thread, which writes, and the service, which reads.
pub struct AuditFile {
    directory: PathBuf,
    max_file_bytes: u64,
    max_full_files: usize,
    state: Mutex<FileState>,
}

#[derive(Debug, Default)]
struct FileState {
    /// The number of the last entry in the files, once they were looked at.
    written: Option<u64>,
    /// How far the replicated log is.
    head: ChainPosition,
    /// Why writing fails, which was logged; none if it does not.
    failure: Option<String>,
}

impl AuditFile {
    /// The files in this directory, which are made with the first entry.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            max_file_bytes: MAX_FILE_BYTES,
            max_full_files: MAX_FULL_FILES,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, FileState> {
        // Every step leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the replicated log is, as this voter has applied it.
    pub(crate) fn head(&self) -> ChainPosition {
        self.state().head
    }

    /// Why the files cannot be written; none if it can.
    pub(crate) fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    /// Writes the entries that the files do not have. A failure is logged, and made up for by the next call.
    pub(crate) fn catch_up(&self, trail: &AuditTrail) {
        let mut state = self.state();
        state.head = trail.head;
        if state.written == Some(trail.head.number) {
            return;
        }
        match self.append(&mut state, trail) {
            Ok(()) => state.failure = None,
            Err(error) => {
                // What is in the file now is not known.
                state.written = None;
                if state.failure.replace(error.to_string()).is_none() {
                    tracing::error!(%error, "cannot write the log of changes; trying again with each change");
                }
            }
        }
    }

    fn append(&self, state: &mut FileState, trail: &AuditTrail) -> Result<()> {
        let written = match state.written {
            Some(written) => written,
            None => self.last_number()?,
        };
        let mut lines = String::new();
        let mut next = written + 1;
        for entry in trail.entries.iter().filter(|entry| entry.number > written) {
            if entry.number > next {
                let missing = MissingEntries {
                    missing_from: next,
                    missing_to: entry.number - 1,
                    reason: MissingReason::Away,
                };
                lines += &serde_json::to_string(&AuditLine::Missing(missing))?;
                lines.push('\n');
            }
            lines += &serde_json::to_string(entry)?;
            lines.push('\n');
            next = entry.number + 1;
        }
        if !lines.is_empty() {
            let mut options = OpenOptions::new();
            options.create(true).append(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(options.options_mut(), 0o600);
            let mut file = options.open(self.path(AUDIT_FILE))?;
            file.write_all(lines.as_bytes())?;
            let length = file.metadata()?.len();
            drop(file);
            if length >= self.max_file_bytes {
                self.rotate()?;
            }
        }
        state.written = Some(trail.head.number);
        Ok(())
    }

    /// Gives the file that is written to the name of a full one, and deletes the oldest of these beyond their bound.
    fn rotate(&self) -> Result<()> {
        let path = self.path(AUDIT_FILE);
        let Some(first) = first_line(&path)? else { return Ok(()) };
        fs_err::rename(&path, self.path(&full_audit_file(first.first_number())))?;
        let full = self.full_files()?;
        for pair in full.windows(2).take(full.len().saturating_sub(self.max_full_files)) {
            let deleted = MissingEntries {
                missing_from: 1,
                missing_to: pair[1] - 1,
                reason: MissingReason::Deleted,
            };
            // First it is said, then done: a file that is still there then is passed over.
            let temporary = self.path("audit-deleted.new");
            fs_err::write(&temporary, serde_json::to_string(&deleted)? + "\n")?;
            #[cfg(unix)]
            fs_err::set_permissions(
                &temporary,
                std::os::unix::fs::PermissionsExt::from_mode(0o600),
            )?;
            fs_err::rename(&temporary, self.path(AUDIT_DELETED_FILE))?;
            fs_err::remove_file(self.path(&full_audit_file(pair[0])))?;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The first entries of the full files, oldest first.
    fn full_files(&self) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        for entry in fs_err::read_dir(&self.directory)? {
            found.extend(entry?.file_name().to_str().and_then(first_of_audit_file));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The number of the last entry of the last whole line.
    fn last_number(&self) -> Result<u64> {
        if let Some(last) = last_line(&self.path(AUDIT_FILE))? {
            return Ok(last.last_number());
        }
        let Some(newest) = self.full_files()?.pop() else { return Ok(0) };
        Ok(last_line(&self.path(&full_audit_file(newest)))?.map_or(0, |line| line.last_number()))
    }

    /// At most `max` lines after a number, oldest first.
    pub(crate) fn read(&self, after: u64, max: usize) -> Result<Vec<AuditLine>> {
        // Renamed meanwhile, a file would be read twice or not at all.
        let _state = self.state();
        let mut lines = Vec::new();
        let mut gone = 0;
        if let Some(line) = first_line(&self.path(AUDIT_DELETED_FILE))? {
            gone = line.last_number();
            if gone > after {
                lines.push(line);
            }
        }
        let full = self.full_files()?;
        // The last of those that begin at or before the number after it, and what follows.
        let skipped = full.iter().filter(|first| **first <= after + 1).count().saturating_sub(1);
        let names = full.iter().skip(skipped).filter(|first| **first > gone);
        let names = names.map(|first| full_audit_file(*first)).chain([AUDIT_FILE.to_owned()]);
        for name in names {
            let path = self.path(&name);
            let file = match OpenOptions::new().read(true).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for (n, text) in (1_u64..).zip(BufReader::new(file).lines()) {
                if lines.len() >= max {
                    return Ok(lines);
                }
                let line = parse(&text?, &format!("{}:{n}", path.display()))?;
                if line.last_number() > after {
                    lines.push(line);
                }
            }
        }
        Ok(lines)
    }
}

/// Reads a line; `place` is where it stands, for the error.
fn parse(text: &str, place: &str) -> Result<AuditLine> {
    serde_json::from_str(text).map_err(|error| {
        Error::new(ErrorKind::InvalidData, format!("{place} is no entry: {error}"))
    })
}

/// The first line of a file; none if it is not there or empty.
fn first_line(path: &Path) -> Result<Option<AuditLine>> {
    let file = match OpenOptions::new().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    BufReader::new(file).take(MAX_LINE_BYTES as u64).read_line(&mut text)?;
    if text.is_empty() {
        return Ok(None);
    }
    parse(text.trim_end(), &path.display().to_string()).map(Some)
}

/// The last whole line of a file; none if it is not there or has none. A line without an end, which a crash left, is cut
/// off.
fn last_line(path: &Path) -> Result<Option<AuditLine>> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let from = length.saturating_sub(2 * MAX_LINE_BYTES as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let end = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if end < tail.len() {
        file.set_len(from + end as u64)?;
    }
    let lines = tail[..end].strip_suffix(b"\n").unwrap_or_default();
    let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    if last.is_empty() {
        return Ok(None);
    }
    parse(&String::from_utf8_lossy(last), &path.display().to_string()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::audit::{Actor, AuditEntry, ChainWalk, MAX_AUDIT_ENTRIES, check_chain};

    fn add(trail: &mut AuditTrail, times: usize) {
        for _ in 0..times {
            let epoch = trail.head.number;
            let change = format!("change {epoch}\n\u{1b}[31m");
            trail.add(epoch, Actor::leader(), change, (epoch, epoch + 1), "done".into());
        }
    }

    fn walk(lines: &[AuditLine], head: ChainPosition) -> ChainWalk {
        let mut walk = ChainWalk::default();
        lines.iter().try_for_each(|line| walk.step(line)).expect("a chain");
        walk.end(head).expect("whole");
        walk
    }

    #[test]
    fn the_file_has_all_entries_after_crashes_and_restarts() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = || AuditFile::new(directory.path().into());
        let mut trail = AuditTrail::default();
        for times in [3, MAX_AUDIT_ENTRIES, 5] {
            add(&mut trail, times);
            // A restart, after which a line is half written.
            open().catch_up(&trail);
            let path = directory.path().join(AUDIT_FILE);
            let mut file = OpenOptions::new().append(true).open(path).expect("there");
            file.write_all(b"{\"number\": 9").expect("written");
        }
        let file = open();
        file.catch_up(&trail);
        let walked = walk(&file.read(0, usize::MAX).expect("read"), trail.head);
        assert!(walked.gaps().is_empty());
        assert_eq!(file.head(), trail.head);
        let page = file.read(10, 2).expect("read");
        assert_eq!(page.iter().map(AuditLine::last_number).collect::<Vec<_>>(), [11, 12]);
    }

    #[test]
    fn the_chain_goes_on_over_full_files_and_says_which_were_deleted() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = || AuditFile {
            max_file_bytes: 4_096,
            max_full_files: 3,
            ..AuditFile::new(directory.path().into())
        };
        let mut trail = AuditTrail::default();
        let mut most = 0;
        for n in 0..200 {
            add(&mut trail, 1);
            let file = open();
            file.catch_up(&trail);
            most = most.max(file.full_files().expect("listed").len());
            let lines = file.read(0, usize::MAX).expect("read");
            let walked = walk(&lines, trail.head);
            let deleted = directory.path().join(AUDIT_DELETED_FILE).exists();
            assert_eq!(walked.gaps().len(), usize::from(deleted), "after {n}");
            // Pages are the same as the whole, wherever they begin.
            for after in [0, trail.head.number / 2, trail.head.number - 1] {
                let page = file.read(after, 3).expect("read");
                let expected: Vec<_> =
                    lines.iter().filter(|line| line.last_number() > after).take(3).collect();
                assert_eq!(page.iter().collect::<Vec<_>>(), expected, "after {after}");
            }
        }
        assert_eq!(most, 3);
        let bytes: u64 = fs_err::read_dir(directory.path())
            .expect("listed")
            .map(|entry| entry.expect("an entry").metadata().expect("there").len())
            .sum();
        assert!(bytes < 5 * 4_096 + 1_024, "{bytes}");

        // Without the oldest file the log is not whole: no line says that it was deleted.
        let file = open();
        let oldest = file.full_files().expect("listed")[0];
        fs_err::remove_file(directory.path().join(full_audit_file(oldest))).expect("removed");
        let lines = file.read(0, usize::MAX).expect("read");
        let mut walked = ChainWalk::default();
        assert!(lines.iter().try_for_each(|line| walked.step(line)).is_err());
    }

    #[test]
    fn a_crash_between_the_two_steps_of_deleting_shows_nothing_twice() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = AuditFile { max_file_bytes: 1, ..AuditFile::new(directory.path().into()) };
        let mut trail = AuditTrail::default();
        for _ in 0..3 {
            add(&mut trail, 1);
            file.catch_up(&trail);
        }
        let deleted = "{\"missing_from\":1,\"missing_to\":2,\"reason\":\"deleted\"}\n";
        fs_err::write(directory.path().join(AUDIT_DELETED_FILE), deleted).expect("written");
        let walked = walk(&file.read(0, usize::MAX).expect("read"), trail.head);
        assert_eq!(walked.gaps()[0].missing.missing_to, 2);
    }

    #[test]
    fn a_voter_that_was_away_says_which_entries_it_does_not_have() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut trail = AuditTrail::default();
        add(&mut trail, 4);
        AuditFile::new(directory.path().into()).catch_up(&trail);
        let before = trail.head;
        add(&mut trail, MAX_AUDIT_ENTRIES + 7);
        let file = AuditFile::new(directory.path().into());
        file.catch_up(&trail);
        let walked = walk(&file.read(0, usize::MAX).expect("read"), trail.head);
        let [gap] = walked.gaps() else { panic!("{:?}", walked.gaps()) };
        assert_eq!((gap.missing.missing_from, gap.missing.missing_to), (5, 11));
        assert_eq!((gap.missing.reason, gap.before), (MissingReason::Away, before));
        // What was cut out is no gap: no line says so.
        let path = directory.path().join(AUDIT_FILE);
        let text = fs_err::read_to_string(&path).expect("read");
        let without: String = text
            .lines()
            .filter(|line| !line.contains("missing_from"))
            .map(|it| format!("{it}\n"))
            .collect();
        fs_err::write(&path, without).expect("written");
        let mut cut = ChainWalk::default();
        let lines = file.read(0, usize::MAX).expect("read");
        assert!(lines.iter().try_for_each(|line| cut.step(line)).is_err());
    }

    #[test]
    fn lines_that_are_altered_or_cut_break_the_chain() {
        let mut trail = AuditTrail::default();
        add(&mut trail, 6);
        let whole: Vec<AuditEntry> = trail.entries.iter().cloned().collect();
        let end =
            |entries: &[AuditEntry]| entries.iter().try_fold(ChainPosition::default(), check_chain);
        assert_eq!(end(&whole), Ok(trail.head));
        for n in 0..whole.len() {
            let mut cut = whole.clone();
            cut.remove(n);
            assert_ne!(end(&cut), Ok(trail.head), "without entry {n}");
            let mut altered = whole.clone();
            altered[n].actor.name = "mallory".into();
            assert_ne!(end(&altered), Ok(trail.head), "entry {n} altered");
        }
    }
}
