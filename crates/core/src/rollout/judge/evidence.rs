//! What was measured of a rollout or an experiment, and what is known of its gates.

use super::comparison::GateComparison;
use super::external_evidence::ExternalEvidence;
use super::gate_evidence::{GateEvidence, Verdict};
use super::measured::add_window;
use super::recorded::{EvidencePoint, RecordedWindow, StepEvidence};
use super::segment_evidence::SegmentEvidence;
use crate::rollout::gate::OnBreach;
use crate::rollout::machine::{Rollout, RolloutState};
use crate::rollout::window::{GroupedSum, Measure, Window};
use std::collections::BTreeMap;

/// What was measured of rollouts and experiments, by their ids.
pub type AllEvidence = BTreeMap<String, Evidence>;

/// What was counted since the present stage of a rollout began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stage {
    /// The step; none in the shadow stage.
    pub step: Option<u32>,
    /// Requests, by arm.
    pub requests: Vec<u64>,
    /// Mirrored requests that both variants answered.
    pub mirrored: u64,
    /// How many interleaved answers there were.
    pub interleaved: u64,
    /// Users, counted once in each window; the sum is how many of them the candidate had.
    pub users: GroupedSum,
    /// Requests; the sum is how many of them the candidate had.
    pub requests_by_group: GroupedSum,
}

/// All that was measured of a rollout or an experiment, and what is known of a rollout's gates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// How many windows were counted. It is the number of the last one, so that none counts twice.
    pub windows: u64,
    /// When the last window was judged, in ms since the Unix epoch.
    pub judged_at_ms: u64,
    /// The sum of all windows.
    pub total: Window,
    /// What each gate is judged by, in order.
    pub comparisons: Vec<GateComparison>,
    /// What was counted since the present stage began.
    pub stage: Stage,
    /// What is known of each gate, in order.
    pub gates: Vec<GateEvidence>,
    /// What is known of the split of users.
    pub split: GateEvidence,
    /// The sum of the windows of the holdout.
    pub holdout: Window,
    /// What is known of each external gate, in order.
    pub external: Vec<ExternalEvidence>,
    /// What is known of the split of requests.
    pub split_of_requests: GateEvidence,
    /// What was measured on each stage and step, oldest first.
    pub steps: Vec<StepEvidence>,
    /// How it went, oldest first.
    pub points: Vec<EvidencePoint>,
    /// Windows, added up, by which gates can be tried.
    pub recorded: Vec<RecordedWindow>,
    /// What was measured of each segment at the present share.
    pub segments: SegmentEvidence,
}

impl Evidence {
    /// Adds a window. `weight_basis_points`: the candidate's share while the window was measured; a window of
    /// another share does not count for the present stage.
    pub fn absorb(&mut self, rollout: &Rollout, weight_basis_points: u32, window: &Window) {
        self.add_total(window);
        let gates = &rollout.terms.gates;
        self.comparisons.resize_with(gates.len(), GateComparison::default);
        for (gate, known) in gates.iter().zip(&mut self.comparisons) {
            add_window(gate, known, weight_basis_points, window);
        }
        if self.stage.step != rollout.step || self.stage.requests.is_empty() {
            self.stage = Stage { step: rollout.step, requests: vec![0; 2], ..Stage::default() };
        }
        if weight_basis_points != rollout.weight_basis_points() {
            return;
        }
        self.segments.absorb(weight_basis_points, window);
        if rollout.resumes_to == RolloutState::Holdout {
            self.holdout.absorb(window);
            self.holdout.segments.clear();
        }
        for (sum, arm) in self.stage.requests.iter_mut().zip(&window.arms) {
            *sum += arm.requests();
        }
        self.stage.mirrored += window.mirror.overlap.total();
        self.stage.interleaved += window.interleaved.answers;
        let Stage { users, requests_by_group, .. } = &mut self.stage;
        for (measure, sums) in [(Measure::Users, users), (Measure::Failed, requests_by_group)] {
            for (arm, value) in window.arms.iter().zip([0.0, 1.0]) {
                let Some(counted) = arm.measures.get(&measure) else { continue };
                for (group, &count) in counted.count.iter().enumerate() {
                    sums.count[group] += count;
                    sums.sum[group] += value * count as f64;
                }
            }
        }
    }

    /// Adds a window of an experiment. `weight_basis_points`: the share of its last arm, which never changes.
    pub fn absorb_experiment(&mut self, weight_basis_points: u32, window: &Window) {
        self.add_total(window);
        self.segments.absorb(weight_basis_points, window);
    }

    /// Adds a window to the sum of all. Segments are summed by share alone.
    fn add_total(&mut self, window: &Window) {
        self.total.absorb(window);
        self.total.segments.clear();
    }

    /// Accepts the breaches that paused the rollout, because an operator resumed it.
    pub fn accept(&mut self, rollout: &Rollout) {
        let pausing = rollout.terms.gates.iter().map(|gate| gate.on_breach == OnBreach::Pause);
        for (evidence, pauses) in self.gates.iter_mut().zip(pausing) {
            evidence.accepted |= pauses && evidence.verdict == Verdict::Breached;
        }
        let external = rollout.terms.external_gates.iter().zip(&mut self.external);
        for (gate, found) in external {
            let pauses = gate.on_breach == OnBreach::Pause;
            found.accepted |= pauses && found.verdict == Verdict::Breached;
        }
        self.split.accepted |= self.split.verdict == Verdict::Breached;
    }
}
