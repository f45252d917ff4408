//! What is kept of how a rollout went: by stage and step, as points for plots, and as windows by which other gates can be
//! tried.
//!
//! All three are bounded. Where there is no room left, neighbours are added up, so that what is old and what is new are equally
//! coarse.

use super::evidence::{Evidence, GateEvidence};
use crate::rollout::machine::{Rollout, RolloutState};
use crate::rollout::window::{ArmStats, GroupedSum, Measure, Window};

/// The most stages and steps that evidence is kept of: all that a rollout can have, and some that it came back to.
const MAX_STEPS: usize = 80;
/// The most points of a plot: more are not seen.
const MAX_POINTS: usize = 120;
/// The most recorded windows: some ten kilobytes each, in every snapshot.
pub const MAX_RECORDED: usize = 16;

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
    fn of(arm: &ArmStats) -> Self {
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

    fn absorb(&mut self, other: &Self) {
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

/// Keeps a window that was judged at `now_ms`, with what is known of the gates after it.
pub fn record(
    rollout: &Rollout,
    evidence: &mut Evidence,
    weight_basis_points: u32,
    window: &Window,
    now_ms: u64,
) {
    let mut arms = [ArmSums::default(); 2];
    for (sums, arm) in arms.iter_mut().zip(&window.arms) {
        *sums = ArmSums::of(arm);
    }
    record_step(rollout, evidence, weight_basis_points, arms, now_ms);
    let point = EvidencePoint {
        until_ms: now_ms,
        weight_basis_points,
        windows: 1,
        arms,
        log_evidence: evidence.gates.iter().map(|gate| gate.log_evidence_against).collect(),
        log_required: evidence.gates.iter().map(|gate| gate.log_required).collect(),
    };
    evidence.points.push(point);
    if evidence.points.len() > MAX_POINTS {
        merge_points(&mut evidence.points);
    }
    evidence.recorded.push(RecordedWindow {
        until_ms: now_ms,
        weight_basis_points,
        windows: 1,
        window: window.clone(),
    });
    if evidence.recorded.len() > MAX_RECORDED {
        merge_recorded(&mut evidence.recorded);
    }
}

/// Adds to the present stage. What was measured at the share of an earlier step is that step's: rewards come late.
fn record_step(
    rollout: &Rollout,
    evidence: &mut Evidence,
    weight_basis_points: u32,
    arms: [ArmSums; 2],
    now_ms: u64,
) {
    let gates = evidence.gates.clone();
    let is_present = weight_basis_points == rollout.weight_basis_points();
    let known = if is_present {
        let stage = rollout.resumes_to.to_string();
        let last = evidence.steps.last_mut();
        last.filter(|it| (it.step, &it.stage) == (rollout.step, &stage))
    } else {
        let mut newest_first = evidence.steps.iter_mut().rev();
        newest_first.find(|it| it.weight_basis_points == weight_basis_points)
    };
    if let Some(known) = known {
        known.windows += 1;
        for (sums, more) in known.arms.iter_mut().zip(&arms) {
            sums.absorb(more);
        }
        if is_present {
            (known.until_ms, known.gates) = (now_ms, gates);
        }
        return;
    }
    if evidence.steps.len() == MAX_STEPS {
        evidence.steps.remove(0);
    }
    let (stage, step) = if is_present {
        (rollout.resumes_to, rollout.step)
    } else {
        // Nothing was judged on that step itself.
        let of_share =
            |step: &crate::rollout::RolloutStep| step.weight_basis_points == weight_basis_points;
        (RolloutState::Canary, rollout.steps.iter().position(of_share).map(|at| at as u32))
    };
    evidence.steps.push(StepEvidence {
        stage: stage.to_string(),
        step,
        weight_basis_points,
        from_ms: now_ms,
        until_ms: now_ms,
        windows: 1,
        arms,
        gates,
    });
}

/// Adds the two neighbours up that are the fewest windows.
fn merge_points(points: &mut Vec<EvidencePoint>) {
    let pairs = points.windows(2).enumerate();
    let of_share =
        pairs.filter(|(_, pair)| pair[0].weight_basis_points == pair[1].weight_basis_points);
    let fewest = of_share.min_by_key(|(_, pair)| pair[0].windows + pair[1].windows);
    let Some(at) = fewest.map(|(at, _)| at) else {
        points.remove(0);
        return;
    };
    let earlier = points.remove(at);
    let later = &mut points[at];
    later.windows += earlier.windows;
    for (sums, more) in later.arms.iter_mut().zip(&earlier.arms) {
        sums.absorb(more);
    }
}

/// Adds the two neighbours of one share up that are the fewest windows.
fn merge_recorded(recorded: &mut Vec<RecordedWindow>) {
    let pairs = recorded.windows(2).enumerate();
    let of_share =
        pairs.filter(|(_, pair)| pair[0].weight_basis_points == pair[1].weight_basis_points);
    let fewest = of_share.min_by_key(|(_, pair)| pair[0].windows + pair[1].windows);
    let Some(at) = fewest.map(|(at, _)| at) else {
        recorded.remove(0);
        return;
    };
    let earlier = recorded.remove(at);
    let later = &mut recorded[at];
    later.windows += earlier.windows;
    let mut sum = earlier.window;
    sum.absorb(&later.window);
    later.window = sum;
}
