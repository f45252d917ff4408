//! Events of users, and what they change in the next answer.

use crate::ids;
use crate::support::{World, films, user};
use marquee_core::plan::privacy::{Tombstone, Tombstones};
use marquee_core::plan::{AnswerSecret, SECRET_BYTES, UserHash, UserPrivacy};
use marquee_core::ranking::randomise::SlotDraw;
use marquee_events::{
    AskedFor, Contents, EventLog, EventSettings, Exposure, ExposureLog, ExposureSettings,
    StoredEvent,
    log::{LogOptions, LogReader},
};
use marquee_proto::v1::recommender_service_server::RecommenderService as _;
use marquee_proto::v1::{self, EventProblemReason, EventType, FallbackReason};
use marquee_router::{Feedback, RouterConfig};
use std::collections::BTreeMap;
use std::path::Path;
use tonic::{Code, Request};

/// A world whose router keeps events and exposures in this directory.
fn world(directory: &Path, sample_basis_points: u32) -> World {
    world_with(directory, sample_basis_points, RouterConfig::default())
}

fn world_with(directory: &Path, sample_basis_points: u32, config: RouterConfig) -> World {
    let exposures = directory.join("exposures");
    let settings = ExposureSettings {
        log: LogOptions::new(exposures, Contents::Exposures),
        sample_basis_points,
    };
    let feedback = Feedback {
        events: Some(EventLog::open(EventSettings::new(directory)).expect("a log")),
        exposures: Some(ExposureLog::open(settings).expect("a log")),
        failure: None,
    };
    let films = vec![films(1, 2, "i", 60, 5)];
    World::with_feedback(films, 2, 1, config, feedback)
}

fn event(event_type: EventType, user_id: &str, item_id: &str) -> v1::Event {
    v1::Event {
        user_id: user_id.into(),
        item_id: item_id.into(),
        r#type: event_type.into(),
        ..v1::Event::default()
    }
}

async fn record(
    world: &World,
    events: Vec<v1::Event>,
) -> Result<v1::RecordEventsResponse, tonic::Status> {
    let request = Request::new(v1::RecordEventsRequest { events });
    world.service().record_events(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_router_without_a_log_says_which_setting_is_missing() {
    let world = World::new(vec![films(1, 1, "i", 20, 2)], 1, 1);
    let events = vec![event(EventType::Click, "u1", "i1")];
    let status = record(&world, events).await.expect_err("no log");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("router.events.enabled"), "{status:?}");
}

#[tokio::test]
async fn what_was_played_is_not_recommended_again_and_shapes_the_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path(), 0);
    let before = world.recommend(user("u1", 5)).await.expect("an answer");
    let items: Vec<String> = before.items.iter().map(|item| item.item_id.clone()).collect();
    record(&world, vec![event(EventType::Impression, "u1", &items[0])]).await.expect("recorded");
    let shown = world.recommend(user("u1", 5)).await.expect("an answer");
    assert_eq!(ids(&shown.items), ids(&before.items), "an impression is no more than that");

    let played = [EventType::Click, EventType::Play, EventType::Purchase, EventType::Rating];
    let events = played.into_iter().zip(&items).map(|(t, item)| event(t, "u1", item)).collect();
    let recorded = record(&world, events).await.expect("recorded");
    assert_eq!((recorded.accepted, recorded.problems.len()), (4, 0));
    let after = world.recommend(user("u1", 60)).await.expect("an answer");
    for item in &items[..4] {
        assert!(!ids(&after.items).contains(&item.as_str()), "{item} was had");
    }
    let batch = v1::BatchRecommendRequest { requests: vec![user("u2", 60), user("u1", 60)] };
    let batch = world.service().batch_recommend(Request::new(batch)).await.expect("answers");
    let batch = batch.into_inner().responses;
    assert_eq!(ids(&batch[1].items), ids(&after.items), "batches know it too");
    assert!(ids(&batch[0].items).len() > after.items.len() - 4, "others are not concerned");

    let filter = Some(v1::Filter { include_seen: true, ..v1::Filter::default() });
    let again = v1::RecommendRequest { filter, ..user("u1", 60) };
    let again = world.recommend(again).await.expect("an answer");
    assert!(items.iter().all(|item| ids(&again.items).contains(&item.as_str())));
    let named = vec![items[0].clone()];
    let filter = Some(v1::Filter { include_seen: true, ..v1::Filter::default() });
    let named = v1::RecommendRequest { filter, recent_item_ids: named, ..user("u1", 60) };
    let named = world.recommend(named).await.expect("an answer");
    assert!(
        !ids(&named.items).contains(&items[0].as_str()),
        "the items that the request names are left out"
    );
}

