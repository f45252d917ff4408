//! What users did before a trial, by which rewards within it are adjusted. Pure.
//!
//! Much of how rewards differ from user to user is known before a trial begins: who clicks often goes on to. What is
//! explained by it is no chance of the split, and is taken off (CUPED: Deng, Xu, Kohavi, Walker, "Improving the sensitivity of online
//! controlled experiments by utilizing pre-experiment data", WSDM 2013). The past of a user is what this router saw, on all surfaces:
//! recommendations, and the rewards that came of them.
//!
//! What happens in a trial must not change what it is adjusted by. So the table of all users is *frozen* for a trial when its
//! router first knows of it: the table that goes on is another one from the next answer on. Where tables are too many, a trial
//! takes one that was frozen before, which says as truly what was before it, of fewer users.
//!
//! Deliberately missing: what other routers saw. Each adjusts the answers that it gave by what it knows.

use super::limits::{MAX_FROZEN_PASTS, MAX_PAST_USERS};
use super::rewards::{REWARDS, number_of_reward};
use marquee_core::rollout::window::Measure;
use std::collections::HashMap;
use std::sync::Arc;

/// With so many answers a user's numbers are halved: what is long ago counts less.
const MAX_ANSWERS_OF_USER: f32 = 256.0;
/// A user's mean is that of all users and so many answers, until there are more of the user's own.
const PRIOR_ANSWERS: f64 = 10.0;

/// What is known of users now, and what was when each trial began.
#[derive(Debug, Default)]
pub(crate) struct Pasts {
    present: Arc<Past>,
    /// By the trial's id, in the order in which they were frozen.
    frozen: Vec<(String, Arc<Past>)>,
}

/// What is known of users at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    users: HashMap<u64, UserPast>,
    /// The sums over all users.
    answers: f64,
    rewards: [f64; REWARDS],
}

/// What is known of one user.
#[derive(Clone, Copy, Debug, Default)]
struct UserPast {
    answers: f32,
    rewards: [f32; REWARDS],
    /// When there was something last, in s of the router's clock.
    last_second: u32,
}

impl Pasts {
    /// Freezes the present for trials that are new, and forgets those that do not run.
    pub(crate) fn keep_trials<'a>(&mut self, running: impl Iterator<Item = &'a str> + Clone) {
        self.frozen.retain(|(trial, _)| running.clone().any(|id| id == trial));
        for trial in running {
            if self.of_trial(trial).is_some() {
                continue;
            }
            let mut distinct: Vec<*const Past> =
                self.frozen.iter().map(|(_, past)| Arc::as_ptr(past)).collect();
            distinct.sort_unstable();
            distinct.dedup();
            let past = match self.frozen.last() {
                Some((_, newest)) if distinct.len() >= MAX_FROZEN_PASTS => newest,
                _ => &self.present,
            };
            self.frozen.push((trial.to_owned(), Arc::clone(past)));
        }
    }

    /// What was known when a trial began; none where it does not run.
    pub(crate) fn of_trial(&self, trial: &str) -> Option<&Arc<Past>> {
        self.frozen.iter().find(|(id, _)| id == trial).map(|(_, past)| past)
    }

    /// One more recommendation to a user.
    pub(crate) fn add_answer(&mut self, user: u64, now_micros: u64) {
        let past = Arc::make_mut(&mut self.present);
        let known = past.user(user, now_micros);
        known.answers += 1.0;
        let is_full = known.answers >= MAX_ANSWERS_OF_USER;
        past.answers += 1.0;
        if is_full {
            past.halve(user);
        }
    }

    /// What came of a recommendation.
    pub(crate) fn add_reward(&mut self, user: u64, measure: Measure, value: f64, now_micros: u64) {
        let Some(kind) = number_of_reward(measure) else { return };
        let past = Arc::make_mut(&mut self.present);
        past.user(user, now_micros).rewards[kind] += value as f32;
        past.rewards[kind] += value;
    }
}

impl Past {
    /// For each kind of reward, how much more a user had for each answer than all users: the user's mean with [`PRIOR_ANSWERS`] of
    /// all users among them, less the mean of all. 0 for an unknown user.
    pub(crate) fn of(&self, user: u64) -> [f64; REWARDS] {
        let Some(known) = self.users.get(&user).filter(|_| self.answers > 0.0) else {
            return [0.0; REWARDS];
        };
        let answers = f64::from(known.answers);
        std::array::from_fn(|kind| {
            let usual = self.rewards[kind] / self.answers;
            (f64::from(known.rewards[kind]) - answers * usual) / (answers + PRIOR_ANSWERS)
        })
    }

    fn user(&mut self, user: u64, now_micros: u64) -> &mut UserPast {
        if self.users.len() >= MAX_PAST_USERS && !self.users.contains_key(&user) {
            self.forget();
        }
        let known = self.users.entry(user).or_default();
        known.last_second = (now_micros / 1_000_000) as u32;
        known
    }

