//! Opening the files that users name: tables, configs, lists of ids.
//!
//! A pipe is waited for until it has a writer, and a device has no end: both are found before they are read.
//! A file that is read as a whole has a bound, which holds for what is read and not for what was said of it.

use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;
use std::time::Duration;

/// How long a pipe is waited for until it has a writer.
pub const PIPE_WRITER_WAIT: Duration = Duration::from_secs(30);

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

/// Opens a regular file or a pipe, which is waited for until it has a writer.
///
/// # Errors
/// What cannot be opened, a directory, a device; a pipe without a writer for `writer_wait`.
pub fn open_stream(path: &Path, writer_wait: Duration) -> Result<InputStream> {
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
            wait_for_writer(path, &file, writer_wait)?;
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

/// Waits until a pipe has bytes, or had a writer that wrote none.
#[cfg(unix)]
fn wait_for_writer(path: &Path, pipe: &fs_err::File, wait: Duration) -> Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let timeout = Timespec::try_from(wait).map_err(Error::other)?;
    let mut pipes = [PollFd::new(pipe, PollFlags::IN)];
    if rustix::io::retry_on_intr(|| poll(&mut pipes, Some(&timeout)))? > 0 {
        return Ok(());
    }
    let what = format!(
        "{} is a pipe that no program has written to for {wait:?}: start the one that writes, and run this again",
        path.display()
    );
    Err(Error::new(ErrorKind::TimedOut, what))
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
    fn a_pipe_is_waited_for_until_it_has_a_writer() {
        let temporary = tempfile::tempdir().expect("a directory");
        let path = temporary.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).expect("ours");
        let refused = open_stream(&path, Duration::from_millis(20)).err().expect("no writer");
        assert!(refused.to_string().contains("no program has written to for 20ms"), "{refused}");
        let writer = std::thread::spawn({
            let path = path.clone();
            move || fs_err::write(path, "words")
        });
        let mut read = String::new();
        let stream = open_stream(&path, PIPE_WRITER_WAIT).expect("a writer");
        { stream.file }.read_to_string(&mut read).expect("text");
        assert_eq!((read.as_str(), stream.length), ("words", None));
        writer.join().expect("no panic").expect("written");
    }

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