#[tokio::test]
async fn an_unknown_user_is_known_by_events_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = world(dir.path(), 0);
    record(&first, vec![event(EventType::Play, "new", "i3")]).await.expect("recorded");
    let answer = first.recommend(user("new", 60)).await.expect("an answer");
    assert!(!ids(&answer.items).contains(&"i3"));
    assert_ne!(answer.fallback_reason(), FallbackReason::Unspecified);
    drop(first);
    let second = world(dir.path(), 0);
    let again = second.recommend(user("new", 60)).await.expect("an answer");
    assert_eq!(ids(&again.items), ids(&answer.items));
}

#[tokio::test]
async fn a_wrong_event_does_not_fail_the_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path(), 0);
    let good = v1::Event { event_id: "e1".into(), ..event(EventType::Click, "u1", "i1") };
    let long = v1::Event { value: 90_000.0, ..event(EventType::Play, "u1", "i2") };
    let events = vec![
        event(EventType::Click, "", "i1"),
        good.clone(),
        long,
        v1::Event { r#type: 77, ..good.clone() },
        good,
    ];
    let recorded = record(&world, events).await.expect("recorded");
    assert_eq!((recorded.accepted, recorded.duplicates), (1, 1));
    let problems: Vec<_> =
        recorded.problems.iter().map(|p| (p.index, p.quarantined, p.reason())).collect();
    assert_eq!(
        problems,
        [
            (0, false, EventProblemReason::MissingField),
            (2, true, EventProblemReason::ImplausibleValue),
            (3, false, EventProblemReason::UnknownType),
        ]
    );
    assert!(recorded.problems[1].message.contains("86400"), "{:?}", recorded.problems[1]);
    let none = record(&world, vec![]).await.expect_err("nothing to record");
    assert_eq!(none.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_event_of_an_answer_that_no_router_gave_is_quarantined() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = world(dir.path(), 0);
    world.change(|plan| plan.answer_keys.add(AnswerSecret([3; SECRET_BYTES]), 0));
    let answer = world.recommend(user("u1", 3)).await.expect("an answer");
    let (genuine, shown) = (answer.recommendation_id, &answer.items[0].item_id);
    let click = |user_id: &str, recommendation_id: &str| v1::Event {
        recommendation_id: recommendation_id.into(),
        ..event(EventType::Click, user_id, shown)
    };
    let (name, signature) = genuine.split_once('~').expect("a signature");
    let other_key = genuine.replacen('~', "~f", 1);
    let events = vec![
        click("u1", &genuine),
        click("u2", &genuine), // It may have been bought by another account: it is kept, and rewards nobody.
        click("u3", "of-another-system"),
        click("u4", name),
        click("u5", &format!("{}~{signature}", name.replace('@', "0@"))),
        click("u6", &other_key),
    ];
    let recorded = record(&world, events).await.expect("recorded");
    assert_eq!(recorded.accepted, 3, "{recorded:?}");
    let problems: Vec<_> =
        recorded.problems.iter().map(|it| (it.index, it.quarantined, it.reason())).collect();
    let is_false = |index| (index, true, EventProblemReason::FalseRecommendationId);
    assert_eq!(problems, [is_false(3), is_false(4), is_false(5)]);
    let says = &recorded.problems[0].message;
    assert!(says.contains("return it as it was in the answer"), "{says}");
}

/// A cluster with a root secret and a key.
fn privacy() -> UserPrivacy {
    let mut privacy = UserPrivacy::default();
    for byte in [1, 2] {
        privacy.add(AnswerSecret([byte; SECRET_BYTES]), 0);
    }
    privacy
}

#[tokio::test]
async fn exposures_join_events_by_the_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = world(dir.path(), 10_000);
    world.change(|plan| plan.privacy = privacy());
    let privacy = privacy();
    let answer = world.recommend(user("u1", 3)).await.expect("an answer");
    let shown = answer.items[0].item_id.clone();
    let click = v1::Event {
        recommendation_id: answer.recommendation_id.clone(),
        ..event(EventType::Click, "u1", &shown)
    };
    record(&world, vec![click]).await.expect("recorded");
    let batch = v1::BatchRecommendRequest { requests: vec![user("u2", 2), user("u3", 2)] };
    let batch = world.service().batch_recommend(Request::new(batch)).await.expect("answers");
    let batch = batch.into_inner();
    let similar = world.similar(&shown).await.expect("an answer");
    let item_ids = answer.items.iter().map(|item| item.item_id.clone()).collect();
    let ranking =
        v1::RankItemsRequest { user_id: "u4".into(), item_ids, ..v1::RankItemsRequest::default() };
    let ranked = world.service().rank_items(Request::new(ranking)).await.expect("an answer");
    let ranked = ranked.into_inner();
    drop(world);

    let exposures = exposures_in(dir.path());
    assert_eq!(exposures.len(), 5);
    let first = &exposures[0];
    assert_eq!(first.recommendation_id, answer.recommendation_id);
    assert_eq!(first.user_hash, privacy.hash_now("u1"));
    assert_eq!((first.surface.as_str(), first.plan_epoch), ("default", 8));
    assert_eq!(first.models, [("films".to_owned(), 1)]);
    assert_eq!((first.asked_for, first.draw.propensity(1)), (AskedFor::Recommendations, 1.0));
    let asked_for: Vec<AskedFor> = exposures[3..].iter().map(|shown| shown.asked_for).collect();
    assert_eq!(asked_for, [AskedFor::SimilarItems, AskedFor::GivenItems]);
    assert_eq!(first.item_ids, ids(&answer.items));
    for (exposure, response) in exposures[1..3].iter().zip(&batch.responses) {
        assert_eq!(exposure.recommendation_id, response.recommendation_id);
    }
    // They are no recommendations, and what comes of them counts for no arm: but they were shown.
    for (exposure, (id, user_hash, items)) in exposures[3..].iter().zip([
        (&similar.recommendation_id, UserHash::NOBODY, &similar.items),
        (&ranked.recommendation_id, privacy.hash_now("u4"), &ranked.items),
    ]) {
        assert!(!id.is_empty() && !id.contains(['.', '@']), "{id}");
        assert_eq!((&exposure.recommendation_id, exposure.user_hash), (id, user_hash));
        assert_eq!(exposure.item_ids, ids(items));
    }
    let mut events = Vec::new();
    let mut reader = LogReader::open(dir.path(), Contents::Events).expect("opens");
    let mut take = |record: &[u8]| events.push(StoredEvent::decode(record).expect("one").event);
    while reader.next_frame(|_, record| take(record)).expect("whole") {}
    assert_eq!(events[0].recommendation_id, first.recommendation_id);
    assert!(first.item_ids.contains(&events[0].item_id));
}

