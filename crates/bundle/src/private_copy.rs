//! Copying a shard of a bundle into a directory of a node's own.
//!
//! What was verified must be what is served. A published directory belongs to whichever process wrote it, and what
//! is written into a file in place, or cut off its end, shows in every mapping of it. So a node serves from a
//! copy that nothing else writes. Where the file system can share blocks between files (`FICLONE`: Btrfs, XFS,
//! bcachefs, overlays of them), the copy costs neither time nor room, and a later write to either file gets
//! blocks of its own. Elsewhere the bytes are copied. A hard link would be free too, but it is the same file
//! under another name, and protects against deletion only.
//!
//! The copy is not trusted for having been copied: it is verified where it is opened.

use crate::error::{BundleError, FileDefect};
use crate::format::FileInfo;
use crate::manifest::Manifest;
use crate::manifest::names::{CHECKSUM_FILE, MANIFEST_FILE, TOP_FILES, shard_directory};
use crate::safe_path::{open_below, open_directory, open_file_in};
use rustix::fs::{Mode, fchmod};
use std::ffi::OsStr;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// What is copied in one go, so that the thread gives way to those that answer.
const STEP_BYTES: usize = 256 << 10;
/// Bytes of the manifest and its companions, at the most: far above any that is read.
const MAX_TOP_FILE_BYTES: u64 = 64 << 20;

/// How the bytes of a copy came to be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopiedBytes {
    /// Bytes whose blocks the copy shares with the published files: they take no room of their own.
    pub shared: u64,
    /// Bytes that were written again.
    pub written: u64,
}

/// Copies the files of one shard from the bundle at `from` to a new directory `to`, readable by this user
/// only. No symbolic link is followed, and nothing but regular files of the manifest's lengths is copied.
///
/// # Errors
/// Names the published file and what is wrong with it, or what cannot be written.
pub fn copy_shard(
    from: &Path,
    manifest: &Manifest,
    shard: u32,
    to: &Path,
) -> Result<CopiedBytes, BundleError> {
    let directory = shard_directory(shard);
    let opened = open_below(open_directory(from)?, Path::new(&directory))?;
    create_private_directory(to)?;
    let mut copied = CopiedBytes::default();
    for file in manifest.shard_files(shard) {
        let Some(name) = Path::new(&file.path).file_name() else { continue };
        let published = from.join(&file.path);
        let source = open_regular(&opened, name, &published)?;
        let length = rustix::fs::fstat(&source).map_err(std::io::Error::from)?.st_size;
        let found = u64::try_from(length).unwrap_or(0);
        if found != file.bytes {
            return Err(BundleError::Length { path: published, found, expected: file.bytes });
        }
        copy_file(source, file, &published, &to.join(name), &mut copied)?;
    }
    Ok(copied)
}

/// Copies the manifest, its checksum and its signatures, if it has any, to the directory `to`, so that the copy
/// can be found again and verified when the published bundle is gone.
///
/// # Errors
/// Names the file that cannot be read or written.
pub fn copy_manifest(from: &Path, to: &Path) -> Result<(), BundleError> {
    let opened = open_directory(from)?;
    for name in TOP_FILES {
        let source = match open_regular(&opened, OsStr::new(name), &from.join(name)) {
            Err(BundleError::Missing { .. }) if ![MANIFEST_FILE, CHECKSUM_FILE].contains(&name) => {
                continue;
            }
            opened_file => opened_file?,
        };
        let mut bytes = Vec::new();
        std::fs::File::from(source).take(MAX_TOP_FILE_BYTES).read_to_end(&mut bytes)?;
        let mut file = create_private_file(&to.join(name))?;
        file.write_all(&bytes)?;
        fchmod(file.file(), Mode::RUSR).map_err(std::io::Error::from)?;
    }
    Ok(())
}

/// Makes a directory that only this user can read, and those above it. One that is there already is closed to all
/// others.
///
/// # Errors
/// What the system said, with the path.
pub fn create_private_directory(path: &Path) -> std::io::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| {
        std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    })?;
    make_private(path)
}

/// Takes from all other users what they may do with a file or directory of this user.
///
/// # Errors
/// What the system said, with the path.
pub fn make_private(path: &Path) -> std::io::Result<()> {
    let mut permissions = fs_err::metadata(path)?.permissions();
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(permissions.mode() & 0o700);
        fs_err::set_permissions(path, permissions)?;
    }
    Ok(())
}

fn create_private_file(path: &Path) -> Result<fs_err::File, BundleError> {
    use fs_err::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs_err::OpenOptions::new();
    Ok(options.write(true).create_new(true).mode(0o600).open(path)?)
}

fn open_regular(directory: &OwnedFd, name: &OsStr, path: &Path) -> Result<OwnedFd, BundleError> {
    let opened = open_file_in(directory, name).map_err(|error| match error.kind() {
        ErrorKind::NotFound => BundleError::Missing { path: path.into() },
        _ => BundleError::Format { path: path.into(), defect: FileDefect::NotRegular },
    })?;
    let mode = rustix::fs::fstat(&opened).map_err(std::io::Error::from)?.st_mode;
    if !rustix::fs::FileType::from_raw_mode(mode).is_file() {
        return Err(BundleError::Format { path: path.into(), defect: FileDefect::NotRegular });
    }
    Ok(opened)
}

fn copy_file(
    source: OwnedFd,
    info: &FileInfo,
    published: &Path,
    to: &Path,
    copied: &mut CopiedBytes,
) -> Result<(), BundleError> {
    let mut target = create_private_file(to)?;
    if clone_blocks(&source, target.file()) {
        copied.shared += info.bytes;
    } else {
        let mut source = std::fs::File::from(source).take(info.bytes);
        let mut step = vec![0; STEP_BYTES];
        let mut written = 0;
        loop {
            let read = source.read(&mut step).map_err(|error| {
                std::io::Error::new(error.kind(), format!("{}: {error}", published.display()))
            })?;
            if read == 0 {
                break;
            }
            target.write_all(&step[..read])?;
            written += read as u64;
        }
        if written != info.bytes {
            let (path, expected) = (PathBuf::from(published), info.bytes);
            return Err(BundleError::Length { path, found: written, expected });
        }
        copied.written += written;
    }
    fchmod(target.file(), Mode::RUSR).map_err(std::io::Error::from)?;
    Ok(())
}

/// Makes the target share all blocks of the source, if the file system can.
#[cfg(target_os = "linux")]
fn clone_blocks(source: &OwnedFd, target: &std::fs::File) -> bool {
    rustix::fs::ioctl_ficlone(target, source).is_ok()
}

/// Makes the target share all blocks of the source: not known here.
#[cfg(not(target_os = "linux"))]
fn clone_blocks(_source: &OwnedFd, _target: &std::fs::File) -> bool {
    false
}
