//! Segment files: their names, their headers, and those in a directory.

use super::contents::{Contents, FORMAT};
use super::error::{ForeignFile, LogError};
use super::private::private_file;
use fs_err as fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: usize = 28;
const MAGIC: [u8; 8] = *b"MQLOG\r\n\0";
const EXTENSION: &str = "log";

/// A segment on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The number of its first record.
    pub(super) first: u64,
    pub(super) path: PathBuf,
    /// Its length in bytes.
    pub(super) bytes: u64,
}

/// The path of the segment that begins with this record.
pub(super) fn path_of(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.{EXTENSION}"))
}

/// The segments of a directory, oldest first.
pub(super) fn list(directory: &Path) -> Result<Vec<Segment>, LogError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let Ok(first) = stem.parse::<u64>() else {
            return Err(LogError::Foreign { path, why: ForeignFile::Name });
        };
        // A running node may delete its oldest segment at any time.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        segments.push(Segment { first, path, bytes: metadata.len() });
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

pub(super) fn header(contents: Contents, first: u64) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[12..16].copy_from_slice(&(contents as u32).to_le_bytes());
    header[16..24].copy_from_slice(&first.to_le_bytes());
    let crc = crc32fast::hash(&header[..24]);
    header[24..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Makes an empty segment that outlives the machine, its name included.
pub(super) fn create(
    directory: &Path,
    contents: Contents,
    first: u64,
) -> Result<(fs::File, PathBuf), LogError> {
    let path = path_of(directory, first);
    let mut file = private_file().create(true).truncate(true).write(true).open(&path)?;
    file.write_all(&header(contents, first))?;
    file.sync_all()?;
    sync_directory(directory)?;
    Ok((file, path))
}

/// Makes names in a directory outlive the machine.
pub(super) fn sync_directory(directory: &Path) -> Result<(), LogError> {
    // Elsewhere directories cannot be opened, and names are journalled by the system.
    if cfg!(unix) {
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Whether a file has the length of a header and nothing in it, as a crash of the machine may leave it.
pub(super) fn is_blank(file: &mut fs::File) -> Result<bool, LogError> {
    let mut found = [0; SEGMENT_HEADER_BYTES];
    file.read_exact(&mut found)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(found == [0; SEGMENT_HEADER_BYTES])
}

/// Reads a header and checks it against the name of its file.
pub(super) fn check_header(
    file: &mut fs::File,
    path: &Path,
    contents: Contents,
    first: u64,
) -> Result<(), LogError> {
    let mut found = [0; SEGMENT_HEADER_BYTES];
    file.read_exact(&mut found)?;
    if found == header(contents, first) {
        return Ok(());
    }
    let number = |at: usize| u32::from_le_bytes(*found[at..].first_chunk().expect("within it"));
    let why = if found[..8] != MAGIC {
        ForeignFile::Magic
    } else if crc32fast::hash(&found[..24]) != number(24) {
        ForeignFile::Header
    } else if number(8) != FORMAT {
        ForeignFile::Format(number(8))
    } else {
        match Contents::from_number(number(12)) {
            Some(other) if other != contents => {
                ForeignFile::Contents { found: other, expected: contents }
            }
            Some(_) => ForeignFile::OtherName,
            None => ForeignFile::UnknownContents,
        }
    };
    Err(LogError::Foreign { path: path.into(), why })
}
