//! The gray release of a candidate ensemble on a surface: a pure state machine.
//!
//! ```text
//! PREPARING ──ready──▶ CANARY(0) ──hold over──▶ CANARY(1) … ──hold over──▶ PROMOTED
//!     │  ▲                │  ▲                                               ▲
//!     │  └────resume──────┤  │ pause / resume                                │ promote
//!     │                PAUSED(at step) ──────────────────────────────────────┤
//!     ▼ roll back         │                                                  │
//! ABORTED (no traffic)    └──roll back──▶ ROLLED_BACK      CANARY(i) ────────┘
//! ```
//!
//! The machine moves by two inputs only: [`Rollout::advance`], the leader's tick, which does what is
//! due, one transition at a time; and [`Rollout::act`], an operator's wish. Both take the clock
//! and the candidate's readiness as arguments. `advance` is idempotent: proposed twice, or by two
//! leaders, it moves once, because the second finds nothing due.
//!
//! Weight only ever grows while a rollout runs. Time on a step counts only while the rollout is not
//! paused; a step is left only while every replica of the candidate is available.
//!
//! Deliberately missing: judging. Gates on telemetry will be one more input.

use crate::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_HOLD_SECONDS, MAX_ROLLOUT_STEPS};
use std::fmt;

/// Events that a rollout remembers; pauses beyond that push out the oldest.
pub const MAX_HISTORY: usize = 256;

/// One share of traffic and how long it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloutStep {
    /// The candidate's share, 1..=10,000.
    pub weight_basis_points: u32,
    /// How long it is held, at most 30 days.
    pub hold_seconds: u64,
}

/// Where a rollout is; see the module's drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// The candidate is being loaded.
    Preparing,
    /// The candidate has the share of the present step.
    Canary,
    /// An operator holds it where it is.
    Paused,
    /// The candidate is the surface's ensemble now.
    Promoted,
    /// The baseline has all traffic again.
    RolledBack,
    /// Ended before the candidate had any traffic.
    Aborted,
}

impl RolloutState {
    /// Whether nothing more can happen.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Promoted | Self::RolledBack | Self::Aborted)
    }
}

impl fmt::Display for RolloutState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preparing => "PREPARING",
            Self::Canary => "CANARY",
            Self::Paused => "PAUSED",
            Self::Promoted => "PROMOTED",
            Self::RolledBack => "ROLLED_BACK",
            Self::Aborted => "ABORTED",
        })
    }
}

/// What an operator may ask of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutMove {
    /// Hold the share.
    Pause,
    /// Go on after a pause.
    Resume,
    /// All traffic to the candidate now.
    Promote,
    /// All traffic to the baseline now.
    RollBack,
}

impl fmt::Display for RolloutMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::RollBack => "roll back",
        })
    }
}

/// Something that happened to a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutEvent {
    /// When, by the proposer's clock.
    pub at_ms: u64,
    /// The state it led to.
    pub state: RolloutState,
    /// The step it led to; none before the first.
    pub step: Option<u32>,
    /// The share it led to.
    pub weight_basis_points: u32,
    /// What made it happen.
    pub reason: String,
}

/// One gray release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Unique; it salts the users' buckets, so successive rollouts begin with different users.
    pub id: String,
    /// Where traffic moves.
    pub surface: String,
    /// The ensemble it moves from; none on a surface's first rollout.
    pub baseline: Option<String>,
    /// The ensemble it moves to.
    pub candidate: String,
    /// Shares, growing.
    pub steps: Vec<RolloutStep>,
    /// Where it is.
    pub state: RolloutState,
    /// Index into `steps`; none before the first.
    pub step: Option<u32>,
    /// When the step began or was resumed; 0 before the first.
    pub step_started_at_ms: u64,
    /// How long the step was held before `step_started_at_ms`.
    pub held_ms: u64,
    /// When it was started.
    pub started_at_ms: u64,
    /// When it was over; 0 while it runs.
    pub finished_at_ms: u64,
    /// What happened, oldest first, at most [`MAX_HISTORY`].
    pub history: Vec<RolloutEvent>,
}

/// Why steps are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepsError {
    /// None, or too many.
    #[error(
        "steps: {count} given: a rollout has 1 to {MAX_ROLLOUT_STEPS} steps, such as 100 basis points for 60 s"
    )]
    Count {
        /// How many were given.
        count: usize,
    },
    /// Out of bounds, or not growing.
    #[error(
        "steps[{step}].weight_basis_points: {weight} is not above the step before and at most {FULL_WEIGHT_BASIS_POINTS}"
    )]
    Weight {
        /// Which step.
        step: usize,
        /// What it has.
        weight: u32,
    },
    /// Too long.
    #[error("steps[{step}].hold_seconds: {hold} is more than {MAX_HOLD_SECONDS} (30 days)")]
    Hold {
        /// Which step.
        step: usize,
        /// What it has.
        hold: u64,
    },
}

/// Checks the steps of a rollout that has a baseline to compare with.
pub fn check_steps(steps: &[RolloutStep]) -> Result<(), StepsError> {
    if steps.is_empty() || steps.len() > MAX_ROLLOUT_STEPS {
        return Err(StepsError::Count { count: steps.len() });
    }
    let mut before = 0;
    for (step, &RolloutStep { weight_basis_points: weight, hold_seconds: hold }) in
        steps.iter().enumerate()
    {
        if weight <= before || weight > FULL_WEIGHT_BASIS_POINTS {
            return Err(StepsError::Weight { step, weight });
        }
        if hold > MAX_HOLD_SECONDS {
            return Err(StepsError::Hold { step, hold });
        }
        before = weight;
    }
    Ok(())
}

