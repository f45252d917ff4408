use super::*;
use crate::forgetting::tests::forgetting_ann;
use crate::log::WriteStep;
use marquee_core::event::EventType;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const NOW: u64 = 1_700_000_000_000;

fn click(id: &str) -> Event {
    Event {
        event_id: id.into(),
        user_id: "u".into(),
        item_id: format!("item-{id}"),
        event_type: EventType::Click,
        time_ms: NOW,
        ..Event::default()
    }
}

fn open(directory: &Path) -> EventLog {
    EventLog::open(EventSettings::new(directory)).expect("opens")
}

async fn record(log: &EventLog, events: Vec<Event>) -> Vec<RecordOutcome> {
    let pending = log.record(events, NOW).expect("queued");
    pending.recorded().await.expect("durable").outcomes
}

/// The ids in a log.
fn stored(directory: &Path) -> Vec<String> {
    let mut reader = LogReader::open(directory, Contents::Events).expect("opens");
    let mut ids = Vec::new();
    let mut take = |record: &[u8]| {
        ids.push(StoredEvent::decode(record).expect("an event").event.event_id);
    };
    while reader.next_frame(|_, record| take(record)).expect("whole") {}
    ids
}

#[tokio::test]
async fn each_event_has_its_outcome_and_its_count() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    let sink = Arc::new(Mutex::new(Vec::new()));
    log.add_sink(sink.clone());
    let late = Event { time_ms: 1, ..click("late") };
    let without_user = Event { user_id: String::new(), ..click("without-user") };
    let events = vec![click("a"), late.clone(), click("a"), without_user, click("b")];
    let outcomes = record(&log, events).await;
    use RecordOutcome::*;
    let expected =
        [Accepted, Quarantined(Reason::Late), Duplicate, Refused(Reason::MissingField), Accepted];
    assert_eq!(outcomes, expected);
    assert_eq!(record(&log, vec![late.clone(), click("b")]).await, [Duplicate, Duplicate]);
    // Its id was in the quarantine, which does not keep the corrected event out.
    assert_eq!(record(&log, vec![click("late")]).await, [Accepted]);
    let counts = log.counts();
    assert_eq!((counts.accepted, counts.duplicates, counts.pushed_back), (3, 3, 0));
    assert_eq!((counts.of(Reason::Late), counts.of(Reason::MissingField)), (1, 1));
    let told: Vec<String> =
        sink.lock().expect("no panic").iter().map(|event| event.event_id.clone()).collect();
    assert_eq!(told, ["a", "b", "late"]);
    assert_eq!(log.recent().items_of("u"), ["item-a", "item-b", "item-late"]);
    drop(log);
    assert_eq!(stored(dir.path()), ["a", "b", "late"]);
    let quarantine = dir.path().join(QUARANTINE_DIRECTORY);
    let mut reader = LogReader::open(&quarantine, Contents::Quarantine).expect("opens");
    let mut found = Vec::new();
    while reader
        .next_frame(|_, r| found.push(crate::Quarantined::decode(r).expect("one")))
        .expect("whole")
    {}
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].reason, &found[0].stored.event), (Reason::Late, &late));
}

#[tokio::test]
async fn duplicates_and_recent_items_outlive_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    record(&log, vec![click("a"), Event { time_ms: 2, ..click("old") }]).await;
    drop(log);
    let log = open(dir.path());
    let again = vec![click("a"), Event { time_ms: 2, ..click("old") }, click("b")];
    let outcomes = record(&log, again).await;
    assert_eq!(
        outcomes,
        [RecordOutcome::Duplicate, RecordOutcome::Duplicate, RecordOutcome::Accepted]
    );
    assert_eq!(log.recent().items_of("u"), ["item-a", "item-b"]);
    drop(log);
    assert_eq!(stored(dir.path()), ["a", "b"]);
}

#[tokio::test]
async fn under_an_interval_it_is_synced_without_new_events_and_recovers_by_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let syncs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&syncs);
    let mut settings = EventSettings::new(dir.path());
    settings.log.fsync = crate::Fsync::IntervalMs(5);
    settings.log.faults = Some(Arc::new(move |step| {
        let fails = step == WriteStep::Sync && counted.fetch_add(1, Ordering::AcqRel) == 1;
        if fails { Err(std::io::Error::other("no space")) } else { Ok(()) }
    }));
    let log = EventLog::open(settings).expect("opens");
    assert_eq!(record(&log, vec![click("a")]).await, [RecordOutcome::Accepted]);
    until(|| syncs.load(Ordering::Acquire) == 1).await;
    assert_eq!(
        record(&log, vec![click("b")]).await,
        [RecordOutcome::Accepted],
        "written, as the policy is"
    );
    until(|| log.states()[0].failure.is_some()).await;
    let refused = log.record(vec![click("c")], NOW).expect("queued").recorded().await;
    assert!(matches!(refused, Err(RecordError::Failed(_))), "{refused:?}");
    // Nobody sends anything, and the disk is well again.
    until(|| log.states()[0].failure.is_none()).await;
    assert_eq!(record(&log, vec![click("c")]).await, [RecordOutcome::Accepted]);
    assert_eq!(log.states(), [LogState::default(), LogState::default()]);
    drop(log);
    assert_eq!(stored(dir.path()), ["a", "b", "c"]);
}

