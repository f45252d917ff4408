//! Scrapes of metrics: fetched over HTTP, and read apart.

use super::process::text;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The first line and the headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends a request of these lines, and takes the response until its end.
pub(crate) async fn fetch(port: u16, request: &str) -> std::io::Result<Fetched> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let response = text(&bytes);
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((response.as_str(), ""));
    Ok(Fetched { head: head.to_owned(), body: body.to_owned() })
}

/// The metrics of the node that shows them on this port.
pub(crate) async fn scrape(port: u16) -> std::io::Result<Fetched> {
    fetch(port, "GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await
}

/// One value of a metric.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// The name of the metric, of histograms without `_bucket`, `_sum` or `_count`.
    pub(crate) metric: String,
    /// The name in the line.
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// The types and the series of a text in the format of Prometheus.
#[derive(Debug, Default)]
pub(crate) struct Scraped {
    /// The type of each metric.
    pub(crate) types: BTreeMap<String, String>,
    pub(crate) series: Vec<Series>,
}

impl Scraped {
    /// Reads a text apart. It panics at a line that is none of the format.
    pub(crate) fn read(text: &str) -> Self {
        let mut scraped = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                scraped.types.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (named, value) = line.rsplit_once(' ').expect("a value");
                let value = value.parse().unwrap_or_else(|_| panic!("no number in {line}"));
                let (name, labels) = match named.split_once('{') {
                    None => (named, BTreeMap::new()),
                    Some((name, rest)) => {
                        (name, labels_of(rest.strip_suffix('}').expect("a closing brace")))
                    }
                };
                let metric = scraped.metric_of(name).to_owned();
                scraped.series.push(Series { metric, name: name.to_owned(), labels, value });
            }
        }
        scraped
    }

    fn metric_of<'a>(&self, name: &'a str) -> &'a str {
        let parts = ["_bucket", "_sum", "_count"].into_iter();
        let mut stems = parts.filter_map(|part| name.strip_suffix(part));
        let histogram =
            stems.find(|stem| self.types.get(*stem).is_some_and(|kind| kind == "histogram"));
        histogram.unwrap_or(name)
    }

    /// The sum of the series of this name that have these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let matches = |series: &&Series| {
            series.name == name
                && labels
                    .iter()
                    .all(|(label, value)| series.labels.get(*label).is_some_and(|it| it == value))
        };
        self.series.iter().filter(matches).map(|series| series.value).sum()
    }

    /// The names of the metrics that have values.
    pub(crate) fn with_values(&self) -> BTreeSet<&str> {
        self.series.iter().map(|series| series.metric.as_str()).collect()
    }
}

/// Reads `a="b",c="d"`. No value here has a quote or a comma.
fn labels_of(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for pair in text.split("\",") {
        let (label, value) = pair.split_once("=\"").expect("a label and its value");
        labels.insert(label.to_owned(), value.trim_end_matches('"').to_owned());
    }
    labels
}

/// A program of Prometheus, if it is there: where the Makefile puts it, or on the path.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let fetched =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools").join(name);
    for path in [fetched, PathBuf::from(name)] {
        let mut version = Command::new(&path);
        version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        if version.status().is_ok_and(|status| status.success()) {
            return Some(path);
        }
    }
    eprintln!("NOT TESTED: there is no {name} (`make test` fetches it)");
    None
}

/// Runs `promtool ARGS` with this input; it must succeed. Nothing happens where it is not there.
pub(crate) fn promtool(args: &[&str], input: &str) {
    let Some(promtool) = program("promtool") else { return };
    let mut child = Command::new(promtool)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    let says = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "promtool {args:?}: {says}");
}
