//! The filter of the log, which can be changed while the process runs.

use crate::config::parse_log_filter;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing_subscriber::{EnvFilter, Registry, reload};

/// How the present filter is written, and what changes it; none before logging was started, and in programs that log by
/// themselves.
static CURRENT: Mutex<Option<(String, reload::Handle<EnvFilter, Registry>)>> = Mutex::new(None);

/// Why the filter stays as it is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FilterError {
    /// It is not written as filters are.
    #[error("{0}")]
    Invalid(String),
    /// Nothing of this process can change it.
    #[error("the log of this process was not started by Marquee: change it where it was")]
    NotOurs,
}

/// Upper bound of the bytes of a filter.
const MAX_FILTER_BYTES: usize = 4_096;

/// Remembers what changes the filter.
pub(super) fn keep(filter: String, handle: reload::Handle<EnvFilter, Registry>) {
    *current() = Some((filter, handle));
}

/// The present filter.
pub(crate) fn filter() -> Result<String, FilterError> {
    current().as_ref().map(|(filter, _)| filter.clone()).ok_or(FilterError::NotOurs)
}

/// Changes the filter, and returns the one before.
pub(crate) fn set_filter(wanted: &str) -> Result<String, FilterError> {
    if wanted.len() > MAX_FILTER_BYTES {
        let reason = format!("the filter has more than {MAX_FILTER_BYTES} bytes");
        return Err(FilterError::Invalid(reason));
    }
    let parsed = parse_log_filter(wanted).map_err(FilterError::Invalid)?;
    let mut current = current();
    let (filter, handle) = current.as_mut().ok_or(FilterError::NotOurs)?;
    handle.reload(parsed).map_err(|_| FilterError::NotOurs)?;
    Ok(std::mem::replace(filter, wanted.to_owned()))
}

fn current() -> MutexGuard<'static, Option<(String, reload::Handle<EnvFilter, Registry>)>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}
