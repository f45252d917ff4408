//! What the answers on a surface are like, inside and outside of trials: numbers for operators.
//!
//! The leader adds up what routers send of a surface, by *variant*: `live` without a trial, `baseline` and
//! `candidate` of a rollout, the arms of an experiment by name. Every [`TRAFFIC_WINDOW_MS`] it turns the sums
//! into a [`SurfaceTraffic`] and commits it, so a leader that dies takes at most the open window along, and
//! every control node can be asked for the last minutes.
//!
//! Deliberately missing: judgement ([`crate::rollout::judge`] compares the arms of trials, by groups of
//! users), and history beyond some minutes, which is for a time series database.

use crate::rollout::window::{ArmStats, GroupedSum, LATENCY_SLACK_MICROS, Measure, MeasuredSums};
use std::collections::{BTreeMap, VecDeque};

/// How long a surface is measured before the numbers are committed, in ms: long enough that an idle log stays
/// short, short enough to see what a change does.
pub const TRAFFIC_WINDOW_MS: u64 = 10_000;
/// How many windows are kept of a surface: five minutes.
pub const MAX_TRAFFIC_WINDOWS: usize = 30;
/// The name of the variant of answers outside of trials.
pub const LIVE: &str = "live";
/// Which latencies are kept: half, one in twenty and one in a hundred are longer.
const LATENCY_SHARES: [f64; 3] = [0.5, 0.95, 0.99];
/// Which scores are kept: the tenth, the middle, the tenth from above.
const SCORE_SHARES: [f64; 3] = [0.1, 0.5, 0.9];

/// The windows of each surface, oldest first, at most [`MAX_TRAFFIC_WINDOWS`].
pub type AllTraffic = BTreeMap<String, VecDeque<SurfaceTraffic>>;

/// What the answers on one surface were like within one window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SurfaceTraffic {
    /// When the window began, in ms since the Unix epoch.
    pub from_ms: u64,
    /// When the window ended, in ms since the Unix epoch.
    pub until_ms: u64,
    /// How many requests look like automated traffic. They are in no variant.
    pub automated: u64,
    /// How many answers did not fit into a router's buffer.
    pub dropped: u64,
    /// The variants, by name.
    pub variants: BTreeMap<String, VariantTraffic>,
    /// What was measured of each segment of the surface and variant; nothing of a variant without requests there.
    pub segments: BTreeMap<MeasuredSegment, SegmentTraffic>,
}

/// Of what a [`SegmentTraffic`] is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MeasuredSegment {
    /// The segment's name, such as `region=de`.
    pub segment: String,
    /// The variant's name.
    pub variant: String,
}

impl std::fmt::Display for MeasuredSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.segment, self.variant)
    }
}

/// What the answers of one variant to the requests of one segment were like. A value is none where nothing was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SegmentTraffic {
    /// How many requests there were.
    pub requests: u64,
    /// The share of requests that failed. Errors that callers caused do not count.
    pub error_rate: Option<f64>,
    /// The share of answers without items.
    pub empty_rate: Option<f64>,
    /// The share of answers by fallback.
    pub fallback_rate: Option<f64>,
    /// The geometric mean of the latencies, in µs.
    pub mean_latency_micros: Option<f64>,
    /// Clicks for each answer.
    pub clicks_per_answer: Option<f64>,
    /// Seconds played for each answer.
    pub play_seconds_per_answer: Option<f64>,
    /// Purchases for each answer.
    pub purchases_per_answer: Option<f64>,
}

impl SegmentTraffic {
    /// The numbers that follow from these sums.
    pub fn of(sums: &MeasuredSums) -> Self {
        let mean = |measure| sums.get(&measure).and_then(GroupedSum::mean);
        let latency = mean(Measure::LogLatency);
        Self {
            requests: sums.get(&Measure::Failed).map_or(0, GroupedSum::total),
            error_rate: mean(Measure::Failed),
            empty_rate: mean(Measure::Empty),
            fallback_rate: mean(Measure::Fallback),
            mean_latency_micros: latency
                .map(|log| (log.exp() - LATENCY_SLACK_MICROS as f64).max(0.0)),
            clicks_per_answer: mean(Measure::Clicks),
            play_seconds_per_answer: mean(Measure::PlaySeconds),
            purchases_per_answer: mean(Measure::Purchases),
        }
    }
}

/// What the answers of one variant were like. A value is none where nothing was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VariantTraffic {
    /// How many requests there were.
    pub requests: u64,
    /// How many requests ended with each gRPC code other than OK. Errors that callers caused do not count.
    pub errors: BTreeMap<u32, u64>,
    /// The latencies that half, one in twenty and one in a hundred of the requests exceed, in µs.
    pub latency_micros: Option<[u64; 3]>,
    /// The share of answers without items.
    pub empty_rate: Option<f64>,
    /// The share of answers that lacked shards or members.
    pub partial_rate: Option<f64>,
    /// The share of answers by fallback.
    pub fallback_rate: Option<f64>,
    /// The share of one user's first ten items that the next user got too, 0..=1.
    pub list_similarity: Option<f64>,
    /// How many different items are among the first ten of all lists, with a standard error of 3 %.
    pub distinct_items: u64,
    /// The scores that a tenth, half and nine tenths of the best items do not exceed, to 5 %.
    pub score: Option<[f64; 3]>,
    /// Clicks for each answer.
    pub clicks_per_answer: Option<f64>,
    /// Seconds played for each answer.
    pub play_seconds_per_answer: Option<f64>,
    /// Purchases for each answer.
    pub purchases_per_answer: Option<f64>,
    /// Of each reward that was measured: the variance of a mean over `n` answers, times `n`. With what the answers of a
    /// user have in common, it is more than the variance of one answer.
    pub reward_variances: BTreeMap<Measure, f64>,
}

