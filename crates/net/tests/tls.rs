//! Both ends of TLS over real sockets: who is accepted, whom a client believes, and files that change.

use http::Uri;
use marquee_net::connections::{ConnectionLimits, Connections};
use marquee_net::issue::{Authority, CertificateOrder, Day};
use marquee_net::tls::{PeerCertificate, Tls, TlsError, TlsFiles};
use marquee_net::{Connector, PREFACE, ServerCheck, ServerStream, accept};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::{Connected as _, TcpIncoming};
use tower::Service as _;

const FROM: Day = (2020, 1, 1);
const UNTIL: Day = (2090, 1, 1);
/// How long a connection may take to be closed: far more than it takes.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

fn authority(dir: &TempDir, name: &str) -> (Authority, PathBuf) {
    let authority = Authority::new(FROM, UNTIL).expect("an authority");
    let path = dir.path().join(name);
    std::fs::write(&path, authority.certificate()).expect("written");
    (authority, path)
}

fn issue(authority: &Authority, dir: &Path, name: &str, host: &str) -> (PathBuf, PathBuf) {
    let order = CertificateOrder {
        uris: vec![format!("spiffe://test/{name}")],
        hosts: if host.is_empty() { Vec::new() } else { vec![host.into()] },
        from: FROM,
        until: UNTIL,
    };
    let issued = authority.issue(&order).expect("issued");
    let (certificate, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    std::fs::write(&certificate, issued.certificate).expect("written");
    std::fs::write(&key, issued.key).expect("written");
    (certificate, key)
}

fn read(own: Option<(PathBuf, PathBuf)>, trust: &Path) -> Arc<Tls> {
    let files = TlsFiles { own, trust: trust.into(), client_trust: None, revoked: None };
    Tls::read(files).expect("usable")
}

fn connections() -> Connections {
    Connections::new(ConnectionLimits::default())
}

/// Connects to a server, and returns what it accepted, and what the client says.
async fn meet(server: Arc<Tls>, client: Connector) -> (Option<ServerStream>, io::Result<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let mut accepted = Box::pin(accept(TcpIncoming::from(listener), Some(server), connections()));
    let uri: Uri = format!("https://127.0.0.1:{port}").parse().expect("a URI");
    let mut client = client;
    let said = async {
        let mut stream = client.call(uri).await?.into_inner();
        stream.write_all(PREFACE).await?;
        stream.write_all(b"hello").await?;
        stream.shutdown().await
    };
    // Handshakes are made by a task of the server's own.
    if let Err(error) = said.await {
        return (None, Err(error));
    }
    let mut stream = accepted.next().await.expect("a connection").expect("accepted");
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.expect("read");
    assert_eq!(heard, [PREFACE.as_slice(), b"hello"].concat());
    (Some(stream), Ok(()))
}

#[tokio::test]
async fn both_ends_know_each_other_by_their_certificates() {
    let dir = tempfile::tempdir().expect("a directory");
    let (root, trust) = authority(&dir, "ca.pem");
    let server = read(Some(issue(&root, dir.path(), "server", "127.0.0.1")), &trust);
    let client = read(Some(issue(&root, dir.path(), "client", "")), &trust);
    let (accepted, said) = meet(Arc::clone(&server), Connector::by(client)).await;
    said.expect("connected");
    let peer = accepted.expect("accepted").connect_info();
    let certificate = peer.certificate.expect("it has shown one");
    assert_eq!(certificate.uris, ["spiffe://test/client"]);
    assert!(certificate.is_of_peers && peer.address.is_some());
    let nobody = Connector::by(read(None, &trust));
    let (accepted, said) = meet(server, nobody).await;
    said.expect("connected");
    assert!(accepted.expect("accepted").connect_info().certificate.is_none());
}

struct Only;

impl ServerCheck for Only {
    fn check(&self, expected: &str, certificate: &PeerCertificate) -> Result<(), String> {
        let is_it = certificate.uris == [format!("spiffe://test/{expected}")];
        if is_it { Ok(()) } else { Err(format!("it is {:?}", certificate.uris)) }
    }
}

#[tokio::test]
async fn a_client_believes_servers_of_its_roots_for_their_hosts_and_of_the_expected_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let ((root, trust), (other, _)) = (authority(&dir, "ca.pem"), authority(&dir, "other.pem"));
    let client = || Connector::by(read(None, &trust)).with_check(Arc::new(Only));
    let good = read(Some(issue(&root, dir.path(), "good", "127.0.0.1")), &trust);
    meet(Arc::clone(&good), client().to("good")).await.1.expect("the one that was meant");
    let error = meet(good, client().to("better")).await.1.expect_err("another one");
    assert!(error.to_string().contains("spiffe://test/good"), "{error}");
    let elsewhere = read(Some(issue(&root, dir.path(), "else", "10.0.0.1")), &trust);
    meet(elsewhere, client()).await.1.expect_err("of another host");
    let forged = read(Some(issue(&other, dir.path(), "forged", "127.0.0.1")), &trust);
    meet(forged, client()).await.1.expect_err("of another authority");
    let user = read(Some(issue(&root, dir.path(), "user", "")), &trust);
    meet(user, client()).await.1.expect_err("a client's certificate is no server's");
}

