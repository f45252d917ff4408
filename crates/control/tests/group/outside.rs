//! External gates and notifications of a group, with web servers on sockets of their own: what was asked and told is not lost with
//! a leader.

use crate::harness::{Group, PATIENCE, publish, report};
use hmac::{Hmac, KeyInit as _, Mac as _};
use marquee_control::{
    AllowedUrls, NotificationFormat, NotificationTarget, OutboundConfig, Secret,
};
use marquee_proto::control::v1 as pb;
use sha2::Sha256;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came: the head in lower case, and the body.
#[derive(Clone, Debug)]
struct Heard {
    head: String,
    body: String,
}

impl Heard {
    fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }
}

/// A web server that gives all the same answer, and remembers what it heard.
#[derive(Clone)]
struct Web {
    url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    says: Arc<Mutex<(u16, String)>>,
}

impl Web {
    async fn start(status: u16, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let web =
            Self { url, heard: Arc::default(), says: Arc::new(Mutex::new((status, body.into()))) };
        let serving = web.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().answer(stream));
            }
        });
        web
    }

    async fn answer(self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        let (head, body) = loop {
            let mut more = [0; 4_096];
            let count = stream.read(&mut more).await?;
            bytes.extend_from_slice(&more[..count]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a number")) {
                break (head, body.to_owned());
            }
        };
        self.heard.lock().expect("no panic").push(Heard { head, body });
        let (status, says) = self.says.lock().expect("no panic").clone();
        let length = says.len();
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n{says}");
        stream.write_all(answer.as_bytes()).await
    }

    fn says(&self, status: u16, body: &str) {
        *self.says.lock().expect("no panic") = (status, body.into());
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("no panic").clone()
    }
}

/// Waits until it gives something.
async fn eventually<T, F: AsyncFnMut() -> Option<T>>(what: &str, mut attempt: F) -> T {
    let trying = async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, trying).await.unwrap_or_else(|_| panic!("never: {what}"))
}

async fn get(group: &Group, id: &str) -> pb::GetRolloutResponse {
    let node = group.running().next().expect("one runs").id;
    let request = pb::GetRolloutRequest { rollout_id: id.into() };
    eventually("a leader", async || {
        let found = group.client(node).await.get_rollout(request.clone()).await;
        found.ok().map(|found| found.into_inner())
    })
    .await
}

async fn wait_for_state(group: &Group, id: &str, state: pb::RolloutState) -> pb::Rollout {
    eventually(state.as_str_name(), async || {
        let rollout = get(group, id).await.rollout.expect("there");
        (rollout.state() == state).then_some(rollout)
    })
    .await
}

fn start(candidate: &str, gates: Vec<pb::ExternalGate>) -> pb::StartRolloutRequest {
    let step =
        pb::RolloutStep { weight_basis_points: 1_000, hold_seconds: 1, ..Default::default() };
    pb::StartRolloutRequest {
        candidate: candidate.into(),
        steps: vec![step],
        without_gates: true,
        external_gates: gates,
        ..Default::default()
    }
}

fn webhook(url: &str) -> pb::ExternalGate {
    let question = pb::WebhookQuestion { url: url.into() };
    pb::ExternalGate {
        name: "slo".into(),
        question: Some(pb::external_gate::Question::Webhook(question)),
        interval_seconds: 5,
        consecutive_failures: 2,
        ..Default::default()
    }
}

/// Publishes two versions, of which the first is live.
async fn with_a_baseline(group: &Group) {
    let leader = group.leader().await;
    let mut client = group.client(leader).await;
    for version in [1, 2] {
        client.publish_model(publish("", &format!("d{version}"))).await.expect("done");
    }
    client.report_node(report(None, pb::ReplicaState::Available)).await.expect("known");
    client.start_rollout(start("films@1", vec![])).await.expect("started");
    client.report_node(report(Some(1), pb::ReplicaState::Available)).await.expect("known");
    wait_for_state(group, "default-1", pb::RolloutState::Promoted).await;
}

fn both_versions() -> pb::ReportNodeRequest {
    let mut both = report(Some(1), pb::ReplicaState::Available);
    both.replicas.extend(report(Some(2), pb::ReplicaState::Available).replicas);
    both
}

