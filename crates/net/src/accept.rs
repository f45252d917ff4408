//! How a server accepts connections.

use crate::connections::{Connections, Registered};
use crate::gather::GatheringStream;
use crate::stream::{PREFACE, ServerStream, Transport};
use crate::tls::{PeerInfo, ShownCertificates, Tls, TlsError};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::Connected as _;

/// Handshakes under way on one address. Honest ones take milliseconds; beyond this the oldest is dropped, so that
/// idle connections keep no one out.
const MAX_HANDSHAKES: usize = 512;
/// Accepted connections that wait for the server: it takes them at once.
const MAX_ACCEPTED: usize = 16;
/// Pause after the system had no descriptor for a connection: others have to be closed first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What is said to those who do not speak gRPC.
pub const NOT_GRPC: &str = "This is a gRPC server of Marquee, and it answers gRPC over HTTP/2 only.\n\
    Call it by stubs of the files in proto/, or by hand: grpcurl -plaintext HOST:PORT list\n\
    (with -cacert, -cert and -key instead of -plaintext where the cluster has certificates).\n\
    All calls are described in proto/README.md.\n";
/// Bytes of a request of HTTP/1 that are read after it was answered.
const MAX_DROPPED_BYTES: usize = 64 << 10;

/// The connections of `incoming`, in plain text, or after a TLS handshake where there is `tls`, once they have begun
/// HTTP/2. A peer that fails its handshake, or for which there is no room among `connections`, is not in the stream. Must
/// be called within a tokio runtime.
pub fn accept(
    incoming: impl Stream<Item = io::Result<TcpStream>> + Send + Unpin + 'static,
    tls: Option<Arc<Tls>>,
    connections: Connections,
) -> impl Stream<Item = io::Result<ServerStream>> + Send {
    let (accepted, taken) = mpsc::channel(MAX_ACCEPTED);
    tokio::spawn(accept_all(incoming, tls, connections, accepted));
    ReceiverStream::new(taken)
}

/// Accepts until the server takes no more connections.
async fn accept_all(
    mut incoming: impl Stream<Item = io::Result<TcpStream>> + Unpin,
    tls: Option<Arc<Tls>>,
    connections: Connections,
    accepted: mpsc::Sender<io::Result<ServerStream>>,
) {
    let mut handshakes = JoinSet::new();
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    let sweeping = connections.sweep_for_ever();
    tokio::pin!(sweeping);
    let certificates = tls.clone().map(|tls| Arc::new(ShownCertificates::new(tls)));
    let verifying = async {
        match &certificates {
            Some(certificates) => certificates.sweep_for_ever().await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(verifying);
    loop {
        let next = tokio::select! {
            next = incoming.next() => next,
            Some(_) = handshakes.join_next() => continue,
            () = &mut sweeping => continue,
            () = &mut verifying => continue,
            () = accepted.closed() => return,
        };
        let Some(next) = next else { return };
        let stream = match next {
            Ok(stream) => stream,
            Err(error) => {
                // Most are of one connection, that was gone before it was accepted; the rest is a lack of descriptors.
                let made_room = connections.make_room();
                tracing::debug!(%error, made_room, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let from = stream.peer_addr().ok();
        let Some(registered) = connections.register(from.map(|from| from.ip())) else {
            tracing::debug!(?from, "refused a connection: all are in use");
            continue;
        };
        oldest.retain(|handshake| !handshake.is_finished());
        if oldest.len() == MAX_HANDSHAKES
            && let Some(handshake) = oldest.pop_front()
        {
            handshake.abort();
        }
        let (accepted, tls, certificates) = (accepted.clone(), tls.clone(), certificates.clone());
        let patience = connections.limits().handshake;
        oldest.push_back(handshakes.spawn(async move {
            let connection = Arc::clone(&registered.connection);
            let closing = poll_fn(|cx| match connection.poll_closing(cx) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            });
            let began = tokio::select! {
                began = timeout(patience, begin(stream, from, tls.as_deref(), registered)) => began,
                () = closing => return,
            };
            match began {
                // The server is gone if it takes no connection, and so is the need for one.
                Ok(Ok(stream)) => {
                    if let (Some(certificates), Some(shown)) =
                        (certificates, &stream.connect_info().certificate)
                    {
                        certificates.watch(&connection, shown);
                    }
                    drop(accepted.send(Ok(stream)).await);
                }
                Ok(Err(reason)) => tracing::debug!(?from, reason, "a connection failed to begin"),
                Err(_) => tracing::debug!(?from, "a connection took too long to begin"),
            }
        }));
    }
}

/// Makes a connection of a socket, reads who the peer is, and waits until it has begun HTTP/2.
async fn begin(
    stream: TcpStream,
    address: Option<SocketAddr>,
    tls: Option<&Tls>,
    registered: Registered,
) -> Result<ServerStream, String> {
    let (transport, certificate) = match tls {
        None => (Transport::Plain(GatheringStream::new(stream)), None),
        Some(tls) => {
            let config = tls.server().ok_or("this end has no certificate")?;
            let stream = TlsAcceptor::from(config).accept(GatheringStream::new(stream)).await;
            let stream = stream.map_err(|error| error.to_string())?;
            let certificate = match stream.get_ref().1.peer_certificates() {
                None => None,
                Some(chain) => {
                    let read = tls.client_certificate(chain);
                    Some(Arc::new(read.map_err(|error: TlsError| error.to_string())?))
                }
            };
            (Transport::Tls(Box::new(stream)), certificate)
        }
    };
    let connection = Arc::clone(&registered.connection);
    let peer = PeerInfo { address, certificate, connection };
    let mut stream = ServerStream::new(transport, peer, registered);
    let mut first = [0; PREFACE.len()];
    let mut read = 0;
    // Byte by byte as they come: a request of HTTP/1 may be shorter than what HTTP/2 begins with.
    while read < PREFACE.len() {
        let more = stream.read(&mut first[read..]).await.map_err(|error| error.to_string())?;
        read += more;
        if more == 0 || first[..read] != PREFACE[..read] {
            if is_http1(&first[..read]) {
                refuse_http1(&mut stream).await;
            }
            return Err("it does not speak HTTP/2".into());
        }
    }
    stream.read_again();
    Ok(stream)
}

/// Whether a peer that sends this first speaks HTTP/1: it begins with the name of a method, in capitals.
fn is_http1(first: &[u8]) -> bool {
    let method = first.split(|&byte| byte == b' ').next().unwrap_or_default();
    !method.is_empty() && method.iter().all(u8::is_ascii_uppercase)
}

/// Tells a browser, or a service that calls the wrong port, what this is. What it sends meanwhile is read and dropped: a
/// connection that is closed with unread bytes is reset, and the answer with it.
async fn refuse_http1(stream: &mut ServerStream) {
    let head = format!(
        "HTTP/1.1 415 Unsupported Media Type\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        NOT_GRPC.len()
    );
    let answer = [head.as_bytes(), NOT_GRPC.as_bytes()].concat();
    // One who has gone needs no answer.
    if stream.write_all(&answer).await.is_ok() && stream.shutdown().await.is_ok() {
        let mut dropped = [0; 1_024];
        let mut bytes = 0;
        while let Ok(more) = stream.read(&mut dropped).await {
            bytes += more;
            if more == 0 || bytes > MAX_DROPPED_BYTES {
                return;
            }
        }
    }
}
