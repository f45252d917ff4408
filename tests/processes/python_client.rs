//! The details of refusals, decoded by a client that is not ours: Python's grpcio with grpcio-status.
//!
//! `make test` puts both into `target/tools`. Where they are not there, the test says so; `crates/node/tests/limits.rs`
//! decodes the same details by tonic-types.

use crate::support::eventually;
use crate::support::process::{Server, free_port, text};
use marquee_proto::v1::RecommendRequest;
use prost::Message as _;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const RECOMMEND: &str = "/marquee.v1.RecommenderService/Recommend";
/// Calls at once before the quota refuses.
const BURST: usize = 20;
/// Calls one after the other: far more than the quota has room for while they are made.
const MANY: usize = 2_000;

fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/python/bin/python");
    let has_grpc = python.exists()
        && Command::new(&python)
            .args(["-c", "import grpc_status.rpc_status"])
            .output()
            .is_ok_and(|output| output.status.success());
    has_grpc.then_some(python)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_reads_the_field_and_the_delay_of_a_refusal() {
    let Some(python) = python() else {
        eprintln!(
            "no grpcio-status in target/tools (`make test` fetches it where pip is): decoding by Python is not tested"
        );
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let port = free_port();
    let config = format!(
        "[node]\nid = \"n-1\"\nlisten = \"127.0.0.1:{port}\"\ndata_dir = \"data\"\n\
         [control]\nid = 1\nreplication_factor = 1\n\
         voters = [{{ id = 1, address = \"http://127.0.0.1:{port}\" }}]\n\
         [server]\nquotas = [{{ anonymous = true, calls_per_second = 1, burst = {BURST} }}]\n"
    );
    let path = dir.path().join("node.toml");
    std::fs::write(&path, config).expect("written");
    let args = vec!["serve".into(), "--config".into(), path.display().to_string()];
    let mut server = Server::start(dir.path(), "n-1", args);
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/processes/decode_details.py");
    let call = |request: &RecommendRequest, times: usize| -> Value {
        let request: String =
            request.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect();
        let address = format!("127.0.0.1:{port}");
        let output = Command::new(&python)
            .arg(&script)
            .args([&address, RECOMMEND, &request, &times.to_string()])
            .output()
            .expect("python starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let fine = RecommendRequest { user_id: "u".into(), ..RecommendRequest::default() };
    eventually("the node answers", || {
        let code = call(&fine, 1)["code"].clone();
        async move { code == "NOT_FOUND" || code == "OK" }
    })
    .await;
    let refused = call(&RecommendRequest::default(), 1);
    assert_eq!(refused["code"], "INVALID_ARGUMENT", "{refused}");
    assert_eq!(refused["violations"][0][0], "user_id", "{refused}");
    assert_eq!(refused["violations"][0][1], refused["message"], "{refused}");
    assert!(refused.get("unknown").is_none(), "{refused}");

    let over = call(&fine, MANY);
    assert_eq!(over["code"], "RESOURCE_EXHAUSTED", "{over}");
    assert_eq!(over["reason"], "OVER_QUOTA", "{over}");
    let delay = over["retry_after"].as_f64().expect("a delay");
    assert!(delay > 0.0 && delay <= 1.0, "{over}");
    assert!(server.stop().success());
}
