//! The reason that an operator gives for a change.

/// Bytes of a reason: it is kept in a history.
const MAX_REASON_BYTES: usize = 256;

/// Refuses a reason that is too long for a history.
pub(super) fn check_reason(reason: &str) -> Result<(), ReasonTooLong> {
    match reason.len() {
        0..=MAX_REASON_BYTES => Ok(()),
        bytes => Err(ReasonTooLong { bytes }),
    }
}

/// The reason of a request does not fit into a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reason has {bytes} bytes: at most {MAX_REASON_BYTES} are allowed")]
pub(super) struct ReasonTooLong {
    /// Bytes of the reason.
    bytes: usize,
}
