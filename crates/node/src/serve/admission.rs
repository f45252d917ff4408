//! The limit of concurrent requests of an address, and the count that a shutdown waits for.
//!
//! A layer around all services of one address. It counts a request from its arrival until the last
//! byte of its answer was taken or its caller went away; above the limit it refuses with
//! RESOURCE_EXHAUSTED, so that an overload takes no memory. Shutdown waits until the count is zero.
//!
//! Streams that last as long as their peer wants (watches, raft, events) are neither counted nor waited
//! for: they would fill the limit and delay every shutdown. Health checks are never refused.

use http_body_util::BodyExt as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Paths of the calls that are not counted.
const UNCOUNTED: [&str; 8] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/marquee.control.v1.ControlService/WatchPlan",
    "/marquee.control.v1.ControlService/WatchRollout",
    "/marquee.raft.v1.RaftService/Step",
    "/marquee.v1.RecommenderService/StreamEvents",
];

/// The count and limit of one address. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    shared: Arc<AdmissionState>,
}

#[derive(Debug)]
struct AdmissionState {
    under_way: AtomicUsize,
    max: usize,
    draining: AtomicBool,
}

/// One admitted request; ends when dropped.
#[derive(Debug)]
struct AdmittedRequest(Arc<AdmissionState>);

impl Drop for AdmittedRequest {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Admission {
    /// Admits `max` requests at once.
    pub(super) fn new(max: usize) -> Self {
        let shared = AdmissionState {
            under_way: AtomicUsize::new(0),
            max,
            draining: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// How many requests are under way.
    pub(super) fn under_way(&self) -> usize {
        self.shared.under_way.load(Ordering::Acquire)
    }

    /// Refuses new requests with UNAVAILABLE from now on.
    pub(super) fn drain(&self) {
        self.shared.draining.store(true, Ordering::Release);
    }

    /// Counts a new request, or refuses it.
    fn admit(&self) -> Result<AdmittedRequest, Status> {
        if self.shared.draining.load(Ordering::Acquire) {
            return Err(Status::unavailable("this node is shutting down: try another one"));
        }
        let before = self.shared.under_way.fetch_add(1, Ordering::AcqRel);
        let admitted = AdmittedRequest(self.shared.clone());
        if before >= self.shared.max {
            let max = self.shared.max;
            let reason = format!(
                "this node serves {max} requests, the limit of server.max_in_flight: try again later or another node"
            );
            return Err(Status::resource_exhausted(reason));
        }
        Ok(admitted)
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitted<S>;

    fn layer(&self, inner: S) -> Admitted<S> {
        Admitted { admission: self.clone(), inner }
    }
}

/// A service behind an [`Admission`].
#[derive(Clone, Debug)]
pub(super) struct Admitted<S> {
    admission: Admission,
    inner: S,
}

impl<S, B> Service<http::Request<B>> for Admitted<S>
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
        if UNCOUNTED.contains(&request.uri().path()) {
            return Box::pin(self.inner.call(request));
        }
        match self.admission.admit() {
            Err(status) => Box::pin(std::future::ready(Ok(status.into_http()))),
            Ok(admitted) => {
                let response = self.inner.call(request);
                Box::pin(async move {
                    let response = response.await?;
                    // The admitted lives in the body's closure, and so as long as the body.
                    Ok(response.map(|body| {
                        Body::new(body.map_frame(move |frame| {
                            let _held = &admitted;
                            frame
                        }))
                    }))
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use tonic::Code;
    use tower::ServiceExt as _;

    async fn call(
        service: &Admitted<
            impl Service<
                http::Request<()>,
                Response = http::Response<Body>,
                Error = Infallible,
                Future: Send + 'static,
            > + Clone,
        >,
        path: &str,
    ) -> http::Response<Body> {
        let request = http::Request::builder().uri(path).body(()).expect("valid");
        service.clone().oneshot(request).await.expect("infallible")
    }

    fn code(response: &http::Response<Body>) -> Code {
        Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
    }

    #[tokio::test]
    async fn a_request_counts_until_its_body_is_gone() {
        let admission = Admission::new(1);
        let inner = tower::service_fn(|_: http::Request<()>| async {
            Ok::<_, Infallible>(http::Response::new(Body::new(
                http_body_util::Full::new("x".into()).map_err(|e: Infallible| match e {}),
            )))
        });
        let service = admission.layer(inner);
        let method = "/marquee.v1.RecommenderService/Recommend";
        let first = call(&service, method).await;
        assert_eq!((code(&first), admission.under_way()), (Code::Ok, 1));
        let second = call(&service, method).await;
        assert_eq!(code(&second), Code::ResourceExhausted);
        assert_eq!(code(&call(&service, "/grpc.health.v1.Health/Check").await), Code::Ok);
        assert_eq!(admission.under_way(), 1, "a refused request does not stay in the count");
        first.into_body().collect().await.expect("a body");
        assert_eq!(admission.under_way(), 0);
        assert_eq!(code(&call(&service, method).await), Code::Ok);
        admission.drain();
        assert_eq!(code(&call(&service, method).await), Code::Unavailable);
    }
}
