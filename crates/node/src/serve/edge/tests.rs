//! Calls that have no time left, and calls for which there is no room.

use super::answers::{BATCHES, RECORDS, answer_priority};
use super::*;
use crate::config::{ServerSection, check_limits};
use marquee_core::overload::{LimitSettings, Priority};
use marquee_proto::overload::PRIORITY_HEADER;
use std::convert::Infallible;
use tower::ServiceExt as _;

const RECOMMEND: &str = "/marquee.v1.RecommenderService/Recommend";

fn edge(threads: usize, pressure: Pressure) -> Edge {
    let limits = check_limits(&ServerSection::default());
    let limits = limits.map_err(|refusal| refusal.reason).expect("in bounds");
    let quotas = SharedQuotas::new(Quotas::default());
    Edge::new(&limits, quotas, Warnings::new(), threads, pressure)
}

/// Answers after a time, never if there is none.
fn after(
    time: Option<Duration>,
) -> impl Service<
    http::Request<Body>,
    Response = http::Response<Body>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static {
    tower::service_fn(move |_: http::Request<Body>| async move {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
        Ok::<_, Infallible>(http::Response::new(Body::empty()))
    })
}

fn request(path: &str) -> http::request::Builder {
    http::Request::builder().uri(path)
}

fn code(response: &http::Response<Body>) -> Code {
    Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_is_deadline_exceeded_and_nothing_else() {
    let edge = edge(2, Pressure::default());
    let ended = async |time: Option<Duration>, timeout: &'static str| {
        let request = request(RECOMMEND).header("grpc-timeout", timeout);
        let request = request.body(Body::empty()).expect("valid");
        let began = tokio::time::Instant::now();
        let response = edge.layer(after(time)).oneshot(request).await.expect("infallible");
        (code(&response), began.elapsed())
    };
    let (code, took) = ended(None, "50m").await;
    assert_eq!(code, Code::DeadlineExceeded);
    assert!(took < Duration::from_millis(50), "before tonic does: {took:?}");
    assert_eq!(ended(None, "0m").await.0, Code::DeadlineExceeded);
    let soon = Some(Duration::from_millis(20));
    assert_eq!(ended(soon, "50m").await.0, Code::Ok);
    assert_eq!(ended(soon, "soon").await.0, Code::Ok, "the service refuses what cannot be read");
    assert_eq!(edge.admission().under_way(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_requests_wait_for_too_long_answers_are_refused_and_other_lanes_are_not() {
    let edge = edge(1, Pressure::default());
    for _ in 0..100 {
        tokio::time::advance(Duration::from_millis(5)).await;
        drop(edge.answers.admit(Priority::Interactive).expect("a place"));
        edge.answers.begun(Duration::from_millis(100));
    }
    let floor = LimitSettings::for_threads(1, 4_096).floor;
    let never = edge.layer(after(None));
    let call = |service: &Limited<_>, path: &str| {
        service.clone().oneshot(request(path).body(Body::empty()).expect("valid"))
    };
    let mut waiting: Vec<_> = (0..floor).map(|_| Box::pin(call(&never, RECOMMEND))).collect();
    for one in &mut waiting {
        assert!(futures::poll!(one).is_pending());
    }
    let at_once = edge.layer(after(Some(Duration::ZERO)));
    let answered = async |path: &str| {
        let request = request(path).body(Body::empty()).expect("valid");
        at_once.clone().oneshot(request).await.expect("infallible")
    };
    let refused = answered(RECOMMEND).await;
    assert_eq!(code(&refused), Code::ResourceExhausted);
    assert!(refused.headers().contains_key("grpc-retry-pushback-ms"));
    assert!(refused.headers().contains_key("grpc-status-details-bin"), "RetryInfo");
    let search = answered("/marquee.shard.v1.ShardService/Search").await;
    assert_eq!(code(&search), Code::ResourceExhausted);
    for other in
        [RECORDS, "/marquee.control.v1.ControlService/ReportNode", "/grpc.health.v1.Health/Check"]
    {
        assert_eq!(code(&answered(other).await), Code::Ok, "{other}");
    }
    drop(waiting.split_off(floor - 1));
    let batch = answered(BATCHES).await;
    assert_eq!(code(&batch), Code::ResourceExhausted, "the last places are for callers");
    assert_eq!(code(&answered(RECOMMEND).await), Code::Ok);
}

#[test]
fn a_header_lowers_a_priority_and_never_raises_it() {
    let of = |path: &str, name: &'static str| {
        let headers = [(PRIORITY_HEADER, name)].map(|(key, value)| {
            (http::HeaderName::from_static(key), http::HeaderValue::from_static(value))
        });
        answer_priority(path, &headers.into_iter().collect())
    };
    assert_eq!(of(RECOMMEND, "mirrored"), Some(Priority::Mirrored));
    assert_eq!(of(RECOMMEND, "urgent"), Some(Priority::Interactive));
    assert_eq!(of(BATCHES, "interactive"), Some(Priority::Batch));
    assert_eq!(of(RECORDS, "mirrored"), None);
}
