//! Events: acknowledged, kept over a kill and a restart, exported, trained on.

use crate::standalone::Standalone;
use crate::support::caller::{client, request};
use crate::support::cluster::Cluster;
use crate::support::data::Bundles;
use crate::support::eventually;
use crate::support::process::{marquee, marquee_ok, text};
use marquee_proto::node::v1::GetUsageRequest;
use marquee_proto::node::v1::node_service_client::NodeServiceClient;
use marquee_proto::v1::{Event, EventType, RecordEventsRequest, StreamEventsRequest};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// Number of backends that record at the same time.
const CALLERS: usize = 8;
/// Events per call.
const BATCH: usize = 20;

fn click(event_id: String, user_id: &str, item_id: &str) -> Event {
    Event {
        event_id,
        user_id: user_id.into(),
        item_id: item_id.into(),
        r#type: EventType::Click.into(),
        ..Event::default()
    }
}

/// The directory of the events of a standalone node.
fn events_of(dir: &Path) -> PathBuf {
    dir.join("standalone").join("events")
}

/// Exports to CSV and returns the column `event_id` (or another), in the order of the log.
fn exported(dir: &Path, name: &str, column: &str, flags: &[&str]) -> Vec<String> {
    let (events, out) = (events_of(dir).display().to_string(), dir.join(name));
    let out_text = out.display().to_string();
    let args = ["export", "--events", &events, "--out", &out_text];
    marquee_ok(args.iter().chain(flags));
    let csv = std::fs::read_to_string(out).expect("exported");
    let mut lines = csv.lines();
    let header = lines.next().expect("a header");
    let at = header.split(',').position(|name| name == column).expect("the column");
    lines.map(|line| line.split(',').nth(at).expect("a field").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_event_outlives_kill_9_and_none_is_there_twice() {
    let bundles = Bundles::new();
    let mut node = Standalone::start(bundles.path(), &bundles.train(4, 1)).await;
    let acknowledged: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let sent: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (acknowledged, sent, stop) = (acknowledged.clone(), sent.clone(), stop.clone());
            let endpoint = node.endpoint.clone();
            tokio::spawn(async move {
                let mut client = client(&endpoint);
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    let ids = (0..BATCH).map(|k| format!("{caller}-{n}-{k}"));
                    let events: Vec<Event> =
                        ids.map(|id| click(id, &format!("user-{caller}"), "1")).collect();
                    let ids = events.iter().map(|event| event.event_id.clone());
                    sent.lock().expect("no panic").extend(ids.clone());
                    let call = RecordEventsRequest { events: events.clone() };
                    // Until it is acknowledged, as a backend would: across the kill as well.
                    match client.record_events(call).await {
                        Ok(answer) => {
                            let answer = answer.into_inner();
                            assert_eq!(answer.accepted + answer.duplicates, BATCH as u32);
                            acknowledged.lock().expect("no panic").extend(ids);
                            n += 1;
                        }
                        Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                    }
                }
            })
        })
        .collect();
    let count = || acknowledged.lock().expect("no panic").len();
    for _ in 0..3 {
        let before = count();
        eventually("events are acknowledged", || async { count() > before + 2_000 }).await;
        node.server.kill();
        // What was acknowledged before this moment is on the disk by now.
        let durable = acknowledged.lock().expect("no panic").clone();
        let name = format!("killed-{before}.csv");
        let found: BTreeSet<String> =
            exported(bundles.path(), &name, "event_id", &[]).into_iter().collect();
        let lost: Vec<_> = durable.difference(&found).take(3).collect();
        assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
        node.server.restart();
    }
    let before = count();
    eventually("events are acknowledged", || async { count() > before + 2_000 }).await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("no panic");
    }
    let found = exported(bundles.path(), "all.csv", "event_id", &[]);
    let distinct: BTreeSet<String> = found.iter().cloned().collect();
    assert_eq!(found.len(), distinct.len(), "an event is there twice");
    assert!(acknowledged.lock().expect("no panic").is_subset(&distinct));
    assert!(distinct.is_subset(&sent.lock().expect("no panic")), "an event that was not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_shape_the_next_answer_and_the_next_training() {
    let bundles = Bundles::new();
    let dir = bundles.path();
    let mut node = Standalone::start(dir, &bundles.train(8, 2)).await;
    let mut caller = client(&node.endpoint);
    let answer = caller.recommend(request("user-1")).await.expect("answered").into_inner();
    let item = answer.items[0].item_id.clone();
    let mut played = click("played".into(), "user-1", &item);
    (played.r#type, played.value) = (EventType::Play.into(), 60.0);
    played.recommendation_id = answer.recommendation_id.clone();
    let call = RecordEventsRequest { events: vec![played] };
    assert_eq!(caller.record_events(call).await.expect("recorded").into_inner().accepted, 1);
    let next = caller.recommend(request("user-1")).await.expect("answered").into_inner();
    assert!(next.items.iter().all(|other| other.item_id != item), "acknowledged and shown again");

    // A stream of two messages, with an event of each kind of trouble.
    let group = |item: usize| (item - 1) % 5;
    let events: Vec<Event> = (0..40)
        .flat_map(|user| (1..=100).map(move |item| (user, item)))
        .filter(|(user, item)| group(*item) == user % 5)
        .map(|(user, item)| click(String::new(), &format!("new-{user}"), &item.to_string()))
        .collect();
    let total = events.len() as u64;
    let mut messages: Vec<StreamEventsRequest> =
        events.chunks(500).map(|c| StreamEventsRequest { events: c.to_vec() }).collect();
    let mut odd = click("odd".into(), "user-1", "1");
    odd.time_ms = 1;
    let without_item = click("unknown".into(), "", "1");
    let twice = messages[0].events[0].clone();
    messages.push(StreamEventsRequest { events: vec![odd, without_item, twice] });
    let answer = caller.stream_events(tokio_stream::iter(messages)).await.expect("recorded");
    let answer = answer.into_inner();
    assert_eq!((answer.accepted, answer.duplicates), (total, 1));
    assert_eq!((answer.quarantined, answer.refused), (1, 1));
    let indices: Vec<u64> = answer.problems.iter().map(|problem| problem.index).collect();
    assert_eq!(indices, [total, total + 1]);

    let node_service = Channel::from_shared(node.endpoint.clone()).expect("an endpoint");
    let mut node_service = NodeServiceClient::new(node_service.connect_lazy());
    let usage = node_service.get_usage(GetUsageRequest {}).await.expect("it says").into_inner();
    for (word, count) in
        [("accepted", total + 1), ("duplicate", 1), ("late", 1), ("missing_field", 1)]
    {
        assert_eq!(usage.events.get(word), Some(&count), "{word}: {:?}", usage.events);
    }

    // A user unknown to the model is known by events, also after a restart.
    let known = caller.recommend(request("new-3")).await.expect("answered").into_inner();
    assert_eq!(known.fallback_reason().as_str_name(), "FALLBACK_REASON_RECENT_ITEMS");
    node.server.kill();
    node.server.restart();
    eventually("it answers after a restart as before", || {
        let mut caller = client(&node.endpoint);
        let items = known.items.clone();
        async move {
            let again = caller.recommend(request("new-3")).await;
            again.is_ok_and(|again| again.into_inner().items == items)
        }
    })
    .await;

    // While the node runs: events, quarantine, exposures.
    let shown =
        client(&node.endpoint).recommend(request("user-2")).await.expect("answered").into_inner();
    assert_eq!(exported(dir, "late.csv", "reason", &["--quarantine"]), ["late"]);
    eventually("exposures are written", || async {
        let _ = std::fs::remove_file(dir.join("shown.csv"));
        let rows = exported(dir, "shown.csv", "recommendation_id", &["--exposures"]);
        rows.iter().filter(|id| **id == shown.recommendation_id).count() == shown.items.len()
    })
    .await;
    let events = events_of(dir).display().to_string();
    let file = |name: &str| dir.join(name).display().to_string();
    let parquet = file("events.parquet");
    let flags = ["--types", "click,play,rating,purchase", "--json"];
    let args = ["export", "--events", &events, "--out", &parquet];
    let summary = marquee_ok(args.iter().chain(&flags));
    let summary: serde_json::Value = serde_json::from_str(&summary).expect("JSON");
    assert_eq!(summary["rows"], total + 1, "{summary}");
    marquee_ok(["train", "--interactions", &parquet, "--out", &file("v2"), "--factors", "4"]);
    let again = marquee(args);
    assert!(!again.status.success() && text(&again.stderr).contains("exists: name another"));
    let newest = summary["newest_ms"].as_u64().expect("a number") + 1;
    let since = newest.to_string();
    assert!(exported(dir, "newer.csv", "event_id", &["--since-ms", &since]).is_empty());
    let cursor = summary["cursor"].as_str().expect("a cursor").to_owned();
    assert!(exported(dir, "none.csv", "event_id", &["--after", &cursor]).is_empty());
}

/// Exports beside events that are recorded, each of which continues the one before: together they have every event once,
/// though the times of events are not in the order of the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_exports_has_every_event_once() {
    let bundles = Bundles::new();
    let node = Standalone::start(bundles.path(), &bundles.train(4, 1)).await;
    let dir = bundles.path();
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let (stop, mut client) = (Arc::clone(&stop), client(&node.endpoint));
        callers.push(tokio::spawn(async move {
            let mut recorded = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let event_id = format!("{caller}-{}", recorded.len());
                let events = vec![click(event_id.clone(), "user-1", "item-1")];
                client.record_events(RecordEventsRequest { events }).await.expect("recorded");
                recorded.push(event_id);
            }
            recorded
        }));
    }
    let mut found: Vec<String> = Vec::new();
    let mut cursor: Option<String> = None;
    let mut recorded: Vec<String> = Vec::new();
    for step in 0..8 {
        if step == 7 {
            stop.store(true, Ordering::Relaxed);
            for caller in callers.drain(..) {
                recorded.extend(caller.await.expect("no panic"));
            }
        }
        let (events, name) = (events_of(dir).display().to_string(), format!("step-{step}.csv"));
        let out = dir.join(&name).display().to_string();
        let mut args = vec!["export", "--events", &events, "--out", &out, "--json"];
        if let Some(cursor) = &cursor {
            args.extend(["--after", cursor]);
        }
        let summary: serde_json::Value = serde_json::from_str(&marquee_ok(&args)).expect("JSON");
        assert_eq!(summary["deleted"], 0, "{summary}");
        cursor = Some(summary["cursor"].as_str().expect("a cursor").to_owned());
        let csv = std::fs::read_to_string(&out).expect("exported");
        for line in csv.lines().skip(1) {
            found.push(line.rsplit(',').next().expect("a field").to_owned());
        }
    }
    found.sort_unstable();
    recorded.sort_unstable();
    assert!(recorded.len() > 8 * CALLERS, "{}", recorded.len());
    assert_eq!(found, recorded);
    let events = events_of(dir).display().to_string();
    let args = ["export", "--events", &events, "--out", "none.csv", "--after", "events:1,2"];
    let refused = marquee(args);
    assert!(text(&refused.stderr).contains("of 2 logs"), "{}", text(&refused.stderr));
    let ahead = ["export", "--events", &events, "--out", "none.csv", "--after", "events:99999999"];
    assert!(text(&marquee(ahead).stderr).contains("another log"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_routers_know_it_within_a_second() {
    let cluster = Cluster::start().await;
    let [mut here, mut there] = [0, 1].map(|n| client(&cluster.routers_at()[n]));
    let mut times = Vec::new();
    for user in ["user-1", "user-2", "user-3"] {
        let answer = there.recommend(request(user)).await.expect("answered").into_inner();
        let item = answer.items[0].item_id.clone();
        let call = RecordEventsRequest { events: vec![click(String::new(), user, &item)] };
        here.record_events(call).await.expect("recorded");
        let recorded = Instant::now();
        eventually("the other router knows", || {
            let (mut there, item) = (there.clone(), item.clone());
            async move {
                let answer = there.recommend(request(user)).await.expect("answered").into_inner();
                answer.items.iter().all(|other| other.item_id != item)
            }
        })
        .await;
        times.push(recorded.elapsed());
    }
    // The machine may be busy with other tests for one of them.
    times.sort();
    assert!(times[1] < Duration::from_secs(1), "{times:?}");

    // A backend that did not hear the acknowledgement tries the other router, some time later.
    let mut n = 0;
    eventually("an event that was recorded elsewhere is a duplicate", || {
        n += 1;
        let retried = click(format!("retried-{n}"), "user-9", "7");
        let (mut here, mut there) = (here.clone(), there.clone());
        async move {
            let call = || RecordEventsRequest { events: vec![retried.clone()] };
            let first = here.record_events(call()).await.expect("recorded").into_inner();
            assert_eq!(first.accepted, 1);
            tokio::time::sleep(Duration::from_millis(500)).await;
            let again = there.record_events(call()).await.expect("recorded").into_inner();
            again.duplicates == 1
        }
    })
    .await;
    // At once both take it, and the export of both logs has it once.
    for router in [&mut here, &mut there] {
        let events = vec![click("at-once".into(), "user-9", "9")];
        router.record_events(RecordEventsRequest { events }).await.expect("recorded");
    }
    let dir = cluster.bundles.path();
    let [one, two] = ["router-1", "router-2"]
        .map(|name| dir.join(format!("data-{name}/events")).display().to_string());
    let out = dir.join("both.csv").display().to_string();
    marquee_ok(["export", "--events", &one, "--events", &two, "--out", &out]);
    let rows = std::fs::read_to_string(&out).expect("exported");
    for id in ["retried-1", "at-once"] {
        assert_eq!(rows.lines().filter(|row| row.ends_with(id)).count(), 1, "{id} in\n{rows}");
    }
}