#[tokio::test]
async fn further_roots_are_of_clients_that_are_no_peers() {
    let dir = tempfile::tempdir().expect("a directory");
    let ((root, trust), (other, more)) = (authority(&dir, "ca.pem"), authority(&dir, "more.pem"));
    let own = issue(&root, dir.path(), "server", "127.0.0.1");
    let files =
        TlsFiles { own: Some(own), trust: trust.clone(), client_trust: Some(more), revoked: None };
    let server = Tls::read(files).expect("usable");
    let caller = read(Some(issue(&other, dir.path(), "caller", "")), &trust);
    let (accepted, said) = meet(server, Connector::by(caller)).await;
    said.expect("connected");
    let certificate = accepted.expect("accepted").connect_info().certificate.expect("shown");
    assert!(!certificate.is_of_peers);
}

fn files_of(own: (PathBuf, PathBuf), trust: &Path, revoked: &Path) -> TlsFiles {
    let (own, trust) = (Some(own), trust.to_owned());
    TlsFiles { own, trust, client_trust: None, revoked: Some(revoked.to_owned()) }
}

fn revoke(authority: &Authority, list: &Path, certificates: &[&PathBuf]) {
    let read = |path: &&PathBuf| std::fs::read_to_string(path).expect("read");
    let certificates: Vec<String> = certificates.iter().map(read).collect();
    let before = std::fs::read_to_string(list).ok();
    let text = authority.revoke(before.as_deref(), &certificates, FROM, UNTIL).expect("a list");
    std::fs::write(list, text).expect("written");
}

#[tokio::test]
async fn revoked_certificates_are_refused_by_both_ends_and_others_are_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let ((root, trust), list) = (authority(&dir, "ca.pem"), dir.path().join("revoked.pem"));
    let [server, other, client, bad] =
        [("s", "127.0.0.1"), ("o", "127.0.0.1"), ("c", ""), ("b", "")]
            .map(|(name, host)| issue(&root, dir.path(), name, host));
    revoke(&root, &list, &[&bad.0]);
    revoke(&root, &list, &[&other.0]); // the list keeps what it has
    let serving = Tls::read(files_of(server, &trust, &list)).expect("usable");
    let good = Tls::read(files_of(client, &trust, &list)).expect("usable");
    meet(Arc::clone(&serving), Connector::by(Arc::clone(&good))).await.1.expect("not revoked");
    // The list says nothing of this end itself: it is the server that refuses, after the handshake in TLS 1.3.
    let bad = Tls::read(files_of(bad, &trust, &list)).expect("usable");
    let (accepted, refused) = hear(serving, Connector::by(bad)).await;
    let said = refused.expect_err("revoked").to_string();
    assert!(!accepted && said.contains("Revoked"), "{said}");
    let other = Tls::read(files_of(other, &trust, &list)).expect("usable");
    let (_, refused) = hear(other, Connector::by(good)).await;
    let said = refused.expect_err("a revoked server").to_string();
    assert!(said.contains("Revoked"), "{said}");
}

/// Connects to a server and waits for its first byte. Returns whether it has accepted the connection.
async fn hear(server: Arc<Tls>, mut client: Connector) -> (bool, io::Result<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let mut accepted = Box::pin(accept(TcpIncoming::from(listener), Some(server), connections()));
    let uri: Uri = format!("https://127.0.0.1:{port}").parse().expect("a URI");
    let said = async {
        let mut stream = client.call(uri).await?.into_inner();
        stream.write_all(PREFACE).await?;
        stream.read(&mut [0; 1]).await
    };
    tokio::select! {
        said = said => (false, said),
        _ = accepted.next() => (true, Ok(0)),
    }
}

