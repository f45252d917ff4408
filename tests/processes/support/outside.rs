//! A server outside of the cluster: a webhook that says whether a gate passes, and a receiver of notifications.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What was posted to a path.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    /// The names of headers are in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// The server; it runs until the test ends.
pub(crate) struct Outside {
    pub(crate) url: String,
    state: Arc<OutsideState>,
}

#[derive(Default)]
struct OutsideState {
    fails: AtomicBool,
    questions: AtomicUsize,
    refusals_left: AtomicUsize,
    was_told: AtomicBool,
    posted: Mutex<Vec<Posted>>,
}

impl Outside {
    /// Starts a server. It refuses the first `refusals` notifications with 503.
    pub(crate) async fn start(refusals: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let refusals_left = AtomicUsize::new(refusals);
        let state = Arc::new(OutsideState { refusals_left, ..OutsideState::default() });
        let served = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&served);
                tokio::spawn(async move { serve(stream, &state).await });
            }
        });
        Self { url, state }
    }

    /// From now on the webhook says that the gate fails.
    pub(crate) fn fail(&self) {
        self.state.fails.store(true, Ordering::SeqCst);
    }

    /// How often the webhook was asked.
    pub(crate) fn questions(&self) -> usize {
        self.state.questions.load(Ordering::SeqCst)
    }

    /// Whether a notification was ever posted, whatever the answer was.
    pub(crate) fn was_told(&self) -> bool {
        self.state.was_told.load(Ordering::SeqCst)
    }

    /// All notifications so far that were answered with 200, in the order in which they came.
    pub(crate) fn notifications(&self) -> Vec<Posted> {
        self.state.posted.lock().expect("not poisoned").clone()
    }
}

/// Answers the requests of one connection until it is closed.
async fn serve(stream: TcpStream, state: &OutsideState) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|&bytes| bytes > 0)?;
        let path = line.split_whitespace().nth(1)?.to_owned();
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            stream.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await.ok()?;
        let body = String::from_utf8(body).ok()?;
        let (status, says) = state.answer(&path, Posted { headers, body });
        let length = says.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(format!("{head}{says}").as_bytes()).await.ok()?;
    }
}

impl OutsideState {
    fn answer(&self, path: &str, posted: Posted) -> (&'static str, &'static str) {
        if path == "/verdict" {
            self.questions.fetch_add(1, Ordering::SeqCst);
            let fails = self.fails.load(Ordering::SeqCst);
            let says = if fails {
                r#"{"verdict": "fail", "reason": "the checkout is broken"}"#
            } else {
                r#"{"verdict": "pass"}"#
            };
            return ("200 OK", says);
        }
        self.was_told.store(true, Ordering::SeqCst);
        let left = self.refusals_left.load(Ordering::SeqCst);
        if left > 0 {
            self.refusals_left.store(left - 1, Ordering::SeqCst);
            return ("503 Service Unavailable", "");
        }
        self.posted.lock().expect("not poisoned").push(posted);
        ("200 OK", "")
    }
}
