//! How a client proves who it is, and which servers it trusts.

use crate::address::Address;
use http::HeaderValue;
use marquee_net::Connector;
use marquee_net::tls::{Tls, TlsError, TlsFiles};
use std::path::Path;

/// Upper bound of the bytes of a token: tokens of identity providers have some kilobytes.
const MAX_TOKEN_BYTES: u64 = 16 << 10;

/// How a client proves who it is, and which servers it trusts. Its `Debug` does not show the token.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    pub(crate) connector: Connector,
    /// The header `authorization`, marked as sensitive.
    pub(crate) authorization: Option<HeaderValue>,
}

/// Why credentials cannot be used. No message has a secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The file of the token cannot be read; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file has no token.
    #[error("{path} has no token: it is one line of printable ASCII; `marquee token` makes one")]
    Token {
        /// The path of the file.
        path: String,
    },
    /// The token would be sent in plain text.
    #[error(
        "{address} is plain text, in which a token could be read on the way: use https:// and --tls-ca"
    )]
    PlainToken {
        /// The address that is plain text.
        address: String,
    },
}

impl Credentials {
    /// No credentials: plain text, and no proof.
    pub fn none() -> Self {
        Self::default()
    }

    /// Connects by `connector`, and sends no token.
    pub fn by(connector: Connector) -> Self {
        Self { connector, authorization: None }
    }

    /// Reads certificates, if `tls` names any, and the token of a file.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn read(tls: Option<TlsFiles>, token: Option<&Path>) -> Result<Self, CredentialsError> {
        let connector = match tls {
            Some(files) => Connector::by(Tls::read(files)?),
            None => Connector::plain(),
        };
        let authorization = token.map(read_token).transpose()?;
        Ok(Self { connector, authorization })
    }

    /// Refuses to send a token in plain text to another machine.
    ///
    /// # Errors
    /// Names the address.
    pub fn check(&self, addresses: &[Address]) -> Result<(), CredentialsError> {
        let plain = addresses.iter().find(|address| !address.is_tls() && !address.is_loopback());
        match plain {
            Some(address) if self.authorization.is_some() => {
                Err(CredentialsError::PlainToken { address: address.to_string() })
            }
            _ => Ok(()),
        }
    }
}

/// The header with the token of a file.
fn read_token(path: &Path) -> Result<HeaderValue, CredentialsError> {
    let no_token = || CredentialsError::Token { path: path.display().to_string() };
    if std::fs::metadata(path)?.len() > MAX_TOKEN_BYTES {
        return Err(no_token());
    }
    let text = std::fs::read_to_string(path)?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(no_token());
    }
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| no_token())?;
    header.set_sensitive(true);
    Ok(header)
}
