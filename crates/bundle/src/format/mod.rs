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
//! of a kind are is drawn in the module that reads it: [`ids`](crate::entities::ids),
//! [`labels`](crate::entities::labels),
//! [`dense`](crate::matrix::dense), `coarse`,
//! [`cells`](crate::matrix::cells), [`graph`](crate::matrix::graph), [`sparse`](crate::matrix::sparse).
//!
//! `FileBuilder` writes such files, `SectionFile` maps and checks them, `Section` is a slice of
//! numbers that lives in one. What is deliberately missing: compression (rows are used in place)
//! and any way to change a file, for files are immutable.

mod builder;
mod fault;
mod file_info;
mod kind;
mod layout;
mod lists;
mod map;
#[cfg(feature = "memory")]
pub mod memory;
mod reader;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use builder::{FileBuilder, RowsInOrder};
pub use fault::faults;
pub(crate) use fault::has_failed_below;
pub use file_info::{FORMAT_VERSION, FileInfo};
pub(crate) use kind::FileKind;
pub(crate) use lists::Lists;
pub use map::LoadOptions;
pub(crate) use map::open_file;
pub(crate) use reader::{Section, SectionFile};
pub(crate) use text::{Text, TextBuilder};

#[cfg(not(target_endian = "little"))]
compile_error!("bundles are used where they are mapped, so the machine must be little-endian");
