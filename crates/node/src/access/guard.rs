//! The layer that lets calls in, or refuses them before anything of them is decoded.

use super::authenticator::Authenticator;
use crate::warnings::{RefusedCall, WarningKind, Warnings};
use marquee_core::access::{Access, AccessError, Principal, access_to, decide};
use marquee_net::tls::PeerInfo;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// The guard of one address. Clones share it.
#[derive(Clone)]
pub(crate) struct Guard {
    /// None where access is not controlled.
    authenticator: Option<Arc<Authenticator>>,
    warnings: Warnings,
}

impl Guard {
    /// Lets in those whom the authenticator knows and core's table allows; without one, all.
    pub(crate) fn new(authenticator: Option<Arc<Authenticator>>, warnings: Warnings) -> Self {
        Self { authenticator, warnings }
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
            let refused = RefusedCall { path, name, from, reason: &status.message() };
            self.warnings.refused(WarningKind::Access, refused);
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
