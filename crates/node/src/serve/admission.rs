//! What an address takes on: limits of concurrent requests, deadlines, and the count that a shutdown waits for.
//!
//! A layer around all services of one address. It counts a request from its arrival until the last
//! byte of its answer was taken or its caller went away. Shutdown waits until the count is zero.
//!
//! Two limits refuse what is above them with RESOURCE_EXHAUSTED and the time after which to come again, before
//! anything of the request is decoded. One is fixed (`server.max_in_flight`), so that an overload takes no memory. The
//! other follows how long requests wait for a processor ([`ConcurrencyLimit`]), so that an overload takes no time of
//! what is admitted. It is for answers: calls of recommenders and shards. Control has its own lane, and so have
//! events, whose log has a bound of its own.
//!
//! A request that waits is measured where it gives way once to all that this runtime has to do. After that it is
//! begun, unless its deadline has passed. A deadline that passes later ends it with DEADLINE_EXCEEDED; tonic, which
//! would say CANCELLED, comes [`TONIC_HEAD_START`] later.
//!
//! Streams that last as long as their peer wants (watches, raft, events) are neither counted nor waited
//! for: they would fill the limit and delay every shutdown. Health checks are never refused.

use http_body_util::BodyExt as _;
use marquee_core::overload::{ConcurrencyLimit, LimitSettings, Priority, retry_after};
use marquee_net::timeout_in;
use marquee_proto::overload::{PRIORITY_HEADER, overloaded};
use marquee_router::Pressure;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// By how much a deadline is kept sooner than tonic keeps it: its clock started before, and timers have milliseconds.
const TONIC_HEAD_START: Duration = Duration::from_millis(2);
/// The services whose calls the limit by queueing delay is for.
const ANSWERS: [&str; 2] = ["/marquee.v1.RecommenderService/", "/marquee.shard.v1.ShardService/"];
/// The call of them that records instead of answering.
const RECORDS: &str = "/marquee.v1.RecommenderService/RecordEvents";
/// The call of many requests.
const BATCHES: &str = "/marquee.v1.RecommenderService/BatchRecommend";

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
    /// Of those under way, the answers.
    answers: AtomicUsize,
    max: usize,
    draining: AtomicBool,
    began: Instant,
    limit: Mutex<ConcurrencyLimit>,
    /// Told of what was measured.
    pressure: Pressure,
}

/// One admitted request; ends when dropped.
#[derive(Debug)]
struct AdmittedRequest {
    shared: Arc<AdmissionState>,
    is_answer: bool,
}

