//! Gates: what a rollout must not make worse, and what happens when it does.
//!
//! A gate compares a metric of the candidate with the baseline's, or with a constant. Whether it is breached
//! is for [`crate::rollout::judge`] to say, from windows of telemetry.
//!
//! Deliberately missing: thresholds on single windows. An operator who looks every few seconds at a p-value or a raw
//! difference sees a breach sooner or later. All gates are tests that may be looked at after every window.

use crate::rollout::window::{LATENCY_SLACK_MICROS, Measure};
use std::fmt;

/// The most gates of a rollout.
pub const MAX_GATES: usize = 16;
/// The samples that an arm must have if a gate does not say: fewer hardly ever suffice to tell anything.
pub const DEFAULT_MIN_SAMPLES: u64 = 100;
/// The chance, over all gates but those of rewards together and over the whole rollout, that a candidate which
/// keeps their bounds breaches one. It is half of the one per cent that operators are promised; the other half
/// allows for the approximations of the tests.
pub const FALSE_ALARM_BUDGET: f64 = 0.005;
/// The chance that a candidate which is exactly at the bound of a gate of rewards ever breaches it. Rewards are rare, so
/// that a test as strict as those of faults would find little. A candidate that is as good as the baseline is not at the
/// bound, and breaches it more rarely.
pub const REWARD_FALSE_ALARM: f64 = 0.01;
/// The least share of the credited clicks on interleaved answers that the candidate must have, if no gate says: at one half users
/// like both lists as much.
pub const DEFAULT_PREFERENCE: f64 = 0.49;
/// The longest time that an answer may have for its rewards, in seconds: routers keep sums for so long.
pub const MAX_MATURITY_SECONDS: u32 = 3_600;
/// The most breaches in a row that a gate may require before it acts.
pub const MAX_CONSECUTIVE_BREACHES: u32 = 100;

/// What a gate compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// The share of requests that ended in an error. Errors that callers caused do not count.
    ErrorRate,
    /// The share of answers without items.
    EmptyRate,
    /// The share of answers that lacked shards or members.
    PartialRate,
    /// The share of answers by fallback.
    FallbackRate,
    /// The latency that half of the requests exceed, ms.
    LatencyP50,
    /// The latency that one of twenty requests exceeds, ms.
    LatencyP95,
    /// The latency that one of a hundred requests exceeds, ms.
    LatencyP99,
    /// The geometric mean of the latencies, ms.
    LatencyMean,
    /// List similarity across users: the share of one user's first ten items that the next user gets too,
    /// 0..=1.
    ListSimilarity,
    /// How much more the candidate's list for a user has in common with the baseline's list for this user than with that for
    /// another, on mirrored requests, 0..=1. It finds users or items that were mixed up, without a click.
    Personalisation,
    /// The mean score of the best item. It can be compared only if the scores of both variants mean the same.
    Score,
    /// The share of the first ten items that baseline and candidate have in common, 0..=1.
    Overlap,
    /// The rank-biased overlap of baseline and candidate, with weight on the first ranks, 0..=1.
    RankBiasedOverlap,
    /// Clicks for each answer.
    ClicksPerAnswer,
    /// Seconds played for each answer.
    PlaySecondsPerAnswer,
    /// Purchases for each answer.
    PurchasesPerAnswer,
    /// The share of clicks on interleaved answers that are credited to the candidate, of those that are credited at all,
    /// 0..=1: one half where users like both lists as much.
    Preference,
}

impl Metric {
    /// All metrics, in the order of their wire numbers.
    pub const ALL: [Self; 17] = [
        Self::ErrorRate,
        Self::EmptyRate,
        Self::PartialRate,
        Self::FallbackRate,
        Self::LatencyP50,
        Self::LatencyP95,
        Self::LatencyP99,
        Self::LatencyMean,
        Self::ListSimilarity,
        Self::Personalisation,
        Self::Score,
        Self::Overlap,
        Self::RankBiasedOverlap,
        Self::ClicksPerAnswer,
        Self::PlaySecondsPerAnswer,
        Self::PurchasesPerAnswer,
        Self::Preference,
    ];

