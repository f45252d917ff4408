//! Who gets in, over real sockets: callers without a certificate, with a caller's, with a node's of another id, with
//! one that has expired or is of another authority; and certificates and tokens that are replaced under load.

use marquee_client::{Address, Connection, Credentials, channel};
use marquee_core::access::{Access, AccessRole, TABLE};
use marquee_net::issue::{Authority, CertificateOrder, Day};
use marquee_net::tls::TlsFiles;
use marquee_node::access::hash_of_token;
use marquee_node::config::Config;
use marquee_node::serve::{RunningNode, open_listeners};
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::control::v1::{
    GetPlanRequest, GetStatusRequest, Node, ReportNodeRequest, ReportTelemetryRequest, Role,
    WatchPlanRequest,
};
use marquee_proto::raft::v1::raft_service_client::RaftServiceClient;
use marquee_proto::raft::v1::{Message, StepRequest};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tonic::{Code, Status};

const LONG_AGO: Day = (2020, 1, 1);
const EXPIRED: Day = (2021, 1, 1);
const FAR_AHEAD: Day = (2090, 1, 1);

/// A node with all roles, its authority, and the files of both.
struct World {
    dir: tempfile::TempDir,
    authority: Authority,
    address: Address,
    node: RunningNode,
}

fn uri(roles: &str, name: &str) -> String {
    format!("spiffe://test/marquee/{roles}/{name}")
}

