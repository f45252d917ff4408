//! Questions to servers of every kind, over real sockets. None of them makes control wait or read for long, and none but a plain
//! pass is a pass.

use super::AllowedUrls;
use super::questioner::answer;
use marquee_core::rollout::RolloutState;
use marquee_core::rollout::external::{AnswerKind, ExternalAnswer, Question};
use marquee_core::rollout::judge::DueQuestion;
use marquee_net::HttpClient;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A server that says these bytes to each connection, and then does as `after` says.
struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
enum After {
    Close,
    Hang,
    /// Go on with a byte every 20 ms.
    Drip,
    /// Go on with 10 MB.
    Flood,
}

async fn serve(says: String, after: After) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(talk(stream, says.clone(), after));
        }
    });
    Server { url, connections }
}

async fn talk(mut stream: TcpStream, says: String, after: After) {
    let mut heard = [0; 4_096];
    let _ = stream.read(&mut heard).await;
    let _ = stream.write_all(says.as_bytes()).await;
    match after {
        After::Close => {}
        After::Hang => tokio::time::sleep(Duration::from_secs(600)).await,
        After::Drip => {
            while stream.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        After::Flood => {
            let megabyte = vec![b' '; 1 << 20];
            for _ in 0..10 {
                if stream.write_all(&megabyte).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

const ENDLESS: &str = "HTTP/1.1 200 OK\r\n\r\n";

async fn ask(url: &str, allowed: &str) -> ExternalAnswer {
    let due = DueQuestion {
        rollout_id: "home-2".into(),
        gate: "slo".into(),
        number: 1,
        question: Question::Webhook { url: url.into() },
        timeout_ms: 300,
        max_answer_bytes: 64 << 10,
        surface: "home".into(),
        baseline: "films@1".into(),
        candidate: "films@2".into(),
        state: RolloutState::Canary,
        step: Some(0),
        weight_basis_points: 100,
    };
    let allowed = AllowedUrls::parse(&[allowed.into()]).expect("an address");
    answer(&HttpClient::default(), &allowed, &due, 0).await
}

async fn ask_server(says: String, after: After) -> ExternalAnswer {
    let server = serve(says, after).await;
    ask(&server.url, &server.url).await
}

#[tokio::test]
async fn a_plain_verdict_is_an_answer() {
    let passes = ask_server(ok(r#"{"verdict":"pass"}"#), After::Close).await;
    assert_eq!(passes.kind, AnswerKind::Passes);
    let fails = ask_server(ok(r#"{"verdict":"fail","reason":"sales"}"#), After::Hang).await;
    assert_eq!((fails.kind, fails.says()), (AnswerKind::Fails, "sales"));
}

#[tokio::test]
async fn who_hangs_floods_or_talks_nonsense_gives_no_answer() {
    let pass = r#"{"verdict":"pass"}"#;
    for (says, after, because) in [
        (String::new(), After::Hang, "no answer within 300 ms"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".into(), After::Hang, "no answer within"),
        (ENDLESS.into(), After::Drip, "no answer within 300 ms"),
        (format!("{ENDLESS}{pass}"), After::Flood, "more than 65536 bytes"),
        (String::new(), After::Close, "connection"),
        ("\u{1}\u{2}nonsense\r\n\r\n".into(), After::Close, "HTTP"),
        (format!("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{pass}"), After::Close, "body"),
        (ok("<html>it works</html>"), After::Close, "no JSON"),
        (ok(""), After::Close, "no JSON"),
    ] {
        let answer = ask_server(says.clone(), after).await;
        assert_eq!(answer.kind, AnswerKind::Missing, "{says:?}");
        assert!(answer.says().contains(because), "{says:?}: {:?}", answer.says());
    }
    let nobody = ask("http://127.0.0.1:1/", "http://127.0.0.1:1").await;
    assert_eq!(nobody.kind, AnswerKind::Missing);
    assert!(nobody.says().contains("refused"), "{:?}", nobody.says());
    let plain = serve(ok(pass), After::Close).await;
    let secured = plain.url.replace("http://", "https://");
    assert_eq!(ask(&secured, &secured).await.kind, AnswerKind::Missing, "it speaks no TLS");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = serve(ok(r#"{"verdict":"pass"}"#), After::Close).await;
    let to = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", other.url);
    let answer = ask_server(to, After::Close).await;
    assert_eq!(answer.kind, AnswerKind::Missing);
    assert!(answer.says().contains("redirects are not followed"), "{:?}", answer.says());
    assert_eq!(other.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn nobody_is_asked_whom_the_config_does_not_allow() {
    let server = serve(ok(r#"{"verdict":"pass"}"#), After::Close).await;
    let answer = ask(&server.url, "http://127.0.0.1:1").await;
    assert_eq!(answer.kind, AnswerKind::Missing);
    assert!(answer.says().contains("control.external_urls"), "{:?}", answer.says());
    assert_eq!(server.connections.load(Ordering::SeqCst), 0, "it was connected to");
}