    /// Its name in commands and where evidence is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::ErrorRate => "error_rate",
            Self::EmptyRate => "empty_rate",
            Self::PartialRate => "partial_rate",
            Self::FallbackRate => "fallback_rate",
            Self::LatencyP50 => "latency_p50",
            Self::LatencyP95 => "latency_p95",
            Self::LatencyP99 => "latency_p99",
            Self::LatencyMean => "latency_mean",
            Self::ListSimilarity => "sameness",
            Self::Personalisation => "personalisation",
            Self::Score => "score",
            Self::Overlap => "overlap",
            Self::RankBiasedOverlap => "rank_biased_overlap",
            Self::ClicksPerAnswer => "clicks_per_answer",
            Self::PlaySecondsPerAnswer => "play_seconds_per_answer",
            Self::PurchasesPerAnswer => "purchases_per_answer",
            Self::Preference => "preference",
        }
    }

    /// The metric of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// For a latency quantile: the share of requests above it. None for other metrics.
    pub fn tail(self) -> Option<f64> {
        match self {
            Self::LatencyP50 => Some(0.5),
            Self::LatencyP95 => Some(0.05),
            Self::LatencyP99 => Some(0.01),
            _ => None,
        }
    }

    /// What it is the mean of, variant by variant; none for metrics that compare both variants themselves.
    pub fn measure(self) -> Option<Measure> {
        match self {
            Self::ErrorRate => Some(Measure::Failed),
            Self::EmptyRate => Some(Measure::Empty),
            Self::PartialRate => Some(Measure::Partial),
            Self::FallbackRate => Some(Measure::Fallback),
            Self::LatencyP50 => Some(Measure::SlowP50),
            Self::LatencyP95 => Some(Measure::SlowP95),
            Self::LatencyP99 => Some(Measure::SlowP99),
            Self::LatencyMean => Some(Measure::LogLatency),
            Self::ListSimilarity => Some(Measure::ListSimilarity),
            Self::Personalisation => Some(Measure::Personalisation),
            Self::Score => Some(Measure::Score),
            Self::ClicksPerAnswer => Some(Measure::Clicks),
            Self::PlaySecondsPerAnswer => Some(Measure::PlaySeconds),
            Self::PurchasesPerAnswer => Some(Measure::Purchases),
            Self::Overlap | Self::RankBiasedOverlap | Self::Preference => None,
        }
    }

    /// Whether it compares both variants' lists for one request, mirrored or interleaved, and so has no value of
    /// either variant.
    pub fn is_of_pairs(self) -> bool {
        matches!(self, Self::Overlap | Self::RankBiasedOverlap | Self::Preference)
    }

    /// Whether it is measured by events.
    pub fn is_reward(self) -> bool {
        matches!(
            self,
            Self::ClicksPerAnswer
                | Self::PlaySecondsPerAnswer
                | Self::PurchasesPerAnswer
                | Self::Preference
        )
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The bound that the candidate must keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// At most this many times the baseline's value.
    MaxRatio(f64),
    /// At least this many times the baseline's value.
    MinRatio(f64),
    /// At most this value.
    Max(f64),
    /// At least this value.
    Min(f64),
}

impl Bound {
    /// The number in it, a ratio or a value.
    pub fn value(self) -> f64 {
        match self {
            Self::MaxRatio(value) | Self::MinRatio(value) | Self::Max(value) | Self::Min(value) => {
                value
            }
        }
    }

    /// Whether it compares with the baseline's value.
    pub fn is_ratio(self) -> bool {
        matches!(self, Self::MaxRatio(_) | Self::MinRatio(_))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxRatio(ratio) => write!(f, "at most {ratio} × baseline"),
            Self::MinRatio(ratio) => write!(f, "at least {ratio} × baseline"),
            Self::Max(value) => write!(f, "at most {value}"),
            Self::Min(value) => write!(f, "at least {value}"),
        }
    }
}

/// What happens when a gate is breached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBreach {
    /// The baseline gets all traffic.
    RollBack,
    /// The share is held until an operator decides.
    Pause,
}

/// What happens while a gate has too few samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnNoData {
    /// No step is left.
    Hold,
    /// Steps are left all the same. The gate still acts on a breach.
    Ignore,
}

/// A bound on a metric that the candidate of a rollout must keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// What is compared.
    pub metric: Metric,
    /// The bound that the candidate must keep.
    pub bound: Bound,
    /// Requests (for overlaps pairs of answers, for preferences credited clicks) that each compared variant must have.
    pub min_samples: u64,
    /// What happens on a breach.
    pub on_breach: OnBreach,
    /// What happens while there are too few samples.
    pub on_no_data: OnNoData,
    /// How many windows in a row must be in breach before the gate acts, 1..=[`MAX_CONSECUTIVE_BREACHES`].
    pub consecutive_breaches: u32,
    /// The chance that a candidate which keeps the bound ever breaches it, in (0, 0.5]; none: the gate's part
    /// of [`FALSE_ALARM_BUDGET`], or [`REWARD_FALSE_ALARM`].
    pub false_alarm: Option<f64>,
    /// For rewards: how long an answer has time for them, in seconds, 1..=[`MAX_MATURITY_SECONDS`]. An answer
    /// counts when this time is over, in both variants alike. None: as [`default_maturity_seconds`] says.
    pub maturity_seconds: Option<u32>,
}

