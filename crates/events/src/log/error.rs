//! What can go wrong with a log.

use super::contents::{Contents, FORMAT};
use super::frame::MAX_FRAME_BYTES;
use std::path::PathBuf;

/// Why a file is no segment of the log that is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignFile {
    /// Its name is not that of a segment.
    #[error("is no segment of a log: its name is no number")]
    Name,
    /// It does not begin as a segment.
    #[error("is no segment of a log")]
    Magic,
    /// The checksum of its header does not match.
    #[error("its header is damaged: restore the file")]
    Header,
    /// It has a format of another version.
    #[error("has format {0} and this version reads {FORMAT}: read it with the one that wrote it")]
    Format(u32),
    /// It belongs to another log.
    #[error("holds {}, not {}", found.name(), expected.name())]
    Contents {
        /// What its records are.
        found: Contents,
        /// What the records of the log are.
        expected: Contents,
    },
    /// It holds what this version has no name for.
    #[error("holds what this version does not know")]
    UnknownContents,
    /// Its header names another first record than its name.
    #[error("its name is not that of its first record: rename it back")]
    OtherName,
    /// A record is of a kind that this version does not know.
    #[error("record {0} is none that this version knows: read it with the one that wrote it")]
    UnknownRecord(u64),
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused; its message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Bytes that no writer wrote.
    #[error(
        "{path} is damaged at byte {offset}: {reason}; whole records follow, so this is no write that a \
         crash cut off: restore the file, or move it and older ones away to go on without them",
        path = path.display()
    )]
    Damaged {
        /// The path of the segment.
        path: PathBuf,
        /// The offset of the damage, in bytes.
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
    #[error("{path}: {why}", path = path.display())]
    Foreign {
        /// The path of the file.
        path: PathBuf,
        /// What it is instead.
        why: ForeignFile,
    },
    /// Another process writes it.
    #[error("{path} is in use by another process: give each node a directory of its own", path = path.display())]
    InUse {
        /// The path of the directory.
        path: PathBuf,
    },
    /// There is no log.
    #[error("{path} has no log: name the directory of a router's events", path = path.display())]
    Missing {
        /// The path of the directory.
        path: PathBuf,
    },
    /// Retention deleted a segment while it was to be read.
    #[error("{path} was deleted to make room while the log was read: read it again", path = path.display())]
    Deleted {
        /// The path of the segment.
        path: PathBuf,
    },
    /// An earlier write failed.
    #[error(
        "the log refuses records since a write failed ({0}): free its disk; it is tried again each second"
    )]
    Failed(String),
    /// The file that is written was removed or replaced.
    #[error("{path} was removed or replaced while it is written: put the disk or the directory back", path = path.display())]
    Gone {
        /// The path of the segment.
        path: PathBuf,
    },
    /// The files that were put in the place of removed ones are those of another time.
    #[error(
        "{path} ends at record {found} and should at {expected}: put its newest files back, or move the directory away to \
         begin a new log",
        path = path.display()
    )]
    OtherRecords {
        /// The path of the directory.
        path: PathBuf,
        /// Where its records end.
        found: u64,
        /// Where the log ended when its files were last there.
        expected: u64,
    },
    /// More in one commit than a reader would believe.
    #[error("a commit has {bytes} bytes: at most {MAX_FRAME_BYTES} are allowed")]
    TooLarge {
        /// Bytes of the commit.
        bytes: usize,
    },
}
