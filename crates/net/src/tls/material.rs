//! What was read from the files: ready to make and to accept connections.

use super::error::TlsError;
use super::files::{TlsFiles, certificates, private_key, revocation_lists};
use super::validity::Validity;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// gRPC is HTTP/2, and its clients insist on hearing so in the handshake.
const ALPN: &[u8] = b"h2";

/// Certificates, keys and roots that belong together.
#[derive(Debug)]
pub(super) struct Material {
    /// The settings for accepting; none without a certificate of our own.
    pub(super) server: Option<Arc<ServerConfig>>,
    /// The settings for connecting.
    pub(super) client: Arc<ClientConfig>,
    /// Verifies clients of all roots.
    clients: Arc<dyn ClientCertVerifier>,
    /// Verifies peers, whose root is one of `trust`.
    peers: Arc<dyn ClientCertVerifier>,
    /// Verifies servers, whose root is one of `trust`.
    servers: Arc<WebPkiServerVerifier>,
    /// The certificate chain of our own; none without one.
    own: Option<Vec<CertificateDer<'static>>>,
}

impl Material {
    /// Reads and checks all files.
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let trust = Arc::new(roots(&[&files.trust])?);
        let mut of_clients = vec![files.trust.as_path()];
        of_clients.extend(files.client_trust.as_deref());
        let revoked = Revoked::read(files.revoked.as_deref())?;
        let clients = verifier(roots(&of_clients)?, &files.trust, &revoked, &provider)?;
        let peers = verifier((*trust).clone(), &files.trust, &revoked, &provider)?;
        let servers = WebPkiServerVerifier::builder_with_provider(trust, Arc::clone(&provider))
            .with_crls(revoked.lists.clone())
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| revoked.error(&files.trust, &error))?;
        let own = match &files.own {
            None => None,
            Some((certificate, key)) => {
                Some((certificate, certificates(certificate)?, private_key(key)?))
            }
        };
        let own_chain = own.as_ref().map(|(_, chain, _)| chain.clone());
        let versions = |error: rustls::Error| TlsError::file(&files.trust, error.to_string());
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(versions)?
            .with_webpki_verifier(Arc::clone(&servers));
        let (mut client, server) = match own {
            None => (client.with_no_client_auth(), None),
            Some((path, chain, key)) => {
                revoked.check_signatures(&*peers, &chain)?;
                let unusable = |error: rustls::Error| {
                    let reason = match error {
                        rustls::Error::InconsistentKeys(_) => {
                            "its key is that of another certificate".to_owned()
                        }
                        other => other.to_string(),
                    };
                    TlsError::file(path, reason)
                };
                let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
                    .with_safe_default_protocol_versions()
                    .map_err(versions)?
                    .with_client_cert_verifier(Arc::clone(&clients));
                let mut server =
                    server.with_single_cert(chain.clone(), key.clone_key()).map_err(unusable)?;
                server.alpn_protocols = vec![ALPN.to_vec()];
                server.session_storage = Arc::new(NoServerSessionStorage {});
                server.send_tls13_tickets = 0;
                let client = client.with_client_auth_cert(chain, key).map_err(unusable)?;
                (client, Some(Arc::new(server)))
            }
        };
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        Ok(Self { server, client: Arc::new(client), clients, peers, servers, own: own_chain })
    }

    /// When our own certificate is valid, as peers verify it. None without one, and where our own roots do not accept it
    /// for another reason than the time.
    pub(super) fn validity(&self, now: UnixTime) -> Option<Validity> {
        let chain = self.own.as_deref()?;
        let (own, between) = chain.split_first()?;
        let is_valid_at = |seconds: u64| {
            let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            self.peers.verify_client_cert(own, between, at).map(drop)
        };
        Validity::search(now.as_secs(), is_valid_at)
    }

    /// Whether the certificate of a client is valid now.
    pub(super) fn verify_client(&self, chain: &[CertificateDer<'_>]) -> Result<(), TlsError> {
        verify(&*self.clients, chain)
    }

    /// Whether the certificate of a server, which was valid when the connection began, is revoked, or its root not trusted
    /// any more. One that has expired meanwhile is accepted: the server has a new one by then, and calls under way
    /// should not fail for the old one's sake.
    pub(super) fn verify_server(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Result<(), TlsError> {
        let Some((own, between)) = chain.split_first() else {
            return Err(TlsError::Peer("there is none".into()));
        };
        match self.servers.verify_server_cert(own, between, name, &[], UnixTime::now()) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => Ok(()),
            Err(error) => Err(TlsError::Peer(error.to_string())),
        }
    }

    /// Whether a valid certificate comes from the roots of peers.
    pub(super) fn is_of_peers(&self, chain: &[CertificateDer<'_>]) -> bool {
        verify(&*self.peers, chain).is_ok()
    }
}

fn verify(verifier: &dyn ClientCertVerifier, chain: &[CertificateDer<'_>]) -> Result<(), TlsError> {
    let Some((own, between)) = chain.split_first() else {
        return Err(TlsError::Peer("there is none".into()));
    };
    let verified = verifier.verify_client_cert(own, between, UnixTime::now());
    verified.map(drop).map_err(|error| TlsError::Peer(error.to_string()))
}

/// Lists of revoked certificates. A root without a list revokes nothing, and a list that is older than it says goes on
/// being used: a list that nobody renewed should not stop a cluster.
struct Revoked<'a> {
    path: Option<&'a Path>,
    lists: Vec<CertificateRevocationListDer<'static>>,
}

impl<'a> Revoked<'a> {
    /// Reads the lists of the file, if there is one.
    fn read(path: Option<&'a Path>) -> Result<Self, TlsError> {
        let lists = path.map(revocation_lists).transpose()?.unwrap_or_default();
        Ok(Self { path, lists })
    }

    /// Refuses lists with a signature that is not their authority's: they would have all certificates refused. The own
    /// certificate tells; that it is revoked or has expired is for others to say.
    fn check_signatures(
        &self,
        peers: &dyn ClientCertVerifier,
        own_chain: &[CertificateDer<'_>],
    ) -> Result<(), TlsError> {
        let (Some(path), Some((own, between))) = (self.path, own_chain.split_first()) else {
            return Ok(());
        };
        match peers.verify_client_cert(own, between, UnixTime::now()) {
            Err(rustls::Error::InvalidCertRevocationList(error)) => {
                Err(TlsError::file(path, format!("a list is not its authority's: {error:?}")))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// What is wrong with the lists, or else with the roots.
    fn error(&self, roots: &Path, error: &VerifierBuilderError) -> TlsError {
        match (error, self.path) {
            (VerifierBuilderError::InvalidCrl(defect), Some(path)) => {
                TlsError::file(path, format!("a list cannot be read: {defect:?}"))
            }
            (other, _) => TlsError::file(roots, other.to_string()),
        }
    }
}

/// The roots of these files.
fn roots(paths: &[&Path]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for path in paths {
        for root in certificates(path)? {
            roots.add(root).map_err(|error| TlsError::file(path, error.to_string()))?;
        }
    }
    Ok(roots)
}

/// Verifies clients that have a certificate; the others are for the layers above to accept or refuse.
fn verifier(
    roots: RootCertStore,
    path: &Path,
    revoked: &Revoked<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .with_crls(revoked.lists.clone())
        .allow_unknown_revocation_status()
        .allow_unauthenticated()
        .build()
        .map_err(|error| revoked.error(path, &error))
}
