//! The layer that lets calls in, or refuses them before anything of them is decoded.

use super::authenticator::Authenticator;
use marquee_core::access::{Access, AccessError, Principal, access_to, decide};
use marquee_net::tls::PeerInfo;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Milliseconds between two log lines of refusals: a flood of calls must not be a flood of lines.
const LOG_EVERY_MS: i64 = 1_000;

/// The guard of one address. Clones share it.
#[derive(Clone)]
pub(crate) struct Guard {
    /// None where access is not controlled.
    authenticator: Option<Arc<Authenticator>>,
    refusals: Arc<Refusals>,
}

impl Guard {
    /// Lets in those whom the authenticator knows and core's table allows; without one, all.
    pub(crate) fn new(authenticator: Option<Arc<Authenticator>>) -> Self {
        Self { authenticator, refusals: Arc::default() }
    }

    /// Who makes the call, if it is allowed.
    fn check<B>(&self, request: &http::Request<B>) -> Result<Option<Principal>, Status> {
        let Some(authenticator) = &self.authenticator else { return Ok(None) };
        let path = request.uri().path();
        if access_to(path) == Some(Access::Public) {
            return Ok(None);
        }
        let peer = request.extensions().get::<PeerInfo>();
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let refused = |status: Status, name: &str| {
            let from = peer.and_then(|peer| peer.address);
            self.refusals.log(now_ms, path, name, from, status.message());
            status
        };
        let principal = authenticator
            .identify(peer, request.headers(), now_ms)
            .map_err(|reason| refused(Status::unauthenticated(reason), ""))?;
        match decide(path, principal.as_ref()) {
            Ok(()) => Ok(principal),
            Err(error @ AccessError::Unauthenticated) => {
                Err(refused(Status::unauthenticated(error.to_string()), ""))
            }
            Err(error @ AccessError::Denied { .. }) => {
                let name = principal.map(|principal| principal.name).unwrap_or_default();
                Err(refused(Status::permission_denied(error.to_string()), &name))
            }
        }
    }
}

/// Refusals since the last line about them.
#[derive(Debug, Default)]
struct Refusals {
    logged_ms: AtomicI64,
    unlogged: AtomicU64,
}

impl Refusals {
    fn log(&self, now_ms: i64, path: &str, name: &str, from: Option<SocketAddr>, reason: &str) {
        let before = self.logged_ms.load(Ordering::Acquire);
        let is_due = now_ms - before >= LOG_EVERY_MS
            && self
                .logged_ms
                .compare_exchange(before, now_ms, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        if !is_due {
            self.unlogged.fetch_add(1, Ordering::AcqRel);
            return;
        }
        let others = self.unlogged.swap(0, Ordering::AcqRel);
        tracing::warn!(?path, ?name, ?from, reason, others, "refused a call");
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }
}

/// A service behind a [`Guard`].
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S, B> Service<http::Request<B>> for Guarded<S>
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

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        match self.guard.check(&request) {
            Err(status) => Box::pin(std::future::ready(Ok(status.into_http()))),
            Ok(principal) => {
                if let Some(principal) = principal {
                    request.extensions_mut().insert(Arc::new(principal));
                }
                Box::pin(self.inner.call(request))
            }
        }
    }
}
