//! The bound on the bytes of one answer.

use crate::error::RequestError;
use marquee_core::bounds::MAX_INTERNAL_MESSAGE_BYTES;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of an answer's vectors, lists and texts, a little below what a message may have, for its
/// tags and lengths.
const MAX_ANSWER_BYTES: usize = MAX_INTERNAL_MESSAGE_BYTES - (1 << 20);

/// Counts the bytes of an answer, while several threads make it.
#[derive(Debug, Default)]
pub(super) struct AnswerBytes(AtomicUsize);

impl AnswerBytes {
    /// Adds these bytes, before they are copied; an error if the answer becomes too large for a message.
    pub(super) fn add(&self, bytes: usize) -> Result<(), RequestError> {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > MAX_ANSWER_BYTES {
            return Err(RequestError::AnswerTooLarge { bound: MAX_ANSWER_BYTES });
        }
        Ok(())
    }
}
