//! What answers are called, so that what comes of them finds the arm and the time that they are of.
//!
//! A recommendation id is `<process>-<number>-<second>`, all hexadecimal: the process that answered, the number of
//! the answer, and when it was answered, in seconds since the Unix epoch. That of an answer that belongs to a
//! trial goes on with `.<weight>.<arm>.<trial>`: `3f0c…-1a-692d8f00.100.1.home-3`, that of any other recommendation with
//! `@<surface>`: `3f0c…-1a-692d8f00@home`. Where the surface has segments, those of the request follow the arm, or the second,
//! as the hexadecimal digits of a set and of the mark of the surface's segments: `.1s5_3af0.` or `.s5_3af0@home`. Where an answer is interleaved, `i` and three digits for each credited item
//! ([`super::credits::Credits`]) are in the place of the arm: `3f0c…-1a-692d8f00.0.i2f40a7.home-3`; an answer that counts for nothing has neither. So any router knows what a
//! click counts for, not only the one that answered, and no router keeps what it answered for long. Callers get this name
//! signed ([`super::signature`]).

use super::credits::{Credits, MAX_CREDITS_BYTES};
use super::limits::MAX_SIGNATURE_BYTES;
use super::scope::AnswerScope;
use marquee_core::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_NAME_BYTES};
use marquee_core::plan::assignment::bucket;
use marquee_core::plan::{Plan, SegmentSet, Trial};
use marquee_core::rollout::experiment::ExperimentState;

/// Bytes of an id beside its trial's: process, number, second, share, arm and segments.
const MAX_ID_HEAD_BYTES: usize = 72;
/// Bytes of a trial's id, a surface's name and a number, or of a surface's name.
const MAX_TRIAL_BYTES: usize = MAX_NAME_BYTES + 24;
/// What stands before the credits of an interleaved answer.
const INTERLEAVED: char = 'i';
/// What stands between the arm and the segments of a request.
const SEGMENTS: char = 's';
/// What stands between the set of segments and their mark.
const MARK: char = '_';
/// Digits of the process, of the number and of the second, each.
const MAX_HEX_DIGITS: usize = 16;

/// The name of an answer that is given at this second of Unix time: see the top of this file.
pub(crate) fn name_answer(
    process: &str,
    number: u64,
    second: u64,
    scope: Option<AnswerScope<'_>>,
    segments: SegmentSet,
) -> String {
    match scope {
        None => format!("{process}-{number:x}-{second:x}"),
        Some(AnswerScope::Surface(surface)) => {
            let separator = if segments.bits() == 0 { "" } else { "." };
            let segments = text_of(segments);
            format!("{process}-{number:x}-{second:x}{separator}{segments}@{surface}")
        }
        Some(AnswerScope::Interleaved { trial, credits }) => {
            let Trial { id, weight_basis_points: weight, .. } = trial;
            format!("{process}-{number:x}-{second:x}.{weight}.{INTERLEAVED}{credits}.{id}")
        }
        Some(AnswerScope::Trial(Trial { id, arm, arms: _, weight_basis_points: weight })) => {
            let segments = text_of(segments);
            format!("{process}-{number:x}-{second:x}.{weight}.{arm}{segments}.{id}")
        }
    }
}

/// Whether an id may be one that a router gave; others need no second look.
pub(crate) fn may_say_what_it_is_of(recommendation_id: &str) -> bool {
    const MAX_BYTES: usize =
        MAX_ID_HEAD_BYTES + MAX_CREDITS_BYTES + MAX_TRIAL_BYTES + MAX_SIGNATURE_BYTES;
    recommendation_id.len() <= MAX_BYTES && recommendation_id.contains(['.', '@'])
}

/// When an answer was given, in seconds since the Unix epoch; none if its id is not as routers' are.
pub(crate) fn second_of(recommendation_id: &str) -> Option<u64> {
    let end = recommendation_id.find(['.', '@']).unwrap_or(recommendation_id.len());
    let mut parts = recommendation_id[..end].split('-');
    let (process, number, second) = (parts.next()?, parts.next()?, parts.next()?);
    let is_named = [process, number, second].into_iter().all(is_hex) && parts.next().is_none();
    if is_named { u64::from_str_radix(second, 16).ok() } else { None }
}

/// Whether a text is a hexadecimal number as ids have it.
fn is_hex(text: &str) -> bool {
    (1..=MAX_HEX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The surface that the id of an answer without a trial names, if the plan has it.
pub(crate) fn surface_of<'a>(recommendation_id: &'a str, plan: &Plan) -> Option<&'a str> {
    let (head, surface) = recommendation_id.split_once('@')?;
    let is_plain = match head.split_once('.') {
        None => true,
        Some((_, segments)) => set_of(segments).is_some(),
    };
    (is_plain && second_of(head).is_some() && plan.surfaces.contains_key(surface))
        .then_some(surface)
}

