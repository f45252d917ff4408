//! Why a store cannot be opened or written.

use crate::consensus::plausible::LAST_NUMBER;
use std::path::{Path, PathBuf};

/// The format that this release writes.
pub(super) const FORMAT: u32 = 2;
/// The format of releases whose disks had no id. This release reads it, and writes its own from then on.
pub(super) const FORMAT_WITHOUT_DISKS: u32 = 1;

/// Why the store cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the database under the store failed.
    #[error("control log {path}: {message}")]
    Database {
        /// The store's file.
        path: PathBuf,
        /// What redb or the operating system said.
        message: String,
    },
    /// The file is not what was written to it.
    #[error(
        "control log {path} is corrupt: {what}; move the file away, start this node and run \
         `marquee ctl voters replace` with its id, or restore the disk"
    )]
    Corrupt {
        /// The store's file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Term or log are beyond what any group reaches.
    #[error(
        "control log {path} has {what} {value}, and no group comes beyond {LAST_NUMBER}: a broken or hostile peer \
         drove it up; stop all control nodes and put their data directories back from copies that are older"
    )]
    Beyond {
        /// The store's file.
        path: PathBuf,
        /// What is beyond its bound.
        what: &'static str,
        /// The number found.
        value: u64,
    },
    /// The file was made for something else than what the config says.
    #[error("control log {path} belongs to {found}, but the config says {wanted}: {advice}")]
    Identity {
        /// The store's file.
        path: PathBuf,
        /// What it was made for.
        found: String,
        /// What the config says.
        wanted: String,
        /// What to do, in words.
        advice: &'static str,
    },
    /// The file has a format that this release does not know.
    #[error(
        "control log {path} has format {found}: this marquee knows format {FORMAT}, upgrade it"
    )]
    Format {
        /// The store's file.
        path: PathBuf,
        /// The format's number.
        found: u32,
    },
    /// There is a store where one was to be made.
    #[error(
        "control log {path} is there already: a backup is restored into an empty data directory, so that nothing is lost by \
         mistake; move the directory away"
    )]
    Exists {
        /// The store's file.
        path: PathBuf,
    },
    /// The state machine has outgrown what a snapshot may have.
    #[error("control state has {bytes} bytes: a snapshot may have {max}; remove versions or nodes")]
    SnapshotTooLarge {
        /// The snapshot's size in bytes.
        bytes: usize,
        /// The bound in bytes.
        max: usize,
    },
}

/// The error for an operation of the disk or the database that failed.
pub(super) fn failed(path: &Path, error: impl std::fmt::Display) -> StoreError {
    StoreError::Database { path: path.into(), message: error.to_string() }
}

/// The error for a store that redb does not open.
pub(super) fn refused_open(path: &Path, error: redb::DatabaseError) -> StoreError {
    let path = PathBuf::from(path);
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => StoreError::Database {
            path,
            message: "another process has it open: stop that marquee first".into(),
        },
        redb::DatabaseError::Storage(redb::StorageError::Corrupted(what)) => {
            StoreError::Corrupt { path, what }
        }
        other => StoreError::Database { path, message: other.to_string() },
    }
}
