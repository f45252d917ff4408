//! The log of changes on this voter's disk: a line of JSON for each entry.
//!
//! The replicated state has the newest entries, so a file that is behind catches up from it: after a crash, and
//! after a snapshot of another voter. A voter that was away for more changes than the state keeps has a gap, which
//! shows; the other voters have these entries.

use fs_err::OpenOptions;
use marquee_core::audit::{AuditEntry, AuditTrail, ChainPosition};
use std::io::{
    BufRead as _, BufReader, Error, ErrorKind, Read as _, Result, Seek as _, SeekFrom, Write as _,
};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of the longest line: every text is bounded, and JSON makes at most six bytes of one.
const MAX_LINE_BYTES: usize = 64 << 10;

/// The file of a voter. Shared by the voter's thread, which writes, and the service, which reads.
pub(crate) struct AuditFile {
    path: PathBuf,
    state: Mutex<FileState>,
}

#[derive(Debug, Default)]
struct FileState {
    /// The number of the last entry in the file, once it was looked at.
    written: Option<u64>,
    /// How far the replicated log is.
    head: ChainPosition,
    /// Why writing fails, which was logged; none if it does not.
    failure: Option<String>,
}

impl AuditFile {
    /// The file at this path, which is made with the first entry.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, FileState> {
        // Every step leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the replicated log is, as this voter has applied it.
    pub(crate) fn head(&self) -> ChainPosition {
        self.state().head
    }

    /// Why the file cannot be written; none if it can.
    pub(crate) fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    /// Writes the entries that the file does not have. A failure is logged, and made up for by the next call.
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
        for entry in trail.entries.iter().filter(|entry| entry.number > written) {
            lines += &serde_json::to_string(entry)?;
            lines.push('\n');
        }
        if !lines.is_empty() {
            let mut options = OpenOptions::new();
            options.create(true).append(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(options.options_mut(), 0o600);
            options.open(&self.path)?.write_all(lines.as_bytes())?;
        }
        state.written = Some(trail.head.number);
        Ok(())
    }

    /// The number of the last whole line; a line without an end, which a crash left, is cut off.
    fn last_number(&self) -> Result<u64> {
        let mut file = match OpenOptions::new().read(true).write(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
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
            return Ok(0);
        }
        let entry: AuditEntry = serde_json::from_slice(last)?;
        Ok(entry.number)
    }

    /// At most `max` entries after a number, oldest first.
    pub(crate) fn read(&self, after: u64, max: usize) -> Result<Vec<AuditEntry>> {
        let file = match OpenOptions::new().read(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut entries = Vec::new();
        for (n, line) in (1..).zip(BufReader::new(file).lines()) {
            let entry: AuditEntry = serde_json::from_str(&line?).map_err(|error| {
                let path = self.path.display();
                Error::new(ErrorKind::InvalidData, format!("{path}:{n} is no entry: {error}"))
            })?;
            if entry.number > after {
                entries.push(entry);
            }
            if entries.len() == max {
                break;
            }
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::audit::{Actor, MAX_AUDIT_ENTRIES, check_chain};

    fn add(trail: &mut AuditTrail, times: usize) {
        for _ in 0..times {
            let epoch = trail.head.number;
            let change = format!("change {epoch}\n\u{1b}[31m");
            trail.add(epoch, Actor::leader(), change, (epoch, epoch + 1), "done".into());
        }
    }

    #[test]
    fn the_file_has_all_entries_after_crashes_and_restarts() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        let mut trail = AuditTrail::default();
        for times in [3, MAX_AUDIT_ENTRIES, 5] {
            add(&mut trail, times);
            // A restart, after which a line is half written.
            AuditFile::new(path.clone()).catch_up(&trail);
            let mut file = OpenOptions::new().append(true).open(&path).expect("there");
            file.write_all(b"{\"number\": 9").expect("written");
        }
        let file = AuditFile::new(path);
        file.catch_up(&trail);
        let entries = file.read(0, usize::MAX).expect("read");
        let end = entries.iter().try_fold(ChainPosition::default(), check_chain);
        assert_eq!(end, Ok(trail.head));
        assert_eq!(file.head(), trail.head);
        let page = file.read(10, 2).expect("read");
        assert_eq!(page.iter().map(|entry| entry.number).collect::<Vec<_>>(), [11, 12]);
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
