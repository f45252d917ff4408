//! One HTTP request, within bounds of time and size.

use crate::reason::with_causes;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use std::sync::OnceLock;
use std::time::Duration;

/// What the other end answered.
#[derive(Debug)]
pub struct HttpAnswer {
    /// The status, whichever it is.
    pub status: StatusCode,
    /// The body, complete.
    pub body: Bytes,
}

/// Why there is no answer. Addresses are left out: some are secrets.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is none.
    #[error("its address is none that can be asked")]
    Address,
    /// The certificates of this system cannot be read.
    #[error("the certificates of this machine cannot be read, so that https is not possible: {0}")]
    Certificates(String),
    /// It does not answer in time.
    #[error("no answer within {0} ms")]
    TimedOut(u128),
    /// It answers with too much.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// The connection fails.
    #[error("{0}")]
    Connection(String),
}

type Secured = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client without memory: no connection is kept, no redirect is followed, no cookie and no proxy is known.
#[derive(Default)]
pub struct HttpClient {
    /// Made when it is first needed: to read the system's certificates takes some ms, and they may be missing.
    secured: OnceLock<Result<Secured, String>>,
}

impl HttpClient {
    fn secured(&self) -> Result<&Secured, HttpError> {
        let made = self.secured.get_or_init(|| {
            let provider = ring::default_provider();
            let builder = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider);
            let connector = builder.map_err(|error| error.to_string())?;
            let connector = connector.https_only().enable_http1().build();
            Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
        });
        made.as_ref().map_err(|why| HttpError::Certificates(why.clone()))
    }

    /// Posts a body and reads the answer, both within `timeout`. `max_bytes`: of the answer's body.
    ///
    /// # Errors
    /// Says why there is no answer; an answer with any status is one.
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<HttpAnswer, HttpError> {
        self.exchange(Method::POST, url, headers, body, timeout, max_bytes).await
    }

    /// Reads what is at an address within `timeout`, as [`post`](Self::post) does.
    ///
    /// # Errors
    /// Says why there is no answer; an answer with any status is one.
    pub async fn get(
        &self,
        url: &str,
        headers: HeaderMap,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<HttpAnswer, HttpError> {
        self.exchange(Method::GET, url, headers, Bytes::new(), timeout, max_bytes).await
    }

    async fn exchange(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<HttpAnswer, HttpError> {
        let uri: Uri = url.parse().map_err(|_| HttpError::Address)?;
        let is_tls = uri.scheme_str() == Some("https");
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let exchange = async {
            let answer = if is_tls {
                self.secured()?.request(request).await
            } else {
                let mut builder = Client::builder(TokioExecutor::new());
                builder.pool_max_idle_per_host(0).build_http().request(request).await
            };
            let answer = answer.map_err(|error| HttpError::Connection(with_causes(&error)))?;
            let (parts, body) = answer.into_parts();
            match Limited::new(body, max_bytes).collect().await {
                Ok(body) => Ok(HttpAnswer { status: parts.status, body: body.to_bytes() }),
                Err(error) if error.is::<LengthLimitError>() => Err(HttpError::TooLarge(max_bytes)),
                Err(error) => Err(HttpError::Connection(with_causes(error.as_ref()))),
            }
        };
        let timed = tokio::time::timeout(timeout, exchange).await;
        timed.unwrap_or(Err(HttpError::TimedOut(timeout.as_millis())))
    }
}
