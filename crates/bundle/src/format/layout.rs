//! The fixed numbers of the layout.

/// The first bytes of every binary file.
pub(crate) const MAGIC: [u8; 8] = *b"MARQUEE\0";
/// What sections are aligned to: a cache line, and the widest vector register.
pub(crate) const ALIGNMENT: usize = 64;
/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 64;
/// Bytes of one entry of the table.
pub(crate) const ENTRY_BYTES: usize = 32;
/// Sections of one file: no kind has a third as many.
pub(crate) const MAX_SECTIONS: usize = 32;

/// `length` rounded up to [`ALIGNMENT`].
pub(crate) fn aligned(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}
