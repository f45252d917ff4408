//! The windows of telemetry that the leader has received and not committed yet: soft state. If the leader
//! dies, at most these are lost, some seconds of measurements; everything older is committed.
//!
//! Windows of trials are judged one by one, every [`JUDGE_EVERY_MS`]; what all answers on a surface were
//! like, those of trials included, is added up apart, for [`TRAFFIC_WINDOW_MS`].
//!
//! Pure: time is an argument, in milliseconds of any clock that does not jump.

use marquee_core::plan::{Plan, measured_variants};
use marquee_core::rollout::experiment::ExperimentState;
use marquee_core::rollout::traffic::{
    MeasuredSegment, SegmentTraffic, SurfaceTraffic, TRAFFIC_WINDOW_MS, VariantTraffic,
};
use marquee_core::rollout::window::{ArmStats, MeasuredSums, Scope, WINDOW_MS, Window};
use std::collections::BTreeMap;

/// How long the leader adds up what routers send before it judges: each judgement has a window of every
/// router.
pub(crate) const JUDGE_EVERY_MS: u64 = WINDOW_MS;

/// A trial, and the share of its last arm while it was measured.
pub type Measured = (String, u32);

/// The windows that were received and not committed yet.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    /// The term that this node leads in, while it does.
    leading: Option<u64>,
    /// The sum of what was received of each trial, and when the first of it was received.
    received: BTreeMap<Measured, (u64, Window)>,
    /// Since when surfaces are added up, in ms; none before the first.
    since_ms: Option<u64>,
    /// The sums of each surface, by name.
    surfaces: BTreeMap<String, Sums>,
}

/// What was received of a surface.
#[derive(Debug, Default)]
struct Sums {
    automated: u64,
    dropped: u64,
    variants: BTreeMap<String, ArmStats>,
    segments: BTreeMap<MeasuredSegment, MeasuredSums>,
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

    /// Adds what a router has measured, at this share of the last arm. Windows of a trial are judged only
    /// while it runs.
    pub(crate) fn add(
        &mut self,
        plan: &Plan,
        scope: &Scope,
        weight_basis_points: u32,
        window: &Window,
        now_ms: u64,
    ) {
        self.add_traffic(plan, scope, window, now_ms);
        let Scope::Trial(id) = scope else { return };
        let is_running = plan.rollout(id).is_some_and(|it| !it.state.is_over())
            || plan.experiment(id).is_some_and(|it| it.state == ExperimentState::Running);
        // A trial has one share at a time, and the one before for a moment: bounded by the plan.
        if is_running {
            self.keep((id.clone(), weight_basis_points), window, now_ms);
        }
    }

    /// Adds the arms up as variants of their surface: bounded by the plan too.
    fn add_traffic(&mut self, plan: &Plan, scope: &Scope, window: &Window, now_ms: u64) {
        let Some((surface, names)) = measured_variants(plan, scope) else { return };
        self.since_ms.get_or_insert(now_ms);
        let sums = self.surfaces.entry(surface.to_owned()).or_default();
        sums.automated += window.automated;
        sums.dropped += window.dropped;
        for (&name, stats) in names.iter().zip(&window.arms) {
            sums.variants.entry(name.to_owned()).or_default().absorb(stats);
        }
        let known = plan.surfaces.get(surface).map(|surface| surface.segments.names());
        for segment in known.unwrap_or_default() {
            let Some(stats) = window.segments.get(&segment) else { continue };
            for (&name, measured) in names.iter().zip(&stats.arms) {
                if measured.is_empty() {
                    continue;
                }
                let key = MeasuredSegment { segment: segment.clone(), variant: name.to_owned() };
                let sums = sums.segments.entry(key).or_default();
                for (&measure, grouped) in measured {
                    sums.entry(measure).or_default().absorb(grouped);
                }
            }
        }
    }

    /// What answers were like, once the window is over. `wall_ms`: now, by the wall clock.
    pub(crate) fn traffic(
        &mut self,
        now_ms: u64,
        wall_ms: u64,
    ) -> Option<BTreeMap<String, SurfaceTraffic>> {
        let took_ms = now_ms.saturating_sub(self.since_ms?);
        if took_ms < TRAFFIC_WINDOW_MS {
            return None;
        }
        self.since_ms = None;
        let from_ms = wall_ms.saturating_sub(took_ms);
        let mut windows = BTreeMap::new();
        for (surface, sums) in std::mem::take(&mut self.surfaces) {
            let Sums { automated, dropped, variants, segments } = sums;
            let traffic = SurfaceTraffic {
                from_ms,
                until_ms: wall_ms,
                automated,
                dropped,
                variants: variants
                    .into_iter()
                    .map(|(name, stats)| (name, VariantTraffic::of(&stats)))
                    .collect(),
                segments: segments
                    .iter()
                    .map(|(key, sums)| (key.clone(), SegmentTraffic::of(sums)))
                    .collect(),
            };
            windows.insert(surface, traffic);
        }
        Some(windows)
    }

