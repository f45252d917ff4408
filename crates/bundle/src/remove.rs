//! Deleting a bundle that nothing needs any more.
//!
//! No symbolic link is followed, neither to the bundle nor within it ([`super::safe_path`]): a bundle whose
//! shard is a link into another one must not take that one's files with it.

use crate::error::{BundleError, ManifestDefect};
use crate::manifest::names::{MANIFEST_FILE, TOP_FILES};
use crate::manifest::read::read_signed_by;
use crate::safe_path::{identity_in, open_below, open_directory, remove_empty_in, remove_file_in};
use std::ffi::OsStr;
use std::path::{Component, Path};

/// Deletes the files that the manifest names, and directories that are empty then; whatever else lies there
/// stays, and so do the files of directories that are symbolic links. The manifest goes first: what is left
/// after an interruption is no bundle. `dir` is absolute, and no part of it is a symbolic link.
///
/// # Errors
/// If `dir` does not hold the bundle of this digest, in which case nothing is touched, or if a file cannot
/// be deleted.
pub fn remove_bundle(dir: &Path, digest: &str) -> Result<(), BundleError> {
    let wrong = |defect| BundleError::Manifest { path: dir.join(MANIFEST_FILE), defect };
    let opened = open_directory(dir)?;
    let (manifest, found) = read_signed_by(dir, |_, _| Ok(()))?;
    if found.to_string() != digest {
        let (found, expected) = (found.to_string(), digest.to_owned());
        return Err(wrong(ManifestDefect::OtherBundle { found, expected }));
    }
    let stays_inside =
        |path: &str| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if let Some(file) = manifest.files.iter().find(|file| !stays_inside(&file.path)) {
        return Err(wrong(ManifestDefect::OutsideFile(file.path.clone())));
    }
    for name in TOP_FILES {
        remove_file_in(&opened, OsStr::new(name))?;
    }
    let mut directories: Vec<_> =
        manifest.files.iter().filter_map(|file| Path::new(&file.path).parent()).collect();
    directories.sort_unstable();
    directories.dedup();
    for directory in &directories {
        let Some(name) = directory.file_name() else { continue };
        let Ok(inner) = open_below(&opened, directory) else {
            // It is gone, or a link: what it leads to is not this bundle's.
            continue;
        };
        for file in manifest.files.iter().map(|file| Path::new(&file.path)) {
            if let (Some(parent), Some(file_name)) = (file.parent(), file.file_name())
                && parent == *directory
            {
                remove_file_in(&inner, file_name)?;
            }
        }
        drop(inner);
        remove_empty_in(&opened, name);
    }
    let above = dir.parent().and_then(|parent| open_directory(parent).ok());
    if let (Some(above), Some(name)) = (above, dir.file_name()) {
        remove_empty_in(above, name);
    }
    Ok(())
}

/// Whether two directories share a directory or a file of a bundle: the same one under two names, or with a
/// directory in common by a bind mount. Only what is there counts.
pub fn share_files(one: &Path, other: &Path) -> bool {
    let identities = |dir: &Path| -> Vec<(u64, u64)> {
        let Ok(opened) = open_directory(dir) else { return Vec::new() };
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let of_entries = entries
            .filter_map(|entry| identity_in(&opened, &entry.file_name()))
            .collect::<Vec<_>>();
        identity_in(&opened, OsStr::new(".")).into_iter().chain(of_entries).collect()
    };
    let ours = identities(one);
    identities(other).iter().any(|identity| ours.contains(identity))
}
