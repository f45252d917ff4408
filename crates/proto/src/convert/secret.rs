//! Secrets of the plan, from the wire.

use super::error::{ConvertError, Result};
use marquee_core::plan::{AnswerSecret, SECRET_BYTES};

/// Reads a secret, whose bytes are in no error.
pub(super) fn secret_from_pb(bytes: Vec<u8>, field: &str) -> Result<AnswerSecret> {
    let secret =
        <[u8; SECRET_BYTES]>::try_from(bytes).map_err(|bytes| ConvertError::InvalidValue {
            field: field.into(),
            what: format!("it has {} bytes: a secret has {SECRET_BYTES}", bytes.len()),
        })?;
    Ok(AnswerSecret(secret))
}
