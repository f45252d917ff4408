//! What can go wrong between a data file and a bundle, each with the place and the way out.

use std::path::{Path, PathBuf};

/// Why training, import or evaluation stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The file system said no.
    #[error("cannot read {}: {source}: check the path and its permissions", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The file system took no output.
    #[error("cannot write {}: {source}: check that the directory can be written to and has space", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// A file without a single row of data.
    #[error("{} holds no rows: give a file with at least one row of data", path.display())]
    Empty {
        /// The file that was read.
        path: PathBuf,
    },
    /// A row that can't be used.
    #[error(
        "{place}: {problem}: correct the row, or give --skip-bad-rows to count and skip such rows"
    )]
    BadRow {
        /// File, line and column.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// Columns that can't be told apart without help.
    #[error("{}: {problem}", path.display())]
    Columns {
        /// The file that was read.
        path: PathBuf,
        /// What is missing, and the flags that say it.
        problem: String,
    },
    /// A file whose form can't be read.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file that was read.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// An option outside its bounds, or options that don't go together.
    #[error("{option}: {problem}")]
    Option {
        /// The flag, such as `--factors`.
        option: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// The data leave nothing to do.
    #[error("{0}")]
    Data(String),
    /// Training ran into numbers that are not finite.
    #[error("training diverged: {0}")]
    Diverged(String),
    /// The bundle can't be written or read.
    #[error(transparent)]
    Bundle(#[from] marquee_bundle::BundleError),
}

impl TrainError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Write { path, source }
    }

    pub(crate) fn format(path: &Path, problem: impl Into<String>) -> Self {
        Self::Format { path: path.into(), problem: problem.into() }
    }

    pub(crate) fn columns(path: &Path, problem: impl Into<String>) -> Self {
        Self::Columns { path: path.into(), problem: problem.into() }
    }

    pub(crate) fn option(option: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Option { option: option.into(), problem: problem.into() }
    }
}
