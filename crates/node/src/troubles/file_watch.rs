//! Whether a file that the process has open is still the one at its path.

use std::path::{Path, PathBuf};

/// A file that the process has open.
#[derive(Debug)]
pub(super) struct FileWatch {
    path: PathBuf,
    /// The device and number of the file when it was first seen.
    known: Option<(u64, u64)>,
}

impl FileWatch {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, known: None }
    }

    /// The file is opened again: the next one that is seen is the one.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    /// The path, if another file or none is there now.
    pub(super) fn gone(&mut self) -> Option<&Path> {
        let there = number_of(&self.path);
        if self.known.is_none() {
            self.known = there;
        }
        (there != self.known).then_some(self.path.as_path())
    }
}

/// The device and number of a file; none if it cannot be found.
#[cfg(unix)]
fn number_of(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn number_of(path: &Path) -> Option<(u64, u64)> {
    path.exists().then_some((0, 0))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_removed_or_replaced_is_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.redb");
        let mut watch = FileWatch::new(path.clone());
        assert_eq!(watch.gone(), None, "it was never there");
        fs_err::write(&path, "a").expect("written");
        assert_eq!(watch.gone(), None);
        fs_err::rename(&path, dir.path().join("elsewhere")).expect("moved");
        assert_eq!(watch.gone(), Some(path.as_path()));
        fs_err::write(&path, "b").expect("written");
        assert_eq!(watch.gone(), Some(path.as_path()), "another file");
        watch.forget();
        assert_eq!(watch.gone(), None, "which was opened");
    }
}
