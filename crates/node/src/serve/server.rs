//! The gRPC server of one address: its socket, its services with limits around them, and its shutdown.

use super::call_headers::CallHeadersLayer;
use super::directory::Directory;
use super::edge::{Admission, Edge, SharedQuotas};
use super::health::Readiness;
use crate::access::Guard;
use crate::config::ServerLimits;
use crate::metrics::CallSource;
use crate::warnings::{WarningKind, Warnings};
use marquee_client::innermost_reason;
use marquee_net::accept;
use marquee_net::connections::{ConnectionCounts, Connections};
use marquee_net::tls::Tls;
use marquee_proto::FILE_DESCRIPTOR_SET;
use marquee_router::Pressure;
use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// Upper bound of a connection's cancelled streams that were not read yet, before it is closed as an attack.
/// Hedged calls and callers' deadlines cancel many streams; the default is 20.
const PENDING_RESETS: usize = 4_096;
/// How often refused and evicted connections are looked for, to warn of them.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Upper bound of the bytes of headers: tokens and traces.
const MAX_HEADER_BYTES: u32 = 64 << 10;
/// Pause between two looks at the requests under way in a drain.
const DRAIN_POLL: Duration = Duration::from_millis(5);
/// The time for the last answers to be sent after their requests have ended.
const FLUSH: Duration = Duration::from_millis(50);

/// The services that every address has.
const OF_EVERY_ADDRESS: &[&str] = &[
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Why an address cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Something else listens there, or the address isn't this machine's.
    #[error(
        "cannot listen on {at}: {source}; stop what listens there or choose another address with {how}"
    )]
    Bind {
        /// The address of the server.
        at: SocketAddr,
        /// The flag or key that changes it.
        how: &'static str,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The server ended without a signal.
    #[error("the server on {at} ended: {reason}")]
    Ended {
        /// The address of the server.
        at: SocketAddr,
        /// Why it ended.
        reason: String,
    },
    /// Reflection could not be built.
    #[error("the descriptors of the protos are broken: {0}")]
    Descriptors(#[from] tonic_reflection::server::Error),
}

/// Opens an address. `how` names the flag or key that changes it, for error messages.
pub async fn bind(at: SocketAddr, how: &'static str) -> Result<TcpListener, ServerError> {
    TcpListener::bind(at).await.map_err(|source| ServerError::Bind { at, how, source })
}

/// Adds reflection, v1 and v1alpha. It lists the services of an address, by their names, and describes all messages.
pub(super) fn with_reflection(routes: Routes, services: &[&str]) -> Result<Routes, ServerError> {
    let v1 = reflection(services).build_v1()?;
    let v1alpha = reflection(services).build_v1alpha()?;
    Ok(routes.add_service(v1).add_service(v1alpha))
}

/// Reflection of Marquee's protos, of health's, of its own, and of the details of errors.
fn reflection<'a>(services: &[&str]) -> tonic_reflection::server::Builder<'a> {
    let mut reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
    for service in services.iter().chain(OF_EVERY_ADDRESS) {
        reflection = reflection.with_service_name(*service);
    }
    reflection
}

/// Who may connect to a server, and what they may call.
pub(super) struct Entrance {
    /// The certificates of the server; none: plain text.
    pub(super) tls: Option<Arc<Tls>>,
    /// Refuses the calls that the table does not allow.
    pub(super) guard: Guard,
    /// How much of what there may be at once.
    pub(super) limits: ServerLimits,
    /// Calls a second, of all addresses of the node together.
    pub(super) quotas: SharedQuotas,
    /// Where refusals are counted.
    pub(super) warnings: Warnings,
    /// Told how hard pressed the process is.
    pub(super) pressure: Pressure,
    /// Where calls and connections are counted.
    pub(super) counted: CallSource,
    /// What is served here, and where the rest is.
    pub(super) directory: Directory,
}

/// The signal that ends a server, and how long it waits for requests.
pub(super) struct Shutdown {
    /// Becomes true when the node is to end.
    pub(super) signal: watch::Receiver<bool>,
    /// The time that requests under way get to complete.
    pub(super) drain: Duration,
}

/// Serves until the signal, then drains: health is NOT_SERVING, new requests are refused, requests
/// under way have `drain` to complete.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Routes,
    entrance: Entrance,
    readiness: Readiness,
    shutdown: Shutdown,
) -> Result<(), ServerError> {
    let at = listener.local_addr().map_err(|e| ended(None, &e))?;
    let Entrance { tls, guard, limits, quotas, warnings, pressure, counted, directory } = entrance;
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let edge = Edge::new(&limits, quotas, warnings.clone(), threads, pressure);
    let connections = Connections::new(limits.connections);
    counted.add_connections(connections.clone());
    let incoming =
        TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(limits.keepalive));
    let incoming = accept(incoming, tls, connections.clone());
    let Shutdown { signal, drain } = shutdown;
    let server = Server::builder()
        // Outside of all: what is refused counts, too.
        .layer(counted.calls.clone())
        // Outside all others: also a refusal names the call that it is of.
        .layer(CallHeadersLayer)
        // Outside the limits: those who are not let in take no place from those who are.
        .layer(guard)
        .layer(edge.clone())
        .layer(directory)
        .max_concurrent_streams(limits.streams_per_connection)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(PENDING_RESETS))
        // A peer that lost its power closes no connection, and its streams would stay open. One that has sent half of a
        // request's headers cannot answer either.
        .http2_keepalive_interval(Some(limits.keepalive))
        .http2_keepalive_timeout(Some(limits.keepalive / 2))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, signalled(signal.clone()));
    tokio::pin!(server);
    tokio::select! {
        result = &mut server => {
            if let Err(error) = result {
                return Err(ended(Some(at), &error));
            }
        }
        () = async {
            signalled(signal).await;
            readiness.close().await;
            until_drained(edge.admission(), drain).await;
            readiness.end_watches();
            tokio::time::sleep(FLUSH).await;
        } => {}
        () = warn_of_connections(&connections, &warnings) => {}
    }
    Ok(())
}