/// A log whose syncs wait until they are let.
fn held(directory: &Path) -> (EventLog, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (open, syncs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (gate, counted) = (Arc::clone(&open), Arc::clone(&syncs));
    let mut settings = EventSettings::new(directory);
    settings.log.faults = Some(Arc::new(move |step| {
        if step == WriteStep::Sync {
            counted.fetch_add(1, Ordering::AcqRel);
            while !gate.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }));
    (EventLog::open(settings).expect("opens"), open, syncs)
}

async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_before_the_sync_and_many_share_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, gate, syncs) = held(dir.path());
    let first = log.record(vec![click("first")], NOW).expect("queued");
    until(|| syncs.load(Ordering::Acquire) == 1).await;
    let later: Vec<Pending> = (0..50)
        .map(|n| log.record(vec![click(&n.to_string()), click("first")], NOW).expect("queued"))
        .collect();
    let mut first = Box::pin(first.recorded());
    let early = tokio::time::timeout(Duration::from_millis(50), &mut first).await;
    assert!(early.is_err(), "acknowledged before it was synced");
    assert!(log.recent().items_of("u").is_empty(), "not durable yet");
    gate.store(true, Ordering::Release);
    assert_eq!(first.await.expect("durable").outcomes, [RecordOutcome::Accepted]);
    for pending in later {
        let outcomes = pending.recorded().await.expect("durable").outcomes;
        assert_eq!(outcomes, [RecordOutcome::Accepted, RecordOutcome::Duplicate]);
    }
    assert_eq!(syncs.load(Ordering::Acquire), 2, "the fifty were one commit");
}

#[tokio::test]
async fn a_log_that_is_behind_pushes_back_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, gate, _) = held(dir.path());
    let many = |n: usize| -> Vec<Event> {
        let long = "x".repeat(200);
        (0..1_000).map(|k| Event { user_id: long.clone(), ..click(&format!("{n}-{k}")) }).collect()
    };
    let mut queued = Vec::new();
    let refused = loop {
        match log.record(many(queued.len()), NOW) {
            Ok(pending) => queued.push(pending),
            Err(error) => break error,
        }
        assert!(queued.len() < 1_000, "memory grows");
    };
    assert_eq!(refused, RecordError::Full);
    assert!(log.counts().pushed_back == 1 && queued.len() > 50, "{}", queued.len());
    let waiting = log.record_when_there_is_room(many(9_999), NOW);
    let mut waiting = Box::pin(waiting);
    let early = tokio::time::timeout(Duration::from_millis(20), &mut waiting).await;
    assert!(early.is_err(), "there is no room");
    gate.store(true, Ordering::Release);
    let count = queued.len() + 1;
    queued.push(waiting.await.expect("room came"));
    for pending in queued {
        let outcomes = pending.recorded().await.expect("durable").outcomes;
        assert!(outcomes.iter().all(|outcome| *outcome == RecordOutcome::Accepted));
    }
    drop(log);
    assert_eq!(stored(dir.path()).len(), count * 1_000);
}

#[tokio::test]
async fn a_failed_disk_acknowledges_nothing_not_even_duplicates() {
    let dir = tempfile::tempdir().expect("a directory");
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let mut settings = EventSettings::new(dir.path());
    settings.log.faults = Some(Arc::new(move |step| {
        let fails = step == WriteStep::Sync && failing.load(Ordering::Acquire);
        if fails { Err(std::io::Error::other("no space")) } else { Ok(()) }
    }));
    let log = EventLog::open(settings).expect("opens");
    assert_eq!(record(&log, vec![click("a")]).await, [RecordOutcome::Accepted]);
    fails.store(true, Ordering::Release);
    let sink = Arc::new(Mutex::new(Vec::new()));
    log.add_sink(sink.clone());
    for events in [vec![click("b")], vec![click("b")], vec![click("a")], vec![click("c")]] {
        let pending = log.record(events, NOW).expect("queued");
        let error = pending.recorded().await.expect_err("the disk failed").to_string();
        assert!(error.contains("no space"), "{error}");
    }
    assert_eq!(log.counts().accepted, 1);
    assert!(sink.lock().expect("no panic").is_empty());
    assert_eq!(log.recent().items_of("u"), ["item-a"]);
    drop(log);
    // The disk is well again after a restart: a retry is taken, once.
    let log = open(dir.path());
    record(&log, vec![click("b")]).await;
    drop(log);
    let ids = stored(dir.path());
    assert_eq!(ids.iter().filter(|id| *id == "b").count(), 1, "{ids:?}");
}

