//! Interleaved answers and clicks on them.

use super::*;
use crate::telemetry::answer_id::interleaved_of;
use crate::telemetry::buffer::InterleavedObservation;
use crate::telemetry::credits::Credits;
use crate::telemetry::observation::hash_of;
use marquee_core::ranking::interleave::{Interleaving, Side};
use marquee_core::rollout::{InterleaveStage, RolloutMove, RolloutState};

const ITEMS: [(&str, Option<Side>); 4] = [
    ("both", None),
    ("theirs", Some(Side::Candidate)),
    ("ours", Some(Side::Baseline)),
    ("theirs too", Some(Side::Candidate)),
];

/// A plan with a rollout that interleaves the answers of half of the users.
fn plan_that_interleaves() -> Plan {
    let mut plan = plan();
    let rollout = &mut plan.rollouts[0];
    rollout.terms.interleave = Some(InterleaveStage {
        share_basis_points: 5_000,
        hold_seconds: 60,
        min_samples: 0,
        how: Interleaving::TeamDraft,
    });
    (rollout.state, rollout.resumes_to) = (RolloutState::Interleave, RolloutState::Interleave);
    rollout.step = None;
    plan
}

fn id(number: u64, second: u64) -> String {
    let credits = Credits::of(ITEMS.into_iter());
    let scope = AnswerScope::Interleaved { trial: &trial(0, 0), credits: &credits };
    name_answer("3f", number, BEGAN + second, Some(scope), SegmentSet::default())
}

/// A click on an item of an answer.
fn clicked(answer: &str, user: &str, item: &str, second: u64) -> RewardEvent {
    RewardEvent { item: hash_item(item), ..came(answer, user, Reward::Click, second) }
}

fn interleaved(user: &str, at_micros: u64, answer: &str) -> InterleavedObservation {
    InterleavedObservation { subject: of_user(user), at_micros, answer: hash_of(answer) }
}

/// A user whose answers are interleaved, or who has the baseline.
fn user(is_interleaved: bool) -> String {
    let share = Trial { weight_basis_points: 5_000, ..trial(0, 1) };
    let mut users = (0..).map(|n| format!("u{n}"));
    users.find(|user| is_on_arm(&share, user) == is_interleaved).expect("some user is")
}

/// The only window.
fn window_of(batch: &Batch, memory: &mut Memory, plan: &Plan, second: u64) -> Window {
    let mut windows = close(batch, memory, plan, at(second));
    assert_eq!(windows.len(), 1, "{windows:?}");
    windows.remove(0).1
}

#[test]
fn clicks_are_credited_once_for_each_item_and_only_where_they_say_something() {
    let (plan, ann) = (plan_that_interleaves(), user(true));
    let mut batch = Batch::default();
    batch.interleave(&trial(0, 0), interleaved(&ann, 1, &id(1, 0)));
    for item in ["both", "theirs", "theirs", "ours", "another", "theirs too"] {
        batch.event(clicked(&id(1, 0), &ann, item, 1));
    }
    let bought = RewardEvent { reward: Reward::Purchase, ..clicked(&id(1, 0), &ann, "ours", 1) };
    batch.event(bought);
    let window = window_of(&batch, &mut Memory::default(), &plan, 2);
    assert_eq!(window.interleaved.answers, 1);
    let clicks = &window.interleaved.clicks;
    assert_eq!((clicks.total(), clicks.sum.iter().sum::<f64>()), (3, 2.0));
    assert_eq!(clicks.count[group_of(&ann)], 3);
    for arm in 0..2 {
        assert_eq!(sum(&window, arm, Measure::Failed), (0, 0.0), "it counts for no arm");
        assert_eq!(sum(&window, arm, Measure::Clicks), (0, 0.0));
    }
}

