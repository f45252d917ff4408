//! What the headers of a call ask for beside the call: compression, and names by which it is found again.
//!
//! - `x-request-id` and `traceparent` (W3C Trace Context) come back with the answer, also with a refusal, and are in the log of
//!   the call.
//! - An answer is compressed where the request was, by the same algorithm: clients of many languages say with every call that
//!   they could read gzip, and would pay for it with time that they do not gain.
//! - A call that is none of gRPC gets an answer of HTTP that says what this is.
//! - A message beyond its bound is RESOURCE_EXHAUSTED, as gRPC's status codes have it, where tonic says OUT_OF_RANGE.

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use marquee_net::NOT_GRPC;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

/// The header by which a caller names its request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header by which a trace names a call.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// How the messages of a call are compressed.
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// What the caller can read.
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// The code of an answer that has no message.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Bytes of a name that comes back: longer ones are left out.
const MAX_NAME_BYTES: usize = 128;

/// Gives a service what the headers ask for.
#[derive(Clone, Copy)]
pub(super) struct CallHeadersLayer;

impl<S> Layer<S> for CallHeadersLayer {
    type Service = CallHeaders<S>;

    fn layer(&self, inner: S) -> CallHeaders<S> {
        CallHeaders { inner }
    }
}

/// A service behind a [`CallHeadersLayer`].
#[derive(Clone)]
pub(super) struct CallHeaders<S> {
    inner: S,
}

/// The names of a call that come back with its answer.
struct CallNames {
    request_id: Option<HeaderValue>,
    trace_parent: Option<HeaderValue>,
}

impl CallNames {
    fn of(headers: &HeaderMap) -> Self {
        Self { request_id: name(headers, &REQUEST_ID), trace_parent: name(headers, &TRACE_PARENT) }
    }

    fn is_empty(&self) -> bool {
        self.request_id.is_none() && self.trace_parent.is_none()
    }

    fn add_to(&self, headers: &mut HeaderMap) {
        if let Some(request_id) = &self.request_id {
            headers.insert(REQUEST_ID, request_id.clone());
        }
        if let Some(trace_parent) = &self.trace_parent {
            headers.insert(TRACE_PARENT, trace_parent.clone());
        }
    }

    fn log(&self, path: &str, headers: &HeaderMap, began: Instant) {
        let code =
            headers.get(GRPC_STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
        tracing::debug!(
            path,
            request_id = shown(self.request_id.as_ref()),
            traceparent = shown(self.trace_parent.as_ref()),
            ?code,
            began_to_answer_after_us = began.elapsed().as_micros(),
            "call"
        );
    }
}

/// A header with a name of the call: visible ASCII, and not too long.
fn name(headers: &HeaderMap, header: &HeaderName) -> Option<HeaderValue> {
    let value = headers.get(header)?;
    let is_short = !value.is_empty() && value.len() <= MAX_NAME_BYTES;
    let is_visible = value.as_bytes().iter().all(|byte| byte.is_ascii_graphic());
    (is_short && is_visible).then(|| value.clone())
}

fn shown(value: Option<&HeaderValue>) -> &str {
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Leaves of what the caller can read the algorithm that it compresses its request by; nothing if it does not.
fn answer_as_asked(headers: &mut HeaderMap) {
    let asked = headers.get(ENCODING).filter(|encoding| *encoding != "identity").cloned();
    let accepted = headers.remove(ACCEPT_ENCODING);
    let (Some(asked), Some(accepted)) = (asked, accepted) else { return };
    let can_read = accepted.to_str().is_ok_and(|all| {
        all.split(',').any(|accepted| accepted.trim().as_bytes() == asked.as_bytes())
    });
    if can_read {
        headers.insert(ACCEPT_ENCODING, asked);
    }
}

/// Whether a call is one of gRPC, by its headers.
fn is_grpc(headers: &HeaderMap) -> bool {
    let content = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    content.starts_with(b"application/grpc")
}

/// The answer to a call that is none of gRPC (gRPC over HTTP/2, Requests).
fn not_grpc() -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(NOT_GRPC)));
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