impl Rollout {
    /// A rollout in PREPARING. The caller has checked names and steps.
    pub fn start(
        id: String,
        surface: String,
        baseline: Option<String>,
        candidate: String,
        steps: Vec<RolloutStep>,
        now_ms: u64,
    ) -> Self {
        let mut rollout = Self {
            id,
            surface,
            baseline,
            candidate,
            steps,
            state: RolloutState::Preparing,
            step: None,
            step_started_at_ms: 0,
            held_ms: 0,
            started_at_ms: now_ms,
            finished_at_ms: 0,
            history: Vec::new(),
        };
        rollout.record(now_ms, "started".into());
        rollout
    }

    /// The candidate's share now, in 1/10,000.
    pub fn weight_basis_points(&self) -> u32 {
        match self.state {
            RolloutState::Promoted => FULL_WEIGHT_BASIS_POINTS,
            RolloutState::RolledBack | RolloutState::Aborted => 0,
            RolloutState::Preparing | RolloutState::Canary | RolloutState::Paused => {
                self.present_step().map_or(0, |step| step.weight_basis_points)
            }
        }
    }

    /// How long the present step has been held, pauses left out.
    pub fn held_ms_at(&self, now_ms: u64) -> u64 {
        match self.state {
            RolloutState::Canary => self.held_ms + now_ms.saturating_sub(self.step_started_at_ms),
            _ => self.held_ms,
        }
    }

    /// Does the one thing that is due at `now_ms`, if any, and says whether something was. `ready`:
    /// every replica that the plan wants of the candidate is available.
    pub fn advance(&mut self, ready: bool, now_ms: u64) -> bool {
        if !self.is_due(ready, now_ms) {
            return false;
        }
        match (self.step, self.baseline.is_some()) {
            (None, false) => self.finish(
                RolloutState::Promoted,
                now_ms,
                "every shard is available, and there is no baseline to compare with".into(),
            ),
            (None, true) => self.enter_step(0, now_ms, "every shard is available"),
            (Some(step), _) if (step as usize) + 1 < self.steps.len() => {
                self.enter_step(step + 1, now_ms, "hold over");
            }
            (Some(_), _) => {
                self.finish(RolloutState::Promoted, now_ms, "hold of the last step over".into());
            }
        }
        true
    }

    /// Whether [`advance`](Self::advance) would do something.
    pub fn is_due(&self, ready: bool, now_ms: u64) -> bool {
        match self.state {
            RolloutState::Preparing => ready,
            RolloutState::Canary => {
                let hold = self.present_step().map_or(0, |step| step.hold_seconds);
                ready && self.held_ms_at(now_ms) >= hold.saturating_mul(1_000)
            }
            RolloutState::Paused
            | RolloutState::Promoted
            | RolloutState::RolledBack
            | RolloutState::Aborted => false,
        }
    }

    /// Does what an operator asks, or says why the state does not allow it. `missing`: what the
    /// candidate is not ready for, if anything.
    pub fn act(
        &mut self,
        wish: RolloutMove,
        reason: &str,
        missing: Option<&str>,
        now_ms: u64,
    ) -> Result<(), String> {
        let because = match reason {
            "" => format!("operator: {wish}"),
            reason => format!("operator: {wish}: {reason}"),
        };
        match (wish, self.state) {
            (_, state) if state.is_over() => {
                return Err(format!("rollout {} is over ({state}): start a new one", self.id));
            }
            (RolloutMove::Pause, RolloutState::Paused) => {
                return Err(format!("rollout {} is paused already", self.id));
            }
            (RolloutMove::Pause, _) => {
                self.held_ms = self.held_ms_at(now_ms);
                self.state = RolloutState::Paused;
                self.record(now_ms, because);
            }
            (RolloutMove::Resume, RolloutState::Paused) => {
                self.state = match self.step {
                    None => RolloutState::Preparing,
                    Some(_) => RolloutState::Canary,
                };
                self.step_started_at_ms = now_ms;
                self.record(now_ms, because);
            }
            (RolloutMove::Resume, state) => {
                return Err(format!("rollout {} is not paused but {state}", self.id));
            }
            (RolloutMove::Promote, _) => {
                if let Some(missing) = missing {
                    return Err(format!(
                        "rollout {} cannot be promoted: {missing}: its users would get no answers",
                        self.id
                    ));
                }
                self.finish(RolloutState::Promoted, now_ms, because);
            }
            (RolloutMove::RollBack, _) => {
                let over = match self.step {
                    None => RolloutState::Aborted,
                    Some(_) => RolloutState::RolledBack,
                };
                self.finish(over, now_ms, because);
            }
        }
        Ok(())
    }

    fn present_step(&self) -> Option<&RolloutStep> {
        self.steps.get(self.step? as usize)
    }

    fn enter_step(&mut self, step: u32, now_ms: u64, reason: &str) {
        self.state = RolloutState::Canary;
        self.step = Some(step);
        self.step_started_at_ms = now_ms;
        self.held_ms = 0;
        self.record(now_ms, reason.into());
    }

    fn finish(&mut self, state: RolloutState, now_ms: u64, reason: String) {
        self.held_ms = self.held_ms_at(now_ms);
        self.state = state;
        self.finished_at_ms = now_ms;
        self.record(now_ms, reason);
    }

    fn record(&mut self, at_ms: u64, reason: String) {
        if self.history.len() == MAX_HISTORY {
            self.history.remove(0);
        }
        self.history.push(RolloutEvent {
            at_ms,
            state: self.state,
            step: self.step,
            weight_basis_points: self.weight_basis_points(),
            reason,
        });
    }
}
