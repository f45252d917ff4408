//! Batches in, windows out.

mod bounded_users;
mod interleaved;
mod rewards_in_time;
mod segments;
mod signed_ids;
mod window_size;

use super::answer_id::{is_on_arm, name_answer};
use super::buffer::{Batch, Pair};
use super::clock::Moment;
use super::limits::{MAX_KEYS, MAX_OBSERVATIONS, MAX_PAIRS};
use super::observation::{AnswerOutcome, ArmAnswer, List, Observation, SubjectHash};
use super::request_share::ALWAYS_COUNTED;
use super::rewards::{Reward, RewardEvent};
use super::scope::{AnswerScope, WindowKey};
use super::window::{Memory, close};
use marquee_core::plan::{Plan, SegmentSet, Trial, UserPrivacy};
use marquee_core::rollout::gate::Gate;
use marquee_core::rollout::window::{GroupedSum, Measure, MirrorDiff, Window, group_of, hash_item};
use marquee_core::rollout::{Clearance, Rollout, RolloutStep, Terms};
use marquee_proto::convert::window::{window_from_pb, window_to_pb};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000;
/// The first second of all tests, in Unix time.
const BEGAN: u64 = 1_764_000_000;

/// So many seconds after the first.
fn at(second: u64) -> Moment {
    Moment { micros: second * SECOND, unix_second: BEGAN + second }
}

/// The id of an answer of another process or this one, so many seconds after the first.
fn named(process: &str, number: u64, second: u64, trial: &Trial) -> String {
    let scope = Some(AnswerScope::Trial(trial));
    name_answer(process, number, BEGAN + second, scope, SegmentSet::default())
}

/// Something that came of an answer, so many seconds after the first.
fn came(id: &str, user: &str, reward: Reward, second: u64) -> RewardEvent {
    RewardEvent {
        recommendation_id: id.into(),
        user_id: user.into(),
        item: hash_item("x"),
        reward,
        received_second: BEGAN + second,
    }
}

fn trial(weight_basis_points: u32, arm: usize) -> Trial {
    Trial { id: "home-3".into(), arm, arms: 2, weight_basis_points }
}

/// A list of these items with this id.
fn list(answer: &str, items: &[&str]) -> AnswerOutcome {
    AnswerOutcome::Answered {
        is_empty: items.is_empty(),
        is_partial: false,
        is_fallback: false,
        list: Some(List::of(answer, items.iter().copied(), items.first().map(|_| 2.5))),
    }
}

/// A user of a cluster that has drawn no keys.
fn of_user(user_id: &str) -> SubjectHash {
    SubjectHash::user(user_id, &UserPrivacy::default())
}

/// An answer in the second in which the request came.
fn observation(arm: usize, subject: SubjectHash, at_micros: u64, answer: ArmAnswer) -> Observation {
    let answered_second = BEGAN + at_micros / SECOND;
    let segments = SegmentSet::default();
    Observation { arm, subject, at_micros, answered_second, segments, answer }
}

fn answered(arm: usize, user: &str, at_micros: u64, outcome: AnswerOutcome) -> Observation {
    let side = ArmAnswer { latency_micros: Some(12_345), outcome };
    observation(arm, of_user(user), at_micros, side)
}

fn plan() -> Plan {
    plan_with(Vec::new())
}

/// A plan with a rollout that has these gates.
fn plan_with(gates: Vec<Gate>) -> Plan {
    let steps = [100, 2_500, 5_000].map(|weight| RolloutStep::new(weight, 10)).to_vec();
    let (from, to) = (Some("films@1".into()), "films@2".into());
    let terms = Terms { gates, ..Terms::unguarded() };
    let mut rollout = Rollout::start("home-3".into(), "home".into(), from, to, steps, terms, 0);
    rollout.advance(None, &Clearance::Clear, 0);
    Plan { rollouts: vec![rollout], ..Plan::default() }
}

fn closed(batch: &Batch) -> Vec<(WindowKey, Window)> {
    close(batch, &mut Memory::default(), &plan(), at(2))
}

fn of(window: &Window, arm: usize, measure: Measure) -> Option<&GroupedSum> {
    window.arms[arm].measures.get(&measure)
}

/// How many of a measure there are, and their sum.
fn sum(window: &Window, arm: usize, measure: Measure) -> (u64, f64) {
    of(window, arm, measure).map_or((0, 0.0), |sums| (sums.total(), sums.sum.iter().sum()))
}

