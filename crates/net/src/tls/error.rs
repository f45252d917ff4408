//! Why certificates cannot be used.

use std::path::{Path, PathBuf};

/// Why certificates cannot be used. No message has the content of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read; the message names it.
    #[error("{0}")]
    Read(String),
    /// A file is not what it must be.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Issue(String),
    /// A peer's certificate is not accepted.
    #[error("the peer's certificate is not accepted: {0}")]
    Peer(String),
}

impl TlsError {
    /// The error of a file.
    pub(super) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.into(), reason: reason.into() }
    }
}
