//! The HTTP server of the metrics: one path, a few connections, a few seconds.

use super::samples::TextFormat;
use super::sources::MetricSources;
use crate::config::{Config, METRICS_PATH, MetricsListen};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections at once: Prometheus has one for each of its servers. More are closed at once.
const MAX_CONNECTIONS: usize = 16;
/// The longest time that a connection may take altogether: scrapes take milliseconds, and are repeated after seconds.
const MAX_CONNECTION_TIME: Duration = Duration::from_secs(120);
/// The longest time in which the headers of a request must be there.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Upper bound of the bytes of a request's headers.
const MAX_HEADER_BYTES: usize = 16 << 10;
/// Pause after a connection could not be accepted, as when the process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address of the metrics cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot show metrics on {at}: {source}; stop what listens there or choose another address with metrics.listen in the \
     config or --metrics-listen"
)]
pub(crate) struct MetricsError {
    at: SocketAddr,
    source: std::io::Error,
}

/// Opens the address of the metrics, if there is one.
///
/// # Errors
/// The address was asked for and cannot be opened. Where the default one cannot be, the node warns and goes without.
pub(crate) async fn open_endpoint(config: &Config) -> Result<Option<TcpListener>, MetricsError> {
    let (at, is_asked_for) = match config.metrics_listen {
        MetricsListen::Off => return Ok(None),
        MetricsListen::At(at) => (at, true),
        MetricsListen::Default => (config.default_metrics_address(), false),
    };
    match TcpListener::bind(at).await {
        Ok(listener) => {
            tracing::info!(%at, path = METRICS_PATH, "shows metrics");
            Ok(Some(listener))
        }
        Err(source) if is_asked_for => Err(MetricsError { at, source }),
        Err(error) => {
            tracing::warn!(%at, %error, "shows no metrics: choose another address with metrics.listen or --metrics-listen");
            Ok(None)
        }
    }
}

/// Answers scrapes for as long as it is polled.
pub(crate) async fn serve_metrics(listener: TcpListener, sources: Arc<MetricSources>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection to the metrics was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Without a place it is closed at once: nobody waits, and nothing is kept.
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            let sources = Arc::clone(&sources);
            connections.spawn(async move {
                let served = serve_connection(stream, sources);
                let _ = tokio::time::timeout(MAX_CONNECTION_TIME, served).await;
                drop(place);
            });
        }
    }
}

/// Serves one connection. What the peer does wrong ends it, and is nothing to warn of.
async fn serve_connection(stream: TcpStream, sources: Arc<MetricSources>) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let response = respond(&request, &sources);
        async move { Ok::<_, Infallible>(response) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = serving.await {
        tracing::debug!(%error, "a connection to the metrics ended");
    }
}

/// The response to a request. Its body is never read.
fn respond<B>(request: &http::Request<B>, sources: &MetricSources) -> http::Response<Full<Bytes>> {
    let (code, content_type, text) = match (request.method(), request.uri().path()) {
        (&http::Method::GET, METRICS_PATH) => {
            let accept = request.headers().get(http::header::ACCEPT);
            let format = TextFormat::accepted(accept.and_then(|accept| accept.to_str().ok()));
            match sources.gather().text(format) {
                Ok(text) => (http::StatusCode::OK, format.content_type(), text),
                Err(_) => {
                    plain(http::StatusCode::INTERNAL_SERVER_ERROR, "the metrics have no text\n")
                }
            }
        }
        (_, METRICS_PATH) => plain(http::StatusCode::METHOD_NOT_ALLOWED, "GET only\n"),
        _ => plain(http::StatusCode::NOT_FOUND, "the metrics are at /metrics\n"),
    };
    let mut response = http::Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code;
    let content_type = http::HeaderValue::from_static(content_type);
    response.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
    response
}

fn plain(code: http::StatusCode, text: &str) -> (http::StatusCode, &'static str, String) {
    (code, "text/plain; charset=utf-8", text.to_owned())
}
