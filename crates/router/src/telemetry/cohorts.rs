//! Answers and their rewards that wait until the time for rewards is over. Pure.
//!
//! A reward comes some time after its answer. Were it counted when it comes, then while the candidate's share grows the
//! candidate would have many young answers without rewards, and look worse than it is. So answers of
//! some seconds are a *cohort*: they count for a reward together, at the share they were given at, when their time for it is
//! over, with what came of them until then. What comes later counts for no arm.
//!
//! The time is up to the end of the cohort and the maturity of the reward from then on. It is told by the second in the
//! answer's id and by when the event was received, so it is the same at every router, save for how much their clocks differ.
//! A router that did not answer keeps the sums of its events by cohort too, and hands them over at the same time.
//!
//! Deliberately missing: what outlives the process. Cohorts that wait when a router ends are lost, of all arms alike.

use super::limits::{MAX_CLOCK_AHEAD_SECONDS, MAX_COHORT_ARMS, MAX_COHORT_SECONDS};
use super::scope::WindowKey;
use super::segment_sums::SegmentSums;
use marquee_core::rollout::window::{GroupedSum, Measure};
use std::collections::BTreeMap;

/// A cohort has this part of its maturity, at most [`MAX_COHORT_SECONDS`]: those who answered early have hardly more time.
const COHORTS_IN_MATURITY: u64 = 6;

/// Which cohort of which reward an answer belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CohortKey {
    /// When its answers have had their time, in seconds since the Unix epoch.
    due_second: u64,
    measure: Measure,
    /// The trial, and the share at which it was answered.
    window: WindowKey,
}

/// What waits of one arm of a cohort.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CohortArm {
    /// Answers, and what came of them.
    pub(crate) rewards: GroupedSum,
    /// The same answers, and what their users did before the trial.
    pub(crate) before: GroupedSum,
    /// The same answers by segment, and what came of them.
    pub(crate) segments: SegmentSums,
}

/// The cohorts that wait, the first due first.
#[derive(Debug, Default)]
pub(crate) struct Cohorts {
    waiting: BTreeMap<CohortKey, Vec<CohortArm>>,
    /// The arms of all of them.
    arms: usize,
}

/// Whether an event that was received at this second may be of an answer of that second: other routers' clocks may be ahead, but
/// not by much.
pub(crate) fn is_plausible(answered_second: u64, received_second: u64) -> bool {
    answered_second <= received_second.saturating_add(MAX_CLOCK_AHEAD_SECONDS)
}

/// When the answers of a second have had their time for a reward, in seconds since the Unix epoch.
pub(crate) fn due_second(answered_second: u64, maturity_seconds: u32) -> u64 {
    let maturity = u64::from(maturity_seconds);
    let length = (maturity / COHORTS_IN_MATURITY).clamp(1, MAX_COHORT_SECONDS);
    let began = answered_second - answered_second % length;
    began.saturating_add(length + maturity)
}

impl Cohorts {
    /// Adds to the arms of a cohort what `add` does; false if there is no room for another cohort.
    pub(crate) fn add(
        &mut self,
        window: &WindowKey,
        measure: Measure,
        due_second: u64,
        add: impl FnOnce(&mut [CohortArm]),
    ) -> bool {
        let key = CohortKey { due_second, measure, window: window.clone() };
        if let Some(arms) = self.waiting.get_mut(&key) {
            add(arms);
            return true;
        }
        if self.arms + window.arms > MAX_COHORT_ARMS {
            return false;
        }
        self.arms += window.arms;
        add(self.waiting.entry(key).or_insert(vec![CohortArm::default(); window.arms]));
        true
    }

    /// Takes the cohorts whose time is over.
    pub(crate) fn take_due(
        &mut self,
        now_second: u64,
    ) -> Vec<(WindowKey, Measure, Vec<CohortArm>)> {
        let is_due = |key: &CohortKey| key.due_second <= now_second;
        let mut due = Vec::new();
        while let Some(first) = self.waiting.first_entry().filter(|first| is_due(first.key())) {
            let (CohortKey { due_second: _, measure, window }, arms) = first.remove_entry();
            self.arms -= window.arms;
            due.push((window, measure, arms));
        }
        due
    }

    /// Forgets the cohorts of trials that do not run.
    pub(crate) fn keep_trials(&mut self, runs: impl Fn(&WindowKey) -> bool) {
        self.waiting.retain(|key, _| runs(&key.window));
        self.arms = self.waiting.keys().map(|key| key.window.arms).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::rollout::window::Scope;

    fn key(trial: u32) -> WindowKey {
        let scope = Scope::Trial(format!("t{trial}"));
        WindowKey { scope, arms: 2, weight_basis_points: 100 }
    }

    fn one_answer(arms: &mut [CohortArm]) {
        arms[1].rewards.add(3, 0.0);
    }

    #[test]
    fn an_answer_has_its_maturity_and_little_more() {
        for maturity in [1, 2, 5, 7, 60, 300, 3_600] {
            for second in 1_000..1_100 {
                let due = due_second(second, maturity);
                let least = second + 1 + u64::from(maturity);
                let spare = (u64::from(maturity) / COHORTS_IN_MATURITY).clamp(1, 10);
                assert!((least..least + spare).contains(&due), "{second} {maturity}: {due}");
            }
        }
        assert_eq!(due_second(120, 60), due_second(129, 60), "one cohort");
        assert_ne!(due_second(129, 60), due_second(130, 60));
        assert_eq!(due_second(u64::MAX, 60), u64::MAX, "nonsense is no fault");
        assert!(is_plausible(1_010, 1_000));
        assert!(!is_plausible(1_011, 1_000), "no clock is so far ahead");
        assert!(is_plausible(0, u64::MAX) && is_plausible(u64::MAX, u64::MAX));
    }

    #[test]
    fn cohorts_wait_until_they_are_due_and_are_taken_once() {
        let mut cohorts = Cohorts::default();
        for due in [30, 10, 20, 10] {
            assert!(cohorts.add(&key(1), Measure::Clicks, due, one_answer));
        }
        let taken = |cohorts: &mut Cohorts, now| {
            let due = cohorts.take_due(now);
            due.iter().map(|(_, _, arms)| arms[1].rewards.count[3]).collect::<Vec<u64>>()
        };
        assert_eq!(taken(&mut cohorts, 9), []);
        assert_eq!(taken(&mut cohorts, 10), [2]);
        assert_eq!(taken(&mut cohorts, 25), [1]);
        assert_eq!(taken(&mut cohorts, 25), []);
        cohorts.keep_trials(|window| *window != key(1));
        assert_eq!(taken(&mut cohorts, u64::MAX), []);
        assert_eq!(cohorts.arms, 0);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut cohorts = Cohorts::default();
        let all = MAX_COHORT_ARMS as u64 / 2;
        let added =
            (0..all + 5).filter(|&due| cohorts.add(&key(1), Measure::Clicks, due, |_| {})).count();
        assert_eq!(added as u64, all);
        assert!(cohorts.add(&key(1), Measure::Clicks, 0, one_answer), "it is there");
        assert_eq!(cohorts.take_due(0).len(), 1);
        assert!(cohorts.add(&key(2), Measure::Purchases, 7, one_answer), "there is room again");
    }
}
