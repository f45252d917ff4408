//! The files that keys are in.

use crate::error::BundleError;
use crate::manifest::small_file::read_small_file;
use std::path::Path;

/// Bytes of a key file: a line of 64 digits or a few of PEM, with room for stray blanks.
const MAX_KEY_FILE_BYTES: u64 = 1_024;

/// The 32 bytes of 64 hexadecimal digits.
pub(crate) fn bytes_of(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(hex.trim(), &mut bytes).ok()?;
    Some(bytes)
}

/// The text of a key file, without blanks around it.
pub(crate) fn key_text(path: &Path) -> Result<String, BundleError> {
    // Secrets are often mounted as links.
    let real = path.canonicalize().unwrap_or_else(|_| path.into());
    let bytes = read_small_file(&real, MAX_KEY_FILE_BYTES)?;
    // Anything that isn't text isn't a key either, which the parser says.
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}