/// A user that the split puts on this arm.
fn user_on(trial: &Trial) -> String {
    let mut users = (0..).map(|n| format!("u{n}"));
    users.find(|user| is_on_arm(trial, user)).expect("some user is")
}

#[test]
fn answers_count_on_their_arm_and_at_their_share() {
    let mut batch = Batch::default();
    batch.observe(&trial(100, 0), answered(0, "ann", 1, list("1", &["a", "b"])));
    batch.observe(&trial(100, 1), answered(1, "bob", 2, list("2", &[])));
    batch.observe(&trial(100, 1), answered(1, "bob", 3, AnswerOutcome::Failed(14)));
    batch.observe(&trial(5_000, 1), answered(1, "eve", 4, list("3", &["c"])));
    let partial = AnswerOutcome::Answered {
        is_empty: false,
        is_partial: true,
        is_fallback: true,
        list: None,
    };
    batch.observe(&trial(5_000, 1), answered(1, "eve", 5, partial));
    let windows = closed(&batch);
    let [(first, early), (second, late)] = &windows[..] else { panic!("{windows:?}") };
    assert_eq!((first.weight_basis_points, second.weight_basis_points), (100, 5_000));

    assert_eq!(sum(early, 0, Measure::Failed), (1, 0.0));
    assert_eq!(sum(early, 1, Measure::Failed), (2, 1.0));
    assert_eq!(sum(early, 1, Measure::Empty), (1, 1.0), "of answers, not of errors");
    assert_eq!(sum(early, 0, Measure::Empty), (1, 0.0));
    assert_eq!(early.arms[1].errors, [(14, 1)].into());
    assert!(early.arms[0].errors.is_empty());
    assert_eq!(sum(early, 0, Measure::Score), (1, 2.5));
    assert_eq!(sum(early, 1, Measure::Users), (1, 1.0), "one user, however often");
    assert_eq!(early.arms[1].latencies.total(), 2);
    let (&micros, _) = early.arms[1].latencies.0.first_key_value().expect("one");
    assert!(micros.abs_diff(12_345) <= 123, "{micros}");
    let expected = 2.0 * 14_345_f64.ln();
    assert!((sum(early, 1, Measure::LogLatency).1 - expected).abs() < 1e-9);

    assert_eq!(sum(late, 0, Measure::Failed), (0, 0.0));
    assert_eq!(sum(late, 1, Measure::Partial), (2, 1.0));
    assert_eq!(sum(late, 1, Measure::Fallback), (2, 1.0));
    assert_eq!(sum(late, 1, Measure::Clicks), (0, 0.0), "their time is not over");
    let eve = of(late, 1, Measure::Failed).expect("there");
    assert_eq!(eve.count[group_of("eve")], 2);
}

#[test]
fn list_similarity_is_to_the_last_list_of_another_user_on_the_same_arm() {
    let mut batch = Batch::default();
    let mut at = 0;
    let mut ask = |arm, user, items: &[&str]| {
        at += 1;
        batch.observe(&trial(100, arm), answered(arm, user, at, list("x", items)));
    };
    ask(0, "ann", &["a", "b", "c", "d"]);
    ask(1, "bob", &["a", "b", "c", "d"]); // Another arm: nothing to compare with.
    ask(0, "ann", &["a", "x", "y", "z"]); // Her own list before is no comparison.
    ask(0, "tom", &["a", "q"]); // ann's last: 1 of 2.
    ask(0, "tom", &["x", "y", "w", "v"]); // ann's last still: 2 of 4.
    ask(0, "eve", &[]); // No list.
    ask(0, "ann", &["x", "y", "w"]); // tom's last: 3 of 3.
    let windows = closed(&batch);
    assert_eq!(sum(&windows[0].1, 0, Measure::ListSimilarity), (3, 0.5 + 0.5 + 1.0));
    assert_eq!(sum(&windows[0].1, 1, Measure::ListSimilarity), (0, 0.0));
}

#[test]
fn lists_are_compared_over_windows() {
    let (mut memory, plan) = (Memory::default(), plan());
    let mut batch = Batch::default();
    batch.observe(&trial(100, 0), answered(0, "ann", 1, list("1", &["a", "b"])));
    close(&batch, &mut memory, &plan, at(2));
    batch.clear();
    batch.observe(&trial(5_000, 0), answered(0, "tom", 2 * SECOND, list("2", &["a", "c"])));
    let windows = close(&batch, &mut memory, &plan, at(4));
    assert_eq!(sum(&windows[0].1, 0, Measure::ListSimilarity), (1, 0.5));
}

