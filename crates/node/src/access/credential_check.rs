//! Trouble with the certificates and tokens of a node.

use super::reloaded::Reloaded;
use super::token::Tokens;
use marquee_core::trouble::{Trouble, expires_soon};
use marquee_net::tls::{Tls, Validity};
use std::sync::Arc;

/// What tells of trouble with the certificates and tokens of a node.
pub(crate) struct CredentialCheck {
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) tokens: Option<Arc<Reloaded<Tokens>>>,
}

impl CredentialCheck {
    /// For how many seconds its own certificate is still valid; 0 if it is not; none without one.
    pub(crate) fn seconds_left(&self) -> Option<u64> {
        match self.tls.as_ref()?.validity()? {
            Validity::Valid { seconds_left, life_seconds: _ } => Some(seconds_left),
            Validity::Invalid => Some(0),
        }
    }

    /// What is wrong now. Takes milliseconds.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let of_tls = self.tls.as_ref().and_then(|tls| tls.failure()).map(|it| it.to_string());
        let of_tokens = self.tokens.as_ref().and_then(|tokens| tokens.failure());
        let validity = self.tls.as_ref().and_then(|tls| tls.validity());
        let expired = (validity == Some(Validity::Invalid))
            .then(|| "its own certificate has expired, or is not valid yet".to_owned());
        if let Some(reason) = of_tls.or(of_tokens).or(expired) {
            troubles.push(Trouble::CertificateFailed { reason });
        }
        if let Some(Validity::Valid { seconds_left, life_seconds }) = validity
            && expires_soon(seconds_left, life_seconds)
        {
            troubles.push(Trouble::CertificateExpires { seconds_left });
        }
        troubles
    }
}