/// Warns of connections for which there was no room, for as long as it is polled.
async fn warn_of_connections(connections: &Connections, warnings: &Warnings) {
    let mut before = 0;
    loop {
        tokio::time::sleep(COUNT_EVERY).await;
        let ConnectionCounts { open: _, refused, evicted, idle: _ } = connections.counts();
        for _ in before..refused + evicted {
            warnings.count(WarningKind::Connections);
        }
        before = refused + evicted;
    }
}

/// Waits for the signal.
async fn signalled(mut signal: watch::Receiver<bool>) {
    // Without a sender the node is gone.
    let _ = signal.wait_for(|end| *end).await;
}

/// Waits for the requests under way. New ones on connections that are open are served until the
/// connection is told of the end, which takes a round trip.
async fn until_drained(admission: &Admission, drain: Duration) {
    tokio::time::sleep(FLUSH.min(drain)).await;
    admission.drain();
    let waiting = async {
        while admission.under_way() > 0 {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    };
    if tokio::time::timeout(drain, waiting).await.is_err() {
        tracing::warn!(
            requests = admission.under_way(),
            ?drain,
            "dropped requests that did not complete in time"
        );
    }
}

fn ended(at: Option<SocketAddr>, error: &dyn std::error::Error) -> ServerError {
    let at = at.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    ServerError::Ended { at, reason: innermost_reason(error) }
}

/// Ends with the first SIGTERM or SIGINT. SIGHUP, which a closed terminal sends and other servers take as "read your files
/// again", changes nothing: certificates, tokens and roots are read again by themselves.
pub fn until_told_to_end() -> std::io::Result<impl Future<Output = ()> + Send> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut term, mut int) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hangup = signal(SignalKind::hangup())?;
        Ok(async move {
            loop {
                tokio::select! {
                    _ = term.recv() => return,
                    _ = int.recv() => return,
                    _ = hangup.recv() => tracing::info!(
                        "got SIGHUP and goes on: changed certificates and tokens are noticed without it, and other changes \
                         of the config need a restart"
                    ),
                }
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ServerSection, check_limits};
    use marquee_client::testing::GatedRecommender;
    use marquee_client::{Connection, Credentials, channel, loopback_address};
    use marquee_core::limits::quota::Quotas;
    use marquee_proto::v1::RecommendRequest;
    use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
    use tokio::task::JoinHandle;
    use tonic::Code;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;

    /// The service of the tests, as health names it.
    const SERVICE: &str = "marquee.v1.RecommenderService";

    struct Running {
        recommender: GatedRecommender,
        gate: watch::Sender<bool>,
        channel: Connection,
        end: watch::Sender<bool>,
        server: JoinHandle<Result<(), ServerError>>,
    }

    async fn start(max_in_flight: usize, drain: Duration) -> Running {
        let (recommender, gate) = GatedRecommender::new(false);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = bind(any, "--listen").await.expect("a free port");
        let address = loopback_address(listener.local_addr().expect("bound"));
        let (readiness, health) = Readiness::new(&[SERVICE]).await;
        readiness.set(SERVICE, true).await;
        let routes = Routes::new(recommender.server()).add_service(health);
        let routes = with_reflection(routes, &[SERVICE]).expect("descriptors");
        let (end, signal) = watch::channel(false);
        let section = ServerSection { max_in_flight, ..ServerSection::default() };
        let entrance = Entrance {
            tls: None,
            guard: Guard::new(None, Warnings::new()),
            limits: check_limits(&section).map_err(|refusal| refusal.reason).expect("in bounds"),
            quotas: SharedQuotas::new(Quotas::default()),
            warnings: Warnings::new(),
            pressure: Pressure::default(),
            counted: CallSource::new(Warnings::new()),
            directory: Directory::new(&[SERVICE], watch::channel(Arc::default()).1, Vec::new()),
        };
        let server = serve(listener, routes, entrance, readiness, Shutdown { signal, drain });
        let server = tokio::spawn(server);
        let channel = channel(&address, &Credentials::none());
        Running { recommender, gate, channel, end, server }
    }

    impl Running {
        fn ask(&self) -> JoinHandle<Result<(), tonic::Status>> {
            let mut client = RecommenderServiceClient::new(self.channel.clone());
            tokio::spawn(async move {
                let request = RecommendRequest { user_id: "u".into(), ..Default::default() };
                client.recommend(request).await.map(|_| ())
            })
        }

        async fn until_asked(&self, times: u64) {
            while self.recommender.asked() < times {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }

        async fn health(&self) -> Option<ServingStatus> {
            let request = HealthCheckRequest { service: SERVICE.into() };
            let answer = HealthClient::new(self.channel.clone()).check(request).await.ok()?;
            Some(answer.into_inner().status())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_under_way_are_answered_before_the_end() {
        let mut running = start(10, Duration::from_secs(60)).await;
        let watched = HealthClient::new(running.channel.clone())
            .watch(HealthCheckRequest { service: SERVICE.into() })
            .await
            .expect("watched");
        let mut statuses = watched.into_inner();
        let first = statuses.message().await.expect("a status").expect("a status");
        assert_eq!(first.status(), ServingStatus::Serving);
        let under_way = running.ask();
        running.until_asked(1).await;
        running.end.send_replace(true);
        let closed = statuses.message().await.expect("a status").expect("a status");
        assert_eq!(closed.status(), ServingStatus::NotServing);
        running.gate.send_replace(true);
        under_way.await.expect("no panic").expect("answered though the node ends");
        (&mut running.server).await.expect("no panic").expect("ended well");
        running.ask().await.expect("no panic").expect_err("the node has ended");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_that_never_ends_does_not_hold_up_the_end() {
        let running = start(10, Duration::from_millis(100)).await;
        let stuck = running.ask();
        running.until_asked(1).await;
        running.end.send_replace(true);
        running.server.await.expect("no panic").expect("ended though a request is under way");
        stuck.abort();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_beyond_the_bound_are_refused_and_health_is_not() {
        let running = start(2, Duration::from_secs(60)).await;
        let admitted = [running.ask(), running.ask()];
        running.until_asked(2).await;
        let status = running.ask().await.expect("no panic").expect_err("one too many");
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("max_in_flight"), "{status:?}");
        assert_eq!(running.health().await, Some(ServingStatus::Serving));
        running.gate.send_replace(true);
        for admitted in admitted {
            admitted.await.expect("no panic").expect("answered");
        }
        running.ask().await.expect("no panic").expect("there is room again");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_hangup_does_not_end_a_node() {
        let ended = until_told_to_end().expect("signals");
        tokio::pin!(ended);
        let process = rustix::process::getpid();
        // Without a handler this would be the end of the test.
        rustix::process::kill_process(process, rustix::process::Signal::HUP).expect("sent");
        let waited = tokio::time::timeout(Duration::from_millis(50), &mut ended).await;
        assert!(waited.is_err(), "it went on");
        rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("sent");
        ended.await;
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_what_changes_it() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let taken = bind(any, "--listen").await.expect("a free port");
        let at = taken.local_addr().expect("bound");
        let error = bind(at, "--listen").await.expect_err("taken").to_string();
        assert!(error.contains(&at.to_string()) && error.contains("--listen"), "{error}");
    }
}
