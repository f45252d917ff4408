//! How a client opens a connection.

use crate::gather::GatheringStream;
use http::Uri;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use tokio::net::TcpStream;
use tower::Service;

/// The port of a URL without one.
const HTTP_PORT: u16 = 80;

/// Connects to the host and port of a URL, for `tonic::transport::Endpoint::connect_with_connector`
/// and `connect_with_connector_lazy`. Their connect timeout holds; their settings of TCP do not:
/// small messages are always sent at once.
pub fn connector() -> impl Service<
    Uri,
    Response = TokioIo<GatheringStream>,
    Error = io::Error,
    Future = impl Future<Output = io::Result<TokioIo<GatheringStream>>> + Send,
> + Clone
+ Send
+ 'static {
    tower::service_fn(|uri: Uri| async move {
        let authority = uri.host().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("there is no host in {uri}"))
        })?;
        // A literal IPv6 address has brackets in a URL.
        let host = authority.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(HTTP_PORT))).await?;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(GatheringStream::new(stream)))
    })
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
            let connecting = connector().call(uri);
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
        let error = connector().call(hostless).await.expect_err("no host");
        assert!(error.to_string().contains("/path/only"), "{error}");
    }
}
