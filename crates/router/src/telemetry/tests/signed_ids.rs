//! Rewards of answers that no router gave, or gave to another user, count for nobody.

use super::*;
use crate::telemetry::signature::sign;
use marquee_core::plan::{AnswerKeys, AnswerSecret, SECRET_BYTES};

fn keys(secret: u8) -> AnswerKeys {
    let mut keys = AnswerKeys::default();
    keys.add(AnswerSecret([secret; SECRET_BYTES]), 0);
    keys
}

/// The signed id of an answer of the first second, given by another process.
fn signed(number: u64, trial: &Trial, user: &str, keys: &AnswerKeys) -> String {
    sign(named("4f", number, 0, trial), keys, 7, user, ["x"].into_iter())
}

/// The clicks that were counted for the candidate.
fn clicks_of(events: Vec<RewardEvent>, keys: AnswerKeys) -> f64 {
    let plan = Plan { answer_keys: keys, ..plan() };
    let (mut memory, mut batch) = (Memory::default(), Batch::default());
    events.into_iter().for_each(|event| batch.event(event));
    let soon = close(&batch, &mut memory, &plan, at(2));
    let later = close(&Batch::default(), &mut memory, &plan, at(120));
    soon.iter().chain(&later).map(|(_, window)| sum(window, 1, Measure::Clicks).1).sum()
}

#[test]
fn a_thousand_forged_clicks_are_none() {
    let now = trial(5_000, 1);
    let users: Vec<String> =
        (0..).map(|n| format!("u{n}")).filter(|user| is_on_arm(&now, user)).take(1_000).collect();
    let clicks = |id: &dyn Fn(u64, &str) -> String| -> Vec<RewardEvent> {
        (0..).zip(&users).map(|(n, user)| came(&id(n, user), user, Reward::Click, 1)).collect()
    };
    let genuine = clicks(&|n, user| signed(n, &now, user, &keys(1)));
    assert_eq!(clicks_of(genuine, keys(1)), 1_000.0);
    for forged in [
        clicks(&|n, _| named("4f", n, 0, &now)),
        clicks(&|n, user| signed(n, &now, user, &keys(2))),
        // Their own answer, said to be of the candidate.
        clicks(&|n, user| {
            signed(n, &trial(5_000, 0), user, &keys(1)).replace(".5000.0.", ".5000.1.")
        }),
        // One answer, claimed for all users.
        clicks(&|n, _| signed(n, &now, "another user", &keys(1))),
    ] {
        let id = forged[0].recommendation_id.clone();
        assert_eq!(clicks_of(forged, keys(1)), 0.0, "{id}");
    }
}
