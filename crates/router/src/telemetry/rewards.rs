//! What answers are called, so that what comes of them finds the arm they are of.
//!
//! A recommendation id is `<process>-<number>`, both hexadecimal; that of an answer that belongs to a
//! trial goes on with `.<weight>.<arm>.<trial>`: `3f0c…-1a.100.1.home-3`, that of any other recommendation with
//! `@<surface>`: `3f0c…-1a@home`. So any router knows what a click counts for, not only the one that answered, and no router
//! keeps what it answered for long.
//!
//! What this router answered lately it remembers all the same ([`Answers`]): whose the answer was, and
//! what came of it already, so that repeated clicks do not raise a mean. Ids of other routers are remembered from
//! the first event on, and taken as the event's user's if the split puts the user on that arm.
//!
//! Deliberately missing: telling an event from its repetition. The log of events does that.

use super::observation::AnswerScope;
use marquee_core::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_NAME_BYTES};
use marquee_core::plan::assignment::bucket;
use marquee_core::plan::{Plan, Trial};
use marquee_core::rollout::experiment::{Allocation, ExperimentState};
use marquee_core::rollout::window::Measure;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Bytes of an id beside its trial's: process, number, share and arm.
const MAX_ID_HEAD_BYTES: usize = 48;
/// Bytes of a trial's id, a surface's name and a number, or of a surface's name.
const MAX_TRIAL_BYTES: usize = MAX_NAME_BYTES + 24;
/// Digits of the process and of the number, each.
const MAX_HEX_DIGITS: usize = 16;
/// Answers that are remembered, in 20 MB.
pub(crate) const MAX_ANSWERS: usize = 200_000;
/// How long they are remembered: after half an hour a click hardly comes any more.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(1_800);
/// Rewards of one kind that an answer can have: its first items, each once.
pub(crate) const MAX_REWARDS: u8 = 10;
/// Seconds of playing that count for one answer: four hours, two films. Players that were not turned off
/// report more.
pub(crate) const MAX_REWARDED_PLAY_SECONDS: f64 = 4.0 * 3_600.0;

/// What may come of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reward {
    /// An item was opened.
    Click,
    /// An item was watched or listened to.
    Play {
        /// For how long; more than 0.
        seconds: f64,
    },
    /// An item was bought.
    Purchase,
}

impl Reward {
    /// What it adds to and how much; none for what is no reward.
    fn worth(self) -> Option<(Measure, f64)> {
        match self {
            Self::Click => Some((Measure::Clicks, 1.0)),
            Self::Purchase => Some((Measure::Purchases, 1.0)),
            Self::Play { seconds } if seconds.is_finite() && seconds > 0.0 => {
                Some((Measure::PlaySeconds, seconds.min(MAX_REWARDED_PLAY_SECONDS)))
            }
            Self::Play { .. } => None,
        }
    }
}

/// An event, as it is kept until its window is over.
#[derive(Clone, Debug)]
pub(crate) struct RewardEvent {
    pub(crate) recommendation_id: String,
    pub(crate) user_id: String,
    pub(crate) reward: Reward,
}

/// The id of an answer of this scope: see the top of this file.
pub(crate) fn name_answer(process: &str, number: u64, scope: Option<AnswerScope<'_>>) -> String {
    match scope {
        None => format!("{process}-{number:x}"),
        Some(AnswerScope::Surface(surface)) => format!("{process}-{number:x}@{surface}"),
        Some(AnswerScope::Trial(Trial { id, arm, arms: _, weight_basis_points: weight })) => {
            format!("{process}-{number:x}.{weight}.{arm}.{id}")
        }
    }
}

/// Whether an id may be one that a router gave; others need no second look.
pub(crate) fn may_say_what_it_is_of(recommendation_id: &str) -> bool {
    recommendation_id.len() <= MAX_ID_HEAD_BYTES + MAX_TRIAL_BYTES
        && recommendation_id.contains(['.', '@'])
}

/// Whether an id begins as routers' do.
fn has_head(head: &str) -> bool {
    head.split_once('-').is_some_and(|(process, number)| is_hex(process) && is_hex(number))
}

/// Whether a text is a hexadecimal number as ids have it.
fn is_hex(text: &str) -> bool {
    (1..=MAX_HEX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The surface that the id of an answer without a trial names, if the plan has it.
pub(crate) fn surface_of<'a>(recommendation_id: &'a str, plan: &Plan) -> Option<&'a str> {
    let (head, surface) = recommendation_id.split_once('@')?;
    (has_head(head) && plan.surfaces.contains_key(surface)).then_some(surface)
}

