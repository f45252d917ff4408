//! Frames, the commits of a log: made, read and searched for. Pure.

/// Bytes of one frame: commits are far smaller, and a reader must not believe more.
pub const MAX_FRAME_BYTES: usize = 32 << 20;

/// Bytes of a frame's header.
pub(super) const FRAME_HEADER_BYTES: usize = 28;
/// The first bytes of every frame.
const MARKER: [u8; 4] = [0xff, 0x4d, 0x51, 0xfe];

/// The records of one commit, on their way to the disk.
#[derive(Debug)]
pub struct Frame {
    /// Room for the header, then the records.
    bytes: Vec<u8>,
    records: u32,
}

impl Default for Frame {
    fn default() -> Self {
        Self { bytes: vec![0; FRAME_HEADER_BYTES], records: 0 }
    }
}

impl Frame {
    /// Adds a record that `write` appends.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut self.bytes);
        let length = (self.bytes.len() - at - 4) as u32;
        self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        self.records += 1;
    }

    /// How many records it has.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// The bytes that the frame takes on disk, its header among them.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no records.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Empties it for the next commit.
    pub fn clear(&mut self) {
        self.bytes.truncate(FRAME_HEADER_BYTES);
        self.records = 0;
    }

    /// The bytes of the frame whose first record has this number.
    pub(super) fn seal(&mut self, first: u64) -> &[u8] {
        let (header, records) = self.bytes.split_at_mut(FRAME_HEADER_BYTES);
        let head = FrameHeader {
            bytes: records.len() as u32,
            records: self.records,
            first,
            crc: crc32fast::hash(records),
        };
        header.copy_from_slice(&head.encode());
        &self.bytes
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Bytes of the records.
    pub(super) bytes: u32,
    /// How many records there are.
    pub(super) records: u32,
    /// The number of the first one.
    pub(super) first: u64,
    /// CRC-32 of the records.
    crc: u32,
}

impl FrameHeader {
    fn encode(self) -> [u8; FRAME_HEADER_BYTES] {
        let mut header = [0; FRAME_HEADER_BYTES];
        header[..4].copy_from_slice(&MARKER);
        header[4..8].copy_from_slice(&self.bytes.to_le_bytes());
        header[8..12].copy_from_slice(&self.records.to_le_bytes());
        header[12..20].copy_from_slice(&self.first.to_le_bytes());
        header[20..24].copy_from_slice(&self.crc.to_le_bytes());
        let crc = crc32fast::hash(&header[..24]);
        header[24..].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// Reads a header; the error says what is wrong with it.
    pub(super) fn decode(header: &[u8; FRAME_HEADER_BYTES]) -> Result<Self, &'static str> {
        let u32_at = |at: usize| {
            let bytes = header[at..].first_chunk().expect("within the header");
            u32::from_le_bytes(*bytes)
        };
        if header[..4] != MARKER {
            return Err("no frame begins here");
        }
        if crc32fast::hash(&header[..24]) != u32_at(24) {
            return Err("the checksum of the frame's header does not match");
        }
        let first = u64::from_le_bytes(*header[12..].first_chunk().expect("within the header"));
        let found = Self { bytes: u32_at(4), records: u32_at(8), first, crc: u32_at(20) };
        if found.bytes as usize > MAX_FRAME_BYTES {
            return Err("the frame is larger than any that is written");
        }
        Ok(found)
    }

    /// Whether these are the records that it was made for.
    pub(super) fn fits(&self, records: &[u8]) -> bool {
        records.len() == self.bytes as usize && crc32fast::hash(records) == self.crc
    }
}

/// Calls `take` with each record of a frame that [fits](FrameHeader::fits); false if its records
/// contradict its header, which no checksum lets happen by chance.
pub(super) fn each_record(records: &[u8], count: u32, mut take: impl FnMut(&[u8])) -> bool {
    let mut rest = records;
    for _ in 0..count {
        let Some((length, behind)) = rest.split_first_chunk::<4>() else { return false };
        let Some((record, others)) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)
        else {
            return false;
        };
        take(record);
        rest = others;
    }
    rest.is_empty()
}

/// Whether a whole frame begins anywhere in these bytes.
pub(super) fn has_frame(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|at| bytes[at] == MARKER[0] && begins_with_frame(&bytes[at..]))
}

fn begins_with_frame(bytes: &[u8]) -> bool {
    let Some((start, rest)) = bytes.split_first_chunk() else { return false };
    let Ok(header) = FrameHeader::decode(start) else { return false };
    rest.get(..header.bytes as usize).is_some_and(|records| header.fits(records))
}
