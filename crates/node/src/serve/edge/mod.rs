//! What stands between the sockets of an address and its services: limits, so that nobody keeps others out.
//!
//! A call that the guard has let in goes through these, in this order; each refuses at once instead of queueing:
//!
//! 1. its caller's quota of calls a second;
//! 2. for RPCs with streams: a place among the [`streams`] of its kind;
//! 3. for all others: its [`arrival`] as a whole, then a place among the calls under way ([`admission`]), and for answers one that
//!    their queue leaves ([`answers`]). Its deadline holds for all of that.
//!
//! Health checks have no quota and are never refused, but for watches. Bounds of connections are
//! `marquee_net::connections`; while a call is under way its connection is not idle.

mod admission;
mod answers;
mod arrival;
mod evicting;
mod streams;
#[cfg(test)]
mod tests;

pub(super) use admission::Admission;

use crate::config::ServerLimits;
use crate::warnings::{RefusedCall, WarningKind, Warnings};
use answers::{AnswerLane, answer_priority, deadline_of, too_late};
use arrival::Arrivals;
use evicting::HeldPlace;
use http_body_util::BodyExt as _;
use marquee_core::access::Principal;
use marquee_core::bounds::{MAX_INTERNAL_MESSAGE_BYTES, MAX_MESSAGE_BYTES};
use marquee_core::limits::budget::{Budget, budget_of};
use marquee_core::limits::peer::Peer;
use marquee_core::limits::quota::Quotas;
use marquee_core::limits::rate::Wait;
use marquee_net::connections::OpenCall;
use marquee_net::tls::PeerInfo;
use marquee_proto::status::DetailedStatus;
use marquee_router::Pressure;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use streams::{HeldStream, Streams, evicted};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

/// Quotas that all addresses of a node share. None: nobody has one.
#[derive(Clone)]
pub(crate) struct SharedQuotas {
    since: Instant,
    quotas: Option<Arc<Mutex<Quotas>>>,
}

impl SharedQuotas {
    pub(crate) fn new(quotas: Quotas) -> Self {
        let quotas = (!quotas.is_empty()).then(|| Arc::new(Mutex::new(quotas)));
        Self { since: Instant::now(), quotas }
    }

    fn take(&self, caller: &Caller) -> Result<(), DetailedStatus> {
        let Some(quotas) = &self.quotas else { return Ok(()) };
        let now_ns = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut quotas = quotas.lock().unwrap_or_else(PoisonError::into_inner);
        let address = caller.info.as_ref().and_then(|info| info.address);
        let taken =
            quotas.take(caller.principal.as_deref(), address.map(|address| address.ip()), now_ns);
        taken.map_err(|over| {
            let Wait(wait_ns) = over.wait;
            let over = DetailedStatus::new(Code::ResourceExhausted, "OVER_QUOTA", over.to_string());
            over.retry_after(Duration::from_nanos(wait_ns))
        })
    }
}

/// The limits of one address. Clones share what they count.
#[derive(Clone)]
pub(super) struct Edge {
    admission: Admission,
    answers: AnswerLane,
    arrivals: Arrivals,
    streams: Streams,
    quotas: SharedQuotas,
    warnings: Warnings,
}

impl Edge {
    /// Limits as the config has them, and one of answers that follows how long they wait for one of `threads`; `pressure` is told of
    /// that.
    pub(super) fn new(
        limits: &ServerLimits,
        quotas: SharedQuotas,
        warnings: Warnings,
        threads: usize,
        pressure: Pressure,
    ) -> Self {
        Self {
            admission: Admission::new(limits.max_in_flight),
            answers: AnswerLane::new(limits.max_in_flight, threads, pressure),
            arrivals: Arrivals::new(limits.request),
            streams: Streams::new(),
            quotas,
            warnings,
        }
    }

    /// The calls under way, for a shutdown.
    pub(super) fn admission(&self) -> &Admission {
        &self.admission
    }
}

/// Who makes a call, as far as its connection and the guard know.
struct Caller {
    info: Option<PeerInfo>,
    principal: Option<Arc<Principal>>,
}

impl Caller {
    fn of<B>(request: &http::Request<B>) -> Self {
        let extensions = request.extensions();
        Self { info: extensions.get().cloned(), principal: extensions.get().cloned() }
    }

    fn peer(&self) -> Peer {
        let address = self.info.as_ref().and_then(|info| info.address);
        Peer::of(self.principal.as_deref(), address.map(|address| address.ip()))
    }

    /// The number of the connection; 0 for calls that came over none.
    fn connection(&self) -> u64 {
        self.info.as_ref().map_or(0, |info| info.connection.number())
    }

    fn begin_call(&self) -> Option<OpenCall> {
        self.info.as_ref().map(|info| info.connection.begin_call())
    }
}

impl<S> Layer<S> for Edge {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { edge: self.clone(), inner }
    }
}

/// A service behind an [`Edge`].
#[derive(Clone)]
pub(super) struct Limited<S> {
    edge: Edge,
    inner: S,
}