#[tokio::test]
async fn no_sample_has_no_exposures() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path(), 0);
    world.recommend(user("u1", 3)).await.expect("an answer");
    drop(world);
    let directory = dir.path().join("exposures");
    let mut reader = LogReader::open(&directory, Contents::Exposures).expect("opens");
    assert!(!reader.next_frame(|_, _| panic!("an exposure")).expect("whole"));
}

/// The exposures of a router that is gone.
fn exposures_in(directory: &Path) -> Vec<Exposure<String>> {
    let mut exposures = Vec::new();
    let directory = directory.join("exposures");
    let mut reader = LogReader::open(&directory, Contents::Exposures).expect("opens");
    let mut take = |record: &[u8]| exposures.push(Exposure::decode(record).expect("one"));
    while reader.next_frame(|_, record| take(record)).expect("whole") {}
    exposures
}

#[tokio::test]
async fn drawn_slots_are_logged_with_their_propensities() {
    const LISTED: usize = 4;
    let dir = tempfile::tempdir().expect("a directory");
    let drawn_slots_basis_points = BTreeMap::from([("default".to_owned(), 5_000)]);
    let config = RouterConfig { drawn_slots_basis_points, ..RouterConfig::default() };
    let world = world_with(dir.path(), 10_000, config);
    let explained = v1::RecommendRequest { explain: true, ..user("u1", 24) };
    let list = world.recommend(explained).await.expect("an answer");
    let list: Vec<String> = ids(&list.items).into_iter().map(str::to_owned).collect();
    let filter = Some(v1::Filter { exclude_item_ids: vec!["x".into()], ..v1::Filter::default() });
    let filtered = v1::RecommendRequest { filter, ..user("u1", LISTED as u32) };
    let mut answers = vec![world.recommend(filtered).await.expect("an answer")];
    let requests = vec![user("u1", LISTED as u32); 60];
    let batch = v1::BatchRecommendRequest { requests };
    let batch = world.service().batch_recommend(Request::new(batch)).await.expect("answers");
    answers.extend(batch.into_inner().responses);
    drop(world);

    let exposures = exposures_in(dir.path());
    let (explained, exposures) = exposures.split_first().expect("there");
    assert_eq!(explained.draw, SlotDraw::default(), "an explained answer is what the model says");
    assert!(exposures[0].is_filtered && !exposures[1].is_filtered);
    let mut drawn = 0;
    for (exposure, answer) in exposures.iter().zip(&answers) {
        assert_eq!(exposure.item_ids, ids(&answer.items));
        let SlotDraw { share_basis_points, slots, beyond, drawn_rank } = exposure.draw;
        assert_eq!((share_basis_points, slots, beyond), (5_000, 4, 20));
        drawn += usize::from(drawn_rank > 0);
        for (rank, item) in (1..).zip(&exposure.item_ids) {
            if exposure.draw.is_drawn(rank) {
                assert!(list[LISTED..].contains(item), "{item} is from beyond the list");
                assert!((exposure.draw.propensity(rank) - 0.5 / 4.0 / 20.0).abs() < 1e-12);
            } else {
                assert_eq!(*item, list[rank - 1]);
                assert!((exposure.draw.propensity(rank) - (1.0 - 0.5 / 4.0)).abs() < 1e-12);
            }
        }
    }
    assert!((10..=51).contains(&drawn), "half of 61 are to be drawn: {drawn}");
}

