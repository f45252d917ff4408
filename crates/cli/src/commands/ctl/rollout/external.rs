//! External gates as arguments of the command line: `errors,every=30s http://prometheus:9090 sum(rate(errors[1m])) <= 0.5`.

use crate::commands::ctl::units::parse_seconds;
use marquee_core::rollout::external::{ExternalGate, Question, check_external_gates};
use marquee_core::rollout::gate::{Bound, OnBreach};

const PROMQL_FORM: &str = "NAME,options URL EXPRESSION <= NUMBER, such as \
     'errors,every=30s http://prometheus:9090 sum(rate(errors[1m])) <= 0.5'";
const WEBHOOK_FORM: &str =
    "NAME,options URL, such as 'slo,every=1m https://checks.example.com/rollouts'";

/// Reads `NAME[,option…] URL EXPRESSION<=NUMBER`, or `>=`. The last comparison is the bound, so that the expression may have
/// others.
pub(super) fn parse_promql(text: &str) -> Result<ExternalGate, String> {
    let wrong = || format!("{text:?} is not of the form {PROMQL_FORM}");
    let (head, rest) = text.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
    let (url, asked) = rest.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
    let (at, is_upper) = match (asked.rfind("<="), asked.rfind(">=")) {
        (Some(upper), Some(lower)) => (upper.max(lower), upper > lower),
        (Some(upper), None) => (upper, true),
        (None, Some(lower)) => (lower, false),
        (None, None) => return Err(wrong()),
    };
    let (expression, bound) = (asked[..at].trim(), asked[at + 2..].trim());
    let value: f64 = bound.parse().map_err(|_| format!("bound {bound:?} is no number"))?;
    let bound = if is_upper { Bound::Max(value) } else { Bound::Min(value) };
    gate(head, Question::PromQl { url: url.into(), expression: expression.into(), bound })
}

/// Reads `NAME[,option…] URL`.
pub(super) fn parse_webhook(text: &str) -> Result<ExternalGate, String> {
    let wrong = || format!("{text:?} is not of the form {WEBHOOK_FORM}");
    let (head, url) = text.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
    gate(head, Question::Webhook { url: url.trim().into() })
}

/// The gate of a name with options, in bounds.
fn gate(head: &str, question: Question) -> Result<ExternalGate, String> {
    let mut parts = head.split(',');
    let mut gate = ExternalGate::new(parts.next().unwrap_or_default(), question);
    for option in parts {
        apply(&mut gate, option)?;
    }
    check_external_gates(std::slice::from_ref(&gate)).map_err(|error| error.to_string())?;
    Ok(gate)
}

fn apply(gate: &mut ExternalGate, option: &str) -> Result<(), String> {
    let whole = |text: &str| {
        text.parse::<u32>().map_err(|_| format!("{option:?}: {text:?} is no whole number"))
    };
    match option.split_once('=') {
        None if option == "pause" => gate.on_breach = OnBreach::Pause,
        None if option == "with-traffic" => gate.with_traffic_only = true,
        Some(("every", text)) => gate.interval_seconds = parse_seconds(text)?,
        Some(("failures", text)) => gate.consecutive_failures = whole(text)?,
        Some(("timeout", text)) => {
            let millis = text.strip_suffix("ms").map(whole);
            gate.timeout_ms = match millis {
                Some(millis) => millis?,
                None => u32::try_from(parse_seconds(text)? * 1_000).unwrap_or(u32::MAX),
            };
        }
        Some(("max-bytes", text)) => gate.max_answer_bytes = whole(text)?,
        _ => {
            return Err(format!(
                "unknown option {option:?}: the options are every=T, failures=N, timeout=T, max-bytes=N, pause, with-traffic"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read() {
        let gate = parse_promql(
            "errors,every=10s,failures=2,timeout=500ms,pause,with-traffic http://p:9090 \
             sum(rate(e{v=\"{{candidate}}\",c>=\"5\"}[1m])) by (job) <= 0.5",
        )
        .expect("valid");
        let question = Question::PromQl {
            url: "http://p:9090".into(),
            expression: "sum(rate(e{v=\"{{candidate}}\",c>=\"5\"}[1m])) by (job)".into(),
            bound: Bound::Max(0.5),
        };
        let expected = ExternalGate {
            interval_seconds: 10,
            consecutive_failures: 2,
            timeout_ms: 500,
            on_breach: OnBreach::Pause,
            with_traffic_only: true,
            ..ExternalGate::new("errors", question)
        };
        assert_eq!(gate, expected);
        let below = parse_promql("sales http://p:9090 sum(sales)>=-3").expect("valid");
        assert!(matches!(below.question, Question::PromQl { bound: Bound::Min(-3.0), .. }));
        let webhook = parse_webhook("slo,timeout=2s https://checks/rollouts?key=1").expect("valid");
        let asked = Question::Webhook { url: "https://checks/rollouts?key=1".into() };
        assert_eq!(webhook, ExternalGate { timeout_ms: 2_000, ..ExternalGate::new("slo", asked) });
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("", "is not of the form"),
            ("errors http://p:9090", "is not of the form"),
            ("errors http://p:9090 up", "is not of the form"),
            ("errors http://p:9090 up <= many", "bound \"many\""),
            ("errors http://p:9090 up{{x}} <= 1", "placeholder"),
            ("errors ftp://p up <= 1", "http:// or https://"),
            ("er~rors http://p up <= 1", "has a character"),
            ("errors,every=1s http://p up <= 1", "interval_seconds"),
            ("errors,soon http://p up <= 1", "unknown option \"soon\""),
        ] {
            let said = parse_promql(text).expect_err(text);
            assert!(said.contains(says), "{text:?}: {said:?} does not say {says:?}");
        }
        assert!(parse_webhook("slo").is_err());
        assert!(parse_webhook("slo http://a b").is_err(), "an address has no spaces");
    }
}
