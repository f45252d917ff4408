//! Who is at the other end of a connection.

use super::error::TlsError;
use crate::connections::Connection;
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use webpki::EndEntityCert;

/// How often the certificate of an open connection is verified again: a connection may outlive it.
const VERIFY_EVERY: Duration = Duration::from_secs(10);

/// What a server knows of the peer of a connection, in the extensions of each request.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The peer's address, if the system knows it.
    pub address: Option<SocketAddr>,
    /// The peer's verified certificate, if it has shown one.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// The connection itself.
    pub connection: Arc<Connection>,
}

/// A certificate that was verified when the connection began.
#[derive(Debug)]
pub struct PeerCertificate {
    /// The URIs in its subject alternative names, such as SPIFFE ids.
    pub uris: Vec<String>,
    /// The host names in its subject alternative names.
    pub hosts: Vec<String>,
    /// Whether it comes from the roots of peers, not from those of clients alone.
    pub is_of_peers: bool,
    chain: Vec<CertificateDer<'static>>,
    /// By which version of the files it was verified last.
    version: AtomicU64,
    /// When, in milliseconds after `since`.
    verified_ms: AtomicU64,
    since: Instant,
}

impl PeerCertificate {
    /// Reads the names of a chain that the handshake has verified.
    pub(crate) fn of_chain(
        chain: &[CertificateDer<'_>],
        version: u64,
        is_of_peers: bool,
    ) -> Result<Self, TlsError> {
        let own = chain.first().ok_or_else(|| TlsError::Peer("there is none".into()))?;
        let own = EndEntityCert::try_from(own).map_err(|e| TlsError::Peer(e.to_string()))?;
        Ok(Self {
            uris: own.valid_uri_names().map(str::to_owned).collect(),
            hosts: own.valid_dns_names().map(str::to_owned).collect(),
            is_of_peers,
            chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
            version: AtomicU64::new(version),
            verified_ms: AtomicU64::new(0),
            since: Instant::now(),
        })
    }

    /// Its chain, its own certificate first.
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Whether it should be verified again by this version of the files.
    pub(super) fn is_due(&self, version: u64) -> bool {
        let age_ms = self.now_ms().saturating_sub(self.verified_ms.load(Ordering::Acquire));
        self.version.load(Ordering::Acquire) != version
            || u128::from(age_ms) >= VERIFY_EVERY.as_millis()
    }

    /// Notes that this version of the files accepts it now.
    pub(super) fn verified(&self, version: u64) {
        self.verified_ms.store(self.now_ms(), Ordering::Release);
        self.version.store(version, Ordering::Release);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
