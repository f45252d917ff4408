//! What a cluster does by itself: roll out what is published, and delete versions that are not in use; and how it
//! reports experiments.

use crate::standalone::Standalone;
use crate::support::caller::{client, request};
use crate::support::data::{Bundles, USERS};
use crate::support::{eventually, eventually_within};
use marquee_proto::v1::{Event, EventType, RecordEventsRequest};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Clicks count when their answers have had a minute for them.
const CLICKS_ARE_COMPARED: Duration = Duration::from_secs(240);

async fn is_live(node: &Standalone, version: u64) {
    eventually(&format!("films@{version} is live"), || {
        let mut caller = client(&node.endpoint);
        async move {
            let answer = caller.recommend(request("user-1")).await.expect("answered").into_inner();
            let served_by = answer.served_by.expect("set");
            served_by.rollout_id.is_empty() && served_by.models[0].version == version
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_roll_out_by_themselves_and_what_nothing_needs_is_deleted() {
    let bundles = Bundles::new();
    let first = bundles.train(4, 2);
    let node = Standalone::start(bundles.path(), &first).await;
    let automatic = ["rollout", "automatic", "--model", "films"];
    node.ctl(
        &[&automatic[..], &["--steps", "50%:1s,100%:0s", "--no-gates", "--allow-no-traffic"]]
            .concat(),
    );
    node.ctl(&["retain", "films", "--keep", "1", "--delete-bundles"]);

    let second = bundles.train(6, 2);
    node.ctl(&["publish", &second.display().to_string(), "--force"]);
    is_live(&node, 2).await;
    let list = node.ctl(&["rollout", "list"]);
    assert!(list.lines().any(|row| row.contains("films@2") && row.contains("PROMOTED")), "{list}");
    assert!(first.join("manifest.json").is_file(), "it may be wanted back");

    let third = bundles.train(8, 2);
    node.ctl(&["publish", &third.display().to_string(), "--force"]);
    is_live(&node, 3).await;
    eventually("the first bundle is deleted", || async { !first.exists() }).await;
    let models = node.ctl(&["models"]);
    assert!(!models.contains("films@1 ") && models.contains("films@2"), "{models}");
    for kept in [&second, &third] {
        assert!(kept.join("manifest.json").is_file(), "{} is needed", kept.display());
    }
    // What was live before can still be had back.
    node.ctl(&["rollout", "start", "--candidate", "films@2", "--steps", "100%:0s", "--no-gates"]);
    is_live(&node, 2).await;
    let off = node.ctl(&["rollout", "automatic", "--off"]);
    assert!(!off.is_empty());
    assert!(third.join("manifest.json").is_file(), "it is the one before now");
}

/// Users who click on popular items only.
async fn click_on_what_is_popular(endpoint: String, stop: Arc<AtomicBool>) {
    let mut backend = client(&endpoint);
    let mut random = fastrand::Rng::with_seed(7);
    while !stop.load(Ordering::Relaxed) {
        let user = format!("user-{}", random.usize(..USERS));
        let answer = backend.recommend(request(&user)).await.expect("answered").into_inner();
        let arm = answer.served_by.unwrap_or_default().arm;
        if random.f64() < if arm == "popular" { 0.5 } else { 0.02 } {
            let event = Event {
                user_id: user,
                item_id: answer.items[0].item_id.clone(),
                r#type: EventType::Click.into(),
                recommendation_id: answer.recommendation_id,
                ..Event::default()
            };
            let events = vec![event];
            backend.record_events(RecordEventsRequest { events }).await.expect("recorded");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_finds_the_better_arm_and_keeps_its_weights() {
    let bundles = Bundles::new();
    let node = Standalone::start(bundles.path(), &bundles.train(4, 1)).await;
    let popular = bundles.train_popularity(1).display().to_string();
    node.ctl(&["publish", &popular, "--force"]);
    let arms = ["--arm", "known=films@1:50%", "--arm", "popular=films@2:50%"];
    node.ctl(&[&["experiment", "start"][..], &arms].concat());
    let stop = Arc::new(AtomicBool::new(false));
    let users = tokio::spawn(click_on_what_is_popular(node.endpoint.clone(), stop.clone()));
    eventually_within(CLICKS_ARE_COMPARED, "the arm with more clicks is found", || async {
        let found = node.ctl(&["experiment", "report", "--json"]);
        let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
        let is_clicks_of_popular = |effect: &&serde_json::Value| {
            effect["measure"] == "MEASURE_CLICKS" && effect["arm"] == 1
        };
        let effects = found["report"]["effects"].as_array().into_iter().flatten();
        effects
            .into_iter()
            .find(is_clicks_of_popular)
            .is_some_and(|effect| effect["low"].as_f64().is_some_and(|low| low > 0.0))
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    users.await.expect("no panic");
    let mut of_popular = 0;
    for user in 0..USERS {
        let answer = client(&node.endpoint).recommend(request(&format!("user-{user}"))).await;
        let served_by = answer.expect("answered").into_inner().served_by.expect("set");
        of_popular += usize::from(served_by.arm == "popular");
    }
    let (share, users) = (of_popular as f64 / USERS as f64, USERS as f64);
    assert!((share - 0.5).abs() <= 4.0 * (0.25 / users).sqrt(), "{share}");

    // And all of it is in what the answers on the surface are like.
    eventually("traffic is shown by arm", || async {
        let table = node.ctl(&["traffic", "default", "--history"]);
        ["live", "known", "popular"].iter().all(|variant| table.contains(variant))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_surface_denies_is_in_no_answer_until_it_is_allowed_again() {
    let bundles = Bundles::new();
    let node = Standalone::start(bundles.path(), &bundles.train(4, 2)).await;
    let first = async |node: &Standalone| -> Vec<String> {
        let answer = client(&node.endpoint).recommend(request("user-1")).await;
        let items = answer.expect("answered").into_inner().items;
        items.into_iter().map(|item| item.item_id).collect()
    };
    let before = first(&node).await;
    node.ctl(&["deny", "add", &before[0], &before[1]]);
    eventually("the first items are in no answer", async || {
        let now = first(&node).await;
        now.len() == before.len() && now[0] == before[2] && !now.contains(&before[1])
    })
    .await;
    let list = node.ctl(&["deny", "list", "--json"]);
    assert!(list.contains(&format!("\"{}\"", before[0])), "{list}");
    node.ctl(&["deny", "remove", &before[0], &before[1]]);
    eventually("they are back", async || first(&node).await == before).await;
}