/// Gives the refusal of a message that is too large its code.
fn correct_code(response: Response<Body>) -> Response<Body> {
    if response.headers().get(GRPC_STATUS).is_none_or(|code| code != "11") {
        return response;
    }
    let says = Status::from_header_map(response.headers());
    let says = says.map(|status| status.message().to_owned()).unwrap_or_default();
    Status::resource_exhausted(says).into_http()
}

impl<S> Service<Request<Body>> for CallHeaders<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if !is_grpc(request.headers()) {
            return Box::pin(std::future::ready(Ok(not_grpc())));
        }
        answer_as_asked(request.headers_mut());
        let names = CallNames::of(request.headers());
        let named = (!names.is_empty()).then(|| (names, request.uri().clone(), Instant::now()));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = correct_code(answer.await?);
            if let Some((names, uri, began)) = named {
                names.add_to(response.headers_mut());
                names.log(uri.path(), response.headers(), began);
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use std::convert::Infallible;
    use tower::ServiceExt as _;

    /// What a service sees of a call with these headers, and what its caller does.
    async fn called(
        headers: &[(&'static str, &str)],
        answer: Status,
    ) -> (Option<HeaderMap>, Response<Body>) {
        let mut request = Request::new(Body::empty());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a value"));
        }
        let (seen, seeing) = std::sync::mpsc::channel();
        let service = tower::service_fn(move |request: Request<Body>| {
            seen.send(request.headers().clone()).expect("heard");
            let answer = answer.clone();
            async move { Ok::<_, Infallible>(answer.into_http()) }
        });
        let response = CallHeadersLayer.layer(service).oneshot(request).await.expect("infallible");
        (seeing.try_recv().ok(), response)
    }

    const GRPC: (&str, &str) = ("content-type", "application/grpc+proto");

    #[tokio::test]
    async fn names_come_back_also_with_a_refusal() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers = [GRPC, ("x-request-id", "req-7"), ("traceparent", trace)];
        for answer in [Status::ok(""), Status::unavailable("no plan")] {
            let (_, response) = called(&headers, answer).await;
            assert_eq!(response.headers()["x-request-id"], "req-7");
            assert_eq!(response.headers()["traceparent"], trace);
        }
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for odd in [long.as_str(), "two words", ""] {
            let (_, response) = called(&[GRPC, ("x-request-id", odd)], Status::ok("")).await;
            assert!(!response.headers().contains_key("x-request-id"), "{odd:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_compressed_as_the_request_is() {
        let accepted = async |encoding: &str, accept: &str| {
            let headers = [GRPC, ("grpc-encoding", encoding), ("grpc-accept-encoding", accept)];
            let (seen, _) = called(&headers, Status::ok("")).await;
            seen.expect("called").get(ACCEPT_ENCODING).cloned()
        };
        assert_eq!(accepted("zstd", "gzip, zstd,identity").await.expect("both"), "zstd");
        assert_eq!(accepted("gzip", "gzip").await.expect("both"), "gzip");
        assert_eq!(accepted("identity", "gzip, deflate").await, None);
        assert_eq!(accepted("zstd", "gzip").await, None);
        let (seen, _) = called(&[GRPC, ("grpc-accept-encoding", "gzip")], Status::ok("")).await;
        assert!(!seen.expect("called").contains_key(ACCEPT_ENCODING));
    }

    #[tokio::test]
    async fn what_is_no_grpc_gets_words_and_no_call() {
        for headers in [&[][..], &[("content-type", "text/html")]] {
            let (seen, response) = called(headers, Status::ok("")).await;
            assert!(seen.is_none());
            assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            assert_eq!(body, NOT_GRPC);
        }
    }

    #[tokio::test]
    async fn a_message_beyond_its_bound_is_resource_exhausted() {
        let refused = Status::out_of_range("the limit is: 4194304 bytes");
        let (_, response) = called(&[GRPC], refused).await;
        let status = Status::from_header_map(response.headers()).expect("a status");
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("4194304"), "{status:?}");
        let (_, response) = called(&[GRPC], Status::not_found("no item")).await;
        let status = Status::from_header_map(response.headers()).expect("a status");
        assert_eq!((status.code(), status.message()), (Code::NotFound, "no item"));
    }
}
