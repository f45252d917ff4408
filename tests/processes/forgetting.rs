//! A user is forgotten: in answers, in the files of a node, in the next training.

use crate::standalone::Standalone;
use crate::support::caller::{client, request};
use crate::support::data::{Bundles, interactions};
use crate::support::eventually;
use crate::support::process::{marquee, marquee_ok, text};
use marquee_proto::v1::{
    Event, EventProblemReason, EventType, FallbackReason, RecordEventsRequest,
};
use std::path::Path;

/// A user of events alone, whose id is in no bundle.
const LEAVING_USER: &str = "leaving-4711";

fn play(user_id: &str, item_id: &str) -> Event {
    Event {
        user_id: user_id.into(),
        item_id: item_id.into(),
        r#type: EventType::Play.into(),
        value: 60.0,
        ..Event::default()
    }
}

/// Whether the bytes are in any file below a directory.
fn has_bytes(directory: &Path, needle: &str) -> bool {
    std::fs::read_dir(directory).expect("there").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return has_bytes(&path, needle);
        }
        // Files come and go while the node runs.
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
    })
}

async fn reason(node: &Standalone, user_id: &str) -> FallbackReason {
    let answer = client(&node.endpoint).recommend(request(user_id)).await.expect("answered");
    answer.into_inner().fallback_reason()
}

/// Waits until the node answers the user for this reason: on a busy machine a shard may be late for one answer.
async fn is_answered(node: &Standalone, user_id: &str, because: FallbackReason) {
    eventually(user_id, || async { reason(node, user_id).await == because }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_forgotten_in_answers_files_and_trainings() {
    let bundles = Bundles::new();
    let dir = bundles.path();
    let mut node = Standalone::start(dir, &bundles.train(8, 2)).await;
    let data = dir.join("standalone");
    let file = |name: &str| dir.join(name).display().to_string();
    let keys = file("users.json");
    eventually("the cluster has keys", || async {
        let args = ["ctl", "--endpoint", &node.endpoint, "users", "keys", "--out", &keys];
        marquee(args).status.success()
    })
    .await;

    // Known by events, in the log, the quarantine and exposures; another one by the bundle, too.
    let late = Event { time_ms: 1, ..play(LEAVING_USER, "7") };
    let named = Event { event_id: format!("of-{LEAVING_USER}"), ..play(LEAVING_USER, "9") };
    let events =
        vec![play(LEAVING_USER, "3"), named, late, play("user-7", "3"), play("user-8", "4")];
    let call = RecordEventsRequest { events: events.clone() };
    let answer = client(&node.endpoint).record_events(call).await.expect("recorded").into_inner();
    assert_eq!((answer.accepted, answer.problems.len()), (4, 1));
    is_answered(&node, LEAVING_USER, FallbackReason::RecentItems).await;
    is_answered(&node, "user-7", FallbackReason::Unspecified).await;
    assert!(has_bytes(&data, LEAVING_USER));
    let before = file("before.csv");
    let logs = data.join("events").display().to_string();
    marquee_ok(["export", "--events", &logs, "--out", &before]);

    for user in [LEAVING_USER, "user-7"] {
        node.ctl(&["users", "forget", user]);
    }
    eventually("both are unknown", || async {
        reason(&node, LEAVING_USER).await == FallbackReason::UnknownUser
            && reason(&node, "user-7").await == FallbackReason::UnknownUser
    })
    .await;
    is_answered(&node, "user-8", FallbackReason::Unspecified).await;
    let verify = |user: &str| {
        let data = data.display().to_string();
        let args = ["users", "verify", user, "--data-dir", &data, "--json"];
        let output = marquee(["ctl", "--endpoint", &node.endpoint].iter().chain(&args));
        let report = serde_json::from_slice::<serde_json::Value>(&output.stdout);
        (output.status.success(), report.unwrap_or_else(|_| panic!("{}", text(&output.stderr))))
    };
    eventually("no byte of the id is left", || async { verify(LEAVING_USER).0 }).await;
    assert!(!has_bytes(&data, LEAVING_USER));
    assert!(!node.server.log().contains(LEAVING_USER), "{}", node.server.log());
    // The bundle keeps its rows: the version is named, and the bytes are found.
    eventually("the router is asked", || async {
        let of_user_7 = &verify("user-7").1["routers"][0]["answer"];
        let of_user_8 = &verify("user-8").1["routers"][0]["answer"];
        of_user_7 == "as_to_an_unknown_user" && of_user_8 == "as_to_a_user"
    })
    .await;
    let (is_proved, report) = verify("user-7");
    assert!(!is_proved, "{report}");
    assert_eq!(report["versions"], serde_json::json!(["films@1"]), "{report}");
    assert!(report["found"].as_u64() > Some(0), "{report}");
    let (is_proved, report) = verify("user-8");
    assert!(!is_proved && report["tombstone"].is_null(), "{report}");

    // Nothing more is taken, and who asked for it is known by a keyed hash of the user.
    let call = RecordEventsRequest { events };
    let answer = client(&node.endpoint).record_events(call).await.expect("an answer").into_inner();
    let reasons: Vec<_> = answer.problems.iter().map(|it| (it.index, it.reason())).collect();
    let forgotten = EventProblemReason::ForgottenUser;
    assert_eq!(reasons, [0, 1, 2, 3].map(|index| (index, forgotten)));
    let audit = node.ctl(&["audit", "list", "--json"]);
    assert_eq!(audit.matches("forget user ").count(), 2, "{audit}");
    assert!(!audit.contains(LEAVING_USER), "{audit}");

    // After kill -9 it is as before.
    node.server.kill();
    node.server.restart();
    eventually("all shards answer again, and the user is unknown", || async {
        let mut caller = client(&node.endpoint);
        let known = caller.recommend(request("user-8")).await;
        let is_known =
            known.is_ok_and(|it| it.into_inner().fallback_reason() == FallbackReason::Unspecified);
        is_known && reason(&node, LEAVING_USER).await == FallbackReason::UnknownUser
    })
    .await;
    assert!(!has_bytes(&data, LEAVING_USER));

    // An export of before still has the users: training leaves them out, and publishing says so.
    node.ctl(&["users", "keys", "--out", &keys]);
    assert!(std::fs::read_to_string(&before).expect("exported").contains(LEAVING_USER));
    let (all, bundle) = (file("all.csv"), file("v2"));
    let rows = format!("{}{LEAVING_USER},3,4.0,1000000\n", interactions());
    std::fs::write(&all, rows).expect("a file");
    let args = ["train", "--interactions", &all, "--forgotten", &keys, "--name", "films"];
    let rest = ["--factors", "8", "--out", &bundle, "--json"];
    let summary = marquee_ok(args.iter().chain(&rest));
    let summary: serde_json::Value = serde_json::from_str(&summary).expect("JSON");
    assert_eq!(summary["forgotten"]["users"], 2, "{summary}");
    assert!(!has_bytes(Path::new(&bundle), LEAVING_USER));
    node.ctl(&["publish", &bundle, "--force"]);
    let answer = node.ctl(&["users", "forget", "user-7", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let named = answer["versions"].as_array().expect("a list");
    assert_eq!(named.len(), 1, "only the first version has rows of the user: {answer}");
}