/// How long an answer has time for rewards of this kind, in seconds, if no gate says: a list is clicked soon or never, what is
/// played is reported when it is over, and who buys takes time to think. 0 for what is no reward.
pub fn default_maturity_seconds(reward: Measure) -> u32 {
    match reward {
        Measure::Clicks => 60,
        Measure::PlaySeconds => 600,
        Measure::Purchases => 1_800,
        Measure::Failed
        | Measure::Empty
        | Measure::Partial
        | Measure::Fallback
        | Measure::LogLatency
        | Measure::SlowP50
        | Measure::SlowP95
        | Measure::SlowP99
        | Measure::ListSimilarity
        | Measure::Personalisation
        | Measure::Score
        | Measure::ClicksBefore
        | Measure::PlaySecondsBefore
        | Measure::PurchasesBefore
        | Measure::Users => 0,
    }
}

/// How long an answer has time for rewards of this kind, in seconds, where these gates hold: the longest time that one of
/// them wants.
pub fn maturity_seconds(gates: &[Gate], reward: Measure) -> u32 {
    let wanted = gates.iter().filter(|gate| gate.metric.measure() == Some(reward));
    let wanted = wanted.filter_map(|gate| gate.maturity_seconds).max();
    wanted.unwrap_or_else(|| default_maturity_seconds(reward))
}

/// What a latency gate compares an answer with, in µs: beyond it an answer counts as slow
/// ([`Measure::SlowP95`] and its like). `usual`: the baseline's quantile before the answer, in µs; none while it is not known. None for
/// gates of other metrics. Of the baseline's answers as many are slow as the quantile says; of the
/// candidate's there may be no more.
pub fn slow_beyond_micros(gate: &Gate, is_candidate: bool, usual: Option<u64>) -> Option<u64> {
    gate.metric.tail()?;
    match gate.bound {
        Bound::MaxRatio(_) if !is_candidate => usual,
        Bound::MaxRatio(ratio) => {
            let allowed = ratio * (usual? + LATENCY_SLACK_MICROS) as f64;
            Some((allowed as u64).saturating_sub(LATENCY_SLACK_MICROS))
        }
        Bound::Max(millis) => Some((millis * 1_000.0) as u64),
        // Refused where gates are checked.
        Bound::MinRatio(_) | Bound::Min(_) => None,
    }
}

impl Gate {
    /// A gate that rolls back at the first breach and holds without data.
    pub fn new(metric: Metric, bound: Bound) -> Self {
        Self {
            metric,
            bound,
            min_samples: DEFAULT_MIN_SAMPLES,
            on_breach: OnBreach::RollBack,
            on_no_data: OnNoData::Hold,
            consecutive_breaches: 1,
            false_alarm: None,
            maturity_seconds: None,
        }
    }
}

/// The gates of a rollout whose operator declared none. They roll back what is clearly broken, and do not
/// hold a step while there is no traffic: an operator who wants steps to wait for samples says for how many.
///
/// The ratios allow what a better model may well do (be somewhat slower, repeat itself more, differ a lot
/// from the baseline), and do not allow what no model should do (answer nothing, or the same to all users, or to a user what is
/// meant for another).
pub fn default_gates() -> Vec<Gate> {
    [
        (Metric::ErrorRate, Bound::MaxRatio(1.2)),
        (Metric::EmptyRate, Bound::MaxRatio(1.2)),
        (Metric::PartialRate, Bound::MaxRatio(1.5)),
        (Metric::FallbackRate, Bound::MaxRatio(1.5)),
        (Metric::LatencyMean, Bound::MaxRatio(1.5)),
        (Metric::LatencyP95, Bound::MaxRatio(1.5)),
        (Metric::ListSimilarity, Bound::MaxRatio(3.0)),
        (Metric::Personalisation, Bound::MinRatio(0.05)),
        (Metric::Overlap, Bound::Min(0.02)),
        (Metric::ClicksPerAnswer, Bound::MinRatio(0.98)),
        (Metric::PlaySecondsPerAnswer, Bound::MinRatio(0.98)),
    ]
    .map(|(metric, bound)| Gate { on_no_data: OnNoData::Ignore, ..Gate::new(metric, bound) })
    .to_vec()
}

/// The gate that a rollout with a stage of interleaved answers has by default.
pub fn default_preference_gate() -> Gate {
    let gate = Gate::new(Metric::Preference, Bound::Min(DEFAULT_PREFERENCE));
    Gate { on_no_data: OnNoData::Ignore, ..gate }
}

