//! What a leader keeps and decides, without a clock, a socket or a thread.

use crate::roster::{ReportNews, Roster};
use crate::windows::{Measured, Windows};
use marquee_core::command::{Action, Command, due};
use marquee_core::plan::{AnswerSecret, Plan};
use marquee_core::rollout::experiment::ExperimentState;
use marquee_core::rollout::judge::{AllEvidence, Evidence, judge_rollout};
use marquee_core::rollout::window::{Scope, Window};

/// The soft state of a leader: which nodes have reported, and what was measured. Times are in ms of a clock that does not
/// jump; `wall_ms` is in ms since the Unix epoch.
#[derive(Debug, Default)]
pub struct LeaderDuties {
    roster: Roster,
    windows: Windows,
}

impl LeaderDuties {
    /// This voter leads in `term`. What was kept of another term is forgotten.
    pub fn lead(&mut self, term: u64) {
        self.roster.lead(term);
        self.windows.lead(term);
    }

    /// This voter does not lead.
    pub fn retire(&mut self) {
        self.roster.retire();
        self.windows.retire();
    }

    /// A node has reported: whether that would change the plan.
    pub fn take_report(&mut self, plan: &Plan, report: &Command, now_ms: u64) -> ReportNews {
        self.roster.add_report(plan, report, now_ms)
    }

    /// Adds what a router has measured, at this share of the last arm.
    pub fn observe(
        &mut self,
        plan: &Plan,
        (scope, weight_basis_points): &(Scope, u32),
        window: &Window,
        now_ms: u64,
    ) {
        self.windows.add(plan, scope, *weight_basis_points, window, now_ms);
    }

    /// Takes what is to be judged now, one window of each trial at most.
    pub fn take_due_windows(&mut self, now_ms: u64) -> Vec<(Measured, Window)> {
        self.windows.take_due(now_ms)
    }

    /// Keeps a window whose judgement could not be committed.
    pub fn keep_window(&mut self, measured: Measured, window: &Window, now_ms: u64) {
        self.windows.keep(measured, window, now_ms);
    }

    /// The action that records what answers were like, once a window is over.
    pub fn take_traffic(&mut self, now_ms: u64, wall_ms: u64) -> Option<Action> {
        let surfaces = self.windows.traffic(now_ms, wall_ms)?;
        Some(Action::RecordTraffic { surfaces })
    }

    /// What is to be proposed now, in this order. `draw_secret` gives a new secret where a key is due; none where the system
    /// has no randomness, which is tried again.
    pub fn due(
        &mut self,
        plan: &Plan,
        evidence: &AllEvidence,
        now_ms: u64,
        wall_ms: u64,
        draw_secret: impl Fn() -> Option<AnswerSecret>,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        for node_id in self.roster.unreported_nodes(plan, now_ms) {
            tracing::warn!(node_id, "a node does not report");
            actions.push(Action::SetNodeAlive { node_id, alive: false });
        }
        actions.extend(due(plan, evidence, wall_ms));
        if plan.answer_keys.is_due(wall_ms)
            && let Some(secret) = draw_secret()
        {
            actions.push(Action::AddAnswerKey { secret });
        }
        if plan.privacy.is_due(wall_ms)
            && let Some(secret) = draw_secret()
        {
            actions.push(Action::AddUserKey { secret });
        }
        actions
    }
}

/// The action that adds a window to the evidence; none where its trial is over.
pub fn judgement(
    plan: &Plan,
    known: Option<&Evidence>,
    (trial, weight_basis_points): &Measured,
    window: &Window,
) -> Option<Action> {
    let nothing = Evidence::default();
    let known = known.unwrap_or(&nothing);
    let (number, window) = (known.windows + 1, Box::new(window.clone()));
    if let Some(rollout) = plan.rollout(trial).filter(|rollout| !rollout.state.is_over()) {
        let judgement = Box::new(judge_rollout(rollout, known, *weight_basis_points, &window));
        return Some(Action::JudgeRollout {
            rollout_id: trial.clone(),
            number,
            weight_basis_points: *weight_basis_points,
            window,
            judgement,
        });
    }
    let experiment = plan.experiment(trial)?;
    if experiment.state != ExperimentState::Running {
        return None;
    }
    let experiment_id = trial.clone();
    Some(Action::ObserveExperiment { experiment_id, number, window })
}