impl<S> Service<http::Request<Body>> for Limited<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        // The one that is ready.
        let inner = mem::replace(&mut self.inner, clone);
        let edge = self.edge.clone();
        Box::pin(edge.serve(request, inner))
    }
}

impl Edge {
    /// Serves a call, or refuses it.
    async fn serve<S>(
        self,
        request: http::Request<Body>,
        inner: S,
    ) -> Result<http::Response<Body>, S::Error>
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>>,
    {
        let caller = Caller::of(&request);
        let open = caller.begin_call();
        let budget = budget_of(request.uri().path());
        if budget.is_some()
            && let Err(status) = self.quotas.take(&caller)
        {
            return Ok(self.refuse(WarningKind::Quota, &caller, request.uri().path(), status));
        }
        let peer = caller.peer();
        match (self.streams.take(request.uri().path(), &peer, caller.connection()), budget) {
            (Some(Err(status)), _) => {
                Ok(self.refuse(WarningKind::Streams, &caller, request.uri().path(), status))
            }
            (Some(Ok(place)), _) => serve_stream(request, inner, place, open).await,
            (None, None) => served_on(open, serve_now(inner, request).await),
            (None, Some(budget)) => {
                let deadline = deadline_of(request.headers(), tokio::time::Instant::now());
                let served =
                    self.serve_one(request, inner, (&caller, &peer), budget, open, deadline);
                match deadline {
                    None => served.await,
                    Some(at) => match tokio::time::timeout_at(at, served).await {
                        Ok(response) => response,
                        Err(_) => Ok(too_late().into_http()),
                    },
                }
            }
        }
    }

    /// Serves a call of one request, once that is there.
    async fn serve_one<S>(
        &self,
        request: http::Request<Body>,
        inner: S,
        (caller, peer): (&Caller, &Peer),
        budget: Budget,
        open: Option<OpenCall>,
        deadline: Option<tokio::time::Instant>,
    ) -> Result<http::Response<Body>, S::Error>
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>>,
    {
        let (head, body) = request.into_parts();
        let max_bytes = max_request_bytes(head.uri.path());
        let body = match self.arrivals.whole(body, peer, caller.connection(), max_bytes).await {
            Ok(body) => body,
            Err(status) => {
                return Ok(self.refuse(WarningKind::Arrival, caller, head.uri.path(), status));
            }
        };
        let (running, under_way) = match self.admission.admit(budget) {
            Ok(admitted) => admitted,
            Err(status) => {
                return Ok(self.refuse(WarningKind::InFlight, caller, head.uri.path(), status));
            }
        };
        let answer = match answer_priority(head.uri.path(), &head.headers) {
            None => None,
            Some(priority) => match self.answers.admit(priority) {
                Ok(answer) => Some(answer),
                Err(status) => {
                    return Ok(self.refuse(WarningKind::Overload, caller, head.uri.path(), status));
                }
            },
        };
        if answer.is_some() {
            let arrived = tokio::time::Instant::now();
            tokio::task::yield_now().await;
            self.answers.begun(arrived.elapsed());
            if deadline.is_some_and(|at| at <= tokio::time::Instant::now()) {
                return Ok(too_late().into_http());
            }
        }
        let response = serve_now(inner, http::Request::from_parts(head, body)).await;
        drop((running, answer));
        served_on((open, under_way), response)
    }

    fn refuse(
        &self,
        kind: WarningKind,
        caller: &Caller,
        path: &str,
        status: DetailedStatus,
    ) -> http::Response<Body> {
        let status = Status::from(status);
        let name = caller.principal.as_ref().map_or("", |principal| principal.name.as_str());
        let from = caller.info.as_ref().and_then(|info| info.address);
        let reason = &status.message();
        self.warnings.refused(kind, RefusedCall { path, name, from, reason });
        status.into_http()
    }
}

/// How many bytes of a request are waited for before its service is asked, which has a bound of its own: nodes send each other
/// larger ones than all others do.
fn max_request_bytes(path: &str) -> usize {
    let is_of_others = path.starts_with("/marquee.v1.") || path.starts_with("/marquee.control.v1.");
    if is_of_others { MAX_MESSAGE_BYTES } else { MAX_INTERNAL_MESSAGE_BYTES }
}

/// Serves a stream for as long as it has its place.
async fn serve_stream<S>(
    request: http::Request<Body>,
    inner: S,
    mut place: HeldPlace,
    open: Option<OpenCall>,
) -> Result<http::Response<Body>, S::Error>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
{
    let response = tokio::select! {
        response = serve_now(inner, request) => response?,
        () = place.evicted() => return Ok(evicted().into_http()),
    };
    let held = response.map(|body| Body::new(HeldStream::new(body, place)));
    served_on(open, Ok(held))
}

fn serve_now<S: Service<http::Request<Body>>>(
    mut inner: S,
    request: http::Request<Body>,
) -> S::Future {
    inner.call(request)
}

/// The response, with something that is dropped with its body.
fn served_on<E>(
    held: impl Send + 'static,
    response: Result<http::Response<Body>, E>,
) -> Result<http::Response<Body>, E> {
    Ok(response?.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &held;
            frame
        }))
    }))
}