#[test]
fn a_crawler_counts_as_automated_and_nowhere_else() {
    let now = trial(5_000, 1);
    let crawler = user_on(&now);
    let mut batch = Batch::default();
    for n in 0..100 {
        let id = named("3f", n, n / 50, &now);
        batch.observe(&now, answered(1, &crawler, n * 20_000, list(&id, &["a"])));
        batch.event(came(&id, &crawler, Reward::Click, 1));
    }
    let side = || ArmAnswer { latency_micros: None, outcome: list("", &["a"]) };
    let pair = |user: &str| Pair {
        subject: of_user(user),
        answers: [side(), side()],
        in_common: Some((1.0, 1.0)),
    };
    batch.pair(&now, pair(&crawler), Some(MirrorDiff::default()));
    for (n, user) in ["ann", "tom", "eve"].into_iter().enumerate() {
        let id = named("4f", n as u64, 1, &now);
        batch.observe(&now, answered(1, user, n as u64, list(&id, &["b"])));
    }
    batch.pair(&now, pair("ann"), Some(MirrorDiff { served: 1, ..MirrorDiff::default() }));
    // An item has many requests: that is no automated traffic.
    for n in 0..100 {
        let subject = SubjectHash::item("i1");
        let outcome = AnswerOutcome::Failed(9);
        let side = ArmAnswer { latency_micros: None, outcome };
        batch.observe(&now, observation(0, subject, n * 20_000, side));
    }
    let mut memory = Memory::default();
    let windows = close(&batch, &mut memory, &plan(), at(2));
    let [(_, window)] = &windows[..] else { panic!("{windows:?}") };
    assert_eq!(window.automated, 100);
    assert_eq!(sum(window, 1, Measure::Failed), (3, 0.0));
    assert_eq!(sum(window, 1, Measure::Users), (3, 3.0));
    assert_eq!(window.mirror.overlap.total(), 1);
    assert_eq!(window.mirror.diffs, [MirrorDiff { served: 1, ..MirrorDiff::default() }]);
    let counted = u64::from(ALWAYS_COUNTED);
    assert_eq!((window.arms[0].failed(), window.capped), (counted, 100 - counted));
    assert_eq!(sum(window, 0, Measure::Users), (0, 0.0), "items are no users");
    let later = close(&Batch::default(), &mut memory, &plan(), at(200));
    assert_eq!(sum(&later[0].1, 1, Measure::Clicks), (3, 0.0));
}

#[test]
fn lists_of_another_user_are_not_personal() {
    let lists = [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]];
    let windows = |shift: usize| {
        let mut batch = Batch::default();
        let side = |items: [&str; 2]| ArmAnswer { latency_micros: None, outcome: list("", &items) };
        for (n, items) in lists.into_iter().enumerate() {
            let subject = of_user(&format!("user-{n}"));
            let answers = [side(items), side(lists[(n + shift) % lists.len()])];
            batch.pair(&trial(100, 0), Pair { subject, answers, in_common: None }, None);
        }
        let windows = closed(&batch);
        windows[0].1.mirror.arms.clone().map(|arm| {
            let personal = &arm.measures[&Measure::Personalisation];
            (personal.total(), personal.sum.iter().sum::<f64>())
        })
    };
    // The first has no user before.
    assert_eq!(windows(0), [(3, 3.0), (3, 3.0)], "the candidate gives each user the same list");
    assert_eq!(windows(2), [(3, 3.0), (3, 0.0)], "it gives them those of others");
    assert_eq!(windows(3), [(3, 3.0), (3, -3.0)], "it gives them those of the user before");
}