/// The trial that an answer's id names, if it is one that the plan runs. Ids come back from anywhere, so
/// they are checked: arm and share must be some that the trial has.
pub(crate) fn trial_of(recommendation_id: &str, plan: &Plan) -> Option<Trial> {
    if !may_say_what_it_is_of(recommendation_id) {
        return None;
    }
    let mut parts = recommendation_id.splitn(4, '.');
    let (head, weight, arm, id) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // What goes on with a surface names no trial, whatever the surface is called.
    if head.contains('@') {
        return None;
    }
    second_of(head)?;
    let weight = decimal(weight)?;
    let (arm, segments) = split_arm(arm);
    if !segments.is_empty() {
        set_of(segments)?;
    }
    let arm = decimal(arm)? as usize;
    let (arms, has_had) = if let Some(experiment) = plan.experiment(id) {
        let last = experiment.arms.last().map_or(0, |arm| arm.weight_basis_points);
        let is_running = experiment.state == ExperimentState::Running;
        (experiment.arms.len(), is_running && weight == last)
    } else {
        let rollout = plan.rollout(id).filter(|rollout| !rollout.state.is_over())?;
        (2, rollout.may_have_had_weight(weight))
    };
    let trial = Trial { id: id.to_owned(), arm, arms, weight_basis_points: weight };
    (arm < arms && has_had).then_some(trial)
}

/// The segments of the request that an answer with this id was for; none where the surface had none. They may be of segments that the
/// surface has no more: see [`SegmentSet::mark`].
pub fn segments_of(recommendation_id: &str) -> SegmentSet {
    let segments = match recommendation_id.split_once('@') {
        Some((head, _)) => head.split_once('.').map_or("", |(_, segments)| segments),
        None => split_arm(recommendation_id.split('.').nth(2).unwrap_or_default()).1,
    };
    set_of(segments).unwrap_or_default()
}

/// The trial and the credits that the id of an interleaved answer names, if the plan runs such a trial. The arm
/// means nothing.
pub(crate) fn interleaved_of(recommendation_id: &str, plan: &Plan) -> Option<(Trial, Credits)> {
    if !may_say_what_it_is_of(recommendation_id) {
        return None;
    }
    let mut parts = recommendation_id.splitn(4, '.');
    let (head, weight, credits, id) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    second_of(head)?;
    let credits = Credits::parse(credits.strip_prefix(INTERLEAVED)?)?;
    let rollout = plan.rollout(id).filter(|rollout| !rollout.state.is_over())?;
    // Nobody has the candidate alone while answers are interleaved.
    (weight == "0" && rollout.terms.interleave.is_some()).then(|| {
        let trial = Trial { id: id.to_owned(), arm: 0, arms: 2, weight_basis_points: 0 };
        (trial, credits)
    })
}

/// Whether the user may have had an interleaved answer of this rollout.
pub(crate) fn may_have_been_interleaved(trial: &Trial, user_id: &str, plan: &Plan) -> bool {
    let rollout = plan.rollout(&trial.id);
    let stage = rollout.and_then(|rollout| rollout.terms.interleave);
    stage.is_some_and(|stage| bucket(&trial.id, user_id) < stage.share_basis_points)
}

/// Whether the user may have had an answer of this arm.
pub(crate) fn may_have_had(trial: &Trial, user_id: &str, plan: &Plan) -> bool {
    match plan.experiment(&trial.id) {
        None => is_on_arm(trial, user_id),
        Some(experiment) => experiment.arm_of(user_id) == Some(trial.arm),
    }
}

/// Whether a rollout's split puts the user on its arm.
pub(crate) fn is_on_arm(trial: &Trial, user_id: &str) -> bool {
    (bucket(&trial.id, user_id) < trial.weight_basis_points) == (trial.arm == 1)
}

/// The text of a set of segments in an id; nothing for an empty one.
fn text_of(segments: SegmentSet) -> String {
    match segments.bits() {
        0 => String::new(),
        bits => format!("{SEGMENTS}{bits:x}{MARK}{:x}", segments.mark()),
    }
}

/// The set of segments that ids have as this text; none for any other text.
fn set_of(text: &str) -> Option<SegmentSet> {
    let (bits, mark) = text.strip_prefix(SEGMENTS)?.split_once(MARK)?;
    let parsed = [bits, mark].map(|digits| u16::from_str_radix(digits, 16).ok());
    let set = SegmentSet::new(parsed[0]?, parsed[1]?);
    // There is one way to write it.
    (text_of(set) == text).then_some(set)
}