#[tokio::test]
async fn a_forgotten_user_is_unknown_in_answers_and_is_erased_from_the_logs() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = world(dir.path(), 10_000);
    world.change(|plan| plan.privacy = privacy());
    let before = world.recommend(user("u1", 3)).await.expect("an answer");
    assert_eq!(before.fallback_reason(), FallbackReason::Unspecified, "the bundle knows the user");
    let items: Vec<String> = before.items.iter().map(|item| item.item_id.clone()).collect();
    let events = vec![
        event(EventType::Play, "u1", &items[0]),
        event(EventType::Play, "u2", &items[1]),
        // Into quarantine.
        v1::Event { value: 1e9, ..event(EventType::Play, "u1", &items[2]) },
    ];
    record(&world, events).await.expect("recorded");
    world.recommend(user("u2", 3)).await.expect("an answer");

    world.change(|plan| {
        let u1 = plan.privacy.pseudonym("u1").expect("a root");
        let tombstone = Tombstone { number: 1, made_at_ms: 0 };
        plan.privacy.tombstones = Tombstones::of([(u1, tombstone)], 1);
    });
    let unknown = world.recommend(user("unknown", 60)).await.expect("an answer");
    let after = world.recommend(user("u1", 60)).await.expect("an answer");
    assert_eq!(after.fallback_reason(), FallbackReason::UnknownUser);
    assert_eq!(ids(&after.items), ids(&unknown.items), "no history and nothing recent");
    let batch = v1::BatchRecommendRequest { requests: vec![user("u2", 3), user("u1", 60)] };
    let batch = world.service().batch_recommend(Request::new(batch)).await.expect("answers");
    let batch = batch.into_inner().responses;
    assert_eq!(batch[0].fallback_reason(), FallbackReason::Unspecified, "others are known");
    assert_eq!(batch[1].fallback_reason(), FallbackReason::UnknownUser);
    let ranking = v1::RankItemsRequest {
        user_id: "u1".into(),
        item_ids: items.clone(),
        ..v1::RankItemsRequest::default()
    };
    let ranked = world.service().rank_items(Request::new(ranking)).await.expect("an answer");
    assert_eq!(ranked.into_inner().fallback_reason(), FallbackReason::UnknownUser);

    // The router follows the plan on its own.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let hash = privacy().hash_now("u1");
    loop {
        let shown = exposures_in(dir.path());
        let is_erased = !shown.iter().any(|exposure| exposure.user_hash == hash);
        // Those of others stay: two answers to u2, and one to the unknown user.
        if is_erased && shown.len() == 3 && !has_bytes(dir.path(), b"\x02\0u1") {
            break;
        }
        assert!(std::time::Instant::now() < until, "still there: {shown:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let more = vec![event(EventType::Click, "u1", &items[0]), event(EventType::Click, "u2", "i1")];
    let recorded = record(&world, more).await.expect("recorded");
    assert_eq!((recorded.accepted, recorded.problems.len()), (1, 1));
    assert_eq!(recorded.problems[0].reason(), EventProblemReason::ForgottenUser);
    let later = world.recommend(user("u1", 60)).await.expect("an answer");
    assert_eq!(ids(&later.items), ids(&unknown.items));
    drop(world);
    assert!(!exposures_in(dir.path()).iter().any(|exposure| exposure.user_hash == hash));
    assert!(!has_bytes(dir.path(), b"\x02\0u1"));
}

/// Whether the bytes (an id after its length, as the logs have it) are in any file below a directory.
fn has_bytes(directory: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(directory).expect("there").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return has_bytes(&path, needle);
        }
        // A segment may be replaced at this moment.
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}
