//! Signatures: who made a bundle. Ed25519 over the manifest's checksum.
//!
//! `manifest.sig` is two lines of lower-case hexadecimal digits, each ended by a line feed: the
//! public key, then the signature of a fixed prefix and the BLAKE3 checksum of `manifest.json`. As
//! the manifest names the checksum of every file, the signature speaks for all of them.
//!
//! Key files hold one such line: 64 digits. What is deliberately missing: certificates, expiry and
//! passwords. A cluster lists the few keys it trusts; removing one from the list revokes it.

use super::contents::ManifestDigest;
use super::names::{CHECKSUM_FILE, MANIFEST_FILE};
use super::small_file::read_small_file;
use crate::error::BundleError;
use ed25519_dalek::{Signature, VerifyingKey};
use std::path::Path;

/// What is signed begins with this, so that a signature can't be passed off as one of another use.
const CONTEXT: &[u8] = b"marquee bundle manifest v1\n";
/// Bytes of a key file: a line of 64 digits, with room for stray blanks.
const MAX_KEY_FILE_BYTES: u64 = 1_024;

/// The public keys whose bundles are accepted. While there are none, unsigned bundles are too.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys(Vec<VerifyingKey>);

impl TrustedKeys {
    /// No keys: any bundle that is whole is accepted.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a public key, 64 hexadecimal digits. `field` is where it was found, for the error.
    pub fn add(&mut self, field: &str, hex: &str) -> Result<(), BundleError> {
        let wrong =
            |reason: &str| BundleError::Signature { path: field.into(), reason: reason.into() };
        let bytes = bytes_of(hex).ok_or_else(|| wrong("a public key is 64 hexadecimal digits"))?;
        let key =
            VerifyingKey::from_bytes(&bytes).map_err(|_| wrong("this is no Ed25519 public key"))?;
        self.0.push(key);
        Ok(())
    }

    /// Adds the public key in a file.
    pub fn add_file(&mut self, path: &Path) -> Result<(), BundleError> {
        let text = key_text(path)?;
        self.add(&path.display().to_string(), &text)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Checks a signature file: always that it is right, and if there are trusted keys, by one of them.
pub(crate) fn verify(
    path: &Path,
    bytes: &[u8],
    digest: &ManifestDigest,
    trusted: &TrustedKeys,
) -> Result<(), BundleError> {
    let wrong = |reason: String| BundleError::Signature { path: path.into(), reason };
    let (key, signature) = parse(bytes).ok_or_else(|| {
        wrong(
            "this is no signature file: two lines of 64 and 128 lower-case hexadecimal digits"
                .into(),
        )
    })?;
    if key.verify_strict(&signed_bytes(digest), &signature).is_err() {
        return Err(wrong(format!(
            "the signature is not of this {MANIFEST_FILE} and {CHECKSUM_FILE}: fetch the bundle again, or sign it anew"
        )));
    }
    if !trusted.is_empty() && !trusted.0.contains(&key) {
        let key = hex::encode(key.to_bytes());
        return Err(wrong(format!(
            "it is signed by {key}, which is not trusted here: sign it with a trusted key, or add this one"
        )));
    }
    Ok(())
}

fn parse(bytes: &[u8]) -> Option<(VerifyingKey, Signature)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let (key, signature) = (lines.next()?, lines.next()?);
    // One spelling only, so that no byte of the file can change unnoticed.
    if lines.next().is_some() || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0; 64];
    hex::decode_to_slice(signature, &mut bytes).ok()?;
    Some((VerifyingKey::from_bytes(&bytes_of(key)?).ok()?, Signature::from_bytes(&bytes)))
}

/// What is signed: the context and the digest.
pub(crate) fn signed_bytes(digest: &ManifestDigest) -> Vec<u8> {
    [CONTEXT, digest.as_bytes()].concat()
}

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
