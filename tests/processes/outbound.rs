//! What control asks of other systems and tells them, while its leaders die.

use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::outside::{Outside, Posted};
use crate::support::process::marquee_ok;
use hmac::{Hmac, KeyInit as _, Mac as _};
use marquee_proto::control::v1::RolloutState;
use serde_json::Value;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::time::Duration;

const SECRET: &str = "sixteen bytes or more";

/// The transitions of this rollout that were told, by number, each with its state. The same number twice is the same
/// notification.
fn told(outside: &Outside, rollout_id: &str) -> BTreeMap<u64, String> {
    let mut by_number: BTreeMap<u64, (String, String)> = BTreeMap::new();
    for Posted { headers, body } in outside.notifications() {
        let parsed: Value = serde_json::from_str(&body).expect("JSON");
        if parsed["rollout_id"] != rollout_id {
            continue;
        }
        let stamp = &headers["marquee-timestamp"];
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
        mac.update(format!("{stamp}.{body}").as_bytes());
        let expected = format!("v1={}", hex::encode(mac.finalize().into_bytes()));
        assert_eq!(headers["marquee-signature"], expected, "{body}");
        let number = parsed["number"].as_u64().expect("a number");
        let state = parsed["state"].as_str().expect("a state").to_owned();
        let delivery = headers["marquee-delivery"].clone();
        let newest = by_number.keys().next_back().copied();
        assert!(newest.is_none_or(|newest| number <= newest + 1), "{number} came after {newest:?}");
        let known = by_number.entry(number).or_insert((delivery.clone(), state.clone()));
        assert_eq!(*known, (delivery, state), "transition {number} was told in two ways");
    }
    by_number.into_iter().map(|(number, (_, state))| (number, state)).collect()
}

/// A rollout goes on while a webhook says that all is well and is rolled back when it no longer does; every transition is told in
/// order and signed, although the receiver refuses at first and the leader is killed twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_decides_and_receivers_are_told_while_leaders_die() {
    let outside = Outside::start(2).await;
    let secret = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(secret.path(), SECRET).expect("written");
    let settings = format!(
        "external_urls = [\"{url}/verdict\"]\n\
         [[control.notifications]]\nname = \"deploys\"\nurl = \"{url}/told\"\nsecret_file = \"{secret}\"\n",
        url = outside.url,
        secret = secret.path().display()
    );
    let mut cluster = Cluster::start_with(&settings).await;
    let candidate = cluster.publish(&cluster.bundles.train_again(4, 4)).await;
    // A target is told of what happens once the leader knows it: a second after it began to lead.
    let endpoint = cluster.control_at(0);
    for n in 0.. {
        let surface = format!("other-{n}");
        let start = ["rollout", "start", "--candidate", "films@1", "--surface", &surface];
        marquee_ok(["ctl", "--endpoint", &endpoint].into_iter().chain(start));
        tokio::time::sleep(Duration::from_millis(500)).await;
        if outside.was_told() {
            break;
        }
        assert!(n < 60, "no target is told of anything");
    }
    let webhook = format!("shop,every=5s {}/verdict", outside.url);
    let started = marquee_ok([
        "ctl",
        "--endpoint",
        &endpoint,
        "rollout",
        "start",
        "--json",
        "--candidate",
        &candidate,
        "--steps",
        "10%:4s,50%:600s,100%:0s",
        "--no-gates",
        "--webhook",
        &webhook,
    ]);
    let started: Value = serde_json::from_str(&started).expect("JSON");
    let id = started["rolloutId"].as_str().expect("an id").to_owned();
    eventually("the webhook is asked", || async { outside.questions() > 0 }).await;

    let first = cluster.any_leader(&[0, 1, 2]).await;
    cluster.control[first].kill();
    let living: Vec<usize> = (0..3).filter(|&n| n != first).collect();
    let second = cluster.any_leader(&living).await;
    eventually("the new leader goes on to the second step", || async {
        let rollout = cluster.rollout(second, &id).await;
        rollout.is_some_and(|rollout| rollout.weight_basis_points == 5_000)
    })
    .await;
    cluster.control[first].restart();

    let third = cluster.any_leader(&[0, 1, 2]).await;
    outside.fail();
    cluster.control[third].kill();
    let alive = (third + 1) % 3;
    eventually("the webhook rolls it back", || async {
        let rollout = cluster.rollout(alive, &id).await;
        rollout.is_some_and(|rollout| rollout.state() == RolloutState::RolledBack)
    })
    .await;
    let rollout = cluster.rollout(alive, &id).await.expect("it answers");
    let last = rollout.history.last().expect("a history");
    assert!(last.reason.contains("the checkout is broken"), "{}", last.reason);

    let transitions = rollout.history.len() as u64;
    eventually("every transition is told", || async {
        told(&outside, &id).keys().copied().eq(1..=transitions)
    })
    .await;
    let states: Vec<String> = told(&outside, &id).into_values().collect();
    let known: Vec<&str> =
        rollout.history.iter().map(|event| event.state().as_str_name()).collect();
    for (state, name) in states.iter().zip(known) {
        assert!(name.ends_with(state.as_str()), "{state} was told for {name}");
    }
}
