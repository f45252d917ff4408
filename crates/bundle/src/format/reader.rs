//! Reading one section file: check the header and the table, then hand out sections as slices.

use super::file_info::{FORMAT_VERSION, FileInfo};
use super::kind::FileKind;
use super::layout::{ALIGNMENT, ENTRY_BYTES, HEADER_BYTES, MAGIC, MAX_SECTIONS, aligned};
use super::map::{FileBytes, LoadOptions, map_file};
use crate::error::{BundleError, FileDefect};
use bytemuck::Pod;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A mapped file whose header and table of sections have been checked.
pub(crate) struct SectionFile {
    path: PathBuf,
    map: Arc<FileBytes>,
    entries: Vec<SectionEntry>,
}

struct SectionEntry {
    name: [u8; 8],
    width: usize,
    offset: usize,
    bytes: usize,
}

impl SectionFile {
    /// Maps the file that `info` describes and checks its header and table.
    pub(crate) fn open(
        root: &Path,
        info: &FileInfo,
        kind: FileKind,
        options: &LoadOptions,
    ) -> Result<Self, BundleError> {
        let (path, map) = map_file(root, info, options)?;
        let entries = read_table(&path, &map, kind)?;
        Ok(Self { path, map: Arc::new(map), entries })
    }

    /// The length of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// The section of that name, of elements of type `T` and of exactly `length` elements.
    pub(crate) fn section<T: Pod>(
        &self,
        name: &str,
        length: usize,
    ) -> Result<Section<T>, BundleError> {
        let section = self.section_of_any_length(name)?;
        if section.len() != length {
            return Err(self.wrong(FileDefect::SectionLength {
                section: name.into(),
                found: section.len(),
                expected: length,
            }));
        }
        Ok(section)
    }

    /// Whether there is a section of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| name_of(entry) == name.as_bytes())
    }

    /// The section of that name, of elements of type `T`.
    pub(crate) fn section_of_any_length<T: Pod>(
        &self,
        name: &str,
    ) -> Result<Section<T>, BundleError> {
        let entry = self.entries.iter().find(|entry| name_of(entry) == name.as_bytes());
        let Some(entry) = entry else {
            return Err(self.wrong(FileDefect::SectionMissing(name.into())));
        };
        if entry.width != size_of::<T>() {
            let (found, expected) = (entry.width, size_of::<T>());
            return Err(self.wrong(FileDefect::SectionWidth {
                section: name.into(),
                found,
                expected,
            }));
        }
        let bytes = &self.map[entry.offset..entry.offset + entry.bytes];
        // The table was checked, so the cast can fail only if the mapping itself isn't aligned.
        let Ok(values) = bytemuck::try_cast_slice::<u8, T>(bytes) else {
            return Err(self.wrong(FileDefect::Unaligned(name.into())));
        };
        Ok(Section { start: values.as_ptr(), length: values.len(), _map: Arc::clone(&self.map) })
    }

    /// The `N` numbers of a kind's own header.
    pub(crate) fn numbers<const N: usize>(&self, name: &str) -> Result<[u64; N], BundleError> {
        let section = self.section::<u64>(name, N)?;
        let mut numbers = [0; N];
        numbers.copy_from_slice(&section);
        Ok(numbers)
    }

    /// A number of elements that must fit into memory and not exceed `max`.
    pub(crate) fn length(&self, what: &str, value: u64, max: usize) -> Result<usize, BundleError> {
        match usize::try_from(value) {
            Ok(length) if length <= max => Ok(length),
            _ => Err(self.wrong(FileDefect::OutOfBounds {
                what: what.into(),
                found: value,
                most: max,
            })),
        }
    }

    /// The error that something in this file makes no sense.
    pub(crate) fn wrong(&self, defect: FileDefect) -> BundleError {
        BundleError::Format { path: self.path.clone(), defect }
    }

    /// The error unless `fine`.
    pub(crate) fn check(&self, fine: bool, defect: &'static str) -> Result<(), BundleError> {
        if fine { Ok(()) } else { Err(self.wrong(FileDefect::Content(defect))) }
    }

    /// Checks offsets into a section of `length` elements: from 0, never falling, to `length`.
    pub(crate) fn check_offsets(
        &self,
        name: &str,
        offsets: &[u64],
        length: usize,
    ) -> Result<(), BundleError> {
        let fine = offsets.first() == Some(&0)
            && offsets.last() == Some(&(length as u64))
            && offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        if fine { Ok(()) } else { Err(self.wrong(FileDefect::Offsets(name.into()))) }
    }
}

