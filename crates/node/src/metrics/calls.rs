//! Counts of the calls to a node's services: how long they took, and how they ended. The layer is outside of all others, so
//! it also counts those that are refused.

use http_body::Frame;
use marquee_client::code_name;
use marquee_core::access::TABLE;
use marquee_core::duration_counts::{CountedDurations, DurationCounts};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;
use tonic::Code;
use tonic::body::Body;
use tower::{Layer, Service};

/// How many gRPC codes there are.
const CODES: usize = 17;
/// The name of what is called and is no RPC of a node.
const OTHER: &str = "other";
/// The header or trailer with a call's code.
const GRPC_STATUS: &str = "grpc-status";

/// The places of all methods.
static METHODS: LazyLock<HashMap<&'static str, usize>> =
    LazyLock::new(|| TABLE.iter().enumerate().map(|(n, (path, _))| (*path, n)).collect());

/// Counts of the calls to a node. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallCounts {
    shared: Arc<SharedCounts>,
}

#[derive(Debug)]
struct SharedCounts {
    under_way: AtomicU64,
    /// By method, those of the table and one more for all others, and by code; made when the first such call ends.
    ended: Vec<OnceLock<Box<DurationCounts>>>,
}

impl Default for SharedCounts {
    fn default() -> Self {
        let ended = (0..(TABLE.len() + 1) * CODES).map(|_| OnceLock::new()).collect();
        Self { under_way: AtomicU64::new(0), ended }
    }
}

impl CallCounts {
    /// How many calls are under way.
    pub(super) fn under_way(&self) -> u64 {
        self.shared.under_way.load(Ordering::Relaxed)
    }

    /// The calls that ended, by method and code, of those that there were any of.
    pub(super) fn ended(&self) -> Vec<(&'static str, &'static str, CountedDurations)> {
        let mut found = Vec::new();
        for (place, counts) in self.shared.ended.iter().enumerate() {
            let Some(counts) = counts.get() else { continue };
            let method = TABLE.get(place / CODES).map_or(OTHER, |(path, _)| &path[1..]);
            let code = Code::from_i32((place % CODES) as i32);
            found.push((method, code_name(code), counts.read()));
        }
        found
    }

    fn begin(&self, path: &str) -> CallUnderWay {
        self.shared.under_way.fetch_add(1, Ordering::Relaxed);
        let method = METHODS.get(path).copied().unwrap_or(TABLE.len());
        // A call whose response is dropped before its end was cancelled.
        let (began, code) = (Instant::now(), Code::Cancelled);
        CallUnderWay { counts: self.clone(), method, began, code }
    }
}

/// One call that is under way; it is counted when dropped.
#[derive(Debug)]
struct CallUnderWay {
    counts: CallCounts,
    method: usize,
    began: Instant,
    code: Code,
}

impl CallUnderWay {
    /// Notes the code that headers or trailers have, if they have one.
    fn note(&mut self, headers: &http::HeaderMap) {
        if let Some(code) = headers.get(GRPC_STATUS) {
            self.code = Code::from_bytes(code.as_bytes());
        }
    }
}

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        let shared = &self.counts.shared;
        shared.under_way.fetch_sub(1, Ordering::Relaxed);
        let place = self.method * CODES + self.code as usize;
        shared.ended[place].get_or_init(Box::default).add(self.began.elapsed());
    }
}

impl<S> Layer<S> for CallCounts {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { counts: self.clone(), inner }
    }
}

/// A service whose calls are counted.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    counts: CallCounts,
    inner: S,
}

impl<S, B> Service<http::Request<B>> for Counted<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let mut call = self.counts.begin(request.uri().path());
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
            call.note(response.headers());
            Ok(response.map(|inner| Body::new(CountedBody { call, inner })))
        })
    }
}

/// The body of a response, whose trailers say how the call ended.
struct CountedBody {
    call: CallUnderWay,
    inner: Body,
}

impl http_body::Body for CountedBody {
    type Data = bytes::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            self.call.note(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    fn request(path: &str) -> http::Request<()> {
        http::Request::builder().uri(format!("http://a{path}")).body(()).expect("a request")
    }

    #[tokio::test]
    async fn a_call_counts_by_its_method_and_by_the_code_in_headers_or_trailers() {
        let counts = CallCounts::default();
        let refused = counts.layer(tower::service_fn(async |_: http::Request<()>| {
            Ok::<_, std::convert::Infallible>(tonic::Status::not_found("no").into_http())
        }));
        let path = "/marquee.v1.RecommenderService/Recommend";
        for path in [path, "/made.up/Method"] {
            let response = refused.clone().oneshot(request(path)).await.expect("infallible");
            response.into_body().collect().await.expect("a body");
        }
        let answered = counts.layer(tower::service_fn(async |_: http::Request<()>| {
            let trailers = http::HeaderMap::from_iter([(
                http::HeaderName::from_static(GRPC_STATUS),
                http::HeaderValue::from_static("0"),
            )]);
            let body = http_body_util::Empty::<bytes::Bytes>::new();
            let body = body.with_trailers(std::future::ready(Some(Ok(trailers))));
            Ok::<_, std::convert::Infallible>(http::Response::new(Body::new(body)))
        }));
        let response = answered.clone().oneshot(request(path)).await.expect("infallible");
        assert_eq!(counts.under_way(), 1);
        response.into_body().collect().await.expect("a body");
        drop(answered.oneshot(request(path)).await.expect("infallible"));
        let mut found: Vec<(&str, &str, u64)> = Vec::new();
        for (method, code, durations) in counts.ended() {
            found.push((method, code, durations.counts.iter().sum()));
        }
        let recommend = "marquee.v1.RecommenderService/Recommend";
        let expected = [
            (recommend, "OK", 1),
            (recommend, "CANCELLED", 1),
            (recommend, "NOT_FOUND", 1),
            (OTHER, "NOT_FOUND", 1),
        ];
        assert_eq!(found, expected);
        assert_eq!(counts.under_way(), 0);
    }
}