/// The trial that an answer's id names, if it is one that the plan runs. Ids come back from anywhere, so
/// they are checked: arm and share must be some that the trial has.
pub(crate) fn trial_of(recommendation_id: &str, plan: &Plan) -> Option<Trial> {
    if !may_say_what_it_is_of(recommendation_id) {
        return None;
    }
    let mut parts = recommendation_id.splitn(4, '.');
    let (head, weight, arm, id) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if !has_head(head) {
        return None;
    }
    let weight = decimal(weight)?;
    let arm = decimal(arm)? as usize;
    let (arms, has_had) = if let Some(experiment) = plan.experiment(id) {
        // A bandit's arms have had many shares.
        let last = experiment.arms.last().map_or(0, |arm| arm.weight_basis_points);
        let is_running = experiment.state == ExperimentState::Running;
        let has_had = experiment.allocation != Allocation::Fixed || weight == last;
        (experiment.arms.len(), is_running && has_had)
    } else {
        let rollout = plan.rollout(id).filter(|rollout| !rollout.state.is_over())?;
        (2, rollout.may_have_had_weight(weight))
    };
    let trial = Trial { id: id.to_owned(), arm, arms, weight_basis_points: weight };
    (arm < arms && has_had).then_some(trial)
}

/// Whether the user may have had an answer of this arm.
pub(crate) fn may_have_had(trial: &Trial, user_id: &str, plan: &Plan) -> bool {
    match plan.experiment(&trial.id) {
        None => is_on_arm(trial, user_id),
        // Where a bandit moves the weights, users move too: they take part, and that is all that is known.
        Some(experiment) => experiment
            .arm_of(user_id)
            .is_some_and(|arm| arm == trial.arm || experiment.allocation != Allocation::Fixed),
    }
}

/// Whether a rollout's split puts the user on its arm.
pub(crate) fn is_on_arm(trial: &Trial, user_id: &str) -> bool {
    (bucket(&trial.id, user_id) < trial.weight_basis_points) == (trial.arm == 1)
}

/// A number as ids have it: digits without a sign and without zeros before them.
fn decimal(text: &str) -> Option<u32> {
    let is_plain = text.len() <= 5
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    let number = if is_plain { text.parse().ok()? } else { return None };
    (number <= FULL_WEIGHT_BASIS_POINTS).then_some(number)
}

/// Answers of the last half hour, by the hash of their id.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    known: HashMap<u64, Known>,
    /// The hashes of their ids and when each was remembered, oldest first.
    order: VecDeque<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// The hash of the user who got it.
    user: u64,
    /// Rewards so far, as [`Measure::REWARDS`] are numbered.
    rewards: [u8; Measure::REWARDS.len()],
    /// Seconds that may still be added.
    seconds_left: f64,
}

impl Answers {
    /// Remembers whose an answer was, unless it is known.
    pub(crate) fn remember(&mut self, answer: u64, user: u64, now: u64) {
        if self.known.contains_key(&answer) {
            return;
        }
        let fresh =
            Known { user, rewards: Default::default(), seconds_left: MAX_REWARDED_PLAY_SECONDS };
        self.known.insert(answer, fresh);
        self.order.push_back((answer, now));
        let since = now.saturating_sub(REMEMBERED.as_micros() as u64);
        while let Some(&(oldest, at)) = self.order.front()
            && (self.order.len() > MAX_ANSWERS || at < since)
        {
            self.order.pop_front();
            self.known.remove(&oldest);
        }
    }

    /// The user that an answer was for.
    pub(crate) fn user_of(&self, answer: u64) -> Option<u64> {
        self.known.get(&answer).map(|known| known.user)
    }

