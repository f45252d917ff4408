//! Writing one section file: gather the sections, then lay them out, hash and sync them.

use super::{ALIGNMENT, ENTRY_BYTES, HEADER_BYTES, Kind, MAGIC, MAX_SECTIONS, aligned};
use crate::error::BundleError;
use crate::manifest::{FORMAT_VERSION, FileInfo};
use bytemuck::Pod;
use std::borrow::Cow;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Bytes gathered before a write: large enough that the calls don't count.
const BUFFER_BYTES: usize = 1 << 20;

/// The sections of a file to be written, in order.
pub(crate) struct FileBuilder<'a> {
    kind: Kind,
    sections: Vec<Pending<'a>>,
}

struct Pending<'a> {
    name: &'static str,
    width: usize,
    bytes: Cow<'a, [u8]>,
}

impl<'a> FileBuilder<'a> {
    /// A file without sections yet.
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, sections: Vec::new() }
    }

    /// Adds a section that is borrowed until the file is written.
    pub(crate) fn section<T: Pod>(mut self, name: &'static str, values: &'a [T]) -> Self {
        let bytes = Cow::Borrowed(bytemuck::cast_slice(values));
        self.sections.push(Pending { name, width: size_of::<T>(), bytes });
        self
    }

    /// Adds a short section of u64, such as a kind's own header.
    pub(crate) fn numbers(mut self, name: &'static str, values: &[u64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.sections.push(Pending { name, width: size_of::<u64>(), bytes: Cow::Owned(bytes) });
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
            table.extend_from_slice(&(section.bytes.len() as u64).to_le_bytes());
            offset += aligned(section.bytes.len());
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
            out.put(&section.bytes)?;
            out.put(&[0; ALIGNMENT][..aligned(section.bytes.len()) - section.bytes.len()])?;
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