#[tokio::test]
async fn open_connections_end_when_their_certificates_are_revoked() {
    let dir = tempfile::tempdir().expect("a directory");
    let ((root, trust), list) = (authority(&dir, "ca.pem"), dir.path().join("revoked.pem"));
    let [server, client, unused] = [("s", "127.0.0.1"), ("c", ""), ("u", "")]
        .map(|(name, host)| issue(&root, dir.path(), name, host));
    revoke(&root, &list, &[&unused.0]);
    let serving = Tls::read(files_of(server.clone(), &trust, &list)).expect("usable");
    let connecting = Tls::read(files_of(client.clone(), &trust, &list)).expect("usable");
    let (server, client) = (server.0, client.0);

    // The server closes what it has accepted, though nothing is sent.
    let (mut at_server, mut at_client, accepting) = open_pair(&serving, &connecting).await;
    revoke(&root, &list, &[&client]);
    assert_eq!(serving.reload(), Ok(true));
    let mut heard = [0; 64];
    let closed = tokio::time::timeout(PATIENCE, at_server.read(&mut heard)).await;
    assert_eq!(closed.expect("it is closed").expect("as if the peer had closed it"), 0);
    drop((at_server, accepting));
    at_client.write_all(b"x").await.expect("this end knows of nothing yet");

    // The client ends what it has opened with the next byte.
    let root_list = root.revoke(None, &[], FROM, UNTIL).expect("a list");
    std::fs::write(&list, root_list).expect("written");
    assert_eq!(serving.reload(), Ok(true));
    let (_at_server, mut at_client, _accepting) = open_pair(&serving, &connecting).await;
    revoke(&root, &list, &[&server]);
    assert_eq!(connecting.reload(), Ok(true));
    let error = at_client.write_all(b"x").await.expect_err("the server is revoked");
    assert!(error.to_string().contains("Revoked"), "{error}");
}

/// What a server accepts, for as long as it is held.
type Accepting = Pin<Box<dyn Stream<Item = io::Result<ServerStream>> + Send>>;

/// Both ends of an open connection, and the server that has accepted it.
async fn open_pair(
    server: &Arc<Tls>,
    client: &Arc<Tls>,
) -> (ServerStream, marquee_net::ClientStream, Accepting) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let incoming = TcpIncoming::from(listener);
    let mut accepting: Accepting =
        Box::pin(accept(incoming, Some(Arc::clone(server)), connections()));
    let uri: Uri = format!("https://127.0.0.1:{port}").parse().expect("a URI");
    let mut stream = Connector::by(Arc::clone(client)).call(uri).await.expect("open").into_inner();
    stream.write_all(PREFACE).await.expect("written");
    stream.flush().await.expect("sent");
    let mut peer = accepting.next().await.expect("a connection").expect("accepted");
    peer.read_exact(&mut [0; PREFACE.len()]).await.expect("the preface");
    (peer, stream, accepting)
}

#[test]
fn lists_that_cannot_be_used_are_named_and_change_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let ((root, trust), list) = (authority(&dir, "ca.pem"), dir.path().join("revoked.pem"));
    let (other, _) = authority(&dir, "other.pem");
    let own = issue(&root, dir.path(), "a", "127.0.0.1");
    let files = files_of(own.clone(), &trust, &list);
    assert!(matches!(Tls::read(files.clone()), Err(TlsError::Read(_))), "it is not there");
    // The list of an authority that nobody trusts here says nothing.
    revoke(&other, &list, &[&own.0]);
    let tls = Tls::read(files.clone()).expect("usable");
    revoke(&root, &dir.path().join("forged.pem"), &[&own.0]);
    let good = std::fs::read_to_string(dir.path().join("forged.pem")).expect("read");
    // A list in the authority's name with another signature would have all certificates refused.
    let lines: Vec<&str> = good.lines().collect();
    let last = lines[lines.len() - 2];
    let first = if last.starts_with('A') { "B" } else { "A" };
    let forged = good.replace(last, &format!("{first}{}", &last[1..]));
    for text in [forged.as_str(), "", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"] {
        std::fs::write(&list, text).expect("written");
        let error = tls.reload().expect_err("unusable").to_string();
        assert!(error.contains("revoked.pem"), "{error}");
    }
    std::fs::write(&list, good).expect("written");
    assert_eq!(tls.reload(), Ok(true), "its own certificate may be on it: others refuse it");
}

