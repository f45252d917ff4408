//! The certificates in use, replaced while connections are made and accepted.

use super::error::TlsError;
use super::files::{FileStamp, TlsFiles};
use super::material::Material;
use super::peer::PeerCertificate;
use super::validity::Validity;
use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ServerConfig};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often the files are looked at: a revoked root should not live on for minutes.
pub const RELOAD_EVERY: Duration = Duration::from_secs(1);

/// The certificates in use. Shared by all connections of a process.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: ArcSwap<(Material, u64)>,
    /// What the files were like when they were last read well.
    stamps: Mutex<Vec<FileStamp>>,
    /// Why the files cannot be used as they are now; none if they can.
    failure: Mutex<Option<TlsError>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn read(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let stamps = files.stamps();
        let material = Material::read(&files)?;
        Ok(Arc::new(Self {
            files,
            current: ArcSwap::from_pointee((material, 1)),
            stamps: Mutex::new(stamps),
            failure: Mutex::default(),
        }))
    }

    /// Reads the files again if one of them was written since they were last read well. Returns whether
    /// certificates were replaced.
    ///
    /// # Errors
    /// Names the file that cannot be used; what was read before stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let mut known = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        // Before they are read: what is written meanwhile is read by the next call.
        let stamps = self.files.stamps();
        if *known == stamps {
            self.set_failure(None);
            return Ok(false);
        }
        let material = Material::read(&self.files)
            .inspect_err(|error| self.set_failure(Some(error.clone())))?;
        self.set_failure(None);
        let version = self.current.load().1 + 1;
        self.current.store(Arc::new((material, version)));
        *known = stamps;
        Ok(true)
    }

    /// Reloads for as long as it is polled, every [`RELOAD_EVERY`], and logs what came of it. A failure is
    /// logged once.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut logged = None;
        loop {
            tokio::time::sleep(RELOAD_EVERY).await;
            let tls = Arc::clone(&self);
            let reloaded = tokio::task::spawn_blocking(move || tls.reload()).await;
            match reloaded {
                Ok(Ok(true)) => {
                    logged = None;
                    tracing::info!("uses the new certificates");
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    if logged.as_ref() != Some(&error) {
                        tracing::error!(%error, "keeps the certificates that it has");
                        logged = Some(error);
                    }
                }
                Err(panic) => tracing::error!(%panic, "reading certificates"),
            }
        }
    }

    fn set_failure(&self, failure: Option<TlsError>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Why the files cannot be used as they are now, so that what was read before is in use; none if they can.
    pub fn failure(&self) -> Option<TlsError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When our own certificate is valid, as peers verify it; none without one, and where our own roots do not accept it
    /// for another reason than the time. Takes milliseconds.
    pub fn validity(&self) -> Option<Validity> {
        self.current.load().0.validity(UnixTime::now())
    }

    /// Whether the certificate of a connection is still valid: not expired, and its root not withdrawn. It is
    /// verified again when the files have changed, and every ten seconds.
    ///
    /// # Errors
    /// Says why it is not valid any more.
    pub fn check(&self, certificate: &PeerCertificate) -> Result<(), TlsError> {
        let (material, version) = self.current();
        if !certificate.is_due(version) {
            return Ok(());
        }
        material.verify_client(certificate.chain())?;
        if certificate.is_of_peers && !material.is_of_peers(certificate.chain()) {
            return Err(TlsError::Peer("its root is none of the peers' any more".into()));
        }
        certificate.verified(version);
        Ok(())
    }

    /// Whether the certificate of the server of a connection is still good for its name: not revoked, and its root not
    /// withdrawn. It is verified again as [`check`](Self::check) does.
    ///
    /// # Errors
    /// Says why it is not valid any more.
    pub(crate) fn check_server(
        &self,
        certificate: &PeerCertificate,
        name: &ServerName<'_>,
    ) -> Result<(), TlsError> {
        let current = self.current.load();
        let (material, version) = (&current.0, current.1);
        if certificate.is_due(version) {
            material.verify_server(certificate.chain(), name)?;
            certificate.verified(version);
        }
        Ok(())
    }

    /// What is in use, and a number that differs after each change.
    fn current(&self) -> (CurrentMaterial, u64) {
        let current = self.current.load_full();
        let version = current.1;
        (CurrentMaterial(current), version)
    }

    /// For accepting connections; none without a certificate.
    pub(crate) fn server(&self) -> Option<Arc<ServerConfig>> {
        self.current.load().0.server.clone()
    }

    /// For making connections.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.current.load().0.client)
    }

    /// The certificate of a client that the handshake has verified.
    pub(crate) fn client_certificate(
        &self,
        chain: &[CertificateDer<'_>],
    ) -> Result<PeerCertificate, TlsError> {
        let (material, version) = self.current();
        PeerCertificate::of_chain(chain, version, material.is_of_peers(chain))
    }

    /// The certificate of a server that the handshake has verified by the roots of peers.
    pub(crate) fn server_certificate(
        &self,
        chain: &[CertificateDer<'_>],
    ) -> Result<PeerCertificate, TlsError> {
        PeerCertificate::of_chain(chain, self.current().1, true)
    }
}

/// The material in use at one moment.
struct CurrentMaterial(Arc<(Material, u64)>);

impl std::ops::Deref for CurrentMaterial {
    type Target = Material;

    fn deref(&self) -> &Material {
        &self.0.0
    }
}
