//! A candidate is evaluated by the logs of a router before any user meets it, from its directory or from exports.

use marquee_core::plan::{
    AnswerSecret, SECRET_BYTES, SegmentedAttribute, Segments, UserPrivacy, Variant,
};
use marquee_core::ranking::randomise::{SlotDraw, draw_slot};
use marquee_events::log::LogOptions;
use marquee_events::{
    AskedFor, Contents, Event, EventLog, EventSettings, EventType, Exposure, ExposureLog,
    ExposureSettings,
};
use marquee_train::eval::OfflineBundle;
use marquee_train::read::UserKeysFile;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const USERS: u32 = 600;
const ITEMS: u32 = 10;
const LISTED: usize = 4;
const NOW_MS: u64 = 1_764_000_000_000;

/// A directory with the logs of a router, `events`, and lists of a candidate, `better.csv`. Users click on what is
/// two of ten items beyond their list twice as often, and the candidate lists it first.
struct Scene {
    dir: TempDir,
}

/// The item that is so many beyond the first of a user's list.
fn item(user: u32, beyond: u32) -> String {
    ((user + beyond) % ITEMS).to_string()
}

impl Scene {
    async fn new(drawn_basis_points: u32) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let directory = dir.path().join("events");
        let exposures = ExposureLog::open(ExposureSettings {
            log: LogOptions::new(directory.join("exposures"), Contents::Exposures),
            sample_basis_points: 10_000,
        })
        .expect("a log");
        let events = EventLog::open(EventSettings::new(&directory)).expect("a log");
        let mut random = fastrand::Rng::with_seed(7);
        let mut clicks = Vec::new();
        let mut lists = String::from("user,item,rank\n");
        for user in 0..USERS {
            let id = user.to_string();
            for (rank, beyond) in [6, 1, 2, 3].into_iter().enumerate() {
                writeln!(lists, "{id},{},{rank}", item(user, beyond)).expect("written");
            }
            for n in 0..4 {
                let mut list: Vec<String> = (0..ITEMS).map(|n| item(user, n)).collect();
                let draw =
                    draw_slot(&mut list, LISTED, drawn_basis_points, |below| random.u32(..below));
                let recommendation_id = answer_id(user, n);
                let asked_for = AskedFor::Recommendations;
                exposures.record(&exposure(&recommendation_id, &id, &list, asked_for, draw));
                for (rank, shown) in (1..).zip(list) {
                    let chance = if shown == item(user, 6) { 0.9 } else { 0.4 };
                    if random.f64() < chance / f64::from(rank) {
                        clicks.push(click(&id, shown, &recommendation_id));
                    }
                }
            }
        }
        let (draw, none) = (SlotDraw::default(), [String::from("0")]);
        exposures.record(&exposure("similar", "0", &none, AskedFor::SimilarItems, draw));
        for some in clicks.chunks(1_000) {
            let pending = events.record(some.to_vec(), NOW_MS).expect("queued");
            pending.recorded().await.expect("recorded");
        }
        std::fs::write(dir.path().join("better.csv"), lists).expect("written");
        let file = UserKeysFile::of(&keys()).expect("a root");
        let text = serde_json::to_string(&file).expect("JSON");
        std::fs::write(dir.path().join("users.json"), text).expect("written");
        Self { dir }
    }

    /// Runs a command in the directory.
    fn run(&self, command: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_marquee"))
            .args(command.split_whitespace())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("the binary starts")
    }

    fn prints(&self, command: &str) -> String {
        let output = self.run(command);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn evaluate(&self, args: &str) -> Value {
        let command =
            format!("ctl rollout evaluate --json --resamples 200 --user-keys users.json {args}");
        serde_json::from_str(&self.prints(&command)).expect("JSON")
    }

    fn fails(&self, args: &str, words: &str) {
        let output = self.run(&format!("ctl rollout evaluate --user-keys users.json {args}"));
        let says = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args}: {says}");
        assert!(says.contains(words), "{args} says {says}");
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// The id of a user's answer, as routers give it on a surface with the segments region=de and region=other. The first user of each
/// three is in region=de.
fn answer_id(user: u32, number: u32) -> String {
    let attribute = SegmentedAttribute { name: "region".into(), values: vec!["de".into()] };
    let mark = Segments::new(&[attribute]).expect("usable").mark();
    let bits = if user.is_multiple_of(3) { 1 } else { 2 };
    format!("{user:x}-{number:x}-692d8f00.s{bits}_{mark:x}@home")
}

/// A cluster with a root secret and a key.
fn keys() -> UserPrivacy {
    let mut privacy = UserPrivacy::default();
    for byte in [1, 2] {
        privacy.add(AnswerSecret([byte; SECRET_BYTES]), 0);
    }
    privacy
}

fn exposure<'a>(
    recommendation_id: &'a str,
    user: &str,
    list: &'a [String],
    asked_for: AskedFor,
    draw: SlotDraw,
) -> Exposure<&'a str> {
    Exposure {
        recommendation_id,
        time_ms: NOW_MS,
        user_hash: keys().hash_now(user),
        surface: "home",
        ensemble: "films@1",
        rollout_id: "",
        variant: Variant::None,
        models: vec![("films", 1)],
        plan_epoch: 1,
        fallback_reason: 0,
        item_ids: list.iter().map(String::as_str).collect(),
        asked_for,
        is_filtered: false,
        draw,
    }
}

