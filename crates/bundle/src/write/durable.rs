//! Writing files and directories so that they are on disk whole or not at all, whatever happens meanwhile.

use crate::error::BundleError;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Names tried for a temporary directory before giving up: each is another writer's, or a leftover.
const ATTEMPTS: u32 = 1_000;

/// A directory under a temporary name beside its place, removed unless it is moved there.
pub(crate) struct Staging {
    path: PathBuf,
    place: PathBuf,
    parent: PathBuf,
    moved: bool,
}

impl Staging {
    /// Makes the temporary directory for `place`, which must not exist or be an empty directory.
    pub(crate) fn new(place: &Path) -> Result<Self, BundleError> {
        let exists = || BundleError::Exists { path: place.into() };
        match fs_err::read_dir(place) {
            Ok(entries) => {
                if entries.count() > 0 {
                    return Err(exists());
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::NotADirectory => return Err(exists()),
            Err(error) => return Err(error.into()),
        }
        let Some(name) = place.file_name().and_then(|name| name.to_str()) else {
            let reason = format!("{} is no name for a new directory", place.display());
            return Err(BundleError::Input { reason });
        };
        let parent = match place.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        fs_err::create_dir_all(&parent)?;
        for attempt in 0..ATTEMPTS {
            let path = parent.join(format!(".{name}.{}-{attempt}.partial", std::process::id()));
            match fs_err::create_dir(&path) {
                Ok(()) => return Ok(Self { path, place: place.into(), parent, moved: false }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
        let reason = format!(
            "{} is full of partial bundles: remove the .{name}.*.partial there",
            parent.display()
        );
        Err(BundleError::Input { reason })
    }

    /// The path of the temporary directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves it to its place. Its files are on disk already.
    pub(crate) fn finish(mut self) -> Result<(), BundleError> {
        sync_directory(&self.path)?;
        // An empty directory there gives way; anything else that came meanwhile makes this fail.
        match fs_err::remove_dir(&self.place) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                return Err(BundleError::Exists { path: self.place.clone() });
            }
            other => other?,
        }
        fs_err::rename(&self.path, &self.place)?;
        self.moved = true;
        sync_directory(&self.parent)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.moved {
            // Nothing refers to it; what can't be removed now is logged so that an operator can.
            let _ = fs_err::remove_dir_all(&self.path);
        }
    }
}

/// Makes the names in a directory last.
pub(crate) fn sync_directory(path: &Path) -> Result<(), BundleError> {
    #[cfg(unix)]
    fs_err::File::open(path)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Writes a new file and makes it last.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    let mut file = fs_err::File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}

/// Writes a file in place of the one of that name, if any, at once.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // Beside the directory, not in it: a leftover must not make a bundle invalid.
    let grandparent =
        parent.parent().filter(|path| *path != Path::new("")).unwrap_or(Path::new("."));
    let temporary = grandparent.join(format!(".{name}.{}.partial", std::process::id()));
    let outcome =
        write_file(&temporary, bytes).and_then(|()| Ok(fs_err::rename(&temporary, path)?));
    if outcome.is_err() {
        let _ = fs_err::remove_file(&temporary);
    }
    outcome.and_then(|()| sync_directory(parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_directory_leaves_nothing() {
        let parent = tempfile::tempdir().expect("temporary directory");
        let place = parent.path().join("bundle");
        let staging = Staging::new(&place).expect("staging");
        write_file(&staging.path().join("file"), b"x").expect("written");
        drop(staging);
        assert_eq!(fs_err::read_dir(parent.path()).expect("listed").count(), 0);
    }

    #[test]
    fn what_stands_there_stays() {
        let parent = tempfile::tempdir().expect("temporary directory");
        let place = parent.path().join("bundle");
        let staging = Staging::new(&place).expect("staging");
        fs_err::create_dir(&place).expect("made");
        fs_err::write(place.join("other"), "x").expect("written");
        assert!(matches!(staging.finish(), Err(BundleError::Exists { .. })));
        assert!(place.join("other").exists());
        assert!(matches!(Staging::new(&place), Err(BundleError::Exists { .. })));
        assert!(matches!(Staging::new(&place.join("other")), Err(BundleError::Exists { .. })));
        assert_eq!(fs_err::read_dir(parent.path()).expect("listed").count(), 1);
    }
}
