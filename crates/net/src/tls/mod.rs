//! TLS of both ends: certificates from files, reloaded while they are in use, and who the peer is.
//!
//! [`TlsFiles`] names the files; a [`Tls`] holds what was read from them, and reads them again when they
//! change. A new file that cannot be used is reported, and the old one stays. A server accepts connections
//! by [`accept`](fn@crate::accept), a client makes them by a [`Connector`](crate::Connector); both take what is current
//! at the start of a handshake, so a change costs no call. [`PeerCertificate`] is what the peer proved to have.
//!
//! Lists of revoked certificates are files like the others. The certificate of an open connection is verified again when
//! files change, and every ten seconds, on both ends: [`ShownCertificates`] closes what a server has accepted, and
//! a client's connection ends with its next byte.
//!
//! Sessions are not resumed: connections live long, and each handshake then verifies the certificate.
//!
//! Deliberately missing: what a name in a certificate is allowed to do.

mod error;
mod files;
mod material;
mod peer;
mod shared;
mod shown;
mod validity;

pub use error::TlsError;
pub use files::TlsFiles;
pub use peer::{PeerCertificate, PeerInfo};
pub use shared::{RELOAD_EVERY, Tls};
pub(crate) use shown::ShownCertificates;
pub use validity::Validity;