/// An event that a full disk refused is no duplicate when it is sent again and there is room.
#[tokio::test]
async fn a_log_whose_disk_was_full_takes_what_is_sent_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let is_full = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&is_full);
    let mut settings = EventSettings::new(dir.path());
    settings.log.faults = Some(Arc::new(move |step| {
        let fails = step == WriteStep::Write && fails.load(Ordering::Acquire);
        if fails { Err(std::io::Error::other("no space")) } else { Ok(()) }
    }));
    let log = EventLog::open(settings).expect("opens");
    let send = || log.record(vec![click("a")], NOW).expect("queued").recorded();
    send().await.expect_err("the disk is full");
    is_full.store(false, Ordering::Release);
    let recorded = loop {
        match send().await {
            Ok(recorded) => break recorded,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    };
    assert_eq!(recorded.outcomes, [RecordOutcome::Accepted]);
    assert_eq!(send().await.expect("it is there").outcomes, [RecordOutcome::Duplicate]);
    drop(log);
    assert_eq!(stored(dir.path()), ["a"]);
}

#[test]
fn a_failed_quarantine_leaves_no_events_in_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let mut settings = EventSettings::new(dir.path());
    settings.log.faults = Some(Arc::new(move |_| {
        let fails = failing.load(Ordering::Acquire);
        if fails { Err(std::io::Error::other("no space")) } else { Ok(()) }
    }));
    fails.store(false, Ordering::Release);
    let mut writer = JournalWriter::open(&settings.log, &settings.quarantine()).expect("opens");
    fails.store(true, Ordering::Release);
    writer.quarantine_frame.push(|out| out.push(0));
    writer.commit().expect_err("the quarantine cannot be written");
    fails.store(false, Ordering::Release);
    for _ in 0..3 {
        writer.frame.push(|out| out.push(0));
        writer.commit().expect_err("neither is written while one cannot be");
        assert!(writer.frame.is_empty() && writer.quarantine_frame.is_empty());
    }
}

#[tokio::test]
async fn what_another_router_has_recorded_is_a_duplicate_here() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(directory.path());
    log.recorded_elsewhere(&[hash_of("a"), hash_of("b")]);
    let outcomes = record(&log, vec![click("a"), click("c")]).await;
    assert_eq!(outcomes, [RecordOutcome::Duplicate, RecordOutcome::Accepted]);
    assert_eq!(stored(directory.path()), ["c"]);
    // However many: memory is bounded, and the first are kept.
    let keys: Vec<u128> = (0..MAX_ELSEWHERE as u128 + 10).collect();
    log.recorded_elsewhere(&keys);
    log.recorded_elsewhere(&keys);
    let waiting = log.inner.shared.elsewhere.lock().expect("no panic").len();
    assert_eq!(waiting, MAX_ELSEWHERE);
}

#[tokio::test]
async fn nothing_is_left_of_a_forgotten_user_and_nothing_more_is_taken() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    let of = |user: &str, id: &str| Event { user_id: user.into(), ..click(id) };
    let late = |user: &str, id: &str| Event { time_ms: 1, ..of(user, id) };
    record(&log, vec![of("ann", "1"), of("bob", "2"), late("ann", "3"), late("bob", "4")]).await;
    log.recent().insert("ann", "from another router", NOW);
    log.forget(Arc::new(ForgottenUsers::of(&forgetting_ann())));
    assert!(log.recent().items_of("ann").is_empty());
    assert_eq!(log.recent().items_of("bob"), ["item-2"]);
    let erased = log.erase().expect("erased");
    assert_eq!((erased.erased, erased.segments), (2, 2), "one of each log");
    let refused = RecordOutcome::Refused(Reason::ForgottenUser);
    let outcomes = record(&log, vec![of("ann", "5"), late("ann", "6"), of("bob", "7")]).await;
    assert_eq!(outcomes, [refused, refused, RecordOutcome::Accepted]);
    log.recent().insert("ann", "from another router", NOW);
    assert!(log.recent().items_of("ann").is_empty());
    assert_eq!(log.counts().of(Reason::ForgottenUser), 2);
    drop(log);
    assert_eq!(stored(dir.path()), ["2", "7"]);
    // It opens again, and what it knows is of the others.
    let log = open(dir.path());
    assert_eq!(
        record(&log, vec![of("bob", "2"), late("bob", "4")]).await,
        [RecordOutcome::Duplicate; 2]
    );
}
