//! How a client opens a connection.

use crate::gather::GatheringStream;
use crate::stream::{ClientStream, KnownServer, Transport};
use crate::tls::{PeerCertificate, Tls};
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower::Service;

/// The port of an `http` URL without one.
const HTTP_PORT: u16 = 80;
/// The port of an `https` URL without one.
const HTTPS_PORT: u16 = 443;

/// Whether the server of a connection is the one that was meant, by its certificate.
pub trait ServerCheck: Send + Sync {
    /// Refuses a server that is not `expected`, with the reason.
    ///
    /// # Errors
    /// Says who the server is instead.
    fn check(&self, expected: &str, certificate: &PeerCertificate) -> Result<(), String>;
}

/// Connects to the host and port of a URL, for `tonic::transport::Endpoint::connect_with_connector`
/// and `connect_with_connector_lazy`. Their connect timeout holds, for the handshake too; their settings of TCP
/// do not: small messages are always sent at once.
///
/// `https` is TLS, `http` is plain text. A connector that has certificates refuses plain text: what is sent would
/// be for anyone to read.
#[derive(Clone, Default)]
pub struct Connector {
    tls: Option<Arc<Tls>>,
    check: Option<Arc<dyn ServerCheck>>,
    expected: Option<Arc<str>>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls, check: _, expected } = self;
        f.debug_struct("Connector")
            .field("tls", &tls.is_some())
            .field("expected", expected)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// Connects in plain text only.
    pub fn plain() -> Self {
        Self::default()
    }

    /// Connects by TLS only.
    pub fn by(tls: Arc<Tls>) -> Self {
        Self { tls: Some(tls), ..Self::default() }
    }

    /// Has `check` say whether a server that is [expected](Self::to) is that one.
    #[must_use]
    pub fn with_check(self, check: Arc<dyn ServerCheck>) -> Self {
        Self { check: Some(check), ..self }
    }

    /// Connects to the server of this name only, where there is a check of names.
    #[must_use]
    pub fn to(&self, expected: &str) -> Self {
        Self { expected: Some(expected.into()), ..self.clone() }
    }

    async fn connect(self, uri: Uri) -> io::Result<ClientStream> {
        let authority = uri.host().ok_or_else(|| invalid(format!("there is no host in {uri}")))?;
        // A literal IPv6 address has brackets in a URL.
        let host = authority.trim_start_matches('[').trim_end_matches(']');
        let encrypted = uri.scheme_str() == Some("https");
        let tls = match (encrypted, self.tls) {
            (true, None) => {
                return Err(invalid(format!(
                    "{uri} is reached by TLS: name the roots to trust, by --tls-ca or [tls] in the config"
                )));
            }
            (false, Some(_)) => {
                return Err(invalid(format!(
                    "{uri} would be plain text, and this end has certificates: write https://"
                )));
            }
            (true, tls @ Some(_)) => tls,
            (false, None) => None,
        };
        let port = uri.port_u16().unwrap_or(if encrypted { HTTPS_PORT } else { HTTP_PORT });
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let stream = GatheringStream::new(stream);
        let Some(tls) = tls else { return Ok(ClientStream::plain(stream)) };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| invalid(format!("{host:?} is no name for a certificate")))?;
        let stream = TlsConnector::from(tls.client()).connect(name.clone(), stream).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificate = tls.server_certificate(chain).map_err(refused)?;
        if let (Some(check), Some(expected)) = (&self.check, &self.expected) {
            check.check(expected, &certificate).map_err(refused)?;
        }
        let server = KnownServer { tls, certificate, name };
        Ok(ClientStream::of(Transport::Tls(Box::new(stream)), server))
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

fn refused(reason: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason.to_string())
}

impl Service<Uri> for Connector {
    type Response = TokioIo<ClientStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.clone().connect(uri);
        Box::pin(async move { connecting.await.map(TokioIo::new) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn addresses_have_hosts_of_both_families() {
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            let Ok(listener) = TcpListener::bind(format!("{host}:0")).await else {
                continue; // a machine without IPv6
            };
            let port = listener.local_addr().expect("bound").port();
            let uri = format!("http://{host}:{port}").parse().expect("a URL");
            let mut connector = Connector::plain();
            let connecting = connector.call(uri);
            let accepting = async { listener.accept().await.expect("accepted").0 };
            let (connected, mut peer) = tokio::join!(connecting, accepting);
            let mut ours = connected.expect("connected").into_inner();
            ours.write_all(b"hello").await.expect("written");
            ours.shutdown().await.expect("shut down");
            let mut heard = String::new();
            peer.read_to_string(&mut heard).await.expect("read");
            assert_eq!(heard, "hello");
        }
        let hostless = "/path/only".parse().expect("a URI");
        let error = Connector::plain().call(hostless).await.expect_err("no host");
        assert!(error.to_string().contains("/path/only"), "{error}");
        let encrypted = "https://127.0.0.1:1".parse().expect("a URI");
        let error = Connector::plain().call(encrypted).await.expect_err("no roots");
        assert!(error.to_string().contains("--tls-ca"), "{error}");
    }
}