    /// What a reward of a known answer adds to which measure; none if there were enough already.
    pub(crate) fn reward(&mut self, answer: u64, reward: Reward) -> Option<(Measure, f64)> {
        let (measure, value) = reward.worth()?;
        let known = self.known.get_mut(&answer)?;
        let kind = Measure::REWARDS.iter().position(|&kind| kind == measure)?;
        if known.rewards[kind] == MAX_REWARDS {
            return None;
        }
        known.rewards[kind] += 1;
        if measure != Measure::PlaySeconds {
            return Some((measure, value));
        }
        let value = value.min(known.seconds_left);
        known.seconds_left -= value;
        (value > 0.0).then_some((measure, value))
    }
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
            let id = name_answer("3f00ab", 26, Some(AnswerScope::Trial(&trial(weight, arm))));
            assert_eq!(id, format!("3f00ab-1a.{weight}.{arm}.home.v2-3"));
            assert_eq!(trial_of(&id, &plan), Some(trial(weight, arm)));
        }
        assert_eq!(name_answer("3f00ab", 26, None), "3f00ab-1a");
        let id = name_answer("3f00ab", 26, Some(AnswerScope::Surface("home.v2")));
        assert_eq!(id, "3f00ab-1a@home.v2");
        assert_eq!((trial_of(&id, &plan), surface_of(&id, &plan)), (None, None));
        plan.surfaces.insert("home.v2".into(), Surface::default());
        assert_eq!(surface_of(&id, &plan), Some("home.v2"));
        for bad in ["", "@", "@home.v2", "3f-1a@", "3f-1a@home", "3f-1x@home.v2", "3f-1a@home.v2@"]
        {
            assert_eq!(surface_of(bad, &plan), None, "{bad:?}");
        }
        let long = format!("3f-1a.100.1.{}", "x".repeat(1_000));
        for bad in [
            "",
            "3f-1a",
            "3f-1a.100.1",
            "3f-1a.100.1.",
            "3f-1a.100.2.home.v2-3",
            "3f-1a.100.1.home-4",
            "3f-1a.101.1.home.v2-3",
            "3f-1a.+100.1.home.v2-3",
            "3f-1a.0100.1.home.v2-3",
            "3f-1a.100.01.home.v2-3",
            "3f-1a.-100.1.home.v2-3",
            "3f-1a.99999999999.1.home.v2-3",
            "3f-.100.1.home.v2-3",
            "-1a.100.1.home.v2-3",
            "3f.100.1.home.v2-3",
            "zz-1a.100.1.home.v2-3",
            "3f-1a.100..home.v2-3",
            "3f-1a.100.１.home.v2-3",
            "3f00000000000000ff-1a.100.1.home.v2-3",
            &long,
        ] {
            assert_eq!(trial_of(bad, &plan), None, "{bad:?}");
        }
        plan.rollouts[0].apply_move(RolloutMove::RollBack, "", None, 9).expect("it runs");
        assert_eq!(trial_of("3f-1a.100.1.home.v2-3", &plan), None, "it is over");
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
            allocation: Allocation::Fixed,
            state: ExperimentState::Running,
            started_at_ms: 0,
            stopped_at_ms: 0,
            reason: String::new(),
        };
        let plan = |it: &Experiment| Plan { experiments: vec![it.clone()], ..Plan::default() };
        let fixed = plan(&experiment);
        let trial = trial_of("3f-1a.5000.2.home-ab-3", &fixed).expect("it runs");
        assert_eq!((trial.arm, trial.arms), (2, 3));
        assert_eq!(trial_of("3f-1a.5000.3.home-ab-3", &fixed), None, "no such arm");
        assert_eq!(trial_of("3f-1a.4000.2.home-ab-3", &fixed), None, "no such share");
        for n in 0..200 {
            let user = format!("user-{n}");
            let is_on = experiment.arm_of(&user) == Some(2);
            assert_eq!(may_have_had(&trial, &user, &fixed), is_on, "{user}");
        }
        experiment.allocation =
            Allocation::Thompson { reward: Measure::Clicks, floor_basis_points: 100 };
        let moving = plan(&experiment);
        let trial = trial_of("3f-1a.4000.2.home-ab-3", &moving).expect("weights move");
        for n in 0..200 {
            let user = format!("user-{n}");
            let takes_part = experiment.arm_of(&user).is_some();
            assert_eq!(may_have_had(&trial, &user, &moving), takes_part, "{user}");
        }
        experiment.state = ExperimentState::Stopped;
        assert_eq!(trial_of("3f-1a.5000.2.home-ab-3", &plan(&experiment)), None, "it is over");
    }

    #[test]
    fn an_answer_has_so_many_rewards_and_no_more() {
        let mut answers = Answers::default();
        answers.remember(1, 70, 0);
        answers.remember(1, 71, 0);
        assert_eq!(answers.user_of(1), Some(70), "known already");
        for n in 0..20 {
            let expected = (n < MAX_REWARDS).then_some((Measure::Clicks, 1.0));
            assert_eq!(answers.reward(1, Reward::Click), expected);
        }
        assert_eq!(answers.reward(1, Reward::Purchase), Some((Measure::Purchases, 1.0)));
        let play = |seconds| Reward::Play { seconds };
        for seconds in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
            assert_eq!(answers.reward(1, play(seconds)), None);
        }
        assert_eq!(answers.reward(1, play(90.0)), Some((Measure::PlaySeconds, 90.0)));
        let rest = MAX_REWARDED_PLAY_SECONDS - 90.0;
        assert_eq!(answers.reward(1, play(1e9)), Some((Measure::PlaySeconds, rest)));
        assert_eq!(answers.reward(1, play(1.0)), None);
        assert_eq!(answers.reward(2, Reward::Click), None, "it is not remembered");
    }

    #[test]
    fn answers_are_forgotten_by_number_and_by_age() {
        let mut answers = Answers::default();
        for n in 0..MAX_ANSWERS as u64 + 10 {
            answers.remember(n, n, 5);
        }
        assert_eq!((answers.known.len(), answers.order.len()), (MAX_ANSWERS, MAX_ANSWERS));
        assert_eq!((answers.user_of(9), answers.user_of(10)), (None, Some(10)));
        answers.remember(u64::MAX, 1, 6 + REMEMBERED.as_micros() as u64);
        assert_eq!(answers.known.len(), 1);
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same(id in ".{0,60}", weight in 0u32..20_000, arm in 0usize..4) {
            let plan = plan_with("home-3");
            prop_assert_eq!(trial_of(&id, &plan), None);
            let id = format!("3f-1a.{weight}.{arm}.home-3");
            if let Some(trial) = trial_of(&id, &plan) {
                prop_assert_eq!(name_answer("3f", 26, Some(AnswerScope::Trial(&trial))), id);
                prop_assert!(trial.arm < trial.arms);
            }
        }
    }
}
