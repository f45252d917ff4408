//! Gates: what a rollout must not make worse, and what happens when it does.
//!
//! A gate compares a metric of the candidate with the baseline's, or with a constant. Whether it is
//! breached is for [`crate::rollout::judge`] to say, from windows of telemetry.
//!
//! Deliberately missing: thresholds on single windows. Whoever looks every few seconds at a p-value or a
//! raw difference sees a breach sooner or later; all gates are tests that may be looked at always.

use std::fmt;

/// Gates of a rollout.
pub const MAX_GATES: usize = 16;
/// Samples that an arm must have where a gate does not say: fewer hardly ever suffice to tell anything.
pub const DEFAULT_MIN_SAMPLES: u64 = 100;
/// The chance, over all gates together and over the whole rollout, that a candidate which is no worse
/// breaches one. Half of the one per cent that operators were promised; the rest is for what the tests'
/// approximations cost.
pub const FALSE_ALARM_BUDGET: f64 = 0.005;
/// Breaches in a row that a gate may want before it acts.
pub const MAX_CONSECUTIVE_BREACHES: u32 = 100;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Share of requests that ended in an error, the callers' own faults left out.
    ErrorRate,
    /// Share of answers without items.
    EmptyRate,
    /// Share of answers that lacked shards or members.
    PartialRate,
    /// Share of answers by fallback.
    FallbackRate,
    /// The latency that half of the requests exceed, ms.
    LatencyP50,
    /// The latency that one of twenty requests exceeds, ms.
    LatencyP95,
    /// The latency that one of a hundred requests exceeds, ms.
    LatencyP99,
    /// Geometric mean of the latencies, ms.
    LatencyMean,
    /// How much of one user's ten items the next user gets too, 0..=1.
    Sameness,
    /// Mean score of the best item: comparable only between versions whose scores mean the same.
    Score,
    /// Share of the first ten items that baseline and candidate have in common, 0..=1.
    Overlap,
    /// The same with weight on the first ranks, 0..=1.
    RankBiasedOverlap,
    /// Clicks an answer.
    ClicksPerAnswer,
    /// Seconds played an answer.
    PlaySecondsPerAnswer,
    /// Purchases an answer.
    PurchasesPerAnswer,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::ErrorRate,
        Self::EmptyRate,
        Self::PartialRate,
        Self::FallbackRate,
        Self::LatencyP50,
        Self::LatencyP95,
        Self::LatencyP99,
        Self::LatencyMean,
        Self::Sameness,
        Self::Score,
        Self::Overlap,
        Self::RankBiasedOverlap,
        Self::ClicksPerAnswer,
        Self::PlaySecondsPerAnswer,
        Self::PurchasesPerAnswer,
    ];

    /// Its name in commands and evidence.
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
            Self::Sameness => "sameness",
            Self::Score => "score",
            Self::Overlap => "overlap",
            Self::RankBiasedOverlap => "rank_biased_overlap",
            Self::ClicksPerAnswer => "clicks_per_answer",
            Self::PlaySecondsPerAnswer => "play_seconds_per_answer",
            Self::PurchasesPerAnswer => "purchases_per_answer",
        }
    }

    /// The metric of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// The share of requests that a latency quantile leaves above it.
    pub fn tail(self) -> Option<f64> {
        match self {
            Self::LatencyP50 => Some(0.5),
            Self::LatencyP95 => Some(0.05),
            Self::LatencyP99 => Some(0.01),
            _ => None,
        }
    }

    /// Whether it is made of two answers to one request, and so has no value of either side.
    pub fn is_of_pairs(self) -> bool {
        matches!(self, Self::Overlap | Self::RankBiasedOverlap)
    }

    /// Whether it comes of events.
    pub fn is_reward(self) -> bool {
        matches!(
            self,
            Self::ClicksPerAnswer | Self::PlaySecondsPerAnswer | Self::PurchasesPerAnswer
        )
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the candidate must keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// At most this many times the baseline's.
    MaxRatio(f64),
    /// At least this many times the baseline's.
    MinRatio(f64),
    /// At most this.
    Max(f64),
    /// At least this.
    Min(f64),
}

impl Bound {
    /// Its number.
    pub fn value(self) -> f64 {
        match self {
            Self::MaxRatio(value) | Self::MinRatio(value) | Self::Max(value) | Self::Min(value) => {
                value
            }
        }
    }

    /// Whether it compares with the baseline.
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

/// What a breach does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBreach {
    /// All traffic to the baseline.
    RollBack,
    /// Hold the share until an operator decides.
    Pause,
}