/// Why the gates of a rollout are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GatesError {
    /// There are too many.
    #[error("gates: {count} given: a rollout has at most {MAX_GATES}")]
    TooMany {
        /// How many were given.
        count: usize,
    },
    /// One of them is malformed.
    #[error("gates[{index}]: {error}")]
    Gate {
        /// The gate's index.
        index: usize,
        /// What is wrong with it.
        error: GateError,
    },
    /// One of them is there twice.
    #[error("gates[{index}]: {metric} {bound} is there twice")]
    Repeated {
        /// The second one's index.
        index: usize,
        /// The gate's metric.
        metric: Metric,
        /// The gate's bound as given.
        bound: Bound,
    },
    /// Two of them bound one quantile of the latency: answers count as slow by one bound only.
    #[error(
        "gates[{index}]: {metric} has a gate already, and answers count as slow by one bound only: keep the stricter one"
    )]
    TwoOfQuantile {
        /// The second one's index.
        index: usize,
        /// The quantile of the latency that both gates bound.
        metric: Metric,
    },
}

/// Why one gate is refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum GateError {
    /// The bound is negative or no number.
    #[error("a bound of {value} is not a number from 0")]
    Bound {
        /// The bound's value as given.
        value: f64,
    },
    /// A ratio of 0.
    #[error("a ratio of 0 compares with nothing: use max or min")]
    ZeroRatio,
    /// A ratio of a metric that compares both variants itself.
    #[error(
        "{metric} compares baseline and candidate itself and has no ratio: use min, such as 0.05"
    )]
    RatioOfPairs {
        /// The gate's metric.
        metric: Metric,
    },
    /// A lower bound of a quantile.
    #[error("{metric} has no lower bound: use max_ratio or max")]
    LowerBoundOfQuantile {
        /// The gate's metric.
        metric: Metric,
    },
    /// A number of breaches out of bounds.
    #[error("consecutive_breaches is {count}: 1 to {MAX_CONSECUTIVE_BREACHES} are allowed")]
    ConsecutiveBreaches {
        /// The number that was given.
        count: u32,
    },
    /// A time for rewards out of bounds.
    #[error("maturity_seconds is {seconds}: 1 to {MAX_MATURITY_SECONDS} are allowed")]
    Maturity {
        /// The time that was given, in seconds.
        seconds: u32,
    },
    /// A time for rewards of what is no reward of one variant.
    #[error("{metric} is no reward of one variant and has no maturity_seconds")]
    MaturityOfNoReward {
        /// The gate's metric.
        metric: Metric,
    },
    /// A chance of false alarm out of bounds.
    #[error("false_alarm_probability is {chance}: above 0 and at most 0.5 is allowed")]
    FalseAlarm {
        /// The chance that was given.
        chance: f64,
    },
}

/// Checks the gates of a rollout, and names the first that is wrong.
pub fn check_gates(gates: &[Gate]) -> Result<(), GatesError> {
    if gates.len() > MAX_GATES {
        return Err(GatesError::TooMany { count: gates.len() });
    }
    for (index, gate) in gates.iter().enumerate() {
        check_gate(gate).map_err(|error| GatesError::Gate { index, error })?;
        let &Gate { metric, bound, .. } = gate;
        if gates[..index].iter().any(|other| (other.metric, other.bound) == (metric, bound)) {
            return Err(GatesError::Repeated { index, metric, bound });
        }
        let is_of_quantile = metric.tail().is_some();
        if is_of_quantile && gates[..index].iter().any(|other| other.metric == metric) {
            return Err(GatesError::TwoOfQuantile { index, metric });
        }
    }
    Ok(())
}

fn check_gate(gate: &Gate) -> Result<(), GateError> {
    let &Gate { metric, bound, .. } = gate;
    let value = bound.value();
    if !value.is_finite() || value < 0.0 {
        return Err(GateError::Bound { value });
    }
    if bound.is_ratio() && value == 0.0 {
        return Err(GateError::ZeroRatio);
    }
    if metric.is_of_pairs() && bound.is_ratio() {
        return Err(GateError::RatioOfPairs { metric });
    }
    if metric.tail().is_some() && matches!(bound, Bound::MinRatio(_) | Bound::Min(_)) {
        return Err(GateError::LowerBoundOfQuantile { metric });
    }
    if !(1..=MAX_CONSECUTIVE_BREACHES).contains(&gate.consecutive_breaches) {
        return Err(GateError::ConsecutiveBreaches { count: gate.consecutive_breaches });
    }
    if let Some(seconds) = gate.maturity_seconds {
        if !metric.is_reward() || metric.is_of_pairs() {
            return Err(GateError::MaturityOfNoReward { metric });
        }
        if !(1..=MAX_MATURITY_SECONDS).contains(&seconds) {
            return Err(GateError::Maturity { seconds });
        }
    }
    match gate.false_alarm {
        Some(chance) if !(chance > 0.0 && chance <= 0.5) => Err(GateError::FalseAlarm { chance }),
        _ => Ok(()),
    }
}
