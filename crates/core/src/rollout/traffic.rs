//! What the answers on a surface are like, trial or no trial: numbers for whoever looks.
//!
//! The leader adds up what routers send of a surface, by *variant*: `live` without a trial, `baseline` and
//! `candidate` of a rollout, the arms of an experiment by name. Every [`TRAFFIC_WINDOW_MS`] it turns the sums
//! into a [`SurfaceTraffic`] and commits it, so a leader that dies takes at most the open window along, and
//! every control node can be asked for the last minutes.
//!
//! Deliberately missing: judgement ([`crate::rollout::judge`] compares the arms of trials, by groups of users), and
//! history beyond some minutes, which is for a time series database.

use crate::plan::Plan;
use crate::rollout::experiment::Experiment;
use crate::rollout::window::{ArmStats, Measure, Scope};
use std::collections::{BTreeMap, VecDeque};

/// How long a surface is measured before the numbers are committed: seldom enough that an idle log stays
/// short, often enough to see what a change does.
pub const TRAFFIC_WINDOW_MS: u64 = 10_000;
/// Windows that are kept of a surface: five minutes.
pub const MAX_TRAFFIC_WINDOWS: usize = 30;
/// The variant of answers without a trial.
pub const LIVE: &str = "live";
/// Which latencies are kept: half, one in twenty and one in a hundred are longer.
const LATENCY_SHARES: [f64; 3] = [0.5, 0.95, 0.99];
/// Which scores are kept: the tenth, the middle, the tenth from above.
const SCORE_SHARES: [f64; 3] = [0.1, 0.5, 0.9];

/// By surface, oldest first, at most [`MAX_TRAFFIC_WINDOWS`].
pub type AllTraffic = BTreeMap<String, VecDeque<SurfaceTraffic>>;

/// One window of a surface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SurfaceTraffic {
    /// When it began.
    pub from_ms: u64,
    /// When it ended.
    pub until_ms: u64,
    /// Requests that look automated; they are in no variant.
    pub automated: u64,
    /// Answers that routers had no room to note.
    pub dropped: u64,
    /// By name.
    pub variants: BTreeMap<String, VariantTraffic>,
}

/// What one variant's answers were like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VariantTraffic {
    /// Calls.
    pub requests: u64,
    /// Those that ended with each gRPC code other than OK, without the callers' own faults.
    pub errors: BTreeMap<u32, u64>,
    /// µs that half, one in twenty and one in a hundred exceed; none if none was measured.
    pub latency_micros: Option<[u64; 3]>,
    /// Share of answers without items; none if there were no answers, here and below.
    pub empty_rate: Option<f64>,
    /// Share of answers that lacked shards or members.
    pub partial_rate: Option<f64>,
    /// Share of answers by fallback.
    pub fallback_rate: Option<f64>,
    /// How much of one user's first items the next user got too.
    pub sameness: Option<f64>,
    /// Different items among the first ten of all lists, to about 3 %.
    pub distinct_items: u64,
    /// The best items' scores: tenth, half and nine tenths do not exceed these, to 5 %.
    pub score: Option<[f64; 3]>,
    /// Clicks a recommendation, of any age; none if there were no recommendations, here and below.
    pub clicks_per_answer: Option<f64>,
    /// Seconds played a recommendation.
    pub play_seconds_per_answer: Option<f64>,
    /// Purchases a recommendation.
    pub purchases_per_answer: Option<f64>,
}

impl VariantTraffic {
    /// The numbers of these sums.
    pub fn of(stats: &ArmStats) -> Self {
        let mean = |measure| stats.measures.get(&measure).and_then(|sums| sums.mean());
        let all = |values: [Option<f64>; 3]| match values {
            [Some(a), Some(b), Some(c)] => Some([a, b, c]),
            _ => None,
        };
        let latencies = LATENCY_SHARES.map(|share| stats.latencies.quantile(share));
        Self {
            requests: stats.requests(),
            errors: stats.errors.clone(),
            latency_micros: match latencies {
                [Some(a), Some(b), Some(c)] => Some([a, b, c]),
                _ => None,
            },
            empty_rate: mean(Measure::Empty),
            partial_rate: mean(Measure::Partial),
            fallback_rate: mean(Measure::Fallback),
            sameness: mean(Measure::Sameness),
            distinct_items: stats.items.estimate().round() as u64,
            score: all(SCORE_SHARES.map(|share| stats.scores.quantile(share))),
            clicks_per_answer: mean(Measure::Clicks),
            play_seconds_per_answer: mean(Measure::PlaySeconds),
            purchases_per_answer: mean(Measure::Purchases),
        }
    }
}

