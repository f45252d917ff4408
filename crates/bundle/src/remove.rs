//! Deleting a bundle that nothing needs any more.

use crate::error::{BundleError, ManifestDefect};
use crate::manifest::names::{CHECKSUM_FILE, MANIFEST_FILE, SIGNATURE_FILE};
use crate::manifest::read::read_signed_by;
use std::io::ErrorKind;
use std::path::{Component, Path};

/// Deletes the files that the manifest names, and directories that are empty then; whatever else lies there
/// stays. The manifest goes first: what is left after an interruption is no bundle.
///
/// # Errors
/// If `dir` does not hold the bundle of this digest, in which case nothing is touched, or if a file cannot
/// be deleted.
pub fn remove_bundle(dir: &Path, digest: &str) -> Result<(), BundleError> {
    let wrong = |defect| BundleError::Manifest { path: dir.join(MANIFEST_FILE), defect };
    let (manifest, found) = read_signed_by(dir, |_| Ok(()))?;
    if found.to_string() != digest {
        let (found, expected) = (found.to_string(), digest.to_owned());
        return Err(wrong(ManifestDefect::OtherBundle { found, expected }));
    }
    let stays_inside =
        |path: &str| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if let Some(file) = manifest.files.iter().find(|file| !stays_inside(&file.path)) {
        return Err(wrong(ManifestDefect::OutsideFile(file.path.clone())));
    }
    let own = [MANIFEST_FILE, CHECKSUM_FILE, SIGNATURE_FILE];
    let named = manifest.files.iter().map(|file| file.path.as_str());
    for path in own.into_iter().chain(named) {
        match fs_err::remove_file(dir.join(path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let mut directories: Vec<_> =
        manifest.files.iter().filter_map(|file| Path::new(&file.path).parent()).collect();
    directories.sort_unstable();
    directories.dedup();
    // The deepest first, the bundle's own last; those that hold anything else stay.
    for directory in directories.into_iter().rev().chain([Path::new("")]) {
        let _ = std::fs::remove_dir(dir.join(directory));
    }
    Ok(())
}
