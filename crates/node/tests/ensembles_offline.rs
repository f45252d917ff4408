//! An ensemble's file, evaluated over local bundles and served: the same scores for every user.

use marquee_node::ctl::message;
use marquee_node::serve::{Node, loopback_address, standalone};
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::control::v1::{Ensemble, PutEnsembleRequest, RolloutStep, StartRolloutRequest};
use marquee_train::{ModelKind, TrainArgs, train};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What people of two tastes watched, one film a day; now and then something of the other taste.
fn rows(days: std::ops::Range<usize>) -> String {
    let mixed = |of: usize| {
        let x = (of as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) as usize
    };
    let mut rows = String::from("user,item,timestamp\n");
    for user in 0..60 {
        for day in days.clone() {
            let strays = usize::from(mixed(user * 100 + day + 50_000).is_multiple_of(6));
            let film = mixed(user * 100 + day) % 20 * 2 + (user + strays) % 2;
            rows += &format!("u{user},{film},{}\n", day * 100 + user);
        }
    }
    rows
}

const MODELS: &str = "
        - { model: { model: rules, version: 1 } }
        - { model: { model: factors, version: 1 } }";

/// Every kind of node; users are split over two of them.
fn ensemble() -> String {
    format!(
        "name: blend
root:
  split:
    salt: s
    members:
      - weight_basis_points: 5000
        node: {{ product: {{ members: [{{ model: {{ model: rules, version: 1 }} }}, {{ model: {{ model: factors, version: 1 }} }}] }} }}
      - weight_basis_points: 5000
        node:
          parallel:
            fusion: FUSION_WEIGHTED_SCORE
            members:
              - weight: 0.7
                node: {{ model: {{ model: rules, version: 1 }} }}
              - weight: 0.3
                node:
                  sequence:
                    members:{}
",
        MODELS.replace("\n        -", "\n                      -")
    )
}

fn marquee(directory: &Path, arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_marquee"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the binary starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn until_live(node: &Node, ensemble: &str) {
    let mut plan = node.plan();
    let is_live = |plan: &std::sync::Arc<marquee_core::plan::Plan>| {
        let surface = &plan.surfaces["default"];
        surface.ensemble.as_deref() == Some(ensemble) && surface.rollout_id.is_none()
    };
    let live = tokio::time::timeout(Duration::from_secs(60), plan.wait_for(is_live)).await;
    assert!(live.is_ok(), "{ensemble} is not live");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_what_was_evaluated() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(path(name), text).expect("written");
    write("train.csv", &rows(0..12));
    // Strangers are to be found, too.
    write("test.csv", &(rows(12..16) + "stranger,1,1\nother,2,1\n"));
    write("blend.yaml", &ensemble());
    for (name, model, shards) in
        [("rules", ModelKind::Transitions, 3), ("factors", ModelKind::Hybrid, 2)]
    {
        let args = TrainArgs {
            model,
            name: Some(name.into()),
            shards,
            evaluate_users: Some(0),
            ..TrainArgs::new(path("train.csv"), path(name))
        };
        train(&args, 0).expect("trained");
    }
    let files = ["--train", "train.csv", "--test", "test.csv", "--cutoff", "1,3,10"];
    let evaluate = ["eval", "--ensemble", "blend.yaml", "--bundle", "rules@1=rules", "--bundle"];
    let bundles = ["factors@1=factors", "--per-user", "offline.csv"];
    marquee(directory.path(), &[&evaluate[..], &bundles, &files].concat());

    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let node = standalone::start(any_port, &path("node")).await.expect("started");
    standalone::publish_and_go_live(&node, &path("rules")).await.expect("live");
    standalone::publish_and_go_live(&node, &path("factors")).await.expect("live");
    let address = loopback_address(node.listens_at()).to_string();
    let mut control = ControlServiceClient::connect(address.clone()).await.expect("connected");
    until_live(&node, "factors@1").await;
    let definition: Ensemble =
        message::read_file(&path("blend.yaml"), "marquee.control.v1.Ensemble").expect("read");
    let put = PutEnsembleRequest { request_id: "put".into(), ensemble: Some(definition) };
    control.put_ensemble(put).await.expect("put");
    let all = RolloutStep { weight_basis_points: 10_000, ..RolloutStep::default() };
    let rollout = StartRolloutRequest {
        request_id: "start".into(),
        surface: "default".into(),
        candidate: "blend".into(),
        steps: vec![all],
        without_gates: true,
        ..StartRolloutRequest::default()
    };
    control.start_rollout(rollout).await.expect("started");
    until_live(&node, "blend").await;

    let directory_of = directory.path().to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let endpoint = ["eval", "--endpoint", &address, "--per-user", "served.csv"];
        marquee(&directory_of, &[&endpoint[..], &files].concat());
    });
    asked.await.expect("evaluated");
    let read = |name: &str| std::fs::read_to_string(path(name)).expect("written");
    assert!(read("offline.csv").lines().count() > 60);
    for (offline, served) in read("offline.csv").lines().zip(read("served.csv").lines()) {
        assert_eq!(offline, served);
    }
    node.shutdown().await;
}

#[test]
fn what_does_not_fit_is_said() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).expect("written");
    };
    write("train.csv", &rows(0..12));
    write("blend.yaml", &ensemble());
    let args = TrainArgs {
        model: ModelKind::Popularity,
        evaluate_users: Some(0),
        ..TrainArgs::new(directory.path().join("train.csv"), directory.path().join("popular"))
    };
    train(&args, 0).expect("trained");
    let files = ["--train", "train.csv", "--test", "train.csv"];
    for (arguments, says) in [
        (&["--ensemble", "blend.yaml", "--bundle", "rules@1=popular"][..], "factors@1"),
        (&["--ensemble", "blend.yaml", "--bundle", "popular"], "MODEL@VERSION=DIR"),
        (&["--ensemble", "blend.yaml"], "--bundle"),
        (&["--bundle", "popular", "--bundle", "popular"], "one is evaluated at a time"),
        (&["--ensemble", "none.yaml", "--bundle", "rules@1=popular"], "none.yaml"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_marquee"))
            .args(["eval"])
            .args(arguments)
            .args(files)
            .current_dir(directory.path())
            .output()
            .expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(says), "{arguments:?} says {said}");
    }
}
