//! The public keys whose bundles are accepted.

use super::ecdsa;
use super::key_file::{bytes_of, key_text};
use crate::error::BundleError;
use ed25519_dalek::VerifyingKey;
use std::path::Path;

/// The public keys whose bundles are accepted. While there are none, unsigned bundles are too.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys {
    pub(super) ed25519: Vec<VerifyingKey>,
    pub(super) ecdsa: Vec<ecdsa::PublicKey>,
}

impl TrustedKeys {
    /// No keys: any bundle that is whole is accepted.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a public key: PEM, or the 64 hexadecimal digits of an Ed25519 key. `field` is where it was found, for the
    /// error.
    pub fn add(&mut self, field: &str, text: &str) -> Result<(), BundleError> {
        let wrong =
            |reason: &str| BundleError::Signature { path: field.into(), reason: reason.into() };
        if ecdsa::is_pem(text) {
            self.ecdsa.push(ecdsa::PublicKey::from_pem(text).map_err(wrong)?);
            return Ok(());
        }
        let bytes = bytes_of(text).ok_or_else(|| {
            wrong("a public key is PEM (ECDSA, P-256 or P-384) or 64 hexadecimal digits (Ed25519)")
        })?;
        let key =
            VerifyingKey::from_bytes(&bytes).map_err(|_| wrong("this is no Ed25519 public key"))?;
        self.ed25519.push(key);
        Ok(())
    }

    /// Adds the public key in a file.
    pub fn add_file(&mut self, path: &Path) -> Result<(), BundleError> {
        let text = key_text(path)?;
        self.add(&path.display().to_string(), &text)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        let Self { ed25519, ecdsa } = self;
        ed25519.is_empty() && ecdsa.is_empty()
    }
}
