//! Questions as requests, and responses as answers. Pure.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use marquee_core::rollout::external::{AnswerKind, ExternalAnswer, Question, judge_values};
use marquee_core::rollout::judge::DueQuestion;
use marquee_net::{HttpAnswer, HttpError};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How many characters of an unreadable answer are shown.
const MAX_SHOWN_CHARS: usize = 80;

/// The request that asks a question: address, headers, body. `at_ms`: for which moment an expression is evaluated, in ms since
/// the Unix epoch.
pub(super) fn request(due: &DueQuestion, at_ms: u64) -> (String, HeaderMap, Bytes) {
    let (url, content_type, body) = match &due.question {
        Question::PromQl { url, expression, bound: _ } => {
            let seconds = format!("{}.{:03}", at_ms / 1_000, at_ms % 1_000);
            let body = format!(
                "query={}&time={seconds}&timeout={}ms",
                form_encoded(expression),
                due.timeout_ms
            );
            let url = format!("{}/api/v1/query", url.trim_end_matches('/'));
            (url, "application/x-www-form-urlencoded", body)
        }
        Question::Webhook { url } => {
            let DueQuestion {
                rollout_id,
                gate,
                number,
                question: _,
                timeout_ms: _,
                max_answer_bytes: _,
                surface,
                baseline,
                candidate,
                state,
                step,
                weight_basis_points,
            } = due;
            let body = json!({
                "rollout_id": rollout_id,
                "gate": gate,
                "question": number,
                "surface": surface,
                "baseline": baseline,
                "candidate": candidate,
                "state": state.to_string(),
                "step": step,
                "weight_basis_points": weight_basis_points,
                "asked_at_ms": at_ms,
            });
            (url.clone(), "application/json", body.to_string())
        }
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    (url, headers, body.into())
}

/// A text as a value of a form.
fn form_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => write!(encoded, "%{byte:02X}").expect("memory"),
        }
    }
    encoded
}

fn missing(says: &str) -> ExternalAnswer {
    ExternalAnswer::new(AnswerKind::Missing, says)
}

/// What the other end's response means. All that is not plainly a pass or a fail is no answer.
pub(super) fn read(question: &Question, response: Result<HttpAnswer, HttpError>) -> ExternalAnswer {
    let HttpAnswer { status, body } = match response {
        Ok(response) => response,
        Err(error) => return missing(&error.to_string()),
    };
    if status.is_redirection() {
        return missing(&format!("it answers {status}, and redirects are not followed"));
    }
    if status != StatusCode::OK {
        return missing(&format!("it answers {status}: {}", shown(&body)));
    }
    let Ok(json) = serde_json::from_slice::<Value>(&body) else {
        return missing(&format!("its answer is no JSON: {}", shown(&body)));
    };
    match question {
        Question::PromQl { url: _, expression: _, bound } => match values_in(&json) {
            Some(values) => judge_values(*bound, &values),
            None => missing(&format!("its answer is none of Prometheus: {}", shown(&body))),
        },
        Question::Webhook { url: _ } => {
            let kind = match json["verdict"].as_str() {
                Some("pass") => AnswerKind::Passes,
                Some("fail") => AnswerKind::Fails,
                _ => {
                    return missing(&format!(
                        "its verdict is neither pass nor fail: {}",
                        shown(&body)
                    ));
                }
            };
            let reason = json["reason"].as_str().unwrap_or_default();
            let plain = if kind == AnswerKind::Fails { "fail" } else { "pass" };
            ExternalAnswer::new(kind, if reason.is_empty() { plain } else { reason })
        }
    }
}

/// The values in an answer of Prometheus's query API: one for each series, or a scalar's. None if it is no such answer.
fn values_in(json: &Value) -> Option<Vec<f64>> {
    if json["status"].as_str() != Some("success") {
        return None;
    }
    let (data, value) = (&json["data"], |sample: &Value| sample[1].as_str()?.parse::<f64>().ok());
    match data["resultType"].as_str()? {
        "scalar" => Some(vec![value(&data["result"])?]),
        "vector" => {
            data["result"].as_array()?.iter().map(|series| value(&series["value"])).collect()
        }
        _ => None,
    }
}