/// The surface of what is measured together, and its variants, arm by arm; none if the plan does not know it.
pub fn variants<'a>(plan: &'a Plan, scope: &'a Scope) -> Option<(&'a str, Vec<&'a str>)> {
    match scope {
        Scope::Surface(name) => {
            plan.surfaces.contains_key(name).then(|| (name.as_str(), vec![LIVE]))
        }
        Scope::Trial(id) => match (plan.rollout(id), plan.experiment(id)) {
            (Some(rollout), _) => Some((&rollout.surface, vec!["baseline", "candidate"])),
            (None, Some(Experiment { surface, arms, .. })) => {
                Some((surface, arms.iter().map(|arm| arm.name.as_str()).collect()))
            }
            (None, None) => None,
        },
    }
}

/// Keeps one more window of a surface, if it is newer than those there are.
pub fn keep(all: &mut AllTraffic, surface: &str, window: SurfaceTraffic) {
    let windows = all.entry(surface.to_owned()).or_default();
    if windows.back().is_some_and(|last| last.until_ms >= window.until_ms) {
        return;
    }
    if windows.len() == MAX_TRAFFIC_WINDOWS {
        windows.pop_front();
    }
    windows.push_back(window);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_by_hand() {
        let mut stats = ArmStats::default();
        for (micros, score, items) in
            [(1_000, 1.0, 0..10), (2_000, 4.0, 5..15), (9_000, 9.0, 0..10)]
        {
            stats.measure(Measure::Answered, 3, 1.0);
            stats.measure(Measure::Empty, 3, 0.0);
            stats.measure(Measure::Clicks, 3, 0.0);
            stats.latencies.add(micros, 1);
            stats.scores.add(score);
            items.for_each(|item: u32| {
                stats.items.add(crate::rollout::window::hash_item(&item.to_string()));
            });
        }
        stats.measure(Measure::Answered, 5, 0.0);
        stats.errors.insert(14, 1);
        stats.reward(Measure::Clicks, 3, 2.0);
        let found = VariantTraffic::of(&stats);
        let [low, middle, high] = found.score.expect("there are scores");
        for (score, expected) in [(low, 1.0), (middle, 4.0), (high, 9.0)] {
            assert!((score - expected).abs() <= 0.05 * expected, "{score} for {expected}");
        }
        let expected = VariantTraffic {
            requests: 4,
            errors: BTreeMap::from([(14, 1)]),
            latency_micros: Some([2_000, 9_000, 9_000]),
            empty_rate: Some(0.0),
            distinct_items: 15,
            score: found.score,
            clicks_per_answer: Some(2.0 / 3.0),
            ..VariantTraffic::default()
        };
        assert_eq!(found, expected);
        assert_eq!(VariantTraffic::of(&ArmStats::default()), VariantTraffic::default());
    }

    #[test]
    fn the_newest_windows_are_kept_and_none_twice() {
        let mut all = AllTraffic::new();
        let mut keep_all = |moments: &mut dyn Iterator<Item = u64>| -> Vec<u64> {
            for until_ms in moments {
                keep(&mut all, "home", SurfaceTraffic { until_ms, ..SurfaceTraffic::default() });
            }
            all["home"].iter().map(|window| window.until_ms).collect()
        };
        assert_eq!(keep_all(&mut [1, 2, 2, 1].into_iter()), [1, 2]);
        let last = MAX_TRAFFIC_WINDOWS as u64 + 5;
        assert_eq!(keep_all(&mut (3..last)), (5..last).collect::<Vec<_>>());
    }
}
