//! A section file taken apart, to be changed inside and put together with a right header and table.

/// Bytes of the header, and what sections are aligned to.
const LINE: usize = 64;
/// Bytes of an entry of the table.
const ENTRY: usize = 32;

/// A file's header and sections.
pub(super) struct Sections {
    header: [u8; LINE],
    pub(super) list: Vec<SectionBytes>,
}

#[derive(Clone)]
pub(super) struct SectionBytes {
    pub(super) name: [u8; 8],
    pub(super) width: u32,
    pub(super) bytes: Vec<u8>,
}

impl SectionBytes {
    /// The width of its elements, such that they can be counted.
    pub(super) fn step(&self) -> usize {
        (self.width as usize).clamp(1, 8)
    }

    /// How many elements it has.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() / self.step()
    }
}

impl Sections {
    /// Takes a file apart, if its table leads to within it.
    pub(super) fn parse(file: &[u8]) -> Option<Self> {
        let header = *file.first_chunk::<LINE>()?;
        let number = |at: usize| Some(u32::from_le_bytes(*file.get(at..)?.first_chunk()?) as usize);
        let mut list = Vec::new();
        for section in 0..number(24)?.min(64) {
            let at = LINE + ENTRY * section;
            let (offset, length) = (number(at + 16)?, number(at + 24)?);
            list.push(SectionBytes {
                name: *file.get(at..)?.first_chunk()?,
                width: number(at + 8)? as u32,
                bytes: file.get(offset..)?.get(..length)?.to_vec(),
            });
        }
        Some(Self { header, list })
    }

    /// Puts the sections together to a file.
    pub(super) fn file(mut self) -> Vec<u8> {
        let mut offset = (LINE + ENTRY * self.list.len()).next_multiple_of(LINE);
        let mut file = vec![0; LINE];
        for section in &self.list {
            file.extend_from_slice(&section.name);
            file.extend_from_slice(&section.width.to_le_bytes());
            file.extend_from_slice(&[0; 4]);
            file.extend_from_slice(&(offset as u64).to_le_bytes());
            file.extend_from_slice(&(section.bytes.len() as u64).to_le_bytes());
            offset += section.bytes.len().next_multiple_of(LINE);
        }
        for section in &self.list {
            file.resize(file.len().next_multiple_of(LINE), 0);
            file.extend_from_slice(&section.bytes);
        }
        file.resize(offset, 0);
        self.header[16..24].copy_from_slice(&(offset as u64).to_le_bytes());
        self.header[24..28].copy_from_slice(&(self.list.len() as u32).to_le_bytes());
        file[..LINE].copy_from_slice(&self.header);
        file
    }
}