/// Writes a certificate and its key, and returns their paths.
fn issue(
    authority: &Authority,
    dir: &Path,
    (roles, name): (&str, &str),
    until: Day,
) -> (PathBuf, PathBuf) {
    let order = CertificateOrder {
        uris: vec![uri(roles, name)],
        hosts: vec!["127.0.0.1".into(), "localhost".into()],
        from: LONG_AGO,
        until,
    };
    let issued = authority.issue(&order).expect("issued");
    let path = |extension: &str| dir.join(format!("{name}-{roles}.{extension}"));
    // One after the other, as a careless operator would: for a moment they do not belong together.
    std::fs::write(path("pem"), issued.certificate).expect("written");
    std::fs::write(path("key"), issued.key).expect("written");
    (path("pem"), path("key"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

impl World {
    async fn start(more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::new(LONG_AGO, FAR_AHEAD).expect("an authority");
        Self::start_with(dir, authority, "", more).await
    }

    /// Starts with a directory and an authority, and with more in `[tls]` and at the end of the config.
    async fn start_with(
        dir: tempfile::TempDir,
        authority: Authority,
        more_tls: &str,
        more: &str,
    ) -> Self {
        std::fs::write(dir.path().join("ca.pem"), authority.certificate()).expect("written");
        issue(&authority, dir.path(), ("control.shard.router", "n-1"), FAR_AHEAD);
        std::fs::write(dir.path().join("tokens.toml"), "").expect("written");
        let port = free_port();
        let text = format!(
            "[node]\nid = \"n-1\"\nlisten = \"127.0.0.1:{port}\"\ndata_dir = \"data\"\n\
             [cluster]\nname = \"test\"\n\
             [control]\nid = 1\nreplication_factor = 1\n\
             voters = [{{ id = 1, address = \"https://127.0.0.1:{port}\", node = \"n-1\" }}]\n\
             [tls]\ncertificate = \"n-1-control.shard.router.pem\"\nkey = \"n-1-control.shard.router.key\"\n\
             trust = \"ca.pem\"\n{more_tls}\
             [auth]\ntokens_file = \"tokens.toml\"\n{more}"
        );
        let config = Config::parse(&dir.path().join("node.toml"), &text).expect("a config");
        let listeners = open_listeners(&config, "the test").await.expect("open");
        let node = RunningNode::start(&config, listeners).await.expect("started");
        let address = format!("https://127.0.0.1:{port}").parse().expect("an address");
        Self { dir, authority, address, node }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The connection of one who has this certificate, or none.
    fn with(&self, own: Option<(PathBuf, PathBuf)>) -> Connection {
        let files = TlsFiles { own, trust: self.path("ca.pem"), client_trust: None, revoked: None };
        channel(&self.address, &Credentials::read(Some(files), None).expect("read"))
    }

    /// The connection of one with these roles and this name.
    fn of(&self, roles: &str, name: &str) -> Connection {
        self.with(Some(issue(&self.authority, self.dir.path(), (roles, name), FAR_AHEAD)))
    }

    fn with_token(&self, token: &str) -> Connection {
        let path = self.path("one.token");
        std::fs::write(&path, token).expect("written");
        let files =
            TlsFiles { own: None, trust: self.path("ca.pem"), client_trust: None, revoked: None };
        channel(&self.address, &Credentials::read(Some(files), Some(&path)).expect("read"))
    }
}

async fn status_of(connection: Connection) -> Result<(), Status> {
    ControlServiceClient::new(connection).get_status(GetStatusRequest {}).await.map(drop)
}

/// Whether a call failed because the server closed the connection. In TLS 1.3 it does so after the handshake, so the
/// code may be any.
fn is_of_the_connection(status: &Status) -> bool {
    std::error::Error::source(status).is_some_and(|source| source.is::<tonic::transport::Error>())
}

/// What the guard says to a call of this path with an empty message; other refusals of the call count as Ok.
async fn code_of(connection: &Connection, path: &str) -> Code {
    let mut client = tonic::client::Grpc::new(connection.clone());
    if client.ready().await.is_err() {
        return Code::Unavailable;
    }
    let codec = tonic_prost::ProstCodec::<GetStatusRequest, GetStatusRequest>::default();
    let mut request = tonic::Request::new(futures::stream::iter([GetStatusRequest {}]));
    request.set_timeout(Duration::from_secs(20));
    let path = path.parse().expect("a path");
    match client.streaming(request, path, codec).await {
        Err(status) if status.code() == Code::Unauthenticated => Code::Unauthenticated,
        Err(status) if status.message().contains("may not do this") => status.code(),
        Ok(_) | Err(_) => Code::Ok,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_can_call_what_the_table_lists_for_it_and_nothing_else() {
    let world = World::start("").await;
    let (nobody, unknown) = (world.with(None), world.with_token("mrq_unknown"));
    let mut principals = Vec::new();
    for role in AccessRole::ALL {
        principals.push((role, world.of(role.name(), "n-1")));
    }
    let mut cells = 0;
    for (path, access) in TABLE {
        let public = *access == Access::Public;
        for connection in [&nobody, &unknown] {
            let code = code_of(connection, path).await;
            assert_eq!(code == Code::Ok, public, "{path} without proof: {code:?}");
        }
        for (role, connection) in &principals {
            let allowed = match access {
                Access::Public | Access::Identified => true,
                Access::Roles(roles) => roles.contains(role),
            };
            let code = code_of(connection, path).await;
            let expected = if allowed { Code::Ok } else { Code::PermissionDenied };
            assert_eq!(code, expected, "{role} calls {path}");
            cells += 1;
        }
    }
    assert_eq!(cells, TABLE.len() * AccessRole::ALL.len());
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_are_missing_expired_or_of_others_open_nothing() {
    let world = World::start("").await;
    let refused = |connection| async { status_of(connection).await.expect_err("refused").code() };
    assert_eq!(refused(world.with(None)).await, Code::Unauthenticated);
    assert_eq!(refused(world.of("caller", "web")).await, Code::PermissionDenied);
    status_of(world.of("operator", "alice")).await.expect("she operates");

    let expired = issue(&world.authority, world.dir.path(), ("admin", "old"), EXPIRED);
    let status = status_of(world.with(Some(expired))).await.expect_err("it has expired");
    assert!(is_of_the_connection(&status), "{status:?}");

    let other = Authority::new(LONG_AGO, FAR_AHEAD).expect("an authority");
    let forged = issue(&other, world.dir.path(), ("admin", "forged"), FAR_AHEAD);
    let status = status_of(world.with(Some(forged))).await.expect_err("another authority's");
    assert!(is_of_the_connection(&status), "{status:?}");

    let foreign = world.authority.issue(&CertificateOrder {
        uris: vec!["spiffe://elsewhere/marquee/admin/x".into()],
        hosts: vec!["127.0.0.1".into()],
        from: LONG_AGO,
        until: FAR_AHEAD,
    });
    let foreign = foreign.expect("issued");
    let own = (world.path("x.pem"), world.path("x.key"));
    std::fs::write(&own.0, foreign.certificate).expect("written");
    std::fs::write(&own.1, foreign.key).expect("written");
    assert_eq!(refused(world.with(Some(own))).await, Code::Unauthenticated);
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_reports_as_itself_only_and_raft_takes_voters_only() {
    let world = World::start("").await;
    let report = |node_id: &str, role: Role| ReportNodeRequest {
        node_id: node_id.into(),
        address: "https://127.0.0.1:1".into(),
        roles: vec![role.into()],
        ..ReportNodeRequest::default()
    };
    let mut other = ControlServiceClient::new(world.of("shard", "s-7"));
    for (node_id, role) in [("n-1", Role::Shard), ("s-8", Role::Shard), ("s-7", Role::Router)] {
        let status = other.report_node(report(node_id, role)).await.expect_err("not itself");
        assert_eq!(status.code(), Code::PermissionDenied, "{node_id} {role:?}");
    }
    let watch = other.watch_plan(WatchPlanRequest { node_id: "n-1".into() }).await;
    assert_eq!(watch.map(drop).expect_err("not itself").code(), Code::PermissionDenied);
    let forged = ReportTelemetryRequest { node_id: "r-1".into(), window: None };
    let mut router = ControlServiceClient::new(world.of("router", "r-2"));
    let telemetry = router.report_telemetry(futures::stream::iter([forged])).await;
    assert_eq!(telemetry.map(drop).expect_err("not itself").code(), Code::PermissionDenied);

    let plan = ControlServiceClient::new(world.of("operator", "alice"));
    let nodes =
        plan.clone().get_plan(GetPlanRequest::default()).await.expect("a plan").into_inner();
    let nodes: Vec<Node> = nodes.plan.unwrap_or_default().nodes;
    assert!(nodes.iter().all(|node| node.node_id == "n-1"), "{nodes:?}");
    other.report_node(report("s-7", Role::Shard)).await.expect("itself");

    // A control node, but no voter of this group; then the voter itself, in another's name.
    let message = |from| Message { from, to: 1, term: u64::MAX, ..Message::default() };
    let step = |from| {
        let message = Some(message(from));
        futures::stream::iter([StepRequest { cluster: 0, message }])
    };
    let mut outsider = RaftServiceClient::new(world.of("control", "c-9"));
    let status = outsider.step(step(1)).await.map(drop).expect_err("no voter");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("none of this group's voters"), "{status:?}");
    let mut status = ControlServiceClient::new(world.of("admin", "root"));
    let term = status.get_status(GetStatusRequest {}).await.expect("a status").into_inner().term;
    assert!(term < 1_000, "{term}");
    world.node.shutdown().await;
}

/// Calls all the time, each on a new connection and over an old one, while certificates of both ends and a token
/// change ten times a second. No call may fail.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_tokens_are_replaced_under_load_without_a_failed_call() {
    let world = Arc::new(World::start("").await);
    let token = |n: u32| format!("mrq_token_{n}");
    let write_tokens = |valid: &[u32]| {
        let mut text = String::new();
        for n in valid {
            let hash = hash_of_token(&token(*n));
            text += &format!(
                "[[token]]\nname = \"web\"\nroles = [\"operator\"]\nblake3 = \"{hash}\"\n\
                 expires = \"2090-01-01T00:00:00Z\"\n"
            );
        }
        let path = world.path("tokens.new");
        std::fs::write(&path, text).expect("written");
        std::fs::rename(path, world.path("tokens.toml")).expect("renamed");
    };
    let (done, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let open = world.of("operator", "alice");
    let mut load = Vec::new();
    for fresh in [true, false] {
        let (world, done, calls, open) = (world.clone(), done.clone(), calls.clone(), open.clone());
        load.push(tokio::spawn(async move {
            while !done.load(Ordering::Acquire) {
                // The files of this user do not change: a fresh connection reads them again.
                let own = (world.path("alice-operator.pem"), world.path("alice-operator.key"));
                let connection = if fresh { world.with(Some(own)) } else { open.clone() };
                status_of(connection).await.expect("no call fails");
                calls.fetch_add(1, Ordering::AcqRel);
            }
        }));
    }
    for n in 0..30_u32 {
        issue(&world.authority, world.dir.path(), ("control.shard.router", "n-1"), FAR_AHEAD);
        // The token that is in use and the next one.
        write_tokens(&[n / 10, n / 10 + 1]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    done.store(true, Ordering::Release);
    for one in load {
        one.await.expect("no call failed");
    }
    assert!(calls.load(Ordering::Acquire) > 20, "{calls:?}");

    // The file is looked at every second.
    let mut valid = false;
    for _ in 0..300 {
        valid = status_of(world.with_token(&token(3))).await.is_ok();
        if valid {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(valid, "the new token is taken");
    let old = status_of(world.with_token(&token(0))).await.expect_err("withdrawn");
    assert_eq!(old.code(), Code::Unauthenticated);
    assert!(!old.message().contains("mrq_"), "{old:?}");
}

/// A certificate is replaced by what is none, and by one of an authority that is not trusted any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_the_old_one_and_withdrawn_roots_end_connections() {
    let world = World::start("").await;
    let operator = world.of("operator", "alice");
    status_of(operator.clone()).await.expect("she operates");
    std::fs::write(world.path("n-1-control.shard.router.pem"), "no certificate").expect("written");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    status_of(world.of("operator", "bob")).await.expect("the old certificate serves on");

    let next = Authority::new(LONG_AGO, FAR_AHEAD).expect("an authority");
    std::fs::write(world.path("ca.pem"), next.certificate()).expect("written");
    issue(&next, world.dir.path(), ("control.shard.router", "n-1"), FAR_AHEAD);
    let mut last = status_of(operator.clone()).await;
    for _ in 0..300 {
        if last.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        last = status_of(operator.clone()).await;
    }
    let status = last.expect_err("her root is withdrawn");
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    world.node.shutdown().await;
}

/// Revoked certificates open nothing, neither by a new connection nor by one that was open; their open streams end.
#[tokio::test(flavor = "multi_thread")]
async fn revoked_certificates_open_nothing_and_their_streams_end() {
    let (world, list) = {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::new(LONG_AGO, FAR_AHEAD).expect("an authority");
        let list = authority.revoke(None, &[], LONG_AGO, FAR_AHEAD).expect("a list");
        let path = dir.path().join("revoked.pem");
        std::fs::write(&path, &list).expect("written");
        let world = World::start_with(dir, authority, "revoked = \"revoked.pem\"\n", "").await;
        (world, path)
    };
    let (shard, other) = (world.of("shard", "s-7"), world.of("shard", "s-8"));
    let watch = async |connection: &Connection, node_id: &str| {
        let mut client = ControlServiceClient::new(connection.clone());
        let request = WatchPlanRequest { node_id: node_id.into() };
        let mut plans = client.watch_plan(request).await.expect("a stream").into_inner();
        plans.message().await.expect("a plan").expect("the first");
        plans
    };
    let (mut plans, mut others) = (watch(&shard, "s-7").await, watch(&other, "s-8").await);
    let mut operator = ControlServiceClient::new(world.of("operator", "alice"));
    operator.get_status(GetStatusRequest {}).await.expect("not revoked");

    let revoked: Vec<String> = ["s-7-shard.pem", "alice-operator.pem"]
        .map(|name| std::fs::read_to_string(world.path(name)).expect("read"))
        .into();
    let text = world.authority.revoke(None, &revoked, LONG_AGO, FAR_AHEAD).expect("a list");
    std::fs::write(&list, text).expect("written");
    let ended = tokio::time::timeout(Duration::from_secs(60), async {
        while let Ok(Some(_)) = plans.message().await {}
    });
    ended.await.expect("the stream ends");
    let refused = operator.get_status(GetStatusRequest {}).await.expect_err("revoked");
    assert!(
        refused.code() == Code::Unauthenticated || is_of_the_connection(&refused),
        "{refused:?}"
    );
    let own = (world.path("alice-operator.pem"), world.path("alice-operator.key"));
    let refused = status_of(world.with(Some(own))).await.expect_err("revoked");
    assert!(is_of_the_connection(&refused), "{refused:?}");
    status_of(world.of("operator", "alice")).await.expect("a new certificate of the same name");
    let more = tokio::time::timeout(Duration::from_millis(1_500), async {
        while let Ok(Some(_)) = others.message().await {}
    });
    assert!(more.await.is_err(), "the stream of another node goes on");
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_are_of_identities_whichever_way_they_prove_themselves() {
    let world = World::start(
        "[[server.quotas]]\nidentity = \"alice\"\ncalls_per_second = 1\nburst = 3\n\
         [[server.quotas]]\nrole = \"operator\"\ncalls_per_second = 1\nburst = 50\n",
    )
    .await;
    let passed = async |connection: Connection| {
        let mut passed = 0;
        while passed < 100 {
            match status_of(connection.clone()).await {
                Ok(()) => passed += 1,
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                    break;
                }
            }
        }
        passed
    };
    // Some more pass on a machine that is so slow that seconds go by.
    let alice = passed(world.of("operator", "alice")).await;
    assert!((3..30).contains(&alice), "{alice}");
    let bob = passed(world.of("operator", "bob")).await;
    assert!((50..100).contains(&bob), "{bob}: not limited as alice is, nor by her calls");
    assert_eq!(passed(world.of("admin", "root")).await, 100, "no quota is his");
    world.node.shutdown().await;
}