    /// Takes what is to be judged now, one window of each trial at most.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Vec<(Measured, Window)> {
        let mut names: Vec<Measured> = Vec::new();
        for (measured, (since, _)) in &self.received {
            let is_due = now_ms.saturating_sub(*since) >= JUDGE_EVERY_MS;
            if is_due && names.iter().all(|(trial, _)| *trial != measured.0) {
                names.push(measured.clone());
            }
        }
        names
            .into_iter()
            .filter_map(|name| {
                let (_, window) = self.received.remove(&name)?;
                Some((name, window))
            })
            .collect()
    }

    /// Adds a window to what is to be judged; also one that could not be committed before.
    pub(crate) fn keep(&mut self, measured: Measured, window: &Window, now_ms: u64) {
        let (_, sum) = self.received.entry(measured).or_insert_with(|| (now_ms, Window::default()));
        sum.absorb(window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::plan::{SegmentedAttribute, Segments, Surface};
    use marquee_core::rollout::window::{Measure, SegmentStats};
    use marquee_core::rollout::{Rollout, RolloutStep, Terms};

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
            window.arms[0].measure(Measure::Failed, 0, 0.0);
        }
        window
    }

    #[test]
    fn routers_are_added_up_and_judged_once() {
        let (plan, mut windows) = (plan(), Windows::default());
        windows.lead(1);
        let measured = ("home-1".to_owned(), 100);
        let scope = Scope::Trial("home-1".into());
        windows.add(&plan, &scope, 100, &window(2), 0);
        windows.add(&plan, &scope, 100, &window(3), 1_500);
        windows.add(&plan, &Scope::Trial("gone-9".into()), 100, &window(3), 1_500);
        assert!(windows.take_due(JUDGE_EVERY_MS - 1).is_empty());
        let ripe = windows.take_due(JUDGE_EVERY_MS);
        assert_eq!(ripe.len(), 1);
        assert_eq!(ripe[0].0, measured);
        assert_eq!(ripe[0].1.arms[0].requests(), 5);
        assert!(windows.take_due(99_000).is_empty(), "once");
    }

    #[test]
    fn shares_are_kept_apart_and_a_new_term_begins_with_nothing() {
        let (plan, mut windows) = (plan(), Windows::default());
        windows.lead(1);
        for weight in [100, 1_000] {
            windows.add(&plan, &Scope::Trial("home-1".into()), weight, &window(1), 0);
        }
        let first = windows.take_due(JUDGE_EVERY_MS);
        let second = windows.take_due(JUDGE_EVERY_MS);
        assert_eq!((first.len(), second.len()), (1, 1), "one a trial at a time");
        assert_ne!(first[0].0, second[0].0);
        windows.keep(("home-1".into(), 100), &window(1), 0);
        windows.lead(1);
        assert_eq!(windows.take_due(99_000).len(), 1, "it still leads");
        windows.keep(("home-1".into(), 100), &window(1), 0);
        windows.lead(2);
        assert!(windows.take_due(99_000).is_empty());
    }

    #[test]
    fn segments_are_added_up_by_variant_and_made_up_ones_are_not() {
        let (mut plan, mut windows) = (plan(), Windows::default());
        windows.lead(1);
        let attribute = SegmentedAttribute { name: "region".into(), values: vec!["de".into()] };
        let segments = Segments::new(&[attribute]).expect("usable");
        plan.surfaces.insert("home".into(), Surface { segments, ..Surface::default() });
        let mut measured = Window::new(2);
        for name in ["region=de", "region=made-up"] {
            let stats = measured.segments.entry(name.into()).or_insert(SegmentStats::new(2));
            stats.arms[1].entry(Measure::Failed).or_default().add(0, 1.0);
        }
        for _ in 0..2 {
            windows.add(&plan, &Scope::Trial("home-1".into()), 100, &measured, 0);
        }
        let found = windows.traffic(TRAFFIC_WINDOW_MS, 50_000).expect("it is over");
        let segments = &found["home"].segments;
        let listed: Vec<(String, u64)> =
            segments.iter().map(|(key, it)| (key.to_string(), it.requests)).collect();
        assert_eq!(listed, [("region=de of candidate".to_owned(), 2)]);
        assert_eq!(segments.values().map(|it| it.error_rate).collect::<Vec<_>>(), [Some(1.0)]);
    }

    #[test]
    fn a_surface_is_added_up_by_variant_whether_there_is_a_trial_or_not() {
        let (mut plan, mut windows) = (plan(), Windows::default());
        windows.lead(1);
        plan.surfaces.insert("home".into(), Surface::default());
        assert_eq!(windows.traffic(99_000, 99_000), None, "nothing was heard");
        let of_rollout = Scope::Trial("home-1".into());
        windows.add(&plan, &of_rollout, 100, &window(2), 1_000);
        windows.add(&plan, &of_rollout, 200, &window(3), 2_000);
        let mut live = Window::new(1);
        live.arms[0].measure(Measure::Failed, 0, 0.0);
        live.automated = 7;
        for name in ["home", "gone"] {
            windows.add(&plan, &Scope::Surface(name.into()), 0, &live, 3_000);
        }
        assert_eq!(windows.traffic(999 + TRAFFIC_WINDOW_MS, 50_000), None, "it is not over");
        let found = windows.traffic(1_000 + TRAFFIC_WINDOW_MS, 50_000).expect("it is over");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["home"], "the plan knows no other");
        let home = &found["home"];
        assert_eq!((home.from_ms, home.until_ms, home.automated), (40_000, 50_000, 7));
        let requests: Vec<(&str, u64)> =
            home.variants.iter().map(|(name, it)| (name.as_str(), it.requests)).collect();
        assert_eq!(requests, [("baseline", 5), ("candidate", 0), ("live", 1)]);
        assert_eq!(windows.traffic(99_000, 99_000), None, "once");
        assert_eq!(windows.take_due(99_000).len(), 1, "and the trial is judged all the same");
    }
}