#[test]
fn any_router_can_credit_a_click() {
    let (plan, ann, bob) = (plan_that_interleaves(), user(true), user(false));
    let mut batch = Batch::default();
    batch.event(clicked(&id(7, 0), &ann, "theirs", 1));
    batch.event(clicked(&id(7, 0), &ann, "theirs", 1));
    // Of a user who has the baseline, and of nobody.
    batch.event(clicked(&id(8, 0), &bob, "theirs", 1));
    batch.event(clicked(&id(9, 0), "", "theirs", 1));
    let window = window_of(&batch, &mut Memory::default(), &plan, 2);
    let clicks = &window.interleaved.clicks;
    assert_eq!((clicks.total(), clicks.sum.iter().sum::<f64>()), (1, 1.0));
    assert_eq!(window.interleaved.answers, 0, "it is another router's");
}

#[test]
fn clicks_that_come_too_late_are_not_credited() {
    let (plan, ann) = (plan_that_interleaves(), user(true));
    let mut memory = Memory::default();
    let mut batch = Batch::default();
    batch.interleave(&trial(0, 0), interleaved(&ann, 1, &id(1, 0)));
    assert_eq!(window_of(&batch, &mut memory, &plan, 2).interleaved.answers, 1);
    batch.clear();
    batch.event(clicked(&id(1, 0), &ann, "ours", 59));
    batch.event(clicked(&id(1, 0), &ann, "theirs", 75));
    let window = window_of(&batch, &mut memory, &plan, 76);
    let clicks = &window.interleaved.clicks;
    assert_eq!((clicks.total(), clicks.sum.iter().sum::<f64>(), window.late), (1, 0.0, 1));
}

#[test]
fn of_a_user_no_more_answers_count_than_is_usual() {
    let (plan, ann) = (plan_that_interleaves(), user(true));
    let mut batch = Batch::default();
    let answers = u64::from(ALWAYS_COUNTED) + 7;
    for n in 0..answers {
        // At odd moments, or it would look automated.
        batch.interleave(&trial(0, 0), interleaved(&ann, n * n * 1_000, &id(n, 0)));
        batch.event(clicked(&id(n, 0), &ann, "theirs", 1));
    }
    // What is usual is what these do.
    let others = 200;
    for n in 0..others {
        let observation = interleaved(&format!("other-{n}"), 1_000 * n, &id(1_000 + n, 0));
        batch.interleave(&trial(0, 0), observation);
    }
    let window = window_of(&batch, &mut Memory::default(), &plan, 2);
    let counted = u64::from(ALWAYS_COUNTED);
    assert_eq!((window.interleaved.answers, window.capped), (counted + others, 7));
    assert_eq!(window.interleaved.clicks.total(), counted);
}

#[test]
fn ids_of_interleaved_answers_are_read_and_nonsense_is_refused() {
    let mut plan = plan_that_interleaves();
    let read = interleaved_of(&id(26, 0), &plan).expect("as it was written");
    assert_eq!(read, (trial(0, 0), Credits::of(ITEMS.into_iter())));
    assert_eq!(super::super::answer_id::trial_of(&id(26, 0), &plan), None);
    let tail = id(26, 0).split_once('.').expect("it is a trial's").1.to_owned();
    for bad in [
        tail.clone(),
        format!("3f-1a.{tail}"),
        id(26, 0).replace(".0.i", ".0.j"),
        id(26, 0).replace(".0.i", ".100.i"),
        id(26, 0).replace(".0.i", ".0.i0"),
        id(26, 0).replace(".0.i", ".0.iX00"),
        id(26, 0).replace("home-3", "home-4"),
        id(26, 0).replace(".0.i", &format!(".0.i{}", "0".repeat(300))),
    ] {
        assert_eq!(interleaved_of(&bad, &plan), None, "{bad}");
    }
    plan.rollouts[0].apply_move(RolloutMove::RollBack, "", None, 9).expect("it runs");
    assert_eq!(interleaved_of(&id(26, 0), &plan), None, "it is over");
    assert_eq!(interleaved_of(&id(26, 0), &super::plan()), None, "it does not interleave");
}