fn name_of(entry: &SectionEntry) -> &[u8] {
    let end = entry.name.iter().position(|&byte| byte == 0).unwrap_or(entry.name.len());
    &entry.name[..end]
}

fn read_table(path: &Path, map: &[u8], kind: FileKind) -> Result<Vec<SectionEntry>, BundleError> {
    let wrong = |defect| Err(BundleError::Format { path: path.into(), defect });
    if map.len() < HEADER_BYTES {
        return wrong(FileDefect::TooShort { bytes: map.len() });
    }
    if map[..8] != MAGIC {
        return wrong(FileDefect::Magic);
    }
    let version = u32_at(map, 8);
    if version > FORMAT_VERSION {
        return Err(BundleError::NewerFormat {
            path: path.into(),
            found: version,
            supported: FORMAT_VERSION,
        });
    }
    if version != FORMAT_VERSION {
        return wrong(FileDefect::NeverReleased(version));
    }
    if map[12..16] != kind.letters() {
        return wrong(FileDefect::OtherKind);
    }
    if u64_at(map, 16) != map.len() as u64 {
        return wrong(FileDefect::HeaderLength);
    }
    let sections = u32_at(map, 24) as usize;
    if sections > MAX_SECTIONS {
        return wrong(FileDefect::TooManySections { found: sections, max: MAX_SECTIONS });
    }
    let mut expected = aligned(HEADER_BYTES + ENTRY_BYTES * sections);
    if expected > map.len() {
        return wrong(FileDefect::TableCutOff);
    }
    let mut entries = Vec::with_capacity(sections);
    for section in 0..sections {
        let at = &map[HEADER_BYTES + ENTRY_BYTES * section..][..ENTRY_BYTES];
        let mut name = [0; 8];
        name.copy_from_slice(&at[..8]);
        let (width, offset, bytes) = (u32_at(at, 8) as usize, u64_at(at, 16), u64_at(at, 24));
        let room = (map.len() - expected) as u64;
        let fine = matches!(width, 1 | 4 | 8) && offset == expected as u64 && bytes <= room;
        if !fine || bytes % width as u64 != 0 || !(bytes as usize).is_multiple_of(width) {
            return wrong(FileDefect::TableEntry(section));
        }
        let (offset, bytes) = (expected, bytes as usize);
        entries.push(SectionEntry { name, width, offset, bytes });
        expected = offset + aligned(bytes);
        if expected > map.len() {
            return wrong(FileDefect::SectionCutOff(section));
        }
    }
    if expected != map.len() {
        return wrong(FileDefect::TrailingBytes);
    }
    debug_assert!(entries.iter().all(|entry| entry.offset.is_multiple_of(ALIGNMENT)));
    Ok(entries)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// A slice of numbers in a mapped file, which it keeps mapped.
pub(crate) struct Section<T> {
    start: *const T,
    length: usize,
    _map: Arc<FileBytes>,
}

// SAFETY: the slice is read-only, its memory belongs to the mapping that goes along, and `T` is
// plain data (sections are made for `Pod` only).
unsafe impl<T: Pod + Sync> Send for Section<T> {}
// SAFETY: as above.
unsafe impl<T: Pod + Sync> Sync for Section<T> {}

impl<T> Section<T> {
    /// Its first elements, at most so many.
    pub(crate) fn first(&self, length: usize) -> Self {
        let (start, length) = (self.start, self.length.min(length));
        Self { start, length, _map: Arc::clone(&self._map) }
    }

    /// Gives the file's pages back to the system, which reads them again where they are used, here and
    /// there.
    pub(crate) fn give_back(&self) {
        self._map.give_back();
    }
}

impl<T: Pod> Deref for Section<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: start and length come from a checked slice of the mapping, which `_map` keeps.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}
