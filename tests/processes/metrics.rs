//! What nodes show to Prometheus: all of it is listed, all that is listed is there, and alerts and dashboards ask for
//! nothing else.

use crate::support::caller::{Caller, client, request};
use crate::support::cluster::Cluster;
use crate::support::data::Bundles;
use crate::support::eventually;
use crate::support::process::{Server, free_port, marquee_ok, text};
use crate::support::scrape::{Fetched, Scraped, fetch, program, promtool, scrape};
use marquee_proto::control::v1::{RolloutStep, StartRolloutRequest};
use marquee_proto::v1::{Event, EventType, RecommendRequest, RecordEventsRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What only a node with a certificate has, and what only approximate searches have: the bundles here are scanned.
const NOT_HERE: [&str; 3] = [
    "marquee_certificate_remaining_seconds",
    "marquee_audited_recall_ratio",
    "marquee_audited_lowest_recall_ratio",
];

/// A metric, as `marquee metrics --json` lists it.
#[derive(Debug)]
struct Listed {
    kind: String,
    role: String,
    labels: BTreeSet<String>,
}

fn listed() -> BTreeMap<String, Listed> {
    let json: serde_json::Value =
        serde_json::from_str(&marquee_ok(["metrics", "--json"])).expect("JSON");
    let mut listed = BTreeMap::new();
    for metric in json.as_array().expect("a list") {
        let text = |key: &str| metric[key].as_str().expect("text").to_owned();
        let labels = metric["labels"].as_array().expect("labels");
        let labels = labels.iter().map(|label| label.as_str().expect("a name").to_owned());
        assert!(!text("meaning").is_empty());
        let of = Listed { kind: text("type"), role: text("role"), labels: labels.collect() };
        listed.insert(text("name"), of);
    }
    assert!(listed.len() > 60, "{}", listed.len());
    listed
}

/// Checks that each metric is listed with its type and labels, and each listed one is there.
fn check_against_list(scraped: &Scraped, listed: &BTreeMap<String, Listed>) {
    let there: BTreeMap<&str, &str> =
        scraped.types.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    let wanted: BTreeMap<&str, &str> =
        listed.iter().map(|(name, of)| (name.as_str(), of.kind.as_str())).collect();
    assert_eq!(there, wanted, "left: scraped, right: listed");
    for series in &scraped.series {
        let labels: BTreeSet<String> =
            series.labels.keys().filter(|label| *label != "le").cloned().collect();
        assert_eq!(labels, listed[&series.metric].labels, "{}", series.name);
    }
}

/// The metrics of a node, checked against the list and by promtool.
async fn checked_scrape(port: u16) -> Scraped {
    let Fetched { head, body } = scrape(port).await.expect("scraped");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    promtool(&["check", "metrics"], &body);
    let scraped = Scraped::read(&body);
    check_against_list(&scraped, &listed());
    scraped
}

fn click(user_id: &str, item_id: &str) -> Event {
    Event {
        user_id: user_id.into(),
        item_id: item_id.into(),
        r#type: EventType::Click.into(),
        ..Event::default()
    }
}

/// Starts a rollout with the default gates and a tenth of the users.
async fn start_gated_rollout(
    control: &mut crate::support::cluster::ControlClient,
    candidate: &str,
) {
    let step =
        RolloutStep { weight_basis_points: 1_000, hold_seconds: 600, ..RolloutStep::default() };
    let request = StartRolloutRequest {
        candidate: candidate.into(),
        steps: vec![step],
        ..StartRolloutRequest::default()
    };
    control.start_rollout(request).await.expect("started");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_shows_all_that_is_listed_and_nothing_else() {
    let bundles = Bundles::new();
    let (first, second) = (bundles.train(4, 2), bundles.train(8, 2));
    let (port, metrics) = (free_port(), free_port());
    let endpoint = format!("http://127.0.0.1:{port}");
    let mut args = ["serve", "--standalone", "--bundle"].map(String::from).to_vec();
    args.extend([first.display().to_string(), "--listen".into(), format!("127.0.0.1:{port}")]);
    args.extend(["--data-dir".into(), bundles.path().join("node").display().to_string()]);
    args.extend(["--metrics-listen".into(), format!("127.0.0.1:{metrics}")]);
    let mut server = Server::start(bundles.path(), "node", args);
    let mut caller = client(&endpoint);
    eventually("the node answers", || async {
        client(&endpoint).recommend(request("user-1")).await.is_ok()
    })
    .await;
    let before = checked_scrape(metrics).await;
    let recommend = "marquee.v1.RecommenderService/Recommend";
    let count = "marquee_rpc_duration_seconds_count";
    let labels = |code| [("method", recommend), ("code", code)];

    let answers = 7;
    for user in 0..answers {
        caller.recommend(request(&format!("user-{user}"))).await.expect("answered");
    }
    let unknown = RecommendRequest { surface: "nowhere".into(), ..request("user-1") };
    let refused = caller.recommend(unknown).await.expect_err("no such surface");
    assert_eq!(refused.code(), tonic::Code::NotFound);
    let events = vec![click("user-1", "item-1"), click("user-2", "item-1")];
    caller.record_events(RecordEventsRequest { events }).await.expect("recorded");
    marquee_ok(["ctl", "--endpoint", &endpoint, "publish", &second.display().to_string()]);
    let channel = tonic::transport::Channel::from_shared(endpoint.clone()).expect("an endpoint");
    let mut control = crate::support::cluster::ControlClient::new(channel.connect_lazy());
    start_gated_rollout(&mut control, "films@2").await;
    let traffic = Caller::start(vec![endpoint.clone()]);
    let silent: BTreeSet<&str> = NOT_HERE.into();
    let names: BTreeSet<String> = listed().into_keys().collect();
    let wanted: BTreeSet<&str> =
        names.iter().map(String::as_str).filter(|name| !silent.contains(name)).collect();
    // Gates are judged after a window of telemetry, and surfaces are measured for ten seconds.
    eventually("every metric has a value", || async {
        let scraped = scrape(metrics).await.expect("scraped");
        wanted.is_subset(&Scraped::read(&scraped.body).with_values())
    })
    .await;
    traffic.stop().await;
    let after = checked_scrape(metrics).await;
    let counted = |code| after.sum(count, &labels(code)) - before.sum(count, &labels(code));
    assert_eq!(counted("NOT_FOUND"), 1.0);
    let answered = counted("OK");
    assert!(answered >= f64::from(answers), "{answered}");
    assert_eq!(after.sum("marquee_events_total", &[("outcome", "accepted")]), 2.0);
    assert_eq!(after.sum("marquee_raft_is_leader", &[]), 1.0);
    assert_eq!(after.sum("marquee_rollout_weight_ratio", &[("surface", "default")]), 0.1);
    assert_eq!(after.sum("marquee_rollout_state", &[("state", "CANARY")]), 1.0);
    assert!(after.sum("marquee_searches_total", &[("model", "films"), ("version", "2")]) > 0.0);
    assert!(after.sum("marquee_search_rows_total", &[("model", "films")]) > 0.0);
    assert!(after.sum("marquee_fanout_calls_total", &[("cause", "first")]) >= f64::from(answers));
    assert!(after.sum("process_resident_memory_bytes", &[]) > 1e6);

    let head = "GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n";
    let accept = "accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n";
    let open = fetch(metrics, &format!("{head}{accept}")).await.expect("fetched");
    assert!(open.head.contains("application/openmetrics-text; version=1.0.0"), "{}", open.head);
    assert!(open.body.ends_with("# EOF\n"));
    for (request, wanted) in [
        ("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "HTTP/1.1 404"),
        (
            "POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 405",
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400"),
    ] {
        let refused = fetch(metrics, request).await.map_or(String::new(), |fetched| fetched.head);
        assert!(refused.starts_with(wanted) || refused.is_empty(), "{request}: {refused}");
    }
    // A flood of connections that say nothing keeps no scrape out for good, and no caller at all.
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(tokio::net::TcpStream::connect(("127.0.0.1", metrics)).await.expect("connected"));
    }
    caller.recommend(request("user-1")).await.expect("answered all the same");
    eventually("the metrics are shown again, though the connections stay open", || async {
        scrape(metrics).await.is_ok_and(|fetched| fetched.head.starts_with("HTTP/1.1 200"))
    })
    .await;
    drop(idle);

    let logged = marquee_ok(["ctl", "--endpoint", &endpoint, "log"]);
    assert!(logged.trim_end().ends_with("logs info"), "{logged}");
    assert!(!server.log().contains("TRACE"));
    let filter = "info,marquee_router=trace";
    let changed = marquee_ok(["ctl", "--endpoint", &endpoint, "log", filter]);
    assert!(changed.trim_end().ends_with(&format!("logs {filter}, before: info")), "{changed}");
    eventually("the router traces its calls", || async {
        let _ = client(&endpoint).recommend(request("user-1")).await;
        server.log().contains("TRACE marquee_router")
    })
    .await;
    let refused = crate::support::process::marquee(["ctl", "--endpoint", &endpoint, "log", "loud"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("is no level"));
    server.stop();
}

/// The files with queries, and the queries in them with where they are.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    let folder = cluster_folder();
    let alerts = std::fs::read_to_string(folder.join("alerts.yaml")).expect("the alerts");
    let alerts: serde_json::Value = serde_yaml_ng::from_str(&alerts).expect("YAML");
    for rule in alerts["groups"][0]["rules"].as_array().expect("rules") {
        let name = rule["alert"].as_str().expect("a name").to_owned();
        assert!(rule["annotations"]["action"].is_string(), "{name} says nothing to do");
        queries.push((name, rule["expr"].as_str().expect("a query").to_owned()));
    }
    for name in ["cluster", "rollouts", "shards"] {
        let path = folder.join(format!("dashboards/{name}.json"));
        let dashboard = std::fs::read_to_string(path).expect("a dashboard");
        let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
        for panel in dashboard["panels"].as_array().expect("panels") {
            let title = panel["title"].as_str().expect("a title");
            for target in panel["targets"].as_array().expect("targets") {
                let query = target["expr"].as_str().expect("a query").to_owned();
                queries.push((format!("{name}: {title}"), query));
            }
        }
    }
    assert!(queries.len() > 60, "{}", queries.len());
    queries
}

fn cluster_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cluster")
}

/// The words of a query that are names: no numbers, and nothing within quotes.
fn names_in(query: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (n, part) in query.split('"').enumerate() {
        if n % 2 == 1 {
            continue;
        }
        let is_apart = |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.';
        let words = part.split(is_apart).filter(|word| !word.is_empty());
        let named =
            words.filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'));
        names.extend(named.map(str::to_owned));
    }
    names
}

#[test]
fn alerts_and_dashboards_ask_for_what_is_listed() {
    const FUNCTIONS: [&str; 11] = [
        "sum",
        "max",
        "min",
        "rate",
        "changes",
        "histogram_quantile",
        "vector",
        "by",
        "or",
        "and",
        "up",
    ];
    // Of Prometheus itself, and of the scrape config.
    const OTHER_LABELS: [&str; 4] = ["instance", "job", "role", "le"];
    let listed = listed();
    let all_labels: BTreeSet<&str> =
        listed.values().flat_map(|of| of.labels.iter().map(String::as_str)).collect();
    for (place, query) in queries() {
        let mut labels_of_metrics: BTreeSet<&str> = OTHER_LABELS.into();
        let mut labels = Vec::new();
        let mut metrics = 0;
        for name in names_in(&query) {
            let stem = ["_bucket", "_sum", "_count"]
                .into_iter()
                .find_map(|part| name.strip_suffix(part).filter(|stem| listed.contains_key(*stem)));
            match listed.get(stem.unwrap_or(&name)) {
                Some(of) => {
                    assert_eq!(stem.is_some(), of.kind == "histogram", "{place}: {name}");
                    labels_of_metrics.extend(of.labels.iter().map(String::as_str));
                    metrics += 1;
                }
                None if FUNCTIONS.contains(&name.as_str()) => {}
                None => labels.push(name),
            }
        }
        assert!(metrics > 0 || query.contains("up{"), "{place}: {query}");
        for label in labels {
            let known = labels_of_metrics.contains(label.as_str());
            assert!(known, "{place}: {label} is no label of the metrics in {query}");
            assert!(all_labels.contains(label.as_str()) || OTHER_LABELS.contains(&label.as_str()));
        }
    }
    assert_eq!(names_in("sum(a_b{c=\"d e\"}[5m]) > 0.5"), ["sum", "a_b", "c"]);
    let roles: BTreeSet<&str> = listed.values().map(|of| of.role.as_str()).collect();
    assert_eq!(roles, ["control", "node", "router", "shard"].into());
}

#[test]
fn promtool_finds_nothing_wrong_with_rules_and_every_alert_fires_when_it_should() {
    let folder = cluster_folder();
    for (command, file) in [
        (["check", "rules"], "alerts.yaml"),
        (["check", "config"], "prometheus.yaml"),
        (["test", "rules"], "alerts_test.yaml"),
    ] {
        let path = folder.join(file).display().to_string();
        promtool(&[command[0], command[1], &path], "");
    }
    let tests = std::fs::read_to_string(folder.join("alerts_test.yaml")).expect("tests of alerts");
    let alerts = std::fs::read_to_string(folder.join("alerts.yaml")).expect("the alerts");
    for line in alerts.lines() {
        let Some(name) = line.trim().strip_prefix("- alert: ") else { continue };
        assert!(tests.contains(&format!("alertname: {name}\n")), "no test makes {name} fire");
    }
}

/// A Prometheus that scrapes these ports, ended when dropped.
struct Prometheus {
    child: std::process::Child,
    port: u16,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(program: &Path, dir: &Path, targets: &[(&str, Vec<u16>)]) -> Self {
        let port = free_port();
        let alerts = std::fs::canonicalize(cluster_folder()).expect("a folder").join("alerts.yaml");
        let mut config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [\"{}\"]\nscrape_configs:\n  \
             - job_name: marquee\n    static_configs:\n",
            alerts.display()
        );
        for (role, ports) in targets {
            let ports: Vec<String> =
                ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
            config += &format!(
                "      - {{ targets: [{}], labels: {{ role: {role} }} }}\n",
                ports.join(", ")
            );
        }
        let path = dir.join("prometheus.yaml");
        std::fs::write(&path, config).expect("a config");
        let log = std::fs::File::create(dir.join("prometheus.log")).expect("a log");
        let child = Command::new(program)
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("prometheus").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .expect("prometheus starts");
        Self { child, port }
    }

    /// How many series a query has now; none if Prometheus does not answer.
    async fn series(&self, query: &str) -> Option<usize> {
        let mut encoded = String::new();
        for byte in query.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => encoded.push(char::from(byte)),
                _ => encoded += &format!("%{byte:02X}"),
            }
        }
        let head = format!("GET /api/v1/query?query={encoded} HTTP/1.0\r\nhost: a\r\n\r\n");
        let answer = fetch(self.port, &head).await.ok()?.body;
        let answer: serde_json::Value = serde_json::from_str(&answer).ok()?;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().map(Vec::len)
    }
}

