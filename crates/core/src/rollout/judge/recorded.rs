//! What is kept of how a rollout went.

use super::gate_evidence::GateEvidence;
use crate::rollout::window::{ArmStats, GroupedSum, Measure, Window};

/// Sums of what was measured of one arm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ArmSums {
    /// Requests, errors included.
    pub requests: u64,
    /// Requests that ended in an error.
    pub failed: u64,
    /// The sum of ln(latency + 2 ms), with latencies in µs.
    pub log_latency: f64,
    /// How many latencies these are.
    pub latencies: u64,
    /// Clicks that count.
    pub clicks: f64,
    /// Answers whose time for clicks is over.
    pub answers_for_clicks: u64,
    /// Seconds played that count.
    pub play_seconds: f64,
    /// Answers whose time for plays is over.
    pub answers_for_plays: u64,
}

impl ArmSums {
    /// The sums of an arm in a window.
    pub(super) fn of(arm: &ArmStats) -> Self {
        let sums = |measure| arm.measures.get(&measure);
        let count = |measure| sums(measure).map_or(0, GroupedSum::total);
        let sum = |measure| sums(measure).map_or(0.0, |it: &GroupedSum| it.sum.iter().sum());
        Self {
            requests: arm.requests(),
            failed: arm.failed(),
            log_latency: sum(Measure::LogLatency),
            latencies: count(Measure::LogLatency),
            clicks: sum(Measure::Clicks),
            answers_for_clicks: count(Measure::Clicks),
            play_seconds: sum(Measure::PlaySeconds),
            answers_for_plays: count(Measure::PlaySeconds),
        }
    }

    /// Adds those of another.
    pub(super) fn absorb(&mut self, other: &Self) {
        let Self {
            requests,
            failed,
            log_latency,
            latencies,
            clicks,
            answers_for_clicks,
            play_seconds,
            answers_for_plays,
        } = other;
        self.requests += requests;
        self.failed += failed;
        self.log_latency += log_latency;
        self.latencies += latencies;
        self.clicks += clicks;
        self.answers_for_clicks += answers_for_clicks;
        self.play_seconds += play_seconds;
        self.answers_for_plays += answers_for_plays;
    }
}

/// What was measured on one stage or step of a rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct StepEvidence {
    /// The stage's name, such as CANARY.
    pub stage: String,
    /// The step; none before the first.
    pub step: Option<u32>,
    /// The candidate's share, in 1/10,000.
    pub weight_basis_points: u32,
    /// When the first window was judged, in ms since the Unix epoch.
    pub from_ms: u64,
    /// When the last window was judged, in ms since the Unix epoch.
    pub until_ms: u64,
    /// How many windows were counted.
    pub windows: u64,
    /// What was measured of the baseline and of the candidate.
    pub arms: [ArmSums; 2],
    /// What was known of each gate at its end, in order.
    pub gates: Vec<GateEvidence>,
}

/// Some windows of a rollout, for plots.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidencePoint {
    /// When the last of them was judged, in ms since the Unix epoch.
    pub until_ms: u64,
    /// The candidate's share, in 1/10,000.
    pub weight_basis_points: u32,
    /// How many windows they are.
    pub windows: u64,
    /// What was measured of the baseline and of the candidate.
    pub arms: [ArmSums; 2],
    /// Natural logarithm of the evidence against each gate then, in order.
    pub log_evidence: Vec<f64>,
    /// What that must reach for a breach.
    pub log_required: Vec<f64>,
}

/// Windows of one share, added up.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedWindow {
    /// When the last of them was judged, in ms since the Unix epoch.
    pub until_ms: u64,
    /// The candidate's share, in 1/10,000.
    pub weight_basis_points: u32,
    /// How many windows they are.
    pub windows: u64,
    /// What was measured.
    pub window: Window,
}