/// The beginning of a body, for reasons.
fn shown(body: &[u8]) -> String {
    let beginning = &body[..body.len().min(4 * MAX_SHOWN_CHARS)];
    let text = String::from_utf8_lossy(beginning);
    format!("{:?}", text.chars().take(MAX_SHOWN_CHARS).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::rollout::gate::Bound;

    fn promql() -> Question {
        Question::PromQl {
            url: "http://p:9090/".into(),
            expression: "a{b=\"c&d\"} > 1".into(),
            bound: Bound::Max(0.5),
        }
    }

    fn webhook() -> Question {
        Question::Webhook { url: "http://w/verdict".into() }
    }

    fn read_ok(question: &Question, body: &'static str) -> (AnswerKind, String) {
        let response =
            HttpAnswer { status: StatusCode::OK, body: Bytes::from_static(body.as_bytes()) };
        let answer = read(question, Ok(response));
        (answer.kind, answer.says().to_owned())
    }

    #[test]
    fn values_of_prometheus_are_read() {
        let kind = |body| read_ok(&promql(), body).0;
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"a":"b"},"value":[1,"0.25"]},{"metric":{},"value":[1,"0.75"]}]}}"#;
        assert_eq!(read_ok(&promql(), vector), (AnswerKind::Fails, "0.75 in 2 series".into()));
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"0.5"]}}"#;
        assert_eq!(kind(scalar), AnswerKind::Passes);
        let none = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        assert_eq!(kind(none), AnswerKind::Missing);
        let nan = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}"#;
        assert_eq!(kind(nan), AnswerKind::Missing);
        let infinite = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"+Inf"]}}"#;
        assert_eq!(kind(infinite), AnswerKind::Fails);
    }

    #[test]
    fn a_verdict_is_read() {
        let fails = r#"{"verdict":"fail","reason":"sales are down"}"#;
        assert_eq!(read_ok(&webhook(), fails), (AnswerKind::Fails, "sales are down".into()));
        assert_eq!(
            read_ok(&webhook(), r#"{"verdict":"pass"}"#),
            (AnswerKind::Passes, "pass".into())
        );
    }

    #[test]
    fn all_else_is_no_answer() {
        for question in [promql(), webhook()] {
            for body in [
                "",
                "ok",
                "<html>",
                "null",
                "[]",
                "{}",
                r#"{"verdict":true}"#,
                r#"{"verdict":"Pass"}"#,
                r#"{"status":"error","data":{"resultType":"scalar","result":[1,"0"]}}"#,
                r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
                r#"{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"x"]}]}}"#,
                r#"{"status":"success","data":{"resultType":"vector","result":{}}}"#,
            ] {
                assert_eq!(read_ok(&question, body).0, AnswerKind::Missing, "{body}");
            }
            let pass = Bytes::from_static(br#"{"verdict":"pass"}"#);
            for status in [StatusCode::FOUND, StatusCode::NO_CONTENT, StatusCode::BAD_GATEWAY] {
                let answer = read(&question, Ok(HttpAnswer { status, body: pass.clone() }));
                assert_eq!(answer.kind, AnswerKind::Missing, "{status}");
            }
        }
    }

    #[test]
    fn a_question_is_one_request() {
        let mut due = DueQuestion {
            rollout_id: "home-2".into(),
            gate: "slo".into(),
            number: 3,
            question: promql(),
            timeout_ms: 5_000,
            max_answer_bytes: 100,
            surface: "home".into(),
            baseline: "films@1".into(),
            candidate: "films@2".into(),
            state: marquee_core::rollout::RolloutState::Canary,
            step: Some(1),
            weight_basis_points: 1_000,
        };
        let (url, _, body) = request(&due, 1_002);
        assert_eq!(url, "http://p:9090/api/v1/query");
        let expected = "query=a%7Bb%3D%22c%26d%22%7D%20%3E%201&time=1.002&timeout=5000ms";
        assert_eq!(body, expected.as_bytes());
        due.question = webhook();
        let (url, _, body) = request(&due, 1_002);
        assert_eq!(url, "http://w/verdict");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["rollout_id"], "home-2");
        assert_eq!((&body["state"], &body["step"]), (&json!("CANARY"), &json!(1)));
    }
}
