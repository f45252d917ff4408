//! The arguments by which a command proves who gives it, and which servers it trusts.

use anyhow::bail;
use clap::Args;
use marquee_client::{Address, Credentials};
use marquee_net::tls::TlsFiles;
use std::path::PathBuf;

/// Certificates and token of a command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CredentialArgs {
    /// The roots that the cluster's certificates come from, in PEM; needed for https:// endpoints
    #[arg(long, global = true, env = "MARQUEE_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Your certificate, in PEM
    #[arg(long, global = true, env = "MARQUEE_CERT", value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Your certificate's private key, in PEM
    #[arg(long, global = true, env = "MARQUEE_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
    /// A file with your bearer token
    #[arg(long, global = true, env = "MARQUEE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl CredentialArgs {
    /// Reads the files, for calls to these addresses.
    pub(crate) fn read(&self, addresses: &[Address]) -> anyhow::Result<Credentials> {
        let Self { tls_ca, cert, key, token_file } = self;
        // Here and not by clap, for which flags before and after a subcommand are apart.
        if cert.is_some() != key.is_some() {
            bail!("--cert and --key belong together: give both, or neither");
        }
        if cert.is_some() && tls_ca.is_none() {
            bail!("--cert needs --tls-ca, the roots that the cluster's certificates come from");
        }
        let tls = tls_ca.clone().map(|trust| TlsFiles {
            own: cert.clone().zip(key.clone()),
            trust,
            client_trust: None,
            revoked: None,
        });
        let credentials = Credentials::read(tls, token_file.as_deref())?;
        credentials.check(addresses)?;
        Ok(credentials)
    }
}
