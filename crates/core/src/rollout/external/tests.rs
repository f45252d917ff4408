//! Tests of what is refused, and of what values and words come to.

use super::*;
use crate::rollout::gate::Bound;

fn expression(text: &str) -> Question {
    Question::PromQl {
        url: "http://127.0.0.1:9090".into(),
        expression: text.into(),
        bound: Bound::Max(0.5),
    }
}

#[test]
fn every_series_must_keep_the_bound() {
    let kind = |bound, values: &[f64]| judge_values(bound, values).kind;
    assert_eq!(kind(Bound::Max(0.5), &[0.5]), AnswerKind::Passes);
    assert_eq!(kind(Bound::Max(0.5), &[0.1, 0.51]), AnswerKind::Fails);
    assert_eq!(kind(Bound::Min(0.5), &[0.5, 9.0]), AnswerKind::Passes);
    assert_eq!(kind(Bound::Min(0.5), &[9.0, 0.4]), AnswerKind::Fails);
    assert_eq!(kind(Bound::Max(0.5), &[f64::INFINITY]), AnswerKind::Fails);
    assert_eq!(kind(Bound::Min(0.5), &[f64::INFINITY]), AnswerKind::Passes);
    assert_eq!(kind(Bound::Max(0.5), &[]), AnswerKind::Missing, "nothing is no pass");
    assert_eq!(kind(Bound::Max(0.5), &[0.1, f64::NAN]), AnswerKind::Missing);
    assert_eq!(judge_values(Bound::Max(0.5), &[0.1, 0.7]).says(), "0.7 in 2 series");
}

#[test]
fn words_from_outside_become_one_short_line() {
    let answer = ExternalAnswer::new(AnswerKind::Fails, &"é\n\u{1b}[31m".repeat(1_000));
    assert!(answer.says().len() <= MAX_SAYS_BYTES);
    assert!(!answer.says().contains(['\n', '\u{1b}']), "{:?}", answer.says());
}

#[test]
fn names_take_the_places_of_their_placeholders() {
    let asked = expression(r#"rate(errors{s="{{surface}}",v="{{candidate}}"}[1m])"#);
    let named = asked.with_names("home-2", "home", "films@1", "films@2");
    assert_eq!(named, expression(r#"rate(errors{s="home",v="films@2"}[1m])"#));
    let long = expression(&"x".repeat(1_000)).to_string();
    assert!(long.chars().count() < 200, "{long}");
}

#[test]
fn what_is_wrong_is_said() {
    let gate = |change: fn(&mut ExternalGate)| {
        let mut gate = ExternalGate::new("errors", expression("up"));
        change(&mut gate);
        gate
    };
    let fine = [gate(|_| {}), gate(|it| it.name = "other".into())];
    assert_eq!(check_external_gates(&fine), Ok(()));
    for (gates, says) in [
        (vec![gate(|_| {}), gate(|_| {})], "external_gates[1]: the name errors is taken"),
        (vec![gate(|_| {}); 9], "9 given: a rollout has at most 8"),
        (vec![gate(|it| it.name = "a b".into())], "has a character"),
        (vec![gate(|it| it.question = expression(" "))], "expression has 1 bytes"),
        (vec![gate(|it| it.question = expression("up{{job}}"))], "unknown placeholder"),
        (vec![gate(|it| it.interval_seconds = 1)], "interval_seconds is 1: 5 to 3600"),
        (vec![gate(|it| it.timeout_ms = 50)], "timeout_ms is 50"),
        (
            vec![gate(|it| (it.interval_seconds, it.timeout_ms) = (5, 6_000))],
            "no more than the interval",
        ),
        (vec![gate(|it| it.max_answer_bytes = 0)], "max_answer_bytes is 0"),
        (vec![gate(|it| it.consecutive_failures = 0)], "consecutive_failures is 0"),
        (
            vec![gate(|it| it.question = Question::Webhook { url: "file:///etc/passwd".into() })],
            "http:// or https://",
        ),
        (
            vec![gate(|it| {
                it.question = Question::PromQl {
                    url: "http://a".into(),
                    expression: "up".into(),
                    bound: Bound::MaxRatio(1.0),
                };
            })],
            "no ratio",
        ),
    ] {
        let said = check_external_gates(&gates).expect_err(says).to_string();
        assert!(said.contains(says), "{said:?} does not say {says:?}");
    }
}
