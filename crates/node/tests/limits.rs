//! Attacks on the places of a node over real sockets, each beside an honest caller who must hardly notice: calls of
//! headers only, open streams, idle connections, halves of handshakes and of headers. And quotas, and the details of
//! refusals.

use futures::stream;
use marquee_client::{Address, Connection, Credentials, channel};
use marquee_net::PREFACE;
use marquee_node::config::Config;
use marquee_node::serve::{RunningNode, open_listeners};
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::control::v1::{
    DeleteModelRequest, GetStatusRequest, PutEnsembleRequest, ReportTelemetryRequest,
    WatchPlanRequest, WatchPlanResponse,
};
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{RecommendRequest, RecommendResponse};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

const RECOMMEND: &str = "/marquee.v1.RecommenderService/Recommend";
const REPORT_TELEMETRY: &str = "/marquee.control.v1.ControlService/ReportTelemetry";
/// An empty SETTINGS frame (RFC 9113, section 6.5), which follows the preface.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// How many calls an honest caller makes beside an attack.
const HONEST_CALLS: usize = 300;

/// A node with all roles and no certificates.
struct World {
    at: SocketAddr,
    address: Address,
    node: RunningNode,
    _dir: tempfile::TempDir,
}

impl World {
    /// Starts it with these keys in its section `[server]`.
    async fn start(server: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            free.local_addr().expect("bound").port()
        };
        let text = format!(
            "[node]\nid = \"n-1\"\nlisten = \"127.0.0.1:{port}\"\ndata_dir = \"{}\"\n\
             [control]\nid = 1\nreplication_factor = 1\n\
             voters = [{{ id = 1, address = \"http://127.0.0.1:{port}\" }}]\n\
             [server]\n{server}\n",
            dir.path().display(),
        );
        let config = Config::parse(Path::new("node.toml"), &text).expect("a config");
        let listeners = open_listeners(&config, "the test").await.expect("open");
        let node = RunningNode::start(&config, listeners).await.expect("started");
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let address = format!("http://{at}").parse().expect("an address");
        let world = Self { at, address, node, _dir: dir };
        while control(world.connection()).get_status(GetStatusRequest {}).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        while honest_call(world.connection()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        world
    }

    /// A connection of its own.
    fn connection(&self) -> Connection {
        channel(&self.address, &Credentials::none())
    }

    async fn raw(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.at).await.expect("connected");
        // It may have been closed already.
        let _ = stream.write_all(bytes).await;
        stream
    }

    /// How many of the honest caller's calls are served, of [`HONEST_CALLS`].
    async fn served(&self, connect_anew: bool) -> usize {
        let mut connection = self.connection();
        let mut served = 0;
        for _ in 0..HONEST_CALLS {
            if connect_anew {
                connection = self.connection();
            }
            match honest_call(connection.clone()).await {
                Ok(()) => served += 1,
                Err(status) => eprintln!("an honest call failed: {status:?}"),
            }
        }
        served
    }
}

fn control(connection: Connection) -> ControlServiceClient<Connection> {
    ControlServiceClient::new(connection)
}

/// A call that the router serves: nothing is live, so it answers that.
async fn honest_call(connection: Connection) -> Result<(), Status> {
    let request = RecommendRequest { user_id: "u".into(), ..RecommendRequest::default() };
    match RecommenderServiceClient::new(connection).recommend(request).await {
        Ok(_) => Ok(()),
        Err(status) if status.code() == Code::NotFound => Ok(()),
        Err(status) => Err(status),
    }
}

/// A call that sends headers and nothing else, for as long as it is let.
async fn headers_only(connection: Connection, path: &'static str) -> Status {
    let mut client = tonic::client::Grpc::new(connection);
    if let Err(error) = client.ready().await {
        return Status::unavailable(error.to_string());
    }
    let codec = ProstCodec::<RecommendRequest, RecommendResponse>::default();
    let request = tonic::Request::new(stream::pending::<RecommendRequest>());
    let answered = client.client_streaming(request, path.parse().expect("a path"), codec).await;
    answered.map(drop).expect_err("nothing was asked")
}

