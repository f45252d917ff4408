//! gRPC health of one address: each service, and the address as a whole under the empty name.

use futures::FutureExt as _;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::{HealthReporter, HealthService};

/// Whether a router reaches every shard of all that is live: told under a name of its own, and no part of the health of
/// the address, which answers while it reaches any.
pub(super) const FULL_COVERAGE: &str = "marquee.v1.RecommenderService.FullCoverage";

/// The health of the services of one address. All are NOT_SERVING at first; the address is SERVING while
/// every service is.
#[derive(Clone)]
pub struct Readiness {
    reporter: HealthReporter,
    state: Arc<Mutex<State>>,
}

struct State {
    services: BTreeMap<&'static str, bool>,
    closing: bool,
}

impl State {
    fn all_serve(&self) -> bool {
        self.services.iter().all(|(name, serves)| *serves || *name == FULL_COVERAGE)
    }
}

impl Readiness {
    /// The readiness of these services, by their full names, and the gRPC service that reports it.
    pub async fn new(services: &[&'static str]) -> (Self, HealthServer<impl Health>) {
        let reporter = HealthReporter::new();
        for name in services.iter().copied().chain([""]) {
            reporter.set_service_status(name, ServingStatus::NotServing).await;
        }
        let state = State {
            services: services.iter().map(|name| (*name, false)).collect(),
            closing: false,
        };
        let server = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        (Self { reporter, state: Arc::new(Mutex::new(state)) }, server)
    }

    /// Sets whether a service serves. Has no effect once the node is closing.
    pub async fn set(&self, service: &'static str, serves: bool) {
        let all = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.closing {
                return;
            }
            state.services.insert(service, serves);
            state.all_serve()
        };
        self.reporter.set_service_status(service, status(serves)).await;
        self.reporter.set_service_status("", status(all)).await;
    }

    /// Whether every service serves.
    pub fn is_ready(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !state.closing && state.all_serve()
    }

    /// Sets all services to NOT_SERVING for good.
    pub async fn close(&self) {
        let services: Vec<_> = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.closing = true;
            state.services.keys().copied().chain([""]).collect()
        };
        for name in services {
            self.reporter.set_service_status(name, ServingStatus::NotServing).await;
        }
    }

    /// Ends the streams of health watches, so that they do not keep connections open.
    pub fn end_watches(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for name in state.services.keys().copied().chain([""]) {
            let mut reporter = self.reporter.clone();
            // The lock inside is free unless a status is being set, and then a stream that stays
            // costs no more than the bound of the drain.
            let _ = reporter.clear_service_status(name).now_or_never();
        }
    }
}

fn status(serves: bool) -> ServingStatus {
    if serves { ServingStatus::Serving } else { ServingStatus::NotServing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus as Wire;

    #[tokio::test]
    async fn the_whole_serves_when_every_service_does() {
        let (readiness, _) = Readiness::new(&["a", "b"]).await;
        let service = HealthService::from_health_reporter(readiness.reporter.clone());
        let of = async |name: &str| {
            let request = HealthCheckRequest { service: name.into() };
            service.check(tonic::Request::new(request)).await.expect("known").into_inner().status()
        };
        assert_eq!((of("a").await, of("").await), (Wire::NotServing, Wire::NotServing));
        readiness.set("a", true).await;
        assert_eq!((of("a").await, of("").await), (Wire::Serving, Wire::NotServing));
        readiness.set("b", true).await;
        assert_eq!(of("").await, Wire::Serving);
        assert!(readiness.is_ready());
        readiness.set(FULL_COVERAGE, false).await;
        assert!(readiness.is_ready() && of("").await == Wire::Serving);
        readiness.close().await;
        readiness.set("a", true).await;
        assert_eq!(
            (of("a").await, of("b").await, of("").await),
            (Wire::NotServing, Wire::NotServing, Wire::NotServing)
        );
        assert!(!readiness.is_ready());
    }
}
