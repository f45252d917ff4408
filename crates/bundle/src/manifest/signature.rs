//! Signatures: who made a bundle. Ed25519 over the manifest's checksum.
//!
//! `manifest.sig` is four lines, each ended by a line feed:
//!
//! ```text
//! the public key, 64 lower-case hexadecimal digits
//! counter N              greater than that of every bundle of the model that was signed before
//! expires N              ms since the Unix epoch from which it is not published any more; 0: never
//! the signature, 128 lower-case hexadecimal digits
//! ```
//!
//! Signed are a fixed prefix, the BLAKE3 checksum of `manifest.json`, and the two numbers as little-endian u64. As
//! the manifest names the checksum of every file, the signature speaks for all of them. Earlier versions wrote two
//! lines, without the numbers, under another prefix: they count as 0.
//!
//! Who loads a bundle checks the signature and no clock: a version that is live must load on a node that restarts. Who
//! publishes one checks the numbers, too.
//!
//! Key files hold one line of 64 digits. What is deliberately missing: certificates and
//! passwords. A cluster lists the few keys it trusts; removing one from the list revokes it.

use super::contents::ManifestDigest;
use super::names::{CHECKSUM_FILE, MANIFEST_FILE};
use super::small_file::read_small_file;
use crate::error::BundleError;
use ed25519_dalek::{Signature, VerifyingKey};
use std::path::Path;

/// What is signed begins with this, so that a signature can't be passed off as one of another use.
const CONTEXT: &[u8] = b"marquee bundle manifest v2\n";
/// The same of signatures without numbers.
const CONTEXT_WITHOUT_TERMS: &[u8] = b"marquee bundle manifest v1\n";
/// Bytes of a key file: a line of 64 digits, with room for stray blanks.
const MAX_KEY_FILE_BYTES: u64 = 1_024;

/// What a signature says besides who made it. The default is what one of earlier versions says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignedTerms {
    /// Greater than that of all bundles of the model that were signed before; 0: there is none.
    pub counter: u64,
    /// From when on the bundle is not published any more, in ms since the Unix epoch; 0: never.
    pub expires_at_ms: u64,
}

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

/// A signature file.
struct SignatureFile {
    key: VerifyingKey,
    signature: Signature,
    /// None in the form of earlier versions.
    terms: Option<SignedTerms>,
}

/// Checks a signature file: always that it is right, and if there are trusted keys, by one of them. Returns its terms,
/// which count only if it is of a trusted key: anybody else can say anything.
pub(crate) fn verify(
    path: &Path,
    bytes: &[u8],
    digest: &ManifestDigest,
    trusted: &TrustedKeys,
) -> Result<SignedTerms, BundleError> {
    let wrong = |reason: String| BundleError::Signature { path: path.into(), reason };
    let SignatureFile { key, signature, terms } = parse(bytes).ok_or_else(|| {
        wrong(
            "this is no signature file: a public key, a counter, an expiry and a signature, as marquee sign writes them"
                .into(),
        )
    })?;
    if key.verify_strict(&signed_bytes(digest, terms), &signature).is_err() {
        return Err(wrong(format!(
            "the signature is not of this {MANIFEST_FILE} and {CHECKSUM_FILE}: fetch the bundle again, or sign it anew"
        )));
    }
    if trusted.is_empty() {
        return Ok(SignedTerms::default());
    }
    if !trusted.0.contains(&key) {
        let key = hex::encode(key.to_bytes());
        return Err(wrong(format!(
            "it is signed by {key}, which is not trusted here: sign it with a trusted key, or add this one"
        )));
    }
    Ok(terms.unwrap_or_default())
}

/// The text of a signature file.
pub(crate) fn text_of(key: &VerifyingKey, signature: &Signature, terms: SignedTerms) -> String {
    let SignedTerms { counter, expires_at_ms } = terms;
    let (key, signature) = (hex::encode(key.to_bytes()), hex::encode(signature.to_bytes()));
    format!("{key}\ncounter {counter}\nexpires {expires_at_ms}\n{signature}\n")
}

fn parse(bytes: &[u8]) -> Option<SignatureFile> {
    let text = std::str::from_utf8(bytes).ok()?;
    let lines: Vec<&str> = text.strip_suffix('\n')?.split('\n').collect();
    let (key, terms, signature) = match lines[..] {
        [key, signature] => (key, None, signature),
        [key, counter, expires, signature] => {
            let counter = counter.strip_prefix("counter ")?.parse().ok()?;
            let expires_at_ms = expires.strip_prefix("expires ")?.parse().ok()?;
            (key, Some(SignedTerms { counter, expires_at_ms }), signature)
        }
        _ => return None,
    };
    let mut of_signature = [0; 64];
    hex::decode_to_slice(signature, &mut of_signature).ok()?;
    let key = VerifyingKey::from_bytes(&bytes_of(key)?).ok()?;
    let signature = Signature::from_bytes(&of_signature);
    // One spelling only, so that no byte of the file can change unnoticed.
    let has_other_spelling = match terms {
        Some(terms) => text_of(&key, &signature, terms) != text,
        None => text.bytes().any(|byte| byte.is_ascii_uppercase()),
    };
    (!has_other_spelling).then_some(SignatureFile { key, signature, terms })
}

/// What is signed: the context, the digest and the terms.
pub(crate) fn signed_bytes(digest: &ManifestDigest, terms: Option<SignedTerms>) -> Vec<u8> {
    let Some(SignedTerms { counter, expires_at_ms }) = terms else {
        return [CONTEXT_WITHOUT_TERMS, digest.as_bytes()].concat();
    };
    let numbers = [counter.to_le_bytes(), expires_at_ms.to_le_bytes()].concat();
    [CONTEXT, digest.as_bytes(), &numbers].concat()
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