#[tokio::test]
async fn an_external_gate_rolls_back_though_its_leader_is_killed() {
    let web = Web::start(200, r#"{"verdict":"fail","reason":"too slow"}"#).await;
    let external_urls = AllowedUrls::parse(std::slice::from_ref(&web.url)).expect("an address");
    let mut group =
        Group::start_with(3, OutboundConfig { external_urls, ..OutboundConfig::default() }).await;
    with_a_baseline(&group).await;
    let leader = group.leader().await;
    let mut client = group.client(leader).await;
    let elsewhere = start("films@2", vec![webhook("http://127.0.0.1:1/verdict")]);
    let refused = client.start_rollout(elsewhere).await.expect_err("it is not allowed");
    assert!(refused.message().contains("control.external_urls"), "{refused}");

    let url = format!("{}/verdict", web.url);
    client.start_rollout(start("films@2", vec![webhook(&url)])).await.expect("started");
    client.report_node(both_versions()).await.expect("known");
    let one_failed = eventually("an answer", async || {
        let external = get(&group, "default-2").await.evidence?.external;
        external.first().filter(|it| it.failures == 1).cloned()
    });
    assert_eq!(one_failed.await.says, "too slow");
    group.kill(leader).await;
    // The second failure in a row is counted by another leader.
    let over = wait_for_state(&group, "default-2", pb::RolloutState::RolledBack).await;
    let why = &over.history.last().expect("it happened").reason;
    assert!(
        why.contains("external gate slo asked") && why.contains("too slow (2 in a row)"),
        "{why}"
    );
    let asked = &web.heard()[0];
    assert!(asked.head.starts_with("post /verdict http/1.1"), "{asked:?}");
    assert!(asked.body.contains(r#""rollout_id":"default-2""#), "{asked:?}");
}

#[tokio::test]
async fn a_step_does_not_end_without_an_answer() {
    let web = Web::start(500, "out of order").await;
    let external_urls = AllowedUrls::parse(std::slice::from_ref(&web.url)).expect("an address");
    let group =
        Group::start_with(1, OutboundConfig { external_urls, ..OutboundConfig::default() }).await;
    with_a_baseline(&group).await;
    let mut client = group.client(1).await;
    client.start_rollout(start("films@2", vec![webhook(&web.url)])).await.expect("started");
    client.report_node(both_versions()).await.expect("known");
    let waits = eventually("two questions", async || {
        // A node that does not report is another reason to wait.
        group.client(1).await.report_node(both_versions()).await.expect("known");
        let found = get(&group, "default-2").await;
        let unanswered = found.evidence?.external.first()?.unanswered;
        (unanswered >= 2).then_some(found.rollout.expect("there"))
    })
    .await;
    // Its hold of a second is long over.
    assert_eq!(waits.state(), pb::RolloutState::Canary);
    assert!(waits.waiting_for.contains("slo, which has no answer"), "{}", waits.waiting_for);
    web.says(200, r#"{"verdict":"pass"}"#);
    eventually("a promotion", async || {
        group.client(1).await.report_node(both_versions()).await.expect("known");
        let rollout = get(&group, "default-2").await.rollout.expect("there");
        (rollout.state() == pb::RolloutState::Promoted).then_some(())
    })
    .await;
}

const SECRET: &[u8] = b"a secret of some length";

#[tokio::test]
async fn every_transition_is_told_though_leaders_and_targets_fail() {
    let program = Web::start(503, "").await;
    let chat = Web::start(200, "ok").await;
    let target = |name: &str, web: &Web, format| NotificationTarget {
        name: name.into(),
        url: format!("{}/hook", web.url),
        format,
        secret: Some(Secret::of_file(SECRET).expect("long enough")),
        surfaces: BTreeSet::new(),
    };
    let notifications = vec![
        target("program", &program, NotificationFormat::Json),
        target("chat", &chat, NotificationFormat::Slack),
    ];
    let mut group =
        Group::start_with(3, OutboundConfig { notifications, ..OutboundConfig::default() }).await;
    let leader = group.leader().await;
    let status = |id: u64| {
        let api = group.node(id).control.api();
        async move {
            use marquee_proto::control::v1::control_service_server::ControlService as _;
            let status = api.get_status(tonic::Request::new(pb::GetStatusRequest {})).await;
            status.expect("always").into_inner().notifications
        }
    };
    // What happens before a target is known is no news to it.
    eventually("the targets are known", async || {
        let voter = group.client(leader).await;
        drop(voter);
        group.node(leader).control.told().borrow().contains_key("chat").then_some(())
    })
    .await;
    with_a_baseline(&group).await;
    // The chat knows everything while the other target refuses.
    eventually("the chat was told", async || (chat.heard().len() >= 2).then_some(())).await;
    let of_program = eventually("the refusal is shown", async || {
        status(leader)
            .await
            .into_iter()
            .find(|it| it.target == "program" && !it.last_error.is_empty())
    })
    .await;
    assert_eq!((of_program.waiting, of_program.dropped), (2, 0), "{of_program:?}");
    assert!(of_program.last_error.contains("503"), "{of_program:?}");
    assert!(!format!("{of_program:?}").contains("hook"), "an address may be a secret");
    group.kill(leader).await;
    program.says(204, "");
    let leader = group.leader().await;
    let mut client = group.client(leader).await;
    client.start_rollout(start("films@2", vec![])).await.expect("started");
    client.report_node(both_versions()).await.expect("known");
    wait_for_state(&group, "default-2", pb::RolloutState::Promoted).await;
    let wanted = ["default-1.1", "default-1.2", "default-2.1", "default-2.2", "default-2.3"];
    for web in [&program, &chat] {
        eventually("all was told", async || {
            let ids: BTreeSet<String> =
                web.heard().iter().map(|it| it.header("marquee-delivery").to_owned()).collect();
            (ids.iter().collect::<Vec<_>>() == wanted).then_some(())
        })
        .await;
    }
    for heard in program.heard() {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("any length");
        mac.update(format!("{}.{}", heard.header("marquee-timestamp"), heard.body).as_bytes());
        let signed = format!("v1={}", hex::encode(mac.finalize().into_bytes()));
        assert_eq!(heard.header("marquee-signature"), signed);
        assert!(heard.body.contains(r#""surface":"default""#), "{}", heard.body);
    }
    assert!(chat.heard()[0].body.starts_with(r#"{"text":"rollout default-1 on default"#));
    eventually("all is confirmed", async || {
        let now = group.node(leader).control.told().borrow().clone();
        let told = &now["program"];
        (told.rollouts.get("default-2") == Some(&3) && told.dropped == 0).then_some(())
    })
    .await;
}
