//! What a log says of itself while its thread writes it.

use crate::log::LogWriter;

/// Whether a log takes records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// Why it takes none; none if it does.
    pub failure: Option<String>,
    /// Records that were on disk, and are gone with their files.
    pub lost: u64,
}

impl LogState {
    /// The state of a log now.
    pub(crate) fn of(log: &LogWriter) -> Self {
        Self { failure: log.failure().map(str::to_owned), lost: log.lost() }
    }
}