/// The arm of an id, and the segments that follow it; these are empty where there are none.
fn split_arm(text: &str) -> (&str, &str) {
    text.split_at(text.find(SEGMENTS).unwrap_or(text.len()))
}

/// A number as ids have it: digits without a sign and without zeros before them.
fn decimal(text: &str) -> Option<u32> {
    let is_plain = text.len() <= 5
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    let number = if is_plain { text.parse().ok()? } else { return None };
    (number <= FULL_WEIGHT_BASIS_POINTS).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::plan::Surface;
    use marquee_core::rollout::experiment::{Arm, Experiment};
    use marquee_core::rollout::{Clearance, Rollout, RolloutMove, RolloutStep, Terms};
    use proptest::prelude::*;

    fn plan_with(id: &str) -> Plan {
        let steps = vec![RolloutStep::new(100, 10), RolloutStep::new(2_500, 10)];
        let mut rollout = Rollout::start(
            id.into(),
            "home".into(),
            Some("films@1".into()),
            "films@2".into(),
            steps,
            Terms::unguarded(),
            0,
        );
        rollout.advance(None, &Clearance::Clear, 0);
        Plan { rollouts: vec![rollout], ..Plan::default() }
    }

    #[test]
    fn ids_say_what_they_are_of_and_nonsense_is_refused() {
        let trial = |weight, arm| Trial {
            id: "home.v2-3".into(),
            arm,
            arms: 2,
            weight_basis_points: weight,
        };
        let mut plan = plan_with("home.v2-3");
        for (weight, arm) in [(100, 0), (100, 1), (2_500, 1), (0, 0)] {
            let id = name_answer(
                "3f00ab",
                26,
                0x692d_8f00,
                Some(AnswerScope::Trial(&trial(weight, arm))),
                SegmentSet::default(),
            );
            assert_eq!(id, format!("3f00ab-1a-692d8f00.{weight}.{arm}.home.v2-3"));
            assert_eq!(trial_of(&id, &plan), Some(trial(weight, arm)));
        }
        let set = SegmentSet::new(0x25, 0x3af);
        let of_candidate = trial(100, 1);
        let scope = Some(AnswerScope::Trial(&of_candidate));
        let id = name_answer("3f00ab", 26, 0x692d_8f00, scope, set);
        assert_eq!(id, "3f00ab-1a-692d8f00.100.1s25_3af.home.v2-3");
        assert_eq!((trial_of(&id, &plan), segments_of(&id)), (Some(of_candidate), set));
        assert_eq!(
            name_answer("3f00ab", 26, 0x692d_8f00, None, SegmentSet::default()),
            "3f00ab-1a-692d8f00"
        );
        let id = name_answer(
            "3f00ab",
            26,
            0x692d_8f00,
            Some(AnswerScope::Surface("home.v2")),
            SegmentSet::default(),
        );
        assert_eq!(id, "3f00ab-1a-692d8f00@home.v2");
        assert_eq!((trial_of(&id, &plan), surface_of(&id, &plan)), (None, None));
        plan.surfaces.insert("home.v2".into(), Surface::default());
        assert_eq!(
            (surface_of(&id, &plan), segments_of(&id)),
            (Some("home.v2"), SegmentSet::default())
        );
        let scope = Some(AnswerScope::Surface("home.v2"));
        let id = name_answer("3f00ab", 26, 0x692d_8f00, scope, set);
        assert_eq!(id, "3f00ab-1a-692d8f00.s25_3af@home.v2");
        assert_eq!((surface_of(&id, &plan), segments_of(&id)), (Some("home.v2"), set));
        for bad in [
            "",
            "@",
            "@home.v2",
            "3f-1a-692d8f00@",
            "3f-1a-692d8f00@home",
            "3f-1a-692x@home.v2",
            "3f-1a@home.v2",
            "3f-1x-692d8f00@home.v2",
            "3f-1a-692d8f00@home.v2@",
            "3f-1a-692d8f00.@home.v2",
            "3f-1a-692d8f00.s25@home.v2",
            "3f-1a-692d8f00.s025_3af@home.v2",
            "3f-1a-692d8f00.100.1.home.v2-3@home.v2",
        ] {
            assert_eq!(surface_of(bad, &plan), None, "{bad:?}");
        }
        let long = format!("3f-1a-692d8f00.100.1.{}", "x".repeat(1_000));
        for bad in [
            "",
            "3f-1a-692d8f00",
            "3f-1a-692d8f00.100.1",
            "3f-1a-692d8f00.100.1.",
            "3f-1a-692d8f00.100.2.home.v2-3",
            "3f-1a-692d8f00.100.1.home-4",
            "3f-1a-692d8f00.101.1.home.v2-3",
            "3f-1a-692d8f00.+100.1.home.v2-3",
            "3f-1a-692d8f00.0100.1.home.v2-3",
            "3f-1a-692d8f00.100.01.home.v2-3",
            "3f-1a-692d8f00.-100.1.home.v2-3",
            "3f-1a-692d8f00.99999999999.1.home.v2-3",
            "3f--692d8f00.100.1.home.v2-3",
            "-1a-692d8f00.100.1.home.v2-3",
            "3f-1a.100.1.home.v2-3",
            "3f-1a-+1.100.1.home.v2-3",
            "3f-1a-692d8f00-1.100.1.home.v2-3",
            "3f.100.1.home.v2-3",
            "zz-1a-692d8f00.100.1.home.v2-3",
            "3f-1a-692d8f00.100..home.v2-3",
            "3f-1a-692d8f00.100.1s.home.v2-3",
            "3f-1a-692d8f00.100.1s5.home.v2-3",
            "3f-1a-692d8f00.100.1s5_.home.v2-3",
            "3f-1a-692d8f00.100.1s0_1.home.v2-3",
            "3f-1a-692d8f00.100.1s+5_1.home.v2-3",
            "3f-1a-692d8f00.100.1s5_+1.home.v2-3",
            "3f-1a-692d8f00.100.1sA_1.home.v2-3",
            "3f-1a-692d8f00.100.1s12345_1.home.v2-3",
            "3f-1a-692d8f00.100.s5_1.home.v2-3",
            "3f-1a-692d8f00@a.100.1.home.v2-3",
            "3f-1a-692d8f00.100.１.home.v2-3",
            "3f00000000000000ff-1a-692d8f00.100.1.home.v2-3",
            &long,
        ] {
            assert_eq!(trial_of(bad, &plan), None, "{bad:?}");
        }
        plan.rollouts[0].apply_move(RolloutMove::RollBack, "", None, 9).expect("it runs");
        assert_eq!(trial_of("3f-1a-692d8f00.100.1.home.v2-3", &plan), None, "it is over");
    }

    #[test]
    fn answers_of_experiments_are_known_by_arm_and_user() {
        let arm = |name: &str, weight_basis_points| Arm {
            name: name.into(),
            ensemble: "films@1".into(),
            weight_basis_points,
        };
        let mut experiment = Experiment {
            id: "home-ab-3".into(),
            surface: "home".into(),
            layer: "home".into(),
            from_basis_points: 0,
            share_basis_points: 5_000,
            arms: vec![arm("a", 2_000), arm("b", 3_000), arm("c", 5_000)],
            state: ExperimentState::Running,
            started_at_ms: 0,
            stopped_at_ms: 0,
            reason: String::new(),
        };
        let plan = |it: &Experiment| Plan { experiments: vec![it.clone()], ..Plan::default() };
        let fixed = plan(&experiment);
        let trial = trial_of("3f-1a-692d8f00.5000.2.home-ab-3", &fixed).expect("it runs");
        assert_eq!((trial.arm, trial.arms), (2, 3));
        assert_eq!(trial_of("3f-1a-692d8f00.5000.3.home-ab-3", &fixed), None, "no such arm");
        assert_eq!(trial_of("3f-1a-692d8f00.4000.2.home-ab-3", &fixed), None, "no such share");
        for n in 0..200 {
            let user = format!("user-{n}");
            let is_on = experiment.arm_of(&user) == Some(2);
            assert_eq!(may_have_had(&trial, &user, &fixed), is_on, "{user}");
        }
        experiment.state = ExperimentState::Stopped;
        assert_eq!(
            trial_of("3f-1a-692d8f00.5000.2.home-ab-3", &plan(&experiment)),
            None,
            "it is over"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same(id in ".{0,60}", weight in 0u32..20_000, arm in 0usize..4, bits: u16, mark: u16) {
            let plan = plan_with("home-3");
            prop_assert_eq!(trial_of(&id, &plan), None);
            let segments = text_of(SegmentSet::new(bits, mark));
            let id = format!("3f-1a-692d8f00.{weight}.{arm}{segments}.home-3");
            if let Some(trial) = trial_of(&id, &plan) {
                let scope = Some(AnswerScope::Trial(&trial));
                prop_assert_eq!(name_answer("3f", 26, 0x692d_8f00, scope, segments_of(&id)), id);
                prop_assert!(trial.arm < trial.arms);
            }
        }
    }
}
