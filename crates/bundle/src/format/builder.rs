//! Writing one section file: gather the sections, then lay them out, hash and sync them.

use super::file_info::{FORMAT_VERSION, FileInfo};
use super::kind::FileKind;
use super::layout::{ALIGNMENT, ENTRY_BYTES, HEADER_BYTES, MAGIC, MAX_SECTIONS, aligned};
use crate::error::BundleError;
use bytemuck::Pod;
use std::borrow::Cow;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Bytes gathered before a write: large enough that the calls don't count.
const BUFFER_BYTES: usize = 1 << 20;
/// Bytes of rows that are put together before they are hashed and written.
const GATHERED_BYTES: usize = 1 << 16;

/// The sections of a file to be written, in order.
pub(crate) struct FileBuilder<'a> {
    kind: FileKind,
    sections: Vec<Pending<'a>>,
}

struct Pending<'a> {
    name: &'static str,
    width: usize,
    content: Content<'a>,
}

/// What a section holds.
enum Content<'a> {
    Bytes(Cow<'a, [u8]>),
    Rows(RowsInOrder<'a>),
}

/// Rows of a matrix in the order in which they are to lie on disk. They are put together as they are
/// written, so that there is no second copy of them.
#[derive(Clone, Copy)]
pub(crate) struct RowsInOrder<'a> {
    /// The matrix, row after row.
    pub(crate) values: &'a [f32],
    /// Columns, at least one.
    pub(crate) rank: usize,
    /// Which of its rows, all of them there.
    pub(crate) order: &'a [u32],
}

impl<'a> RowsInOrder<'a> {
    /// The rows, in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = &'a [f32]> {
        self.order.iter().map(move |&row| &self.values[row as usize * self.rank..][..self.rank])
    }
}

impl Content<'_> {
    /// The bytes that it takes on disk.
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Rows(rows) => rows.order.len() * rows.rank * size_of::<f32>(),
        }
    }

    fn put(&self, out: &mut Hashing) -> Result<(), BundleError> {
        match self {
            Self::Bytes(bytes) => out.put(bytes),
            Self::Rows(rows) => {
                let mut piece = Vec::with_capacity(GATHERED_BYTES);
                for row in rows.iter() {
                    piece.extend_from_slice(bytemuck::cast_slice(row));
                    if piece.len() >= GATHERED_BYTES {
                        out.put(&piece)?;
                        piece.clear();
                    }
                }
                out.put(&piece)
            }
        }
    }
}

impl<'a> FileBuilder<'a> {
    /// A file without sections yet.
    pub(crate) fn new(kind: FileKind) -> Self {
        Self { kind, sections: Vec::new() }
    }

    /// Adds a section that is borrowed until the file is written.
    pub(crate) fn section<T: Pod>(mut self, name: &'static str, values: &'a [T]) -> Self {
        let content = Content::Bytes(Cow::Borrowed(bytemuck::cast_slice(values)));
        self.sections.push(Pending { name, width: size_of::<T>(), content });
        self
    }

    /// Adds a section of rows that are put together while the file is written.
    pub(crate) fn rows(mut self, name: &'static str, rows: RowsInOrder<'a>) -> Self {
        self.sections.push(Pending { name, width: size_of::<f32>(), content: Content::Rows(rows) });
        self
    }

    /// Adds a short section of u64, such as a kind's own header.
    pub(crate) fn numbers(mut self, name: &'static str, values: &[u64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let content = Content::Bytes(Cow::Owned(bytes));
        self.sections.push(Pending { name, width: size_of::<u64>(), content });
        self
    }

    /// Writes and syncs the file at `root/path` and describes it for the manifest.
    pub(crate) fn write(self, root: &Path, path: String) -> Result<FileInfo, BundleError> {
        assert!(self.sections.len() <= MAX_SECTIONS, "no kind of file has that many sections");
        let table_end = aligned(HEADER_BYTES + ENTRY_BYTES * self.sections.len());
        let mut offset = table_end;
        let mut table = Vec::with_capacity(table_end - HEADER_BYTES);
        for section in &self.sections {
            let mut name = [0; 8];
            name[..section.name.len()].copy_from_slice(section.name.as_bytes());
            table.extend_from_slice(&name);
            table.extend_from_slice(&(section.width as u32).to_le_bytes());
            table.extend_from_slice(&[0; 4]);
            table.extend_from_slice(&(offset as u64).to_le_bytes());
            table.extend_from_slice(&(section.content.len() as u64).to_le_bytes());
            offset += aligned(section.content.len());
        }
        table.resize(table_end - HEADER_BYTES, 0);

        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        header.extend_from_slice(&self.kind.letters());
        header.extend_from_slice(&(offset as u64).to_le_bytes());
        header.extend_from_slice(&(self.sections.len() as u32).to_le_bytes());
        header.resize(HEADER_BYTES, 0);

        let file = fs_err::File::create_new(root.join(&path))?;
        let mut out = Hashing {
            out: BufWriter::with_capacity(BUFFER_BYTES, file),
            hasher: Default::default(),
        };
        out.put(&header)?;
        out.put(&table)?;
        for section in &self.sections {
            section.content.put(&mut out)?;
            let length = section.content.len();
            out.put(&[0; ALIGNMENT][..aligned(length) - length])?;
        }
        let file = out.out.into_inner().map_err(|error| error.into_error())?;
        file.sync_all()?;
        Ok(FileInfo {
            path,
            bytes: offset as u64,
            blake3: out.hasher.finalize().to_hex().to_string(),
        })
    }
}

/// A file that is hashed as it is written.
struct Hashing {
    out: BufWriter<fs_err::File>,
    hasher: blake3::Hasher,
}

impl Hashing {
    fn put(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        self.hasher.update(bytes);
        self.out.write_all(bytes)?;
        Ok(())
    }
}