/// What an alert compares, without the bound: it has a value whether or not the alert fires.
fn without_bound(query: &str) -> &str {
    for comparison in [" > ", " < "] {
        if let Some((compared, bound)) = query.rsplit_once(comparison)
            && bound.trim().parse::<f64>().is_ok()
        {
            return compared;
        }
    }
    query
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_has_data_for_every_query_of_a_cluster() {
    // Nothing of this cluster is searched approximately, and it has no certificates.
    const WITHOUT_DATA: [&str; 3] =
        ["MarqueeRecallLow", "MarqueeCertificateExpires", "shards: Recall of audited searches"];
    assert_eq!(without_bound("a / b < 0.1"), "a / b");
    let Some(prometheus) = program("prometheus") else { return };
    let mut cluster = Cluster::start().await;
    let mut leaders = 0.0;
    for &port in &cluster.metrics_of("control") {
        leaders += checked_scrape(port).await.sum("marquee_raft_is_leader", &[]);
    }
    assert_eq!(leaders, 1.0, "one voter of the group leads");
    let dir = cluster.bundles.path().to_owned();
    let targets = ["control", "shard", "router"].map(|role| (role, cluster.metrics_of(role)));
    let prometheus = Prometheus::start(&prometheus, &dir, &targets);
    let second = cluster.bundles.train(8, 4);
    assert_eq!(cluster.publish(&second).await, "films@2");
    start_gated_rollout(&mut cluster.control_client(0), "films@2").await;
    let traffic = Caller::start(cluster.routers_at());
    let mut recorder = client(&cluster.routers_at()[0]);
    for n in 0..3 {
        let events = vec![click(&format!("user-{n}"), "item-1")];
        recorder.record_events(RecordEventsRequest { events }).await.expect("recorded");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut missing: Vec<(String, String)> = queries();
    missing.retain(|(place, _)| !WITHOUT_DATA.contains(&place.as_str()));
    let asked = missing.len();
    for _ in 0..60 {
        let mut still = Vec::new();
        for (place, query) in missing {
            if prometheus.series(without_bound(&query)).await.unwrap_or(0) == 0 {
                still.push((place, query));
            }
        }
        missing = still;
        if missing.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(missing.is_empty(), "of {asked} queries these have no data: {missing:#?}");
    traffic.stop().await;

    // Three real faults, and the alerts that they must raise. Prometheus makes an alert pending before its time is over.
    let raised = |alert: &'static str| {
        let (prometheus, query) = (&prometheus, format!("ALERTS{{alertname=\"{alert}\"}}"));
        async move { prometheus.series(&query).await.unwrap_or(0) > 0 }
    };
    for alert in ["MarqueeRolloutRolledBack", "MarqueeShardShortOfReplicas", "MarqueeNoLeader"] {
        assert!(!raised(alert).await, "{alert} before anything is wrong");
    }
    let control = cluster.control_at(0);
    marquee_ok(["ctl", "--endpoint", &control, "rollout", "rollback", "default-2"]);
    eventually("a rollback is an alert", || raised("MarqueeRolloutRolledBack")).await;
    cluster.shards[0].kill();
    eventually("missing replicas are an alert", || raised("MarqueeShardShortOfReplicas")).await;
    eventually("a node that is down is an alert", || raised("MarqueeNodeDown")).await;
    cluster.control[0].kill();
    cluster.control[1].kill();
    eventually("a group without a leader is an alert", || raised("MarqueeNoLeader")).await;
}
