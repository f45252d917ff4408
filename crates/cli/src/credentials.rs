//! The arguments by which a command proves who gives it, and which servers it trusts.

use clap::Args;
use marquee_client::{Address, Credentials, CredentialsError};
use marquee_net::tls::TlsFiles;
use std::path::PathBuf;

/// Certificates and token of a command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CredentialArgs {
    /// The roots that the cluster's certificates come from, in PEM; needed for https:// endpoints
    #[arg(long, global = true, env = "MARQUEE_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Your certificate, in PEM
    #[arg(
        long,
        global = true,
        env = "MARQUEE_CERT",
        value_name = "FILE",
        requires = "key",
        requires = "tls_ca"
    )]
    cert: Option<PathBuf>,
    /// Your certificate's private key, in PEM
    #[arg(long, global = true, env = "MARQUEE_KEY", value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// A file with your bearer token
    #[arg(long, global = true, env = "MARQUEE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl CredentialArgs {
    /// Reads the files, for calls to these addresses.
    pub(crate) fn read(&self, addresses: &[Address]) -> Result<Credentials, CredentialsError> {
        let Self { tls_ca, cert, key, token_file } = self;
        let tls = tls_ca.clone().map(|trust| TlsFiles {
            own: cert.clone().zip(key.clone()),
            trust,
            client_trust: None,
        });
        let credentials = Credentials::read(tls, token_file.as_deref())?;
        credentials.check(addresses)?;
        Ok(credentials)
    }
}
