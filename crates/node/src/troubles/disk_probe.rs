//! Writes a small file in the data directory now and then: whether that works, how long it takes, and what room is left.
//!
//! A disk that hangs keeps the thread that asks it, so a thread of its own does, and what it says is looked at from outside
//! with the time for which it has said nothing.

use fs_err as fs;
use marquee_core::trouble::{DiskSpace, SLOW_WRITE_MS, Trouble};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the disk is probed: a sync of a small file each time.
const PROBE_EVERY: Duration = Duration::from_secs(3);
/// The name of the file.
const PROBE_FILE: &str = "disk-probe";
/// What is written: enough to need a block.
const PROBE_BYTES: usize = 4 << 10;

/// The probe of one directory. Its thread ends soon after it is dropped.
#[derive(Debug)]
pub(crate) struct DiskProbe {
    shared: Arc<Mutex<ProbeState>>,
    _ends: Sender<()>,
}

#[derive(Debug, Default)]
struct ProbeState {
    /// What came of the last probe.
    last: Option<Result<Duration, String>>,
    /// When the probe that is under way began.
    began: Option<Instant>,
    space: Option<DiskSpace>,
}

fn lock(state: &Mutex<ProbeState>) -> MutexGuard<'_, ProbeState> {
    // Every step leaves it whole.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DiskProbe {
    /// Starts probing a directory.
    ///
    /// # Errors
    /// The system gives it no thread.
    pub(crate) fn start(directory: &Path) -> std::io::Result<Self> {
        let shared: Arc<Mutex<ProbeState>> = Arc::default();
        let (ends, ended) = channel::<()>();
        let (state, directory) = (Arc::clone(&shared), directory.to_owned());
        std::thread::Builder::new().name("disk-probe".into()).spawn(move || {
            loop {
                lock(&state).began = Some(Instant::now());
                let outcome = probe(&directory);
                let space = space_of(&directory);
                *lock(&state) = ProbeState { last: Some(outcome), began: None, space };
                if ended.recv_timeout(PROBE_EVERY) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { shared, _ends: ends })
    }

    /// The room on the disk, when it was last asked; none if the system does not say.
    pub(crate) fn space(&self) -> Option<DiskSpace> {
        lock(&self.shared).space
    }

    /// What is wrong with the disk.
    pub(crate) fn troubles(&self, now: Instant) -> Vec<Trouble> {
        troubles(&lock(&self.shared), now)
    }
}

fn troubles(state: &ProbeState, now: Instant) -> Vec<Trouble> {
    let ProbeState { last, began, space } = state;
    let mut found = Vec::new();
    if let Some(Err(reason)) = last {
        found.push(Trouble::DiskFailed { reason: reason.clone() });
    }
    let took = last.as_ref().and_then(|last| last.as_ref().ok().copied()).unwrap_or_default();
    let takes = began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
    let write_ms = u64::try_from(took.max(takes).as_millis()).unwrap_or(u64::MAX);
    if write_ms >= SLOW_WRITE_MS {
        found.push(Trouble::DiskSlow { write_ms });
    }
    if let Some(DiskSpace { free_bytes, total_bytes }) = space.filter(DiskSpace::is_low) {
        found.push(Trouble::DiskLow { free_bytes, total_bytes });
    }
    found
}

/// Writes and syncs the file, and says how long that took, or what keeps it from the disk.
fn probe(directory: &Path) -> Result<Duration, String> {
    let path: PathBuf = directory.join(PROBE_FILE);
    let began = Instant::now();
    let written = fs::File::create(&path).and_then(|mut file| {
        file.write_all(&[0; PROBE_BYTES])?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(began.elapsed()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(unix)]
fn space_of(directory: &Path) -> Option<DiskSpace> {
    let found = rustix::fs::statvfs(directory).ok()?;
    Some(DiskSpace {
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
    })
}

#[cfg(not(unix))]
fn space_of(_: &Path) -> Option<DiskSpace> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_gone_is_a_failure_and_a_write_that_hangs_is_slow() {
        let dir = tempfile::tempdir().expect("a directory");
        let took = probe(dir.path()).expect("written");
        let now = Instant::now();
        let state = ProbeState { last: Some(Ok(took)), began: None, space: None };
        assert!(troubles(&state, now).is_empty() || took >= Duration::from_millis(SLOW_WRITE_MS));
        let hangs = ProbeState { began: Some(now), ..ProbeState::default() };
        assert!(troubles(&hangs, now).is_empty());
        let later = now + Duration::from_secs(7);
        assert_eq!(troubles(&hangs, later), [Trouble::DiskSlow { write_ms: 7_000 }]);
        let reason = probe(&dir.path().join("gone")).expect_err("it is gone");
        assert!(reason.contains("gone"), "{reason}");
        let gone = ProbeState { last: Some(Err(reason)), ..ProbeState::default() };
        assert!(matches!(troubles(&gone, now)[..], [Trouble::DiskFailed { .. }]));
    }

    #[test]
    fn the_room_on_the_disk_is_known() {
        let dir = tempfile::tempdir().expect("a directory");
        if cfg!(unix) {
            let space = space_of(dir.path()).expect("the system says");
            assert!(space.total_bytes > 0 && space.free_bytes <= space.total_bytes);
        }
        let space = Some(DiskSpace { free_bytes: 1 << 20, total_bytes: 1 << 30 });
        let low = ProbeState { space, ..ProbeState::default() };
        assert!(matches!(troubles(&low, Instant::now())[..], [Trouble::DiskLow { .. }]));
    }
}