fn is_enough(served: usize) -> bool {
    served * 100 >= HONEST_CALLS * 99
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_headers_only_take_no_places() {
    let world = World::start("max_in_flight = 64\nrequest_seconds = 1").await;
    let ended = Arc::new(AtomicUsize::new(0));
    let mut attack = JoinSet::new();
    for _ in 0..3 {
        let connection = world.connection();
        for _ in 0..1_000 {
            let (connection, ended) = (connection.clone(), Arc::clone(&ended));
            attack.spawn(async move {
                loop {
                    let status = headers_only(connection.clone(), RECOMMEND).await;
                    let codes = [Code::DeadlineExceeded, Code::ResourceExhausted];
                    assert!(codes.contains(&status.code()), "{status:?}");
                    ended.fetch_add(1, Ordering::AcqRel);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
    }
    // Until as many calls have ended as there are places for them.
    while ended.load(Ordering::Acquire) < 3_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let served = world.served(false).await;
    assert!(is_enough(served), "{served} of {HONEST_CALLS}");
    assert!(attack.try_join_next().is_none(), "it goes on");
    attack.shutdown().await;
    let status = headers_only(world.connection(), RECOMMEND).await;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(status.message().contains("server.request_seconds"), "{status:?}");
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_take_no_places_of_others() {
    let world = World::start("max_in_flight = 64").await;
    let follow = |connection: Connection| async move {
        let request = WatchPlanRequest { node_id: "n".into() };
        control(connection).watch_plan(request).await.map(tonic::Response::into_inner)
    };
    let mut before = follow(world.connection()).await.expect("a follower");
    let _: WatchPlanResponse = before.message().await.expect("a plan").expect("a plan");

    let mut attack = JoinSet::new();
    for _ in 0..4 {
        let connection = world.connection();
        for _ in 0..1_024 {
            attack.spawn(headers_only(connection.clone(), REPORT_TELEMETRY));
        }
    }
    let (mut watched, mut refused) = (Vec::new(), 0);
    for _ in 0..4 {
        let connection = world.connection();
        for _ in 0..500 {
            match follow(connection.clone()).await {
                Ok(streaming) => watched.push(streaming),
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                    refused += 1;
                }
            }
        }
    }
    assert!(watched.len() < 100 && refused > 1_900, "{} watch, {refused} refused", watched.len());
    let served = world.served(false).await;
    assert!(is_enough(served), "{served} of {HONEST_CALLS}");
    let mut ended = 0;
    while let Some(status) = attack.try_join_next() {
        let status = status.expect("no panic");
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.get_error_details().retry_info().is_some(), "{status:?}");
        ended += 1;
    }
    assert!(ended > 4_000, "{ended} of 4,096 were refused");

    // Nodes that come and report find places; the one that was there has kept its own.
    let mut after = follow(world.connection()).await.expect("another follower");
    let _: WatchPlanResponse = after.message().await.expect("a plan").expect("a plan");
    let empty = stream::empty::<ReportTelemetryRequest>();
    control(world.connection()).report_telemetry(empty).await.expect("a node reports");
    control(world.connection()).get_status(GetStatusRequest {}).await.expect("an operator looks");
    let still = tokio::time::timeout(Duration::from_millis(50), before.message()).await;
    assert!(!matches!(still, Ok(Err(_) | Ok(None))), "{still:?}");
    attack.shutdown().await;
    drop((watched, before, after));
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_keep_no_one_out() {
    let world = World::start("max_connections = 60").await;
    let begun = [PREFACE.as_slice(), &SETTINGS].concat();
    let mut idle = Vec::new();
    for n in 0..300 {
        // Some say nothing at all, and some begin and then make no call.
        idle.push(world.raw(if n % 2 == 0 { &[] } else { &begun }).await);
    }
    let served = world.served(true).await;
    assert!(is_enough(served), "{served} of {HONEST_CALLS}");
    let mut closed = 0;
    for stream in &mut idle {
        let mut said = Vec::new();
        let read = stream.read_to_end(&mut said);
        closed += usize::from(tokio::time::timeout(Duration::from_millis(5), read).await.is_ok());
    }
    assert!(closed >= 240, "{closed} of 300 gave way");
    world.node.shutdown().await;
}

/// Whether the server closes the connection, after whatever it says first.
async fn is_closed(mut stream: TcpStream) -> bool {
    let mut said = Vec::new();
    let read = stream.read_to_end(&mut said);
    // A broken connection is closed too.
    tokio::time::timeout(Duration::from_secs(60), read).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_do_not_go_on_are_closed() {
    let text = "handshake_seconds = 1\nidle_seconds = 1\nkeepalive_seconds = 3600";
    let world = World::start(text).await;
    let silent = world.raw(&[]).await;
    let half_a_preface = world.raw(&PREFACE[..10]).await;
    let other = world.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let begun = [PREFACE.as_slice(), &SETTINGS].concat();
    let idle = world.raw(&begun).await;
    let (a, b, c, d) = tokio::join!(
        is_closed(silent),
        is_closed(half_a_preface),
        is_closed(other),
        is_closed(idle)
    );
    assert_eq!((a, b, c, d), (true, true, true, true));
    // Who was closed while he had nothing to say is served again when he has.
    let connection = world.connection();
    for _ in 0..2 {
        honest_call(connection.clone()).await.expect("served");
        tokio::time::sleep(Duration::from_millis(2_500)).await;
    }
    world.node.shutdown().await;

    let world = World::start("keepalive_seconds = 1").await;
    // A HEADERS frame of 100 bytes, of which ten come.
    let half = [begun.as_slice(), &[0, 0, 100, 1, 4, 0, 0, 0, 1], &[0; 10]].concat();
    assert!(is_closed(world.raw(&half).await).await);
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_hold_without_a_proof_and_health_has_none() {
    let quota = "[[server.quotas]]\nanonymous = true\ncalls_per_second = 1\nburst = 200\n";
    let world = World::start(quota).await;
    let connection = world.connection();
    let mut last = Ok(());
    for _ in 0..1_000 {
        last = honest_call(connection.clone()).await;
        if last.is_err() {
            break;
        }
    }
    let status = last.expect_err("beyond the quota");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("1 calls a second, 200 at once"), "{status:?}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("OVER_QUOTA"));
    let delay = details.retry_info().and_then(|retry| retry.retry_delay).expect("a delay");
    assert!(delay > Duration::ZERO && delay <= Duration::from_secs(1), "{delay:?}");
    for _ in 0..100 {
        let request = HealthCheckRequest::default();
        HealthClient::new(connection.clone()).check(request).await.expect("no quota");
    }
    tokio::time::sleep(delay).await;
    honest_call(connection).await.expect("after the delay that was said");
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_the_field_in_details() {
    let world = World::start("").await;
    let field = |status: Status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let details = status.get_error_details();
        let request = details.bad_request().expect("a bad request").clone();
        let violation = request.field_violations.into_iter().next().expect("a violation");
        assert_eq!(violation.description, status.message());
        violation.field
    };
    let mut recommender = RecommenderServiceClient::new(world.connection());
    let status = recommender.recommend(RecommendRequest::default()).await.expect_err("no user");
    assert_eq!(field(status), "user_id");
    let mut control = control(world.connection());
    let status = control.put_ensemble(PutEnsembleRequest::default()).await.expect_err("nothing");
    assert_eq!(field(status), "ensemble");
    let request = DeleteModelRequest { model: "films".into(), ..DeleteModelRequest::default() };
    let status = control.delete_model(request).await.expect_err("no such model");
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
    world.node.shutdown().await;
}