fn click(user: &str, item_id: String, recommendation_id: &str) -> Event {
    Event {
        event_id: format!("{recommendation_id}-{item_id}"),
        user_id: user.into(),
        item_id,
        event_type: EventType::Click,
        value: 0.0,
        time_ms: NOW_MS,
        recommendation_id: recommendation_id.into(),
    }
}

const LOGS: &str = "--exposures events --events events";

#[tokio::test]
async fn a_better_candidate_is_found_by_logs_and_by_exports_alike() {
    let scene = Scene::new(4_000).await;
    let found = scene.evaluate(&format!("{LOGS} --candidate better.csv"));
    assert_eq!(
        (&found["metric"], &found["surface"]),
        (&"clicks_per_answer".into(), &"home".into())
    );
    assert_eq!((&found["answers"], &found["users"]), (&2_400.into(), &600.into()));
    assert_eq!(found["left_out"]["no recommendations for a user"], 1);
    assert_eq!((&found["unknown_users"], &found["randomised_answers"]), (&0.into(), &2_400.into()));
    let estimates = found["estimates"].as_array().expect("six");
    assert_eq!(estimates.len(), 6);
    for estimate in estimates.iter().filter(|it| it["assumption"] == "position_based") {
        let difference = &estimate["figures"]["difference"];
        let (low, high) = (difference["low"].as_f64(), difference["high"].as_f64());
        assert!(low > Some(0.1) && high < Some(1.2), "0.5 more clicks: {estimate}");
    }

    scene.prints("export --events events --out events.parquet");
    scene.prints("export --events events --exposures --out shown.parquet");
    scene.prints("export --events events --exposures --out shown.csv");
    let header = std::fs::read_to_string(scene.path().join("shown.csv")).expect("there");
    assert!(header.lines().next().expect("a header").ends_with("rank,item_id,propensity,drawn"));
    for shown in ["shown.parquet", "shown.csv"] {
        let logs = format!("--exposures {shown} --events events.parquet");
        assert_eq!(scene.evaluate(&format!("{logs} --candidate better.csv")), found, "{shown}");
    }

    let table = scene.prints(&format!(
        "ctl rollout evaluate --user-keys users.json {LOGS} --candidate better.csv"
    ));
    for words in [
        "clicks_per_answer on home, by 2,400 answers of 600 users",
        "DR position-based",
        "left out: 1",
    ] {
        assert!(table.contains(words), "no {words:?} in {table}");
    }
    let same = scene.evaluate(&format!("{LOGS} --candidate better.csv --against better.csv"));
    assert_eq!(same["estimates"][4]["figures"]["difference"]["value"], 0.0);
}

