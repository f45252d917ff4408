//! Making keys, and signing bundles with them.

use crate::error::BundleError;
use crate::manifest::ManifestDigest;
use crate::manifest::names::SIGNATURE_FILE;
use crate::manifest::read::read_signed_by;
use crate::manifest::signature::{SignedTerms, bytes_of, key_text, signed_bytes, text_of};
use crate::write::durable::replace_file;
use ed25519_dalek::{Signer, SigningKey};
use std::path::Path;

/// Makes a new key pair and writes it to two new files; the secret one is for its owner's eyes.
/// Returns the public key.
pub fn generate_keys(secret: &Path, public: &Path) -> Result<String, BundleError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
    let key = SigningKey::from_bytes(&bytes);
    let text = hex::encode(key.verifying_key().to_bytes());
    write_new(secret, &format!("{}\n", hex::encode(bytes)), 0o600)?;
    write_new(public, &format!("{text}\n"), 0o644)?;
    Ok(text)
}

/// Signs the bundle at `dir` with the secret key in a file, after checking its manifest.
pub fn sign_bundle(
    dir: &Path,
    secret: &Path,
    terms: SignedTerms,
) -> Result<ManifestDigest, BundleError> {
    let wrong = || BundleError::Signature {
        path: secret.into(),
        reason: "a secret key is 64 hexadecimal digits".into(),
    };
    let key = SigningKey::from_bytes(&bytes_of(&key_text(secret)?).ok_or_else(wrong)?);
    // An existing signature is replaced, by whichever key; the rest must be whole.
    let (_, digest) = read_signed_by(dir, |_| Ok(()))?;
    let signature = key.sign(&signed_bytes(&digest, Some(terms)));
    let text = text_of(&key.verifying_key(), &signature, terms);
    replace_file(&dir.join(SIGNATURE_FILE), text.as_bytes())?;
    Ok(digest)
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), BundleError> {
    use std::io::Write;
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use fs_err::os::unix::fs::OpenOptionsExt;
        options.mode(mode);
    }
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}
