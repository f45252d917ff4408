//! `manifest.sig`: an Ed25519 signature over the manifest's checksum. The file is four lines, each ended by a line feed:
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
//! Key files hold one line of 64 digits.

use super::key_file::bytes_of;
use super::terms::SignedTerms;
use super::trusted::TrustedKeys;
use super::verdict::Verdict;
use crate::error::BundleError;
use crate::manifest::contents::ManifestDigest;
use crate::manifest::names::{CHECKSUM_FILE, MANIFEST_FILE};
use ed25519_dalek::{Signature, VerifyingKey};
use std::path::Path;

/// What is signed begins with this, so that a signature can't be passed off as one of another use.
const CONTEXT: &[u8] = b"marquee bundle manifest v2\n";
/// The same of signatures without numbers.
const CONTEXT_WITHOUT_TERMS: &[u8] = b"marquee bundle manifest v1\n";

/// A signature file.
struct SignatureFile {
    key: VerifyingKey,
    signature: Signature,
    /// None in the form of earlier versions.
    terms: Option<SignedTerms>,
}

/// Checks a signature file: always that it is right, and whether it is of a trusted key.
pub(crate) fn verify(
    path: &Path,
    bytes: &[u8],
    digest: &ManifestDigest,
    trusted: &TrustedKeys,
) -> Result<Verdict, BundleError> {
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
    Ok(if trusted.ed25519.contains(&key) {
        Verdict::Trusted(terms.unwrap_or_default())
    } else {
        Verdict::Other(hex::encode(key.to_bytes()))
    })
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
