//! The windows of telemetry that the leader has heard and not judged yet: soft state. A leader that dies
//! takes at most these with it, some seconds of measurements; everything older is committed.
//!
//! Pure: time is an argument, in milliseconds of any clock that does not jump.

use marquee_core::experiment::ExperimentState;
use marquee_core::plan::Plan;
use marquee_core::telemetry::{WINDOW_MS, Window};
use std::collections::BTreeMap;

/// How long the leader adds up what routers send before it judges: each judgement has a window of every
/// router.
pub(crate) const JUDGE_EVERY_MS: u64 = WINDOW_MS;

/// A trial, and the share of its last arm while it was measured.
pub(crate) type Measured = (String, u32);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    /// The term that this node leads in, while it does.
    leading: Option<u64>,
    /// What was heard, and when it was first.
    heard: BTreeMap<Measured, (u64, Window)>,
}

impl Windows {
    /// This node leads in `term`.
    pub(crate) fn lead(&mut self, term: u64) {
        if self.leading != Some(term) {
            *self = Self { leading: Some(term), ..Self::default() };
        }
    }

    /// This node does not lead.
    pub(crate) fn retire(&mut self) {
        *self = Self::default();
    }

    /// Takes in what a router has measured; of a trial that runs, or it is of no use any more.
    pub(crate) fn hear(&mut self, plan: &Plan, measured: Measured, window: &Window, now_ms: u64) {
        let is_running = plan.rollout(&measured.0).is_some_and(|it| !it.state.is_over())
            || plan.experiment(&measured.0).is_some_and(|it| it.state == ExperimentState::Running);
        // A trial has one share at a time, and the one before for a moment: bounded by the plan.
        if is_running {
            let (_, sum) =
                self.heard.entry(measured).or_insert_with(|| (now_ms, Window::default()));
            sum.absorb(window);
        }
    }

    /// What is to be judged now, one window of each trial at most.
    pub(crate) fn ripe(&mut self, now_ms: u64) -> Vec<(Measured, Window)> {
        let ripe = |since: u64| now_ms.saturating_sub(since) >= JUDGE_EVERY_MS;
        let mut names: Vec<Measured> = Vec::new();
        for (measured, (since, _)) in &self.heard {
            if ripe(*since) && names.iter().all(|(trial, _)| *trial != measured.0) {
                names.push(measured.clone());
            }
        }
        names
            .into_iter()
            .filter_map(|name| {
                let (_, window) = self.heard.remove(&name)?;
                Some((name, window))
            })
            .collect()
    }

    /// Puts back what could not be committed.
    pub(crate) fn keep(&mut self, measured: Measured, window: Window, now_ms: u64) {
        let (_, sum) = self.heard.entry(measured).or_insert_with(|| (now_ms, Window::default()));
        sum.absorb(&window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::rollout::{Rollout, RolloutStep, Terms};
    use marquee_core::telemetry::Measure;

    fn plan() -> Plan {
        let rollout = Rollout::start(
            "home-1".into(),
            "home".into(),
            Some("films@1".into()),
            "films@2".into(),
            vec![RolloutStep::new(100, 60)],
            Terms::unguarded(),
            0,
        );
        Plan { rollouts: vec![rollout], ..Plan::default() }
    }

    fn window(requests: usize) -> Window {
        let mut window = Window::new(2);
        for _ in 0..requests {
            window.arms[0].measure(Measure::Answered, 0, 1.0);
        }
        window
    }

    #[test]
    fn routers_are_added_up_and_judged_once() {
        let (plan, mut windows) = (plan(), Windows::default());
        windows.lead(1);
        let measured = ("home-1".to_owned(), 100);
        windows.hear(&plan, measured.clone(), &window(2), 0);
        windows.hear(&plan, measured.clone(), &window(3), 1_500);
        windows.hear(&plan, ("gone-9".into(), 100), &window(3), 1_500);
        assert!(windows.ripe(JUDGE_EVERY_MS - 1).is_empty());
        let ripe = windows.ripe(JUDGE_EVERY_MS);
        assert_eq!(ripe.len(), 1);
        assert_eq!(ripe[0].0, measured);
        assert_eq!(ripe[0].1.arms[0].requests(), 5);
        assert!(windows.ripe(99_000).is_empty(), "once");
    }

    #[test]
    fn shares_are_kept_apart_and_a_new_term_begins_with_nothing() {
        let (plan, mut windows) = (plan(), Windows::default());
        windows.lead(1);
        for weight in [100, 1_000] {
            windows.hear(&plan, ("home-1".into(), weight), &window(1), 0);
        }
        let first = windows.ripe(JUDGE_EVERY_MS);
        let second = windows.ripe(JUDGE_EVERY_MS);
        assert_eq!((first.len(), second.len()), (1, 1), "one a trial at a time");
        assert_ne!(first[0].0, second[0].0);
        windows.keep(("home-1".into(), 100), window(1), 0);
        windows.lead(1);
        assert_eq!(windows.ripe(99_000).len(), 1, "it still leads");
        windows.keep(("home-1".into(), 100), window(1), 0);
        windows.lead(2);
        assert!(windows.ripe(99_000).is_empty());
    }
}
