//! Calls with grpcurl, without stubs: reflection must be enough.
//!
//! `make test` puts a real grpcurl into `target/tools`. Where there is none, the same
//! requests go to both versions of the reflection service by our own client.

use crate::standalone::Standalone;
use crate::support::data::Bundles;
use std::path::PathBuf;
use std::process::Command;

const SERVICES: [&str; 3] =
    ["marquee.v1.RecommenderService", "marquee.control.v1.ControlService", "grpc.health.v1.Health"];

#[tokio::test(flavor = "multi_thread")]
async fn lists_services_and_calls_recommend() {
    let bundles = Bundles::new();
    let node = Standalone::start(bundles.path(), &bundles.train(8, 2)).await;
    let address = node.endpoint.trim_start_matches("http://").to_owned();
    let Some(grpcurl) = grpcurl() else {
        eprintln!(
            "no grpcurl in target/tools (`make test` fetches one where pip is): asking by reflection alone"
        );
        for services in [reflect_v1(&node.endpoint).await, reflect_v1alpha(&node.endpoint).await] {
            assert!(SERVICES.iter().all(|name| services.iter().any(|s| s == name)), "{services:?}");
        }
        return;
    };
    let run = |args: &[&str]| {
        let output =
            Command::new(&grpcurl).arg("-plaintext").args(args).output().expect("grpcurl starts");
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "grpcurl {args:?}: {err}");
        out.into_owned()
    };
    let services = run(&[&address, "list"]);
    assert!(SERVICES.iter().all(|name| services.lines().any(|line| line == *name)), "{services}");
    let method = "marquee.v1.RecommenderService/Recommend";
    let answer = run(&["-d", r#"{"user_id": "user-1", "count": 3}"#, &address, method]);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["items"].as_array().map(Vec::len), Some(3), "{answer}");
    assert_eq!(answer["servedBy"]["models"][0]["model"], "films", "{answer}");
    let health = run(&[&address, "grpc.health.v1.Health/Check"]);
    assert!(health.contains("SERVING"), "{health}");
    let plan = run(&[&address, "marquee.control.v1.ControlService/GetPlan"]);
    assert!(plan.contains("films"), "{plan}");
    let described = run(&[&address, "describe", "marquee.v1.RecommendRequest"]);
    assert!(described.contains("user_id"), "{described}");
}

fn grpcurl() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/grpcurl");
    path.exists().then_some(path)
}

macro_rules! reflect {
    ($name:ident, $version:ident) => {
        pub(crate) async fn $name(endpoint: &str) -> Vec<String> {
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };
            let channel = tonic::transport::Channel::from_shared(endpoint.to_owned())
                .expect("an endpoint")
                .connect_lazy();
            let mut client = ServerReflectionClient::new(channel);
            let list = MessageRequest::ListServices(String::new());
            let request =
                ServerReflectionRequest { host: String::new(), message_request: Some(list) };
            let answers =
                client.server_reflection_info(tokio_stream::once(request)).await.expect("answered");
            let answer =
                answers.into_inner().message().await.expect("answered").expect("an answer");
            match answer.message_response {
                Some(MessageResponse::ListServicesResponse(list)) => {
                    list.service.into_iter().map(|service| service.name).collect()
                }
                other => panic!("{other:?}"),
            }
        }
    };
}

reflect!(reflect_v1, v1);
reflect!(reflect_v1alpha, v1alpha);