/// What too few samples do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnNoData {
    /// No step is left.
    Hold,
    /// Steps are left all the same. The gate stays armed.
    Ignore,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// What is compared.
    pub metric: Metric,
    /// With what.
    pub bound: Bound,
    /// Samples that each compared side must have, in requests (pairs of answers for overlaps).
    pub min_samples: u64,
    /// What a breach does.
    pub on_breach: OnBreach,
    /// What too few samples do.
    pub on_no_data: OnNoData,
    /// Windows in a row that must be in breach, 1..=[`MAX_CONSECUTIVE_BREACHES`].
    pub consecutive_breaches: u32,
    /// The chance that it is ever breached by a candidate that keeps the bound, in (0, 0.5]; none: its
    /// part of [`FALSE_ALARM_BUDGET`].
    pub false_alarm: Option<f64>,
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
        }
    }
}

/// What guards a rollout whose operator declared no gates. They roll back what is clearly broken and do
/// not hold back what has no traffic: who wants steps to wait for samples says how many.
///
/// The ratios leave room for what a better model may well do (be somewhat slower, repeat itself more,
/// differ a lot from the baseline) and none for what none should (answer nothing, or the same to all).
pub fn default_gates() -> Vec<Gate> {
    [
        (Metric::ErrorRate, Bound::MaxRatio(1.2)),
        (Metric::EmptyRate, Bound::MaxRatio(1.2)),
        (Metric::PartialRate, Bound::MaxRatio(1.5)),
        (Metric::FallbackRate, Bound::MaxRatio(1.5)),
        (Metric::LatencyMean, Bound::MaxRatio(1.5)),
        (Metric::LatencyP95, Bound::MaxRatio(1.5)),
        (Metric::Sameness, Bound::MaxRatio(3.0)),
        (Metric::Overlap, Bound::Min(0.02)),
        (Metric::ClicksPerAnswer, Bound::MinRatio(0.95)),
        (Metric::PlaySecondsPerAnswer, Bound::MinRatio(0.95)),
    ]
    .map(|(metric, bound)| Gate { on_no_data: OnNoData::Ignore, ..Gate::new(metric, bound) })
    .to_vec()
}

/// Why gates are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("gates{at}: {what}")]
pub struct GateError {
    /// Which, as `[n]`; empty for all.
    at: String,
    /// What is wrong and what is allowed.
    what: String,
}

/// Checks the gates of a rollout.
///
/// # Errors
/// The first that makes no sense, with what would.
pub fn check_gates(gates: &[Gate]) -> Result<(), GateError> {
    if gates.len() > MAX_GATES {
        let what = format!("{} given: a rollout has at most {MAX_GATES}", gates.len());
        return Err(GateError { at: String::new(), what });
    }
    for (n, gate) in gates.iter().enumerate() {
        check_gate(gate).map_err(|what| GateError { at: format!("[{n}]"), what })?;
        if gates[..n].iter().any(|g| (g.metric, g.bound) == (gate.metric, gate.bound)) {
            let what = format!("{} {} is there twice", gate.metric, gate.bound);
            return Err(GateError { at: format!("[{n}]"), what });
        }
    }
    Ok(())
}

fn check_gate(gate: &Gate) -> Result<(), String> {
    let value = gate.bound.value();
    if !value.is_finite() || value < 0.0 {
        return Err(format!("a bound of {value} is not a number from 0"));
    }
    if gate.bound.is_ratio() && value == 0.0 {
        return Err("a ratio of 0 compares with nothing: use max or min".into());
    }
    if gate.metric.is_of_pairs() && gate.bound.is_ratio() {
        return Err(format!(
            "{} compares baseline and candidate itself and has no ratio: use min, such as 0.05",
            gate.metric
        ));
    }
    if gate.metric.tail().is_some() && matches!(gate.bound, Bound::MinRatio(_) | Bound::Min(_)) {
        return Err(format!("{} has no lower bound: use max_ratio or max", gate.metric));
    }
    if !(1..=MAX_CONSECUTIVE_BREACHES).contains(&gate.consecutive_breaches) {
        return Err(format!(
            "consecutive_breaches is {}: 1 to {MAX_CONSECUTIVE_BREACHES} are allowed",
            gate.consecutive_breaches
        ));
    }
    match gate.false_alarm {
        Some(chance) if !(chance > 0.0 && chance <= 0.5) => {
            Err(format!("false_alarm_probability is {chance}: above 0 and at most 0.5 is allowed"))
        }
        _ => Ok(()),
    }
}