#[test]
fn what_has_no_room_is_counted() {
    let mut batch = Batch::default();
    for n in 0..MAX_OBSERVATIONS + 7 {
        let outcome = AnswerOutcome::Failed(14);
        batch.observe(&trial(100, 0), answered(0, &n.to_string(), n as u64, outcome));
    }
    for _ in 0..MAX_PAIRS + 2 {
        let side = || ArmAnswer { latency_micros: None, outcome: AnswerOutcome::Failed(14) };
        let pair = Pair { subject: of_user("ann"), answers: [side(), side()], in_common: None };
        batch.pair(&trial(100, 0), pair, None);
    }
    batch.skip(&trial(100, 0));
    let windows = closed(&batch);
    let [(_, window)] = &windows[..] else { panic!("{windows:?}") };
    assert_eq!((window.dropped, window.mirror.skipped), (9, 1));
    assert_eq!(window.arms[0].requests(), MAX_OBSERVATIONS as u64);
    assert_eq!(window.mirror.arms[0].failed(), MAX_PAIRS as u64);

    batch.clear();
    for weight in 0..2 * MAX_KEYS as u32 {
        batch.skip(&trial(weight, 0));
    }
    assert_eq!(closed(&batch).len(), MAX_KEYS);
}

#[test]
fn a_window_shows_its_first_pair_and_the_one_with_the_least_in_common() {
    let mut batch = Batch::default();
    for overlap in [0.5, 0.9, 0.1, 0.7, 0.1] {
        let side = || ArmAnswer { latency_micros: None, outcome: list("", &["a"]) };
        let pair = Pair {
            subject: of_user("ann"),
            answers: [side(), side()],
            in_common: Some((overlap, 0.0)),
        };
        batch.pair(&trial(100, 0), pair, Some(MirrorDiff { overlap, ..MirrorDiff::default() }));
    }
    let windows = closed(&batch);
    let shown: Vec<f64> = windows[0].1.mirror.diffs.iter().map(|diff| diff.overlap).collect();
    assert_eq!(shown, [0.5, 0.1]);
}

fn any_outcome() -> impl Strategy<Value = AnswerOutcome> {
    let items = proptest::collection::vec("[a-f]", 0..14);
    let lists = (items, any::<[bool; 3]>(), proptest::num::f64::ANY, any::<bool>()).prop_map(
        |(items, [is_empty, is_partial, is_fallback], score, has_list)| {
            let list = List::of("x", items.iter().map(String::as_str), Some(score));
            let list = has_list.then_some(list);
            AnswerOutcome::Answered { is_empty, is_partial, is_fallback, list }
        },
    );
    prop_oneof![(1_u32..17).prop_map(AnswerOutcome::Failed), lists]
}

proptest! {
    /// Whatever is observed, control takes the window, and every request is in one place of it.
    #[test]
    fn windows_add_up_and_pass_every_bound(
        seen in proptest::collection::vec(
            (0usize..2, "[a-e]", 0u64..2_000_000, any::<Option<u32>>(), any_outcome(), 1u32..4), 0..200,
        ),
        mirrored in proptest::collection::vec((any_outcome(), any_outcome(), any::<bool>()), 0..20),
    ) {
        let mut batch = Batch::default();
        for (arm, user, at_micros, latency, outcome, weight) in &seen {
            let latency_micros = latency.map(u64::from);
            let side = ArmAnswer { latency_micros, outcome: outcome.clone() };
            let subject = of_user(user);
            batch.observe(&trial(*weight, *arm), observation(*arm, subject, *at_micros, side));
        }
        for (one, other, is_alone) in &mirrored {
            let side = |outcome: &AnswerOutcome| {
                ArmAnswer { latency_micros: is_alone.then_some(9), outcome: outcome.clone() }
            };
            let pair = Pair { subject: of_user("ann"), answers: [side(one), side(other)], in_common: Some((0.5, 0.4)) };
            batch.pair(&trial(1, 0), pair, None);
        }
        let windows = closed(&batch);
        let mut total = 0;
        for (key, window) in &windows {
            let again = window_from_pb(window_to_pb(window)).expect("within all bounds");
            prop_assert_eq!(&again, window);
            let here = seen.iter().filter(|(.., weight)| *weight == key.weight_basis_points).count() as u64;
            let counted: u64 = window.arms.iter().map(|arm| arm.requests()).sum();
            let left_out = window.automated + window.capped;
            prop_assert_eq!(counted + left_out, here);
            total += counted + left_out;
            for arm in &window.arms {
                let answered = arm.measures.get(&Measure::Empty).map_or(0, GroupedSum::total);
                prop_assert_eq!(answered + arm.failed(), arm.requests());
            }
            if key.weight_basis_points == 1 {
                prop_assert_eq!(window.mirror.overlap.total(), mirrored.len() as u64);
                prop_assert_eq!(window.mirror.arms[1].requests(), mirrored.len() as u64);
            }
        }
        prop_assert_eq!(total, seen.len() as u64);
    }
}
