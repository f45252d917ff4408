//! Looks for the bytes of an id in all files below a directory.

use anyhow::Context as _;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Places that are named; more are only counted.
const MAX_NAMED_PLACES: usize = 100;

/// Where the bytes of an id are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FoundBytes {
    /// The first places: files, with the offset in bytes; none where it is the file's name.
    pub(super) places: Vec<(PathBuf, Option<u64>)>,
    /// How many there are.
    pub(super) count: u64,
    /// Files that were looked through.
    pub(super) files: u64,
    /// Bytes that were looked through.
    pub(super) bytes: u64,
}

impl FoundBytes {
    fn add(&mut self, path: &Path, offset: Option<u64>) {
        if self.places.len() < MAX_NAMED_PLACES {
            self.places.push((path.to_owned(), offset));
        }
        self.count += 1;
    }

    /// Looks through a directory and all below it. Links are not followed; files that vanish meanwhile have been
    /// deleted, and so has what was in them.
    ///
    /// # Errors
    /// What cannot be read: what is not seen is not proved.
    pub(super) fn look_through(&mut self, directory: &Path, id: &[u8]) -> anyhow::Result<()> {
        let entries = std::fs::read_dir(directory)
            .with_context(|| format!("--data-dir: {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if find(entry.file_name().as_encoded_bytes(), id).is_some() {
                self.add(&path, None);
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                match self.look_through(&path, id) {
                    Err(_) if !path.exists() => {}
                    looked => looked?,
                }
            } else if kind.is_file() {
                match fs_err::File::open(&path) {
                    Ok(file) => self.file(&path, file, id)?,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error).context("--data-dir"),
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, mut file: impl Read, id: &[u8]) -> anyhow::Result<()> {
        self.files += 1;
        // The end of a chunk stands before the next one, so that no border hides an id.
        let keep = id.len().saturating_sub(1);
        let mut buffer = Vec::with_capacity(CHUNK_BYTES + keep);
        let mut at = 0;
        loop {
            let before = buffer.len();
            let read = (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            self.bytes += read as u64;
            let mut from = 0;
            while let Some(found) = find(&buffer[from..], id) {
                self.add(path, Some(at + (from + found) as u64));
                from += found + 1;
            }
            let drop = (before + read).saturating_sub(keep);
            buffer.drain(..drop);
            at += drop as u64;
        }
    }
}

/// The place of an id in bytes.
fn find(bytes: &[u8], id: &[u8]) -> Option<usize> {
    let (first, rest) = id.split_first()?;
    let mut from = 0;
    while let Some(found) = bytes[from..].iter().position(|byte| byte == first) {
        from += found + 1;
        if bytes[from..].starts_with(rest) {
            return Some(from - 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_contents_and_names_and_across_chunks() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("events/quarantine")).expect("ours");
        let mut long = vec![b'u'; CHUNK_BYTES - 3];
        long.extend_from_slice(b"u-1842 and u-1842");
        std::fs::write(at("events/0.log"), &long).expect("ours");
        std::fs::write(at("events/quarantine/0.log"), "u-184 u-184u-1842").expect("ours");
        std::fs::write(at("of-u-1842"), "").expect("ours");
        std::fs::write(at("other"), "u-1843").expect("ours");
        let mut found = FoundBytes::default();
        found.look_through(dir.path(), b"u-1842").expect("looked through");
        found.places.sort();
        let first = CHUNK_BYTES as u64 - 3;
        assert_eq!(
            found.places,
            [
                (at("events/0.log"), Some(first)),
                (at("events/0.log"), Some(first + 11)),
                (at("events/quarantine/0.log"), Some(11)),
                (at("of-u-1842"), None),
            ]
        );
        assert_eq!((found.count, found.files), (4, 4));
        let mut none = FoundBytes::default();
        none.look_through(dir.path(), b"u-9").expect("looked through");
        assert_eq!((none.count, none.bytes), (0, found.bytes));
        none.look_through(&at("missing"), b"u-9").expect_err("what is not seen is not proved");
    }
}
