//! What may come of an answer, and how much of it counts.
//!
//! What this router answered lately it remembers ([`Answers`]): whose the answer was, whether it was counted, and
//! what came of it already, so that repeated clicks do not raise a mean. Answers of other routers are remembered from
//! the first event on, and taken as the event's user's if the split puts the user on that arm.
//!
//! Deliberately missing: telling an event from its repetition. The log of events does that.

use marquee_core::rollout::gate::MAX_MATURITY_SECONDS;
use marquee_core::rollout::window::Measure;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How many kinds of rewards there are.
pub(crate) const REWARDS: usize = Measure::REWARDS.len();
/// Answers that are remembered, in 20 MB.
pub(crate) const MAX_ANSWERS: usize = 200_000;
/// How long they are remembered: no answer has a longer time for its rewards.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(MAX_MATURITY_SECONDS as u64);
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
    pub(crate) fn worth(self) -> Option<(Measure, f64)> {
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
    /// The hash of the item's id.
    pub(crate) item: u64,
    pub(crate) reward: Reward,
    /// When it was received, in seconds since the Unix epoch.
    pub(crate) received_second: u64,
}

/// The number of a kind of reward: its place in [`Measure::REWARDS`]; none for what is no reward.
pub(crate) fn number_of_reward(measure: Measure) -> Option<usize> {
    Measure::REWARDS.iter().position(|&kind| kind == measure)
}

/// The last answers, by the hash of their id.
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
    /// Whether it was counted. What was not earns nothing.
    is_counted: bool,
    /// Rewards so far, as [`Measure::REWARDS`] are numbered.
    rewards: [u8; REWARDS],
    /// Seconds that may still be added.
    seconds_left: f64,
    /// The credited items of an interleaved answer that were clicked, a bit each.
    clicked: u16,
}

impl Answers {
    /// Remembers whose an answer was and whether it was counted, unless it is known.
    pub(crate) fn remember(&mut self, answer: u64, user: u64, is_counted: bool, now: u64) {
        if self.known.contains_key(&answer) {
            return;
        }
        let fresh = Known {
            user,
            is_counted,
            rewards: Default::default(),
            seconds_left: MAX_REWARDED_PLAY_SECONDS,
            clicked: 0,
        };
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

    /// What a reward of a known answer adds to which measure; none if there were enough already, or the answer was not
    /// counted.
    pub(crate) fn reward(&mut self, answer: u64, reward: Reward) -> Option<(Measure, f64)> {
        let (measure, value) = reward.worth()?;
        let known = self.known.get_mut(&answer)?;
        let kind = number_of_reward(measure)?;
        if !known.is_counted || known.rewards[kind] == MAX_REWARDS {
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

    /// Whether a click on the credited item of this number is the first one, of an answer that was counted.
    pub(crate) fn credit(&mut self, answer: u64, number: usize) -> bool {
        let Some(known) = self.known.get_mut(&answer) else { return false };
        let bit = 1_u16.checked_shl(number as u32).unwrap_or(0);
        let is_first = known.is_counted && bit != 0 && known.clicked & bit == 0;
        known.clicked |= bit;
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_so_many_rewards_and_no_more() {
        let mut answers = Answers::default();
        answers.remember(1, 70, true, 0);
        answers.remember(1, 71, true, 0);
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
        answers.remember(3, 70, false, 0);
        assert_eq!(answers.reward(3, Reward::Click), None, "it was not counted");
    }

    #[test]
    fn a_click_on_an_item_is_credited_once() {
        let mut answers = Answers::default();
        answers.remember(1, 70, true, 0);
        answers.remember(2, 70, false, 0);
        for (answer, number, expected) in [
            (1, 0, true),
            (1, 9, true),
            (1, 0, false),
            (1, 9, false),
            (1, 16, false),
            (2, 0, false),
            (3, 0, false),
        ] {
            assert_eq!(answers.credit(answer, number), expected, "{answer} {number}");
        }
    }

    #[test]
    fn answers_are_forgotten_by_number_and_by_age() {
        let mut answers = Answers::default();
        for n in 0..MAX_ANSWERS as u64 + 10 {
            answers.remember(n, n, true, 5);
        }
        assert_eq!((answers.known.len(), answers.order.len()), (MAX_ANSWERS, MAX_ANSWERS));
        assert_eq!((answers.user_of(9), answers.user_of(10)), (None, Some(10)));
        answers.remember(u64::MAX, 1, true, 6 + REMEMBERED.as_micros() as u64);
        assert_eq!(answers.known.len(), 1);
    }
}
