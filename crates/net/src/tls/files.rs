//! The files of certificates, keys and trust roots, and what they say of themselves when they change.

use super::error::TlsError;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Upper bound of the bytes of a file: a bundle of all public roots has a quarter of it.
const MAX_PEM_BYTES: u64 = 1 << 20;
/// The same of lists of revoked certificates: some 300,000 entries.
const MAX_REVOKED_BYTES: u64 = 16 << 20;

/// The files of one end of connections, all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// This end's certificate chain, its own certificate first, and the private key. Servers need them;
    /// clients without them prove who they are in another way.
    pub own: Option<(PathBuf, PathBuf)>,
    /// The roots that certificates of servers and of peers must come from.
    pub trust: PathBuf,
    /// Further roots that certificates of clients may come from. Such clients are no peers.
    pub client_trust: Option<PathBuf>,
    /// Lists of revoked certificates (CRLs), one of each authority that has any.
    pub revoked: Option<PathBuf>,
}

impl TlsFiles {
    /// All paths, in a fixed order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let own = self.own.iter().flat_map(|(certificate, key)| [certificate, key]);
        own.chain([&self.trust])
            .chain(&self.client_trust)
            .chain(&self.revoked)
            .map(PathBuf::as_path)
    }

    /// What the system says of the files: it differs when one of them was written.
    pub(super) fn stamps(&self) -> Vec<FileStamp> {
        self.paths().map(FileStamp::of).collect()
    }
}

/// What the system says of one file; none if it cannot be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp(Option<(SystemTime, u64, u64)>);

impl FileStamp {
    fn of(path: &Path) -> Self {
        let found = std::fs::metadata(path).ok();
        Self(found.and_then(|file| Some((file.modified().ok()?, file.len(), inode(&file)))))
    }
}

/// The number of a file, which differs after a rename; 0 where the system has none.
#[cfg(unix)]
fn inode(file: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(file)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

/// Reads a file within its bound.
fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error: std::io::Error| TlsError::Read(error.to_string());
    let file = fs_err::metadata(path).map_err(unreadable)?;
    if !file.is_file() || file.len() > max_bytes {
        return Err(TlsError::file(path, format!("it is no file of up to {max_bytes} bytes")));
    }
    fs_err::read(path).map_err(unreadable)
}

/// Reads certificates, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path, MAX_PEM_BYTES)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError::file(path, "it has no certificates in PEM; `marquee certs` makes some")),
    }
}

/// Reads lists of revoked certificates, at least one.
pub(super) fn revocation_lists(
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let bytes = read(path, MAX_REVOKED_BYTES)?;
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError::file(
            path,
            "it has no lists of revoked certificates in PEM (BEGIN X509 CRL); `marquee certs --revoke` makes one",
        )),
    }
}

/// Reads one private key.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path, MAX_PEM_BYTES)?).map_err(|_| {
        TlsError::file(path, "it has no private key in PEM (PKCS #8, SEC 1 or PKCS #1)")
    })
}
