//! Opening the files that users name: tables, configs, lists of ids.
//!
//! A pipe is waited for until it has a writer, and a device has no end: both are found before they are read.
//! A file that is read as a whole has a bound, which holds for what is read and not for what was said of it.

use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

/// Opens a regular file for reading, wherever links to it lead.
///
/// # Errors
/// What the system said, or that it is no regular file; both name the path.
pub fn open_input(path: &Path) -> Result<fs_err::File> {
    let mut options = fs_err::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use fs_err::os::unix::fs::OpenOptionsExt as _;
        // A pipe without a writer is opened at once.
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let what = format!(
        "{} is not a regular file, but a directory, pipe or device: write its content to a file, and name that",
        path.display()
    );
    Err(Error::new(ErrorKind::InvalidInput, what))
}

/// A file that is read once, from its beginning to its end.
pub struct InputStream {
    /// The open file.
    pub file: fs_err::File,
    /// Its length in bytes; none of a pipe.
    pub length: Option<u64>,
}

/// Opens a regular file or a pipe. A pipe without a writer has no bytes.
///
/// # Errors
/// What cannot be opened, a directory, a device.
pub fn open_stream(path: &Path) -> Result<InputStream> {
    let mut options = fs_err::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use fs_err::os::unix::fs::OpenOptionsExt as _;
        // A pipe without a writer is opened at once.
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        return Ok(InputStream { file, length: Some(metadata.len()) });
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if metadata.file_type().is_fifo() {
            // From here on a read waits for the writer.
            let flags = rustix::fs::fcntl_getfl(&file)?;
            rustix::fs::fcntl_setfl(&file, flags - rustix::fs::OFlags::NONBLOCK)?;
            return Ok(InputStream { file, length: None });
        }
    }
    let what = format!(
        "{} is neither a file nor a pipe, but a directory or device: write its content to a file, and name that",
        path.display()
    );
    Err(Error::new(ErrorKind::InvalidInput, what))
}

/// Reads a regular file of text as a whole.
///
/// # Errors
/// As [`open_input`], and for text that is not UTF-8 or has more than `max_bytes` bytes.
pub fn read_text_input(path: &Path, max_bytes: u64) -> Result<String> {
    let mut text = String::new();
    open_input(path)?.take(max_bytes.saturating_add(1)).read_to_string(&mut text)?;
    if text.len() as u64 > max_bytes {
        let what =
            format!("{} has more than {max_bytes} bytes, the most that are read", path.display());
        return Err(Error::new(ErrorKind::FileTooLarge, what));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_devices_and_long_files_are_refused_at_once() {
        let temporary = tempfile::tempdir().expect("a directory");
        let at = |name: &str| temporary.path().join(name);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), mode).expect("ours");
        std::os::unix::fs::symlink("/dev/zero", at("endless.yaml")).expect("ours");
        for name in ["pipe", "endless.yaml", "."] {
            let refused = read_text_input(&at(name), 10).expect_err(name).to_string();
            assert!(refused.contains("is not a regular file"), "{name}: {refused}");
        }
        fs_err::write(at("long"), "0123456789x").expect("ours");
        let refused = read_text_input(&at("long"), 10).expect_err("11 bytes").to_string();
        assert!(refused.contains("more than 10 bytes"), "{refused}");
        std::os::unix::fs::symlink(at("long"), at("link")).expect("ours");
        assert_eq!(read_text_input(&at("link"), 11).expect("11 bytes"), "0123456789x");
    }
}
