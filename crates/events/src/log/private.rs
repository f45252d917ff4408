//! Files that only the user of the process can read: they say what users did.

use fs_err as fs;
use std::io;
use std::path::Path;

/// How a file is opened that is readable by this user only, if opening makes it.
pub(super) fn private_file() -> fs::OpenOptions {
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    {
        use fs_err::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

/// Makes a directory that only this user can look into, and those above it.
pub(super) fn create_private_directory(path: &Path) -> io::Result<()> {
    make_directory(path, true)
}

/// Makes a directory that only this user can look into, where the one above it is there.
pub(super) fn private_directory(path: &Path) -> io::Result<()> {
    make_directory(path, false)
}

fn make_directory(path: &Path, with_those_above: bool) -> io::Result<()> {
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    let made = builder.recursive(with_those_above).create(path);
    made.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Takes from all other users what they may do with a file or directory of this user.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mut permissions = fs::metadata(path)?.permissions();
        if permissions.mode() & 0o077 != 0 {
            permissions.set_mode(permissions.mode() & 0o700);
            fs::set_permissions(path, permissions)?;
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
