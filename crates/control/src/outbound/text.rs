//! Transitions as messages, and when one that was not taken is sent again. Pure.

use super::config::NotificationFormat;
use marquee_core::notification::Transition;
use serde_json::json;
use std::time::Duration;

/// The wait before the first retry: a restart of the other end takes seconds.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait between two attempts: what is down for hours is found again soon after.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// After how many refusals a message is given up that the other end understands and does not want: it blocks those behind it.
const MAX_REFUSALS: u32 = 8;

/// The body of a message.
pub(super) fn body(format: NotificationFormat, cluster: &str, transition: &Transition) -> String {
    let line = line(transition);
    match format {
        NotificationFormat::Slack => json!({ "text": escaped(&line) }).to_string(),
        NotificationFormat::Json => {
            let delivery_id = transition.delivery_id();
            let Transition { rollout_id, number, surface, baseline, candidate, event } = transition;
            json!({
                "delivery_id": delivery_id,
                "cluster": cluster,
                "rollout_id": rollout_id,
                "number": number,
                "surface": surface,
                "baseline": baseline,
                "candidate": candidate,
                "state": event.state.to_string(),
                "step": event.step,
                "weight_basis_points": event.weight_basis_points,
                "reason": event.reason,
                "at_ms": event.at_ms,
                "text": line,
            })
            .to_string()
        }
    }
}

/// A transition in one line.
fn line(transition: &Transition) -> String {
    let Transition { rollout_id, number: _, surface, baseline, candidate, event } = transition;
    let from = if baseline.is_empty() { String::new() } else { format!("{baseline} → ") };
    let share = f64::from(event.weight_basis_points) / 100.0;
    format!(
        "rollout {rollout_id} on {surface}: {from}{candidate} is {} at {share} %: {}",
        event.state, event.reason
    )
}

/// A text without Slack's control characters, as its documentation wants them escaped.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What is done with a message that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterFailure {
    /// It is sent again after this time.
    Wait(Duration),
    /// It is given up.
    GiveUp,
}

/// What is done with a message after `failures` attempts, the last of which was answered by `status`; none where there was no
/// answer. `jitter`: 0 to 1, so that several senders do not come at once.
pub(super) fn after_failure(failures: u32, status: Option<u16>, jitter: f64) -> AfterFailure {
    // Of those with a number of 4xx, these say "later".
    let is_refused = status
        .is_some_and(|status| (400..500).contains(&status) && ![408, 425, 429].contains(&status));
    if is_refused && failures >= MAX_REFUSALS {
        return AfterFailure::GiveUp;
    }
    let doubled = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16));
    AfterFailure::Wait(doubled.min(MAX_WAIT).mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::rollout::{RolloutEvent, RolloutState};
    use serde_json::Value;

    fn transition() -> Transition {
        Transition {
            rollout_id: "home-2".into(),
            number: 4,
            surface: "home".into(),
            baseline: "films@1".into(),
            candidate: "films@2".into(),
            event: RolloutEvent {
                at_ms: 1_700,
                state: RolloutState::RolledBack,
                step: Some(1),
                weight_basis_points: 50,
                reason: "operator: <!channel> & \"all\"".into(),
            },
        }
    }

    #[test]
    fn a_transition_is_told_in_both_formats() {
        let body = |format| -> Value {
            serde_json::from_str(&body(format, "films", &transition())).expect("JSON")
        };
        let json = body(NotificationFormat::Json);
        assert_eq!(json["delivery_id"], "home-2.4");
        assert_eq!((&json["state"], &json["cluster"]), (&json!("ROLLED_BACK"), &json!("films")));
        assert_eq!(json["reason"], "operator: <!channel> & \"all\"");
        let slack = body(NotificationFormat::Slack);
        assert_eq!(
            slack,
            json!({ "text": "rollout home-2 on home: films@1 → films@2 is ROLLED_BACK at 0.5 %: operator: \
                             &lt;!channel&gt; &amp; \"all\"" })
        );
    }

    #[test]
    fn waits_grow_and_refusals_are_given_up() {
        let wait = |failures, status| match after_failure(failures, status, 1.0) {
            AfterFailure::Wait(wait) => wait.as_secs(),
            AfterFailure::GiveUp => 0,
        };
        assert_eq!([1, 2, 3, 9].map(|n| wait(n, None)), [1, 2, 4, 256]);
        assert_eq!(
            [10, 1_000].map(|n| wait(n, Some(503))),
            [300, 300],
            "never given up by attempts"
        );
        assert_eq!(wait(7, Some(400)), 64);
        assert_eq!(after_failure(8, Some(400), 0.0), AfterFailure::GiveUp);
        assert_eq!(wait(8, Some(429)), 128, "later is no refusal");
        assert_eq!(after_failure(1, None, 0.0), AfterFailure::Wait(Duration::from_millis(500)));
    }
}