    fn halve(&mut self, user: u64) {
        let Some(known) = self.users.get_mut(&user) else { return };
        known.answers /= 2.0;
        self.answers -= f64::from(known.answers);
        for (theirs, all) in known.rewards.iter_mut().zip(&mut self.rewards) {
            *theirs /= 2.0;
            *all -= f64::from(*theirs);
        }
    }

    /// Makes room: half is kept, so that this is rare.
    fn forget(&mut self) {
        let mut last: Vec<u32> = self.users.values().map(|known| known.last_second).collect();
        let middle = last.len() / 2;
        let (_, &mut oldest, _) = last.select_nth_unstable(middle);
        self.users.retain(|_, known| known.last_second > oldest);
        let known = self.users.values();
        self.answers = known.clone().map(|known| f64::from(known.answers)).sum();
        self.rewards = std::array::from_fn(|kind| {
            known.clone().map(|known| f64::from(known.rewards[kind])).sum()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pasts_of(users: &[(u64, u32, u32)]) -> Pasts {
        let mut pasts = Pasts::default();
        for &(user, answers, clicks) in users {
            (0..answers).for_each(|_| pasts.add_answer(user, 0));
            (0..clicks).for_each(|_| pasts.add_reward(user, Measure::Clicks, 1.0, 0));
        }
        pasts
    }

    fn clicks(pasts: &Pasts, trial: &str, user: u64) -> f64 {
        pasts.of_trial(trial).expect("it runs").of(user)[0]
    }

    #[test]
    fn users_differ_from_the_mean_as_far_as_is_known() {
        let mut pasts = pasts_of(&[(1, 90, 90), (2, 10, 0), (3, 100, 0)]);
        pasts.add_reward(3, Measure::PlaySeconds, 400.0, 0);
        pasts.keep_trials(["a"].into_iter());
        // All of them: 90 clicks and 400 s of 200 answers.
        assert_eq!(clicks(&pasts, "a", 1), (90.0 - 90.0 * 0.45) / 100.0);
        assert_eq!(clicks(&pasts, "a", 2), -10.0 * 0.45 / 20.0);
        assert_eq!(clicks(&pasts, "a", 4), 0.0, "an unknown user");
        let of_third = pasts.of_trial("a").expect("it runs").of(3);
        assert_eq!(of_third, [-45.0 / 110.0, 200.0 / 110.0, 0.0]);
        assert_eq!(Past::default().of(1), [0.0; 3]);
    }

    #[test]
    fn what_happens_in_a_trial_changes_nothing_of_what_was_before_it() {
        let mut pasts = pasts_of(&[(1, 10, 5), (2, 10, 0)]);
        pasts.keep_trials(["a"].into_iter());
        let before = [clicks(&pasts, "a", 1), clicks(&pasts, "a", 2), clicks(&pasts, "a", 3)];
        for user in [1, 2, 3] {
            pasts.add_answer(user, 7);
            (0..5).for_each(|_| pasts.add_reward(user, Measure::Clicks, 1.0, 7));
        }
        pasts.keep_trials(["a", "b"].into_iter());
        assert_eq!(before, [1, 2, 3].map(|user| clicks(&pasts, "a", user)));
        assert_ne!(before, [1, 2, 3].map(|user| clicks(&pasts, "b", user)));
        pasts.keep_trials(["b"].into_iter());
        assert!(pasts.of_trial("a").is_none(), "it is over");
    }

    #[test]
    fn the_newest_table_is_taken_where_there_are_too_many() {
        let trials: Vec<String> = (0..10).map(|n| format!("t{n}")).collect();
        let mut pasts = Pasts::default();
        for n in 0..10 {
            pasts.add_answer(n as u64, 0);
            pasts.keep_trials(trials[..=n].iter().map(String::as_str));
        }
        let known = |trial: &str| pasts.of_trial(trial).expect("it runs").users.len();
        assert_eq!(known("t0"), 1);
        assert_eq!(known("t3"), MAX_FROZEN_PASTS);
        assert_eq!(known("t9"), MAX_FROZEN_PASTS);
    }

    #[test]
    fn memory_is_bounded_and_sums_stay_right() {
        let mut pasts = pasts_of(&[(u64::MAX, 1_000, 700)]);
        let known = pasts.present.users[&u64::MAX];
        assert!(known.answers < MAX_ANSWERS_OF_USER, "{known:?}");
        assert_eq!(pasts.present.answers, f64::from(known.answers));
        assert_eq!(pasts.present.rewards[0], f64::from(known.rewards[0]));
        for user in 0..MAX_PAST_USERS as u64 + 10 {
            pasts.add_answer(user, user * 1_000);
        }
        let present = &pasts.present;
        assert!(present.users.len() <= MAX_PAST_USERS);
        assert!(present.users.len() >= MAX_PAST_USERS / 3);
        assert_eq!(present.answers, present.users.len() as f64);
        assert!(present.users.contains_key(&(MAX_PAST_USERS as u64)), "the last one is kept");
        assert!(!present.users.contains_key(&u64::MAX), "the first one is not");
    }
}
