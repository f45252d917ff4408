//! Where the bytes of a data file come from: a file, a pipe, standard input, compressed or not.
//!
//! A source is read once, from its beginning: the bytes that tell its form are kept and read again, so
//! that nothing is lost of a pipe. Compression is told by content, not by name.

use crate::error::TrainError;
use marquee_bundle::{InputStream, PIPE_WRITER_WAIT, open_stream};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

/// How many bytes are looked at to find a file's form: more than any sensible first line.
const SNIFFED_BYTES: u64 = 64 << 10;
/// Bytes that a compressed byte may become: text compresses to a tenth, equal rows to a hundredth.
const MAX_BYTES_PER_BYTE: u64 = 1_100;
/// Bytes that any compressed file may become.
const FREE_BYTES: u64 = 64 << 20;
/// What names standard input.
const STDIN: &str = "-";

/// An open data file whose first bytes were seen.
pub(super) enum Source {
    /// The columnar files of Apache Parquet, which are read from their end.
    Parquet,
    /// Text, also where it was compressed.
    Text(TextSource),
}

/// Text, and its first bytes, which `reader` gives again.
pub(super) struct TextSource {
    /// The first bytes.
    pub(super) head: Vec<u8>,
    /// All of it.
    pub(super) reader: Box<dyn Read>,
}

impl Source {
    /// Opens a file, a pipe, or standard input, which `-` names.
    ///
    /// # Errors
    /// What cannot be opened; what is neither text nor Parquet; what has to be unpacked by hand.
    pub(super) fn open(path: &Path) -> Result<Self, TrainError> {
        let name = if path == Path::new(STDIN) { Path::new("/dev/stdin") } else { path };
        let InputStream { file, length } =
            open_stream(name, PIPE_WRITER_WAIT).map_err(TrainError::io(path))?;
        let (head, reader) = sniff(path, Box::new(file))?;
        if is_parquet(&head) {
            return match length {
                Some(_) => Ok(Self::Parquet),
                None => Err(TrainError::format(
                    path,
                    "Parquet is read from its end, which a pipe does not have: write it to a file, and name that",
                )),
            };
        }
        let most = length.map_or(u64::MAX, |length| {
            length.saturating_mul(MAX_BYTES_PER_BYTE).saturating_add(FREE_BYTES)
        });
        let unpacked: Box<dyn Read> = match compression(path, &head)? {
            None => return Ok(Self::Text(TextSource { head, reader })),
            Some(Compression::Gzip) => Box::new(flate2::read::MultiGzDecoder::new(reader)),
            Some(Compression::Zstandard) => {
                Box::new(zstd::Decoder::new(reader).map_err(TrainError::io(path))?)
            }
        };
        let (head, reader) = sniff(path, Box::new(Bounded { inner: unpacked, left: most }))?;
        if is_parquet(&head) || compression(path, &head)?.is_some() {
            let problem = "the compressed file holds no text: unpack it first";
            return Err(TrainError::format(path, problem));
        }
        Ok(Self::Text(TextSource { head, reader }))
    }
}

/// The files that a path names: one, or those of a directory as Spark, Dask and Hive write it, in order of name. What begins
/// with `.` or `_` is none of them.
///
/// # Errors
/// A directory that cannot be read, holds folders, or no files.
pub(crate) fn files_of(path: &Path) -> Result<Vec<PathBuf>, TrainError> {
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let mut files = Vec::new();
    for entry in fs_err::read_dir(path).map_err(TrainError::io(path))? {
        let entry = entry.map_err(TrainError::io(path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(['.', '_']) {
            continue;
        }
        if entry.path().is_dir() {
            let problem = format!(
                "the directory has the folder {name:?}, and only files are read: write the rows without partitions, or \
                 name the folders one by one"
            );
            return Err(TrainError::format(path, problem));
        }
        files.push(entry.path());
    }
    if files.is_empty() {
        return Err(TrainError::format(path, "the directory holds no files"));
    }
    files.sort();
    Ok(files)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Compression {
    Gzip,
    Zstandard,
}

/// How the bytes are compressed, if they are.
fn compression(path: &Path, head: &[u8]) -> Result<Option<Compression>, TrainError> {
    let by_hand = [&b"PK\x03\x04"[..], b"BZh", b"\xfd7zXZ\0", b"7z\xbc\xaf"];
    if head.starts_with(&[0x1f, 0x8b]) {
        Ok(Some(Compression::Gzip))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Ok(Some(Compression::Zstandard))
    } else if by_hand.iter().any(|magic| head.starts_with(magic)) {
        let problem = "the file is compressed, and only gzip and Zstandard are unpacked here: unpack it first";
        Err(TrainError::format(path, problem))
    } else {
        Ok(None)
    }
}

fn is_parquet(head: &[u8]) -> bool {
    head.starts_with(b"PAR1")
}

/// The first bytes of a reader, and a reader of all of them.
fn sniff(path: &Path, mut reader: Box<dyn Read>) -> Result<(Vec<u8>, Box<dyn Read>), TrainError> {
    let mut head = Vec::new();
    (&mut reader).take(SNIFFED_BYTES).read_to_end(&mut head).map_err(TrainError::io(path))?;
    Ok((head.clone(), Box::new(Cursor::new(head).chain(reader))))
}

/// A reader that ends with an error beyond so many bytes.
struct Bounded {
    inner: Box<dyn Read>,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let problem = format!(
                "it unpacks to more than {MAX_BYTES_PER_BYTE} times its bytes: unpack it first, and look at it"
            );
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })?;
        Ok(read)
    }
}
