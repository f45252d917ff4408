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
//! acknowledged is never dropped without a word.
//!
//! **Rotation**: a full segment is synced, the next is made and synced with its directory, and only then
//! written to. **Retention**: the oldest segments are deleted where all together have more than
//! `max_bytes`, never the one that is written to.
//!
//! A failed write or sync leaves the log refusing everything until it is opened again: what the disk has
//! then is unknown, and a second sync that succeeds says nothing of the first (Rebello et al., *Can
//! Applications Recover from fsync Failures?*, 2020).

mod frame;
mod reader;
mod segment;
mod writer;

pub use frame::Frame;
pub use reader::{LogReader, Position};
pub use writer::{Faults, LogOptions, LogWriter, Step};

use std::path::PathBuf;

/// Bytes of one frame: commits are far smaller, and a reader must not believe more.
pub const MAX_FRAME_BYTES: usize = 32 << 20;

/// When what was written is made to outlive the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// Before it is acknowledged; what comes meanwhile shares the next sync.
    #[default]
    Always,
    /// Every so many milliseconds: an acknowledged record outlives the process, and the machine only
    /// after that time.
    IntervalMs(u64),
    /// When the system pleases: outlives the process.
    Never,
}

/// What the records of a log are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Contents {
    /// [Events](crate::StoredEvent).
    Events = 1,
    /// [Quarantined events](crate::Quarantined).
    Quarantine = 2,
    /// [Exposures](crate::Exposure).
    Exposures = 3,
}

impl Contents {
    fn word(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Quarantine => "quarantined events",
            Self::Exposures => "exposures",
        }
    }

    fn from_number(number: u32) -> Option<Self> {
        [Self::Events, Self::Quarantine, Self::Exposures]
            .into_iter()
            .find(|known| *known as u32 == number)
    }
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system's word; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Bytes that nobody wrote.
    #[error(
        "{path} is damaged at byte {offset}: {reason}; whole records follow, so this is no write that a \
         crash cut off: restore the file, or move it and older ones away to go on without them",
        path = path.display()
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A segment that is missing.
    #[error(
        "{path} begins at record {found} and should at {expected}: a segment before it is missing; restore \
         it, or move all older ones away to go on without them",
        path = path.display()
    )]
    Gap {
        /// The segment after the gap.
        path: PathBuf,
        /// Where the one before ended.
        expected: u64,
        /// Where this one begins.
        found: u64,
    },
    /// Another log, or another format.
    #[error("{path}: {reason}", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// Another process writes it.
    #[error("{path} is in use by another process: give each node a directory of its own", path = path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// There is no log.
    #[error("{path} has no log: name the directory of a router's events", path = path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// Retention deleted a segment while it was to be read.
    #[error("{path} was deleted for want of room while the log was read: read it again", path = path.display())]
    Deleted {
        /// The segment.
        path: PathBuf,
    },
    /// An earlier write failed.
    #[error(
        "the log refuses records since a write failed ({0}): free its disk and restart the node"
    )]
    Failed(String),
    /// More in one commit than a reader would believe.
    #[error("a commit has {bytes} bytes: at most {MAX_FRAME_BYTES} are allowed")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
}

#[cfg(test)]
mod tests;