#[tokio::test]
async fn segments_are_evaluated_apart() {
    let scene = Scene::new(4_000).await;
    let args = format!("{LOGS} --candidate better.csv --min-support 0");
    let found = scene.evaluate(&format!("{args} --segments region=DE"));
    let all = scene.evaluate(&args);
    assert_eq!((&found["estimates"], &found["without_segments"]), (&all["estimates"], &0.into()));
    let segments = found["segments"].as_array().expect("two");
    let counts: Vec<_> =
        segments.iter().map(|it| (&it["segment"], &it["answers"], &it["users"])).collect();
    let expected = [("region=de", 800, 200), ("region=other", 1_600, 400)]
        .map(|(name, answers, users)| (name.into(), answers.into(), users.into()));
    assert_eq!(counts, expected.each_ref().map(|(name, answers, users)| (name, answers, users)));
    // A mean over all answers is that of the segments, weighed by their answers.
    let candidate = |of: &Value, n: usize| {
        of["estimates"][n]["figures"]["candidate"]["value"].as_f64().expect("a number")
    };
    for (n, estimator) in [(0, "ips"), (2, "dr"), (3, "ips"), (5, "dr")] {
        assert_eq!(all["estimates"][n]["estimator"], estimator);
        let weighed = (candidate(&segments[0], n) + 2.0 * candidate(&segments[1], n)) / 3.0;
        assert!((weighed - candidate(&all, n)).abs() < 1e-9, "{n}: {weighed}");
    }
    let others = scene.evaluate(&format!("{args} --segments region=at"));
    assert_eq!(
        (&others["without_segments"], &others["segments"][0]["answers"]),
        (&2_400.into(), &0.into())
    );
    let text = scene.prints(&format!(
        "ctl rollout evaluate --user-keys users.json {args} --segments region=de"
    ));
    assert!(text.contains("region=de: 800 answers of 200 users, logged"), "{text}");
    let usage = scene.run(&format!("ctl rollout evaluate {args} --segments region"));
    assert_eq!(usage.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&usage.stderr).contains("is not of the form name=value"));
}

#[tokio::test]
async fn a_deterministic_log_gives_a_reason_and_no_number() {
    let scene = Scene::new(0).await;
    let found = scene.evaluate(&format!("{LOGS} --candidate better.csv"));
    for estimate in found["estimates"].as_array().expect("six") {
        assert!(estimate["figures"].is_null(), "{estimate}");
        assert_eq!(estimate["refusal"]["reason"], "deterministic");
    }
    let table = scene.prints(&format!(
        "ctl rollout evaluate --user-keys users.json {LOGS} --candidate better.csv"
    ));
    assert!(table.contains("no number: logging was deterministic"), "{table}");
}

#[tokio::test]
async fn a_bundle_is_evaluated_by_the_lists_that_it_makes() {
    let scene = Scene::new(4_000).await;
    let mut ratings = String::from("user,item,rating,timestamp\n");
    for user in 0..USERS {
        // The user's list is popular with those who have the items before it.
        for n in [7, 8, 9] {
            writeln!(ratings, "{user},{},5,{n}", item(user, n)).expect("written");
        }
    }
    std::fs::write(scene.path().join("ratings.csv"), ratings).expect("written");
    scene.prints(
        "train --interactions ratings.csv --model item-knn --name films --out films --json",
    );
    let users: Vec<String> = (0..USERS).map(|user| user.to_string()).collect();
    let bundle = OfflineBundle::open(&scene.path().join("films")).expect("opens");
    let mut lists = String::from("user,item,rank\n");
    for (user, list) in users.iter().zip(bundle.lists(&users, 20).expect("lists")) {
        for (rank, item) in list.iter().enumerate() {
            writeln!(lists, "{user},{item},{rank}").expect("written");
        }
    }
    std::fs::write(scene.path().join("films.csv"), lists).expect("written");
    let least = "--min-support 0";
    let of_bundle = scene.evaluate(&format!("{LOGS} --candidate films {least}"));
    let of_lists = scene.evaluate(&format!("{LOGS} --candidate films.csv {least}"));
    assert_eq!(of_bundle["unknown_users"], 0);
    assert!(of_bundle["estimates"][3]["support"].as_f64() > Some(0.2), "{of_bundle}");
    assert_eq!(of_bundle["estimates"], of_lists["estimates"]);
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let scene = Scene::new(0).await;
    let candidate = "--candidate better.csv";
    scene.fails(&format!("--exposures nowhere --events events {candidate}"), "nowhere");
    scene.fails(&format!("{LOGS} --candidate nowhere"), "nowhere: neither a bundle nor lists");
    scene.fails(&format!("{LOGS} {candidate} --surface shop"), "no exposure is of \"shop\"");
    scene.fails(&format!("{LOGS} {candidate} --ranks 0"), "--ranks: 0 is not within 1 to 1000");
    scene.fails(&format!("{LOGS} {candidate} --max-weight 0"), "--max-weight: 0");
    scene.fails(&format!("{LOGS} {candidate} --min-support 2"), "--min-support: 2");
    let both = format!("--exposures events --exposures events --events events {candidate}");
    scene.fails(&both, "has rank 1 after 4 items");
    let swapped = format!("--exposures better.csv --events events {candidate}");
    scene.fails(&swapped, "marquee export --exposures");
}
