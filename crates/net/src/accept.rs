//! How a server accepts connections.

use crate::gather::GatheringStream;
use crate::stream::{ServerStream, Transport};
use crate::tls::{PeerInfo, Tls, TlsError};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};

/// Upper bound of a handshake: two round trips over any network, and a busy machine.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes under way on one address. Honest ones take milliseconds; beyond this the oldest is dropped, so that
/// idle connections keep no one out.
const MAX_HANDSHAKES: usize = 512;
/// Accepted connections that wait for the server: it takes them at once.
const MAX_ACCEPTED: usize = 16;

/// The connections of `incoming`, in plain text, or after a TLS handshake where there is `tls`. A peer that
/// fails its handshake is not in the stream. Must be called within a tokio runtime.
pub fn accept(
    incoming: impl Stream<Item = io::Result<TcpStream>> + Send + Unpin + 'static,
    tls: Option<Arc<Tls>>,
) -> impl Stream<Item = io::Result<ServerStream>> + Send {
    let (accepted, connections) = mpsc::channel(MAX_ACCEPTED);
    tokio::spawn(accept_all(incoming, tls, accepted));
    ReceiverStream::new(connections)
}

/// Accepts until the server takes no more connections.
async fn accept_all(
    mut incoming: impl Stream<Item = io::Result<TcpStream>> + Unpin,
    tls: Option<Arc<Tls>>,
    accepted: mpsc::Sender<io::Result<ServerStream>>,
) {
    let mut handshakes = JoinSet::new();
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let next = tokio::select! {
            next = incoming.next() => next,
            Some(_) = handshakes.join_next() => continue,
            () = accepted.closed() => return,
        };
        let Some(next) = next else { return };
        let (stream, tls) = match (next, &tls) {
            (Err(error), _) => {
                if accepted.send(Err(error)).await.is_err() {
                    return;
                }
                continue;
            }
            (Ok(stream), None) => {
                if accepted.send(Ok(plain(stream))).await.is_err() {
                    return;
                }
                continue;
            }
            (Ok(stream), Some(tls)) => (stream, Arc::clone(tls)),
        };
        oldest.retain(|handshake| !handshake.is_finished());
        if oldest.len() == MAX_HANDSHAKES
            && let Some(handshake) = oldest.pop_front()
        {
            handshake.abort();
        }
        let accepted = accepted.clone();
        oldest.push_back(handshakes.spawn(async move {
            let from = stream.peer_addr().ok();
            match timeout(HANDSHAKE_TIMEOUT, shake_hands(stream, from, &tls)).await {
                // The server is gone if it takes no connection, and so is the need for one.
                Ok(Ok(stream)) => drop(accepted.send(Ok(stream)).await),
                Ok(Err(reason)) => tracing::debug!(?from, reason, "a TLS handshake failed"),
                Err(_) => tracing::debug!(?from, "a TLS handshake took too long"),
            }
        }));
    }
}

fn plain(stream: TcpStream) -> ServerStream {
    let peer = PeerInfo { address: stream.peer_addr().ok(), certificate: None };
    ServerStream { transport: Transport::Plain(GatheringStream::new(stream)), peer }
}

/// Makes a connection of a socket, and reads who the peer is.
async fn shake_hands(
    stream: TcpStream,
    address: Option<SocketAddr>,
    tls: &Tls,
) -> Result<ServerStream, String> {
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
    let peer = PeerInfo { address, certificate };
    Ok(ServerStream { transport: Transport::Tls(Box::new(stream)), peer })
}