impl Drop for AdmittedRequest {
    fn drop(&mut self) {
        self.shared.under_way.fetch_sub(1, Ordering::AcqRel);
        if self.is_answer {
            self.shared.answers.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Admission {
    /// Admits `max` requests at once, and no more answers than `threads` can give without a queue; `pressure` is told
    /// how hard that is.
    pub(super) fn new(max: usize, threads: usize, pressure: Pressure) -> Self {
        let shared = AdmissionState {
            under_way: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            max,
            draining: AtomicBool::new(false),
            began: Instant::now(),
            limit: Mutex::new(ConcurrencyLimit::new(LimitSettings::for_threads(threads, max))),
            pressure,
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

    /// Counts a new request, or refuses it; answers have a priority.
    fn admit(&self, answer: Option<Priority>) -> Result<AdmittedRequest, Status> {
        if self.shared.draining.load(Ordering::Acquire) {
            return Err(Status::unavailable("this node is shutting down: try another one"));
        }
        let before = self.shared.under_way.fetch_add(1, Ordering::AcqRel);
        let is_answer = answer.is_some();
        let admitted = AdmittedRequest { shared: self.shared.clone(), is_answer };
        if let Some(priority) = answer {
            let answers = self.shared.answers.fetch_add(1, Ordering::AcqRel);
            let mut limit = self.limit();
            if !limit.admits(answers, priority) {
                let reason = format!(
                    "this node has more to do than it can: {} requests are under way, and more would wait for too \
                     long; try again later or another node",
                    limit.limit()
                );
                return Err(refused(reason));
            }
        }
        if before >= self.shared.max {
            let max = self.shared.max;
            let reason = format!(
                "this node serves {max} requests, the limit of server.max_in_flight: try again later or another node"
            );
            return Err(refused(reason));
        }
        Ok(admitted)
    }

    /// An answer is begun after it has waited.
    fn begun(&self, waited: Duration) {
        let AdmissionState { pressure, began, .. } = &*self.shared;
        let mut limit = self.limit();
        if limit.begun(waited, began.elapsed()) {
            pressure.note(limit.standing_delay(), limit.is_limiting());
            limit.refused_elsewhere(pressure.take_refused_by_shards());
        }
    }

    fn limit(&self) -> MutexGuard<'_, ConcurrencyLimit> {
        // The limit is whole after every step, so a panic elsewhere leaves nothing to fear.
        self.shared.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(reason: String) -> Status {
    overloaded(reason, retry_after(fastrand::f64()))
}

/// The priority of a call that is answered; none for calls of the other lanes.
fn answer_priority(path: &str, headers: &http::HeaderMap) -> Option<Priority> {
    if path == RECORDS || !ANSWERS.iter().any(|service| path.starts_with(service)) {
        return None;
    }
    let of_path = if path == BATCHES { Priority::Batch } else { Priority::Interactive };
    let named = headers.get(PRIORITY_HEADER).and_then(|name| name.to_str().ok());
    Some(named.and_then(Priority::of_name).map_or(of_path, |priority| priority.max(of_path)))
}

/// When a call's time is up, a little before tonic finds that; none if it has none, or one that cannot be read, which
/// its service refuses.
fn deadline_of(headers: &http::HeaderMap, arrived: Instant) -> Option<Instant> {
    let timeout = timeout_in(headers).ok().flatten()?;
    arrived.checked_add(timeout - TONIC_HEAD_START.min(timeout / 2))
}

fn too_late() -> http::Response<Body> {
    Status::deadline_exceeded("the deadline passed before there was an answer").into_http()
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
        let arrived = Instant::now();
        let answer = answer_priority(request.uri().path(), request.headers());
        let deadline = deadline_of(request.headers(), arrived);
        match self.admission.admit(answer) {
            Err(status) => Box::pin(std::future::ready(Ok(status.into_http()))),
            Ok(admitted) => {
                let response = self.inner.call(request);
                let admission = answer.map(|_| self.admission.clone());
                Box::pin(async move {
                    if let Some(admission) = admission {
                        yield_now().await;
                        admission.begun(arrived.elapsed());
                    }
                    let response = match deadline {
                        None => response.await?,
                        Some(at) if at <= Instant::now() => return Ok(too_late()),
                        Some(at) => match timeout_at(at, response).await {
                            Ok(response) => response?,
                            Err(_) => return Ok(too_late()),
                        },
                    };
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
        let admission = Admission::new(1, 2, Pressure::default());
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

    const RECOMMEND: &str = "/marquee.v1.RecommenderService/Recommend";

    /// Answers after a time, never if there is none.
    fn after(
        time: Option<Duration>,
    ) -> impl Service<
        http::Request<()>,
        Response = http::Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone {
        tower::service_fn(move |_: http::Request<()>| async move {
            match time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
            Ok::<_, Infallible>(http::Response::new(Body::empty()))
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_passes_is_deadline_exceeded_and_nothing_else() {
        let admission = Admission::new(10, 2, Pressure::default());
        let timed = |service: Admitted<_>, timeout: &'static str| async move {
            let request = http::Request::builder().uri(RECOMMEND).header("grpc-timeout", timeout);
            let request = request.body(()).expect("valid");
            let began = Instant::now();
            (code(&service.oneshot(request).await.expect("infallible")), began.elapsed())
        };
        let never = admission.layer(after(None));
        let (ended, took) = timed(never.clone(), "50m").await;
        assert_eq!(ended, Code::DeadlineExceeded);
        assert!(took < Duration::from_millis(50), "before tonic does: {took:?}");
        assert_eq!(timed(never, "0m").await.0, Code::DeadlineExceeded);
        let soon = admission.layer(after(Some(Duration::from_millis(20))));
        assert_eq!(timed(soon.clone(), "50m").await.0, Code::Ok);
        assert_eq!(
            timed(soon, "soon").await.0,
            Code::Ok,
            "what cannot be read is the service's to refuse"
        );
        assert_eq!(admission.under_way(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn where_requests_wait_for_too_long_answers_are_refused_and_other_lanes_are_not() {
        let pressure = Pressure::default();
        let admission = Admission::new(4_096, 1, pressure.clone());
        for _ in 0..100 {
            tokio::time::advance(Duration::from_millis(5)).await;
            drop(admission.admit(Some(Priority::Interactive)).expect("a place"));
            admission.begun(Duration::from_millis(100));
        }
        let floor = LimitSettings::for_threads(1, 4_096).floor;
        let never = admission.layer(after(None));
        let mut waiting: Vec<_> = (0..floor).map(|_| Box::pin(call(&never, RECOMMEND))).collect();
        for one in &mut waiting {
            assert!(futures::poll!(one).is_pending());
        }
        let at_once = admission.layer(after(Some(Duration::ZERO)));
        let refused = call(&at_once, RECOMMEND).await;
        assert_eq!(code(&refused), Code::ResourceExhausted);
        assert!(refused.headers().contains_key("grpc-retry-pushback-ms"));
        assert!(refused.headers().contains_key("grpc-status-details-bin"), "RetryInfo");
        assert_eq!(
            code(&call(&at_once, "/marquee.shard.v1.ShardService/Search").await),
            Code::ResourceExhausted
        );
        for other in [
            RECORDS,
            "/marquee.control.v1.ControlService/ReportNode",
            "/grpc.health.v1.Health/Check",
        ] {
            assert_eq!(code(&call(&at_once, other).await), Code::Ok, "{other}");
        }
        drop(waiting.split_off(floor - 1));
        assert_eq!(
            code(&call(&at_once, BATCHES).await),
            Code::ResourceExhausted,
            "the last places are for callers"
        );
        assert_eq!(code(&call(&at_once, RECOMMEND).await), Code::Ok);
    }

    #[test]
    fn a_header_lowers_a_priority_and_never_raises_it() {
        let of = |path: &str, name: &'static str| {
            let headers = [(PRIORITY_HEADER, name)].map(|(key, value)| {
                (http::HeaderName::from_static(key), http::HeaderValue::from_static(value))
            });
            answer_priority(path, &headers.into_iter().collect())
        };
        assert_eq!(of(RECOMMEND, "mirrored"), Some(Priority::Mirrored));
        assert_eq!(of(RECOMMEND, "urgent"), Some(Priority::Interactive));
        assert_eq!(of(BATCHES, "interactive"), Some(Priority::Batch));
        assert_eq!(of(RECORDS, "mirrored"), None);
    }
}