#[tokio::test]
async fn idle_connections_keep_no_one_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let (root, trust) = authority(&dir, "ca.pem");
    let server = read(Some(issue(&root, dir.path(), "server", "127.0.0.1")), &trust);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("bound");
    let mut accepted = Box::pin(accept(TcpIncoming::from(listener), Some(server), connections()));
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(at).await.expect("connected"));
    }
    let uri: Uri = format!("https://{at}").parse().expect("a URI");
    let mut client = Connector::by(read(None, &trust));
    let connecting = async {
        let mut connected = client.call(uri).await.expect("connected").into_inner();
        connected.write_all(PREFACE).await.expect("written");
        connected
    };
    let (_connected, taken) = tokio::join!(connecting, accepted.next());
    taken.expect("a connection").expect("accepted");
}

#[test]
fn files_that_cannot_be_used_are_named_and_change_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (root, trust) = authority(&dir, "ca.pem");
    let (certificate, key) = issue(&root, dir.path(), "a", "127.0.0.1");
    let (_, other_key) = issue(&root, dir.path(), "b", "127.0.0.1");
    let files = TlsFiles {
        own: Some((certificate.clone(), key.clone())),
        trust: trust.clone(),
        client_trust: None,
        revoked: None,
    };
    let tls = Tls::read(files.clone()).expect("usable");
    assert_eq!(tls.reload(), Ok(false), "nothing has changed");
    let good = std::fs::read(&key).expect("read");
    std::fs::write(&key, std::fs::read(&other_key).expect("read")).expect("written");
    let error = tls.reload().expect_err("the key of another certificate").to_string();
    assert!(error.contains("a.pem") && error.contains("another certificate"), "{error}");
    std::fs::write(&key, good).expect("written");
    assert_eq!(tls.reload(), Ok(true));
    for (path, text) in [(&certificate, "x"), (&trust, ""), (&key, "-----BEGIN nothing-----")] {
        let before = std::fs::read(path).expect("read");
        std::fs::write(path, text).expect("written");
        let error = Tls::read(files.clone()).map(drop).expect_err("unusable");
        assert!(matches!(error, TlsError::File { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().expect("text")), "{error}");
        assert!(tls.reload().is_err());
        std::fs::write(path, before).expect("written");
    }
    std::fs::remove_file(&trust).expect("removed");
    assert!(matches!(tls.reload(), Err(TlsError::Read(_))));
}

/// What a client of HTTP/1 hears.
async fn heard_by_http1(tls: Option<Arc<Tls>>, client: Connector, said: &[u8]) -> String {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let mut accepted = Box::pin(accept(TcpIncoming::from(listener), tls, connections()));
    let uri: Uri = format!("{scheme}://127.0.0.1:{port}").parse().expect("a URI");
    let mut client = client;
    let mut heard = Vec::new();
    let talk = async {
        let mut stream = client.call(uri).await.expect("connected").into_inner();
        stream.write_all(said).await.expect("written");
        stream.read_to_end(&mut heard).await.expect("read, and not reset");
    };
    tokio::select! {
        talked = tokio::time::timeout(PATIENCE, talk) => talked.expect("it is closed"),
        _ = accepted.next() => panic!("it does not speak HTTP/2"),
    }
    String::from_utf8(heard).expect("text")
}

#[tokio::test]
async fn one_who_speaks_http1_is_told_what_this_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ca, trust) = authority(&dir, "ca.pem");
    let server = read(Some(issue(&ca, dir.path(), "server", "127.0.0.1")), &trust);
    let client = read(Some(issue(&ca, dir.path(), "client", "")), &trust);
    let long = format!("POST /v1/films HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(8_000));
    for said in ["GET / HTTP/1.0\r\n\r\n", "PUT / HTTP/1.1\r\nHost: x\r\n\r\n", &long] {
        let plain = heard_by_http1(None, Connector::plain(), said.as_bytes()).await;
        let by_tls = Connector::by(Arc::clone(&client));
        let secret = heard_by_http1(Some(Arc::clone(&server)), by_tls, said.as_bytes()).await;
        for heard in [plain, secret] {
            assert!(heard.starts_with("HTTP/1.1 415 "), "{heard}");
            assert!(heard.ends_with(marquee_net::NOT_GRPC), "{heard}");
            let length = format!("content-length: {}\r\n", marquee_net::NOT_GRPC.len());
            assert!(heard.contains(&length), "{heard}");
        }
    }
    // What is no HTTP at all is not answered.
    assert_eq!(heard_by_http1(None, Connector::plain(), b"\x16\x03\x01 hello, server").await, "");
}
