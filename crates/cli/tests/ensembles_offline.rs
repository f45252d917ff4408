//! An ensemble's file, evaluated over local bundles and served: the same scores for every user.

use marquee_cli::commands::eval::ensemble_lists;
use marquee_cli::message;
use marquee_client::loopback_address;
use marquee_node::serve::{RunningNode, standalone};
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::control::v1::{Ensemble, PutEnsembleRequest, RolloutStep, StartRolloutRequest};
use marquee_proto::v1::RecommendRequest;
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_train::eval::{Cutoffs, Evaluator};
use marquee_train::read::read_interactions;
use marquee_train::{Duplicates, ModelKind, ModelSettings, TrainArgs, train};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tonic::transport::Channel;

/// Interactions of users of two groups, one film a day; now and then a film of the other group.
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

/// Titles and genres; one in seven has none.
fn films() -> String {
    let genres = ["drama", "war", "sea", "love|war", "crime", "sea|drama", ""];
    let film = |film: usize| format!("{film},Film {},{}\n", film % 9, genres[film * 3 % 7]);
    "item,title,genres\n".to_owned() + &(0..40).map(film).collect::<String>()
}

/// A chain; what a chain gives, spread; a list spread by vectors, by tags of all models, and by both. Users
/// are split over two of them, so both are served to users of every kind.
fn others() -> [(&'static str, String); 4] {
    let model = |name: &str| format!("{{ model: {{ model: {name}, version: 1 }} }}");
    let chain = format!(
        "{{ product: {{ form: PRODUCT_FORM_CHAIN, members: [{}, {}] }} }}",
        model("factors"),
        model("rules")
    );
    let parallel = format!(
        "{{ parallel: {{ fusion: FUSION_RECIPROCAL_RANK, members: [{{ weight: 1.0, node: {} }}, {{ weight: 0.5, node: {} }}] }} }}",
        model("rules"),
        model("factors")
    );
    let spread = |node: &str, how: &str| format!("{{ diversify: {{ node: {node}, {how} }} }}");
    let alone = format!(
        "{{ split: {{ salt: s, members: [{{ weight_basis_points: 5000, node: {chain} }}, {{ weight_basis_points: 5000, node: {} }}] }} }}",
        model("rules")
    );
    let caps = "max_per_tag: 3, tag_caps: [{ tag: war, max_items: 1 }]";
    [
        ("chain", alone),
        ("spread-chain", spread(&chain, "mmr_lambda: 0.6, max_per_tag: 4")),
        ("vectors", spread(&parallel, "mmr_lambda: 0.3")),
        ("tags", spread(&parallel, caps)),
    ]
    .map(|(name, root)| (name, format!("name: {name}\nroot: {root}\n")))
}

fn marquee(directory: &Path, arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_marquee"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the binary starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn until_live(node: &RunningNode, ensemble: &str) {
    let mut plan = node.plan();
    let is_live = |plan: &std::sync::Arc<marquee_core::plan::Plan>| {
        let surface = &plan.surfaces["default"];
        surface.ensemble.as_deref() == Some(ensemble) && surface.rollout_id.is_none()
    };
    let live = tokio::time::timeout(Duration::from_secs(60), plan.wait_for(is_live)).await;
    assert!(live.is_ok(), "{ensemble} is not live");
}

/// Serves an ensemble to all users.
async fn serve(
    node: &RunningNode,
    control: &mut ControlServiceClient<Channel>,
    file: &Path,
    name: &str,
) {
    let definition: Ensemble =
        message::read_file(file, "marquee.control.v1.Ensemble").expect("read");
    let put = PutEnsembleRequest { request_id: name.into(), ensemble: Some(definition) };
    control.put_ensemble(put).await.expect("put");
    let all = RolloutStep { weight_basis_points: 10_000, ..RolloutStep::default() };
    let rollout = StartRolloutRequest {
        request_id: format!("start {name}"),
        surface: "default".into(),
        candidate: name.into(),
        steps: vec![all],
        without_gates: true,
        ..StartRolloutRequest::default()
    };
    control.start_rollout(rollout).await.expect("started");
    until_live(node, name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_what_was_evaluated() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(path(name), text).expect("written");
    write("train.csv", &rows(0..12));
    // Unknown users are among them.
    write("test.csv", &(rows(12..16) + "newcomer,1,1\nother,2,1\n"));
    write("films.csv", &films());
    write("blend.yaml", &ensemble());
    let others = others();
    for (name, definition) in &others {
        write(&format!("{name}.yaml"), definition);
    }
    // The rules know no tags, so those of the factors count; it is the other way round with vectors.
    for (name, model, shards, items) in [
        ("rules", ModelKind::Transitions, 3, None),
        ("factors", ModelKind::Hybrid, 2, Some("films.csv")),
    ] {
        let args = TrainArgs {
            model,
            name: Some(name.into()),
            items: items.map(path),
            shards,
            evaluate_users: Some(0),
            ..TrainArgs::new(path("train.csv"), path(name))
        };
        train(&args, 0).expect("trained");
    }
    let names: Vec<&str> =
        ["blend"].into_iter().chain(others.iter().map(|(name, _)| *name)).collect();
    let files = ["--train", "train.csv", "--test", "test.csv", "--cutoff", "1,3,10"];
    for name in &names {
        let (file, out) = (format!("{name}.yaml"), format!("{name}-offline.csv"));
        let bundles = ["--bundle", "rules@1=rules", "--bundle", "factors@1=factors"];
        let what = ["eval", "--ensemble", &file, "--per-user", &out];
        marquee(directory.path(), &[&what[..], &bundles, &files].concat());
    }

    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let node = standalone::start(any_port, &path("node")).await.expect("started");
    standalone::publish_and_go_live(&node, &path("rules")).await.expect("live");
    standalone::publish_and_go_live(&node, &path("factors")).await.expect("live");
    let address = loopback_address(node.listens_at()).to_string();
    let mut control = ControlServiceClient::connect(address.clone()).await.expect("connected");
    until_live(&node, "factors@1").await;
    let read = |name: &str| std::fs::read_to_string(path(name)).expect("written");
    let mut seen = Vec::new();
    for name in &names {
        serve(&node, &mut control, &path(&format!("{name}.yaml")), name).await;
        let (directory_of, address) = (directory.path().to_owned(), address.clone());
        let out = format!("{name}-served.csv");
        let asked = tokio::task::spawn_blocking(move || {
            let endpoint = ["eval", "--endpoint", &address, "--per-user", &out];
            marquee(&directory_of, &[&endpoint[..], &files].concat());
        });
        asked.await.expect("evaluated");
        let (offline, served) =
            (read(&format!("{name}-offline.csv")), read(&format!("{name}-served.csv")));
        assert!(offline.lines().count() > 60);
        for (offline, served) in offline.lines().zip(served.lines()) {
            assert_eq!(offline, served, "{name}");
        }
        assert!(!seen.contains(&offline), "{name} is like another");
        seen.push(offline);
    }
    node.shutdown().await;
}

/// Item by item, where the test above compares what lists are worth.
#[tokio::test(flavor = "multi_thread")]
async fn the_lists_are_the_same() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(path(name), text).expect("written");
    write("train.csv", &rows(0..12));
    write("films.csv", &films());
    write("asked.csv", &(rows(12..13) + "newcomer,1,1\n"));
    for shards in [1, 2, 5] {
        let names = [("rules", ModelKind::Transitions), ("factors", ModelKind::Mf)];
        let bundle = |name: &str| path(&format!("{name}-{shards}"));
        for (name, model) in names {
            let mut settings = ModelSettings::default();
            if model == ModelKind::Mf {
                // Few as they are, the default would shrink all vectors to nothing.
                settings = settings.with("factors", 8).with("regularization", 0.5);
            }
            let args = TrainArgs {
                model,
                name: Some(name.into()),
                items: Some(path("films.csv")),
                settings,
                shards,
                evaluate_users: Some(0),
                ..TrainArgs::new(path("train.csv"), bundle(name))
            };
            train(&args, 0).expect("trained");
        }
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let node = standalone::start(any_port, &path(&format!("node-{shards}"))).await;
        let node = node.expect("started");
        for (name, _) in names {
            standalone::publish_and_go_live(&node, &bundle(name)).await.expect("live");
            until_live(&node, &format!("{name}@1")).await;
        }
        let address = loopback_address(node.listens_at()).to_string();
        let mut control = ControlServiceClient::connect(address.clone()).await.expect("connected");
        let mut client = RecommenderServiceClient::connect(address).await.expect("connected");
        let read = |name: &str| {
            let columns = Default::default();
            read_interactions(&path(name), &columns, Duplicates::Last, false).expect("read").0
        };
        let evaluator = Evaluator::new(read("train.csv"), read("asked.csv"), Cutoffs::one(12));
        let evaluator = evaluator.expect("users");
        let bundles: Vec<String> =
            names.iter().map(|(name, _)| format!("{name}@1={}", bundle(name).display())).collect();
        for (name, definition) in others() {
            let file = path(&format!("{name}.yaml"));
            std::fs::write(&file, definition).expect("written");
            let offline = ensemble_lists(&file, &bundles, &evaluator).expect("evaluated");
            serve(&node, &mut control, &file, name).await;
            for (user, expected) in evaluator.users().iter().zip(&offline) {
                let request =
                    RecommendRequest { user_id: user.clone(), count: 12, ..Default::default() };
                let answer = client.recommend(request).await.expect("answered").into_inner();
                let ids: Vec<String> = answer.items.into_iter().map(|item| item.item_id).collect();
                assert_eq!(&ids, expected, "{name} of {shards} shards for {user}");
            }
        }
        node.shutdown().await;
    }
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
