//! Opening what lies in a directory without following symbolic links.
//!
//! A path is walked from `/` one name at a time, each opened in the directory before it and refused if it is a
//! symbolic link. What is open stays what it is, whatever is renamed or linked meanwhile: so a file that is
//! deleted or copied by these is in the directory that was asked for. `openat2` would do it in one call, where
//! the kernel has it; a walk does it on every Unix.

use rustix::fs::{AtFlags, Mode, OFlags, openat, statat, unlinkat};
use std::ffi::OsStr;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

/// How a directory is opened to look into it.
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How a file is opened for reading: a pipe is not waited for.
const FILE: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Names the path in an error of a file descriptor.
fn at(path: &Path) -> impl Fn(rustix::io::Errno) -> Error {
    move |errno| {
        let error = Error::from(errno);
        let why = match errno {
            rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => {
                "it is a symbolic link or no directory".to_owned()
            }
            _ => error.to_string(),
        };
        Error::new(error.kind(), format!("{}: {why}", path.display()))
    }
}

/// Opens an absolute directory, none of whose parts is a symbolic link.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd> {
    let root = openat(rustix::fs::CWD, "/", DIRECTORY, Mode::empty()).map_err(at(path))?;
    match path.strip_prefix("/") {
        Ok(relative) => open_directory_in(root, relative, path),
        Err(_) => Err(Error::new(ErrorKind::InvalidInput, "the path is not absolute")),
    }
}

/// Opens a directory below another; `whole` is the path that errors name.
fn open_directory_in(above: OwnedFd, relative: &Path, whole: &Path) -> Result<OwnedFd> {
    let mut directory = above;
    for part in relative.components() {
        let Component::Normal(name) = part else {
            return Err(Error::new(ErrorKind::InvalidInput, "the path has . or .. in it"));
        };
        directory = openat(&directory, name, DIRECTORY, Mode::empty()).map_err(at(whole))?;
    }
    Ok(directory)
}

/// Opens the directory `relative` of an open one, for what is in it.
pub(crate) fn open_below(directory: impl AsFd, relative: &Path) -> Result<OwnedFd> {
    let own = openat(directory, ".", DIRECTORY, Mode::empty()).map_err(at(relative))?;
    open_directory_in(own, relative, relative)
}

/// Opens a file of an open directory for reading. It may be anything but a symbolic link.
pub(crate) fn open_file_in(directory: impl AsFd, name: &OsStr) -> Result<OwnedFd> {
    openat(directory, name, FILE, Mode::empty()).map_err(at(Path::new(name)))
}

/// Deletes a file of an open directory; a symbolic link itself is deleted, not what it points to. Whether it was there.
pub(crate) fn remove_file_in(directory: impl AsFd, name: &OsStr) -> Result<bool> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(errno) => Err(at(Path::new(name))(errno)),
    }
}

/// Deletes an empty directory of an open one, if it is empty.
pub(crate) fn remove_empty_in(directory: impl AsFd, name: &OsStr) {
    // One that holds anything else stays.
    let _ = unlinkat(directory, name, AtFlags::REMOVEDIR);
}

/// The device and inode of an entry of an open directory, which tell whether two names are one file; none if
/// there is no such entry.
pub(crate) fn identity_in(directory: impl AsFd, name: &OsStr) -> Option<(u64, u64)> {
    let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    #[allow(clippy::unnecessary_cast)] // narrower on some systems
    Some((found.st_dev as u64, found.st_ino as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_part_of_a_path_may_be_a_symbolic_link() {
        let temporary = tempfile::tempdir().expect("a directory");
        let base = temporary.path().canonicalize().expect("there");
        fs_err::create_dir_all(base.join("real/inner")).expect("ours");
        symlink(base.join("real"), base.join("link")).expect("ours");
        open_directory(&base.join("real/inner")).expect("plain");
        for path in ["link", "link/inner", "real/../real", "absent"] {
            assert!(open_directory(&base.join(path)).is_err(), "{path}");
        }
        let real = open_directory(&base).expect("plain");
        assert!(open_below(&real, Path::new("real/inner")).is_ok());
        assert!(open_below(&real, Path::new("link")).is_err());
        fs_err::write(base.join("file"), "x").expect("ours");
        symlink(base.join("file"), base.join("to-file")).expect("ours");
        assert!(open_file_in(&real, OsStr::new("file")).is_ok());
        assert!(open_file_in(&real, OsStr::new("to-file")).is_err());
    }
}
