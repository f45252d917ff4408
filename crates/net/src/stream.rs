//! A connection in plain text or by TLS, as one type for each end.

use crate::connections::Registered;
use crate::gather::GatheringStream;
use crate::tls::{PeerCertificate, PeerInfo, Tls};
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// What every client of HTTP/2 sends first (RFC 9113, section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The two forms of a connection that a server has accepted.
type ServerTransport = Transport<tokio_rustls::server::TlsStream<GatheringStream>>;

/// A connection that a server has accepted, with what it knows of the peer. It ends as if the peer had closed it once
/// its [`Connection`](crate::connections::Connection) is closed.
#[derive(Debug)]
pub struct ServerStream {
    transport: ServerTransport,
    peer: PeerInfo,
    /// What is read once more before what follows.
    again: &'static [u8],
    _registered: Registered,
}

impl ServerStream {
    pub(crate) fn new(transport: ServerTransport, peer: PeerInfo, registered: Registered) -> Self {
        Self { transport, peer, again: &[], _registered: registered }
    }

    /// Has the preface be read once more: it was looked at.
    pub(crate) fn read_again(&mut self) {
        self.again = PREFACE;
    }

    /// An error if what is written would not be sent any more.
    fn check(&self) -> io::Result<()> {
        if self.peer.connection.is_closing() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

/// The two forms of a connection that a client has made.
type ClientTransport = Transport<tokio_rustls::client::TlsStream<GatheringStream>>;

/// A connection that a client has made. It fails once the certificate of the server is revoked or its
/// root withdrawn.
#[derive(Debug)]
pub struct ClientStream {
    transport: ClientTransport,
    /// None in plain text.
    server: Option<KnownServer>,
}

/// A server that a handshake has verified, and by what.
#[derive(Debug)]
pub(crate) struct KnownServer {
    pub(crate) tls: Arc<Tls>,
    pub(crate) certificate: PeerCertificate,
    /// The name by which it was reached.
    pub(crate) name: ServerName<'static>,
}

impl ClientStream {
    pub(crate) fn plain(stream: GatheringStream) -> Self {
        Self { transport: Transport::Plain(stream), server: None }
    }

    pub(crate) fn of(transport: ClientTransport, server: KnownServer) -> Self {
        Self { transport, server: Some(server) }
    }

    /// An error if the server's certificate is not good any more.
    fn check(&self) -> io::Result<()> {
        let Some(KnownServer { tls, certificate, name }) = &self.server else { return Ok(()) };
        let refused = |error| io::Error::new(io::ErrorKind::PermissionDenied, error);
        tls.check_server(certificate, name).map_err(refused)
    }
}

/// Bytes in plain text, or encrypted.
#[derive(Debug)]
pub enum Transport<S> {
    /// In plain text, readable on the way.
    Plain(GatheringStream),
    /// Encrypted by TLS.
    Tls(Box<S>),
}

impl<S: AsyncRead + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.transport).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.transport).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.transport).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.again.is_empty() {
            let taken = self.again.len().min(buffer.remaining());
            let (now, later) = self.again.split_at(taken);
            buffer.put_slice(now);
            self.again = later;
            return Poll::Ready(Ok(()));
        }
        if self.peer.connection.is_closing() {
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut self.transport).poll_read(cx, buffer);
        if read.is_pending() && self.peer.connection.poll_closing(cx) {
            return Poll::Ready(Ok(()));
        }
        read
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.transport).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.transport).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

impl Connected for ServerStream {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}