impl VariantTraffic {
    /// The numbers that follow from these sums.
    pub fn of(stats: &ArmStats) -> Self {
        let mean = |measure| stats.measures.get(&measure).and_then(|sums| sums.mean());
        Self {
            requests: stats.requests(),
            errors: stats.errors.clone(),
            latency_micros: all_of(LATENCY_SHARES.map(|share| stats.latencies.quantile(share))),
            empty_rate: mean(Measure::Empty),
            partial_rate: mean(Measure::Partial),
            fallback_rate: mean(Measure::Fallback),
            list_similarity: mean(Measure::ListSimilarity),
            distinct_items: stats.items.estimate().round() as u64,
            score: all_of(SCORE_SHARES.map(|share| stats.scores.quantile(share))),
            clicks_per_answer: mean(Measure::Clicks),
            play_seconds_per_answer: mean(Measure::PlaySeconds),
            purchases_per_answer: mean(Measure::Purchases),
            reward_variances: Measure::REWARDS
                .into_iter()
                .filter_map(|reward| Some((reward, variance(stats.measures.get(&reward)?)?)))
                .collect(),
        }
    }
}

/// The variance of a mean over `n` answers, times `n`, from how groups of users lie around it; none without answers.
fn variance(sums: &GroupedSum) -> Option<f64> {
    let mean = sums.mean()?;
    let squares = sums.count.iter().zip(&sums.sum).map(|(&count, sum)| {
        let residual = sum - mean * count as f64;
        residual * residual
    });
    Some(squares.sum::<f64>() / sums.total() as f64)
}

/// The three values, if none is missing.
fn all_of<T>(values: [Option<T>; 3]) -> Option<[T; 3]> {
    let [a, b, c] = values;
    Some([a?, b?, c?])
}

/// Keeps one more window of a surface, if it is newer than those that are kept.
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
            stats.measure(Measure::Failed, 3, 0.0);
            stats.measure(Measure::Empty, 3, 0.0);
            stats.measure(Measure::Clicks, 3, 0.0);
            stats.latencies.add(micros, 1);
            stats.scores.add(score);
            items.for_each(|item: u32| {
                stats.items.add(crate::rollout::window::hash_item(&item.to_string()));
            });
        }
        stats.measure(Measure::Failed, 5, 1.0);
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
            reward_variances: BTreeMap::from([(Measure::Clicks, 0.0)]),
            ..VariantTraffic::default()
        };
        assert_eq!(found, expected);
        assert_eq!(VariantTraffic::of(&ArmStats::default()), VariantTraffic::default());
    }

    #[test]
    fn numbers_of_a_segment_by_hand() {
        let mut sums = MeasuredSums::new();
        let slow = (3_000.0 + LATENCY_SLACK_MICROS as f64).ln();
        for (measure, values) in [
            (Measure::Failed, vec![0.0, 0.0, 1.0, 0.0]),
            (Measure::Empty, vec![0.0, 1.0]),
            (Measure::LogLatency, vec![slow, slow]),
            (Measure::Clicks, vec![1.0, 0.0]),
        ] {
            for (group, value) in values.into_iter().enumerate() {
                sums.entry(measure).or_default().add(group, value);
            }
        }
        let found = SegmentTraffic::of(&sums);
        let latency = found.mean_latency_micros.expect("it was measured");
        assert!((latency - 3_000.0).abs() < 0.01, "{latency}");
        let expected = SegmentTraffic {
            requests: 4,
            error_rate: Some(0.25),
            empty_rate: Some(0.5),
            mean_latency_micros: Some(latency),
            clicks_per_answer: Some(0.5),
            ..SegmentTraffic::default()
        };
        assert_eq!(found, expected);
        assert_eq!(SegmentTraffic::of(&MeasuredSums::new()), SegmentTraffic::default());
    }

    #[test]
    fn what_users_have_in_common_adds_to_the_variance_of_rewards() {
        // Each of two users has two answers. Users alike: residuals are 0. One clicks always, one never: ±1 each.
        let of = |clicks: [f64; 4]| {
            let mut stats = ArmStats::default();
            for (group, click) in [1, 1, 2, 2].into_iter().zip(clicks) {
                stats.measure(Measure::Clicks, group, click);
            }
            VariantTraffic::of(&stats).reward_variances[&Measure::Clicks]
        };
        assert_eq!((of([1.0, 0.0, 1.0, 0.0]), of([1.0, 1.0, 0.0, 0.0])), (0.0, 0.5));
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
