//! An append-only log of opaque records in segments.
//!
//! A directory holds segments, `{first:020}.log`, named by the number of their first record, counted from
//! 0; records of successive segments follow one another without a gap. A segment is a header and frames;
//! a frame is what one commit wrote, so after a crash all of a commit is there or nothing of it.
//!
//! ```text
//! segment                                        frame
//!  0  8  magic "MQLOG\r\n\0"                      0  4  marker ff 4d 51 fe
//!  8  4  format, 1                                4  4  bytes of the records
//! 12  4  what the records are                     8  4  number of records
//!        (1 events, 2 quarantine, 3 exposures)   12  8  number of the first record
//! 16  8  number of the first record              20  4  CRC-32 of the records
//! 24  4  CRC-32 of bytes 0..24                   24  4  CRC-32 of bytes 0..24
//! 28     frames                                  28     records: each u32 length and its bytes
//! ```
//!
//! Numbers are little-endian; CRC-32 is that of IEEE 802.3. No UTF-8 has the marker's first byte, so
//! nothing that a caller sends can look like a frame.
//!
//! **After a crash** the last segment may end in a part of a frame. The next frame is only written when
//! the one before is whole, so damage with no whole frame behind it is a torn tail: it was never
//! acknowledged (under [`Fsync::Always`]), is copied to `{first:020}-{offset}.torn`, and is cut off.
//! Damage anywhere else, and a gap between segments, is an error that names file and offset: what was
//! acknowledged is never dropped silently.
//!
//! **Rotation**: a full segment is synced, the next is made and synced with its directory, and only then
//! written to. **Retention**: the oldest segments are deleted where all together have more than
//! `max_bytes`, never the one that is written to.
//!
//! **Erasing**: full segments are written anew without what is erased ([`LogEraser`]); an erased record leaves an
//! empty one, which readers skip, so numbers stay. No record is written empty.
//!
//! A failed write or sync leaves the log refusing everything until it has recovered, which is tried each second. A second
//! sync that succeeds says nothing of the first (Rebello et al., *Can Applications Recover from fsync Failures?*, 2020): the
//! system may have dropped what it could not write. So what was acknowledged and not synced is kept in memory, at most
//! 16 MiB, and recovery writes it again before it syncs. A file that is removed while it is written is noticed by the next
//! commit; what was in it is counted as lost, and the log goes on in a new one.

mod contents;
mod eraser;
mod error;
mod frame;
mod options;
mod private;
mod reader;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use contents::{Contents, Fsync};
pub use eraser::{ErasedCounts, LogEraser, RecordFate};
pub use error::{ForeignFile, LogError};
pub use frame::{Frame, MAX_FRAME_BYTES};
pub use options::{Faults, LogOptions, WriteStep};
pub use reader::{LogPosition, LogReader};
pub use writer::LogWriter;
