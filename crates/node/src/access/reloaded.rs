//! A file whose content is replaced while it is in use.

use arc_swap::ArcSwap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Upper bound of the bytes of a file: a thousand tokens have a fifth of it.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A file, and what was read of it last.
pub(super) struct Reloaded<T> {
    path: PathBuf,
    parse: fn(&str) -> Result<T, String>,
    current: ArcSwap<T>,
    /// What the file was like when it was last read well.
    stamp: Mutex<Option<(SystemTime, u64)>>,
    /// Why the file cannot be used as it is now; none if it can.
    failure: Mutex<Option<String>>,
}

impl<T> Reloaded<T> {
    /// Reads the file.
    pub(super) fn read(path: &Path, parse: fn(&str) -> Result<T, String>) -> Result<Self, String> {
        let stamp = stamp(path);
        let current = ArcSwap::from_pointee(read(path, parse)?);
        let (stamp, failure) = (Mutex::new(stamp), Mutex::default());
        Ok(Self { path: path.into(), parse, current, stamp, failure })
    }

    /// What was read last.
    pub(super) fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Reads the file again if it was written since it was last read well. Returns whether it was; on an error what
    /// was read before stays.
    pub(super) fn reload(&self) -> Result<bool, String> {
        let mut known = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.path);
        if *known == stamp {
            self.set_failure(None);
            return Ok(false);
        }
        let content = read(&self.path, self.parse)
            .inspect_err(|reason| self.set_failure(Some(reason.clone())))?;
        self.current.store(Arc::new(content));
        self.set_failure(None);
        *known = stamp;
        Ok(true)
    }

    fn set_failure(&self, failure: Option<String>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Why the file cannot be used as it is now, so that what was read before is in use; none if it can.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the system says of the file; none if it cannot be found.
fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}

fn read<T>(path: &Path, parse: fn(&str) -> Result<T, String>) -> Result<T, String> {
    let named = |reason: String| format!("{}: {reason}", path.display());
    let bytes = fs_err::metadata(path).map_err(|error| error.to_string())?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(named(format!("it has {bytes} bytes: at most {MAX_FILE_BYTES} are allowed")));
    }
    let text = fs_err::read_to_string(path).map_err(|error| error.to_string())?;
    parse(&text).map_err(named)
}
