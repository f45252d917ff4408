//! The shape of every binary file in a bundle: a header, a table of sections, and the sections.
//!
//! All numbers are little-endian and of fixed width; nothing on disk is a `usize`.
//!
//! ```text
//! offset    bytes  what
//! 0         8      magic "MARQUEE" and a zero
//! 8         4      format version, u32
//! 12        4      kind of file, four letters
//! 16        8      length of the whole file, u64
//! 24        4      n, the number of sections, u32, at most 32
//! 28        36     zeros
//! 64        32·n   the table, one entry a section:
//!   +0        8      name, ASCII, padded with zeros
//!   +8        4      width of one element in bytes, u32: 1, 4 or 8
//!   +12       4      zeros
//!   +16       8      offset from the start of the file, u64, a multiple of 64
//!   +24       8      length in bytes, u64, a multiple of the width
//! …                zeros up to a multiple of 64
//! …                the sections in the table's order, each followed by zeros up to a multiple of 64
//! ```
//!
//! Sections begin on cache lines, so that they can be used where they are mapped. What the sections
//! of a kind are is drawn in the module that reads it: [`ids`](crate::ids), [`labels`](crate::labels),
//! [`dense`](crate::dense), `coarse`,
//! [`cells`](crate::cells), [`graph`](crate::graph), [`sparse`](crate::sparse).
//!
//! `FileBuilder` writes such files, `SectionFile` maps and checks them, `Section` is a slice of
//! numbers that lives in one. What is deliberately missing: compression (rows are used in place)
//! and any way to change a file, for files are immutable.

mod builder;
mod map;
#[cfg(feature = "memory")]
pub mod memory;
mod reader;

pub(crate) use builder::{FileBuilder, RowsInOrder};
pub use map::LoadOptions;
pub(crate) use map::{FileBytes, map_file, open_file};
pub(crate) use reader::{Section, SectionFile};

#[cfg(not(target_endian = "little"))]
compile_error!("bundles are used where they are mapped, so the machine must be little-endian");

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

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// External ids, ordinals and titles.
    Ids,
    /// Tags and attributes of items.
    Labels,
    /// A dense matrix.
    Dense,
    /// The graph over a dense matrix.
    Graph,
    /// The cells over a dense matrix.
    Cells,
    /// The coarse rows of a dense matrix.
    Coarse,
    /// A sparse matrix.
    Sparse,
}

impl Kind {
    /// The four letters in the header.
    pub(crate) fn letters(self) -> [u8; 4] {
        match self {
            Self::Ids => *b"idtb",
            Self::Labels => *b"labl",
            Self::Dense => *b"dens",
            Self::Graph => *b"grph",
            Self::Cells => *b"cell",
            Self::Coarse => *b"int8",
            Self::Sparse => *b"csrm",
        }
    }

    /// The end of the file's name.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Ids => "ids",
            Self::Labels => "labels",
            Self::Dense => "dense",
            Self::Graph => "graph",
            Self::Cells => "cells",
            Self::Coarse => "int8",
            Self::Sparse => "sparse",
        }
    }
}

/// `length` rounded up to [`ALIGNMENT`].
pub(crate) fn aligned(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests;
