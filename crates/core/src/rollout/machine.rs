//! The gray release of a candidate ensemble on a surface: a pure state machine.
//!
//! ```text
//! PREPARING ──ready──▶ SHADOW ──hold over──▶ CANARY(0) ──hold over──▶ CANARY(1) … ──▶ PROMOTED
//!     │  ▲   (if asked for)  │                 │  ▲                                     ▲
//!     │  └──────resume───────┴─────────────────┤  │ pause, approval / resume            │ promote
//!     │                                     PAUSED ─────────────────────────────────────┤
//!     ▼ roll back                              │                                        │
//! ABORTED (no traffic)          roll back ──▶ ROLLED_BACK                   CANARY(i) ──┘
//! ```
//!
//! The machine moves by three inputs only: [`Rollout::advance`], the leader's tick, which does what is due,
//! one transition at a time; [`Rollout::apply_move`], what an operator asks for; and
//! [`Rollout::apply_decision`], what the judge decided. All take the clock, the candidate's readiness and the
//! judge's [`Clearance`] as arguments. `advance` is idempotent: proposed twice, or by two leaders, it moves
//! once, because the second finds nothing due.
//!
//! Weight only ever grows while a rollout runs. Time on a step counts only while the rollout is not paused; a
//! step is left only while every replica of the candidate is available and nothing that was measured speaks
//! against it. The judge is obeyed in every state, pauses included.
//!
//! Deliberately missing: what is measured and what it means ([`crate::rollout::window`],
//! [`crate::rollout::judge`]).

use super::terms::{Pace, RolloutStep, Terms};
use crate::bounds::FULL_WEIGHT_BASIS_POINTS;
use std::fmt;

/// Events that a rollout remembers. Beyond that the oldest are forgotten.
pub const MAX_HISTORY: usize = 256;

/// Whether the measurements allow the present step to be left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clearance {
    /// The step may be left once its time is over.
    Clear,
    /// The step may be left at once: all gates are proven to hold.
    Proven,
    /// The step may not be left yet, for this reason.
    Wait(String),
}

/// Where a rollout is; the module has a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// The candidate is being loaded.
    Preparing,
    /// The candidate answers a share of the requests, and its answers are only compared.
    Shadow,
    /// The candidate has the share of the present step.
    Canary,
    /// The share is held by an operator, a gate, or a step that requires approval.
    Paused,
    /// The candidate is the surface's ensemble now.
    Promoted,
    /// The baseline has all traffic again.
    RolledBack,
    /// The rollout ended before the candidate had any traffic.
    Aborted,
}

impl RolloutState {
    /// Every state, in order.
    pub const ALL: [Self; 7] = [
        Self::Preparing,
        Self::Shadow,
        Self::Canary,
        Self::Paused,
        Self::Promoted,
        Self::RolledBack,
        Self::Aborted,
    ];

    /// Whether nothing more can happen.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Promoted | Self::RolledBack | Self::Aborted)
    }
}

impl fmt::Display for RolloutState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preparing => "PREPARING",
            Self::Shadow => "SHADOW",
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
    /// Hold the share where it is.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Give the candidate all traffic now.
    Promote,
    /// Give the baseline all traffic now.
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

/// Why a rollout cannot do what an operator asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RolloutMoveError {
    /// Nothing more can happen to it.
    #[error("rollout {rollout_id} is over ({state}): start a new one")]
    Over {
        /// The rollout's id.
        rollout_id: String,
        /// How it ended.
        state: RolloutState,
    },
    /// It cannot be paused twice.
    #[error("rollout {rollout_id} is paused already")]
    AlreadyPaused {
        /// The rollout's id.
        rollout_id: String,
    },
    /// Only a paused one can be resumed.
    #[error("rollout {rollout_id} is not paused but {state}")]
    NotPaused {
        /// The rollout's id.
        rollout_id: String,
        /// Where it is.
        state: RolloutState,
    },
    /// Its candidate is not loaded everywhere.
    #[error("rollout {rollout_id} cannot be promoted: {missing}: its users would get no answers")]
    NotReady {
        /// The rollout's id.
        rollout_id: String,
        /// What is missing, in words.
        missing: String,
    },
}

/// What the judge decides after a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Change nothing: time and clearance decide.
    Continue,
    /// Hold the share until an operator decides, for this reason.
    Pause(String),
    /// Give the baseline all traffic, for this reason.
    RollBack(String),
}

/// One entry of a rollout's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutEvent {
    /// When it happened, by the proposer's clock, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The state that it led to.
    pub state: RolloutState,
    /// The step that it led to; none before the first.
    pub step: Option<u32>,
    /// The candidate's share that it led to, in 1/10,000.
    pub weight_basis_points: u32,
    /// What made it happen.
    pub reason: String,
}

/// One gray release.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// A unique id. It salts the users' buckets, so successive rollouts begin with different users.
    pub id: String,
    /// The surface whose traffic moves.
    pub surface: String,
    /// The ensemble that traffic moves from; none on a surface's first rollout.
    pub baseline: Option<String>,
    /// The ensemble that traffic moves to.
    pub candidate: String,
    /// The steps, by growing share.
    pub steps: Vec<RolloutStep>,
    /// How it is guarded, and how fast it goes.
    pub terms: Terms,
    /// Where it is.
    pub state: RolloutState,
    /// Where it goes on after a pause: the state before it. Equal to `state` unless paused.
    pub resumes_to: RolloutState,
    /// While paused: the step that waits for an operator's approval.
    pub awaits_approval_of: Option<u32>,
    /// The step that an operator approved last.
    pub approved_step: Option<u32>,
    /// The present step, an index into `steps`; none before the first.
    pub step: Option<u32>,
    /// When the step, or the shadow stage, began or was resumed, in ms since the Unix epoch; 0 before.
    pub step_started_at_ms: u64,
    /// How long the step was held before `step_started_at_ms`, in ms.
    pub held_ms: u64,
    /// When the rollout was started, in ms since the Unix epoch.
    pub started_at_ms: u64,
    /// When it was over, in ms since the Unix epoch; 0 while it runs.
    pub finished_at_ms: u64,
    /// What happened, oldest first, at most [`MAX_HISTORY`].
    pub history: Vec<RolloutEvent>,
}

impl Rollout {
    /// A rollout in PREPARING. The caller has checked names, steps and terms.
    pub fn start(
        id: String,
        surface: String,
        baseline: Option<String>,
        candidate: String,
        steps: Vec<RolloutStep>,
        terms: Terms,
        now_ms: u64,
    ) -> Self {
        let mut rollout = Self {
            id,
            surface,
            baseline,
            candidate,
            steps,
            terms,
            state: RolloutState::Preparing,
            resumes_to: RolloutState::Preparing,
            awaits_approval_of: None,
            approved_step: None,
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
            RolloutState::Preparing
            | RolloutState::Shadow
            | RolloutState::Canary
            | RolloutState::Paused => {
                self.present_step().map_or(0, |step| step.weight_basis_points)
            }
        }
    }

    /// The share of requests that are mirrored now, in 1/10,000: the other variant answers them too.
    pub fn mirror_basis_points(&self) -> u32 {
        match self.resumes_to {
            RolloutState::Shadow | RolloutState::Canary if !self.state.is_over() => {
                self.terms.shadow.mirror_basis_points
            }
            _ => 0,
        }
    }

    /// How long the present step or shadow stage has been held, in ms, pauses left out.
    pub fn held_ms_at(&self, now_ms: u64) -> u64 {
        match self.state {
            RolloutState::Shadow | RolloutState::Canary => {
                self.held_ms + now_ms.saturating_sub(self.step_started_at_ms)
            }
            _ => self.held_ms,
        }
    }

    /// Does the one thing that is due at `now_ms`, if any, and says whether something was. `is_ready`: every
    /// replica that the plan wants of the candidate is available.
    pub fn advance(&mut self, is_ready: bool, clearance: &Clearance, now_ms: u64) -> bool {
        if !self.is_due(is_ready, clearance, now_ms) {
            return false;
        }
        const READY: &str = "every shard is available";
        if self.baseline.is_none() {
            let why = format!("{READY}, and there is no baseline to compare with");
            self.finish(RolloutState::Promoted, now_ms, why);
            return true;
        }
        match (self.state, self.step) {
            (RolloutState::Preparing, _) if self.terms.shadow.hold_seconds > 0 => {
                self.enter(RolloutState::Shadow, None, now_ms, READY);
            }
            (RolloutState::Preparing, _) => self.enter_step(0, now_ms, READY),
            (_, None) => self.enter_step(0, now_ms, "shadow stage over"),
            (_, Some(step)) => self.leave_step(step, now_ms),
        }
        true
    }

    /// Enters the step after `step`, or promotes the candidate after the last one.
    fn leave_step(&mut self, step: u32, now_ms: u64) {
        let leaves_early = self.held_ms_at(now_ms) < self.hold_ms();
        let is_last = (step as usize) + 1 >= self.steps.len();
        let why = match (leaves_early, is_last) {
            (true, false) => "gates proven to hold",
            (false, false) => "hold over",
            (true, true) => "gates proven to hold on the final step",
            (false, true) => "hold of the final step over",
        };
        if is_last {
            self.finish(RolloutState::Promoted, now_ms, why.into());
        } else {
            self.enter_step(step + 1, now_ms, why);
        }
    }

    /// Whether [`advance`](Self::advance) would do something.
    pub fn is_due(&self, is_ready: bool, clearance: &Clearance, now_ms: u64) -> bool {
        let hold_is_over = self.held_ms_at(now_ms) >= self.hold_ms();
        let is_cleared = match clearance {
            Clearance::Wait(_) => false,
            Clearance::Clear => hold_is_over,
            Clearance::Proven => hold_is_over || self.terms.pace == Pace::Evidence,
        };
        match self.state {
            RolloutState::Preparing => is_ready,
            RolloutState::Shadow | RolloutState::Canary => is_ready && is_cleared,
            RolloutState::Paused
            | RolloutState::Promoted
            | RolloutState::RolledBack
            | RolloutState::Aborted => false,
        }
    }

    /// Does what an operator asks. `missing`: what the candidate is not ready for, in words, if anything.
    ///
    /// # Errors
    /// The state does not allow the move, or the candidate is not ready to be promoted.
    pub fn apply_move(
        &mut self,
        requested: RolloutMove,
        reason: &str,
        missing: Option<&str>,
        now_ms: u64,
    ) -> Result<(), RolloutMoveError> {
        let rollout_id = self.id.clone();
        let why = match reason {
            "" => format!("operator: {requested}"),
            reason => format!("operator: {requested}: {reason}"),
        };
        match (requested, self.state) {
            (_, state) if state.is_over() => {
                return Err(RolloutMoveError::Over { rollout_id, state });
            }
            (RolloutMove::Pause, RolloutState::Paused) => {
                return Err(RolloutMoveError::AlreadyPaused { rollout_id });
            }
            (RolloutMove::Pause, _) => self.pause(None, now_ms, why),
            (RolloutMove::Resume, RolloutState::Paused) => self.resume(now_ms, why),
            (RolloutMove::Resume, state) => {
                return Err(RolloutMoveError::NotPaused { rollout_id, state });
            }
            (RolloutMove::Promote, _) => match missing {
                Some(missing) => {
                    return Err(RolloutMoveError::NotReady { rollout_id, missing: missing.into() });
                }
                None => self.finish(RolloutState::Promoted, now_ms, why),
            },
            (RolloutMove::RollBack, _) => self.roll_back(now_ms, why),
        }
        Ok(())
    }

    /// Does what the judge decided, in any state, and says whether that changed something.
    pub fn apply_decision(&mut self, decision: &Decision, now_ms: u64) -> bool {
        match decision {
            _ if self.state.is_over() => false,
            Decision::Continue => false,
            Decision::Pause(_) if self.state == RolloutState::Paused => false,
            Decision::Pause(why) => {
                self.pause(None, now_ms, why.clone());
                true
            }
            Decision::RollBack(why) => {
                self.roll_back(now_ms, why.clone());
                true
            }
        }
    }

    fn hold_ms(&self) -> u64 {
        let seconds = match self.step {
            None => self.terms.shadow.hold_seconds,
            Some(_) => self.present_step().map_or(0, |step| step.hold_seconds),
        };
        seconds.saturating_mul(1_000)
    }

    /// Gives the baseline all traffic: ABORTED before the first step, ROLLED_BACK after.
    fn roll_back(&mut self, now_ms: u64, reason: String) {
        let over = match self.step {
            None => RolloutState::Aborted,
            Some(_) => RolloutState::RolledBack,
        };
        self.finish(over, now_ms, reason);
    }

    fn pause(&mut self, awaits_approval_of: Option<u32>, now_ms: u64, reason: String) {
        self.held_ms = self.held_ms_at(now_ms);
        self.resumes_to = self.state;
        self.state = RolloutState::Paused;
        self.awaits_approval_of = awaits_approval_of;
        self.record(now_ms, reason);
    }

    fn resume(&mut self, now_ms: u64, reason: String) {
        self.approved_step = self.awaits_approval_of.take().or(self.approved_step);
        self.state = self.resumes_to;
        self.step_started_at_ms = now_ms;
        self.record(now_ms, reason);
    }

    fn present_step(&self) -> Option<&RolloutStep> {
        self.steps.get(self.step? as usize)
    }

    /// Enters a step, or waits for the approval that it requires.
    fn enter_step(&mut self, step: u32, now_ms: u64, reason: &str) {
        let requires_approval =
            self.steps.get(step as usize).is_some_and(|step| step.requires_approval);
        if requires_approval && self.approved_step != Some(step) {
            let reason = format!("{reason}; step {step} requires approval");
            return self.pause(Some(step), now_ms, reason);
        }
        self.enter(RolloutState::Canary, Some(step), now_ms, reason);
    }

    fn enter(&mut self, state: RolloutState, step: Option<u32>, now_ms: u64, reason: &str) {
        (self.state, self.resumes_to, self.step) = (state, state, step);
        self.step_started_at_ms = now_ms;
        self.held_ms = 0;
        self.record(now_ms, reason.into());
    }

    fn finish(&mut self, state: RolloutState, now_ms: u64, reason: String) {
        self.held_ms = self.held_ms_at(now_ms);
        (self.state, self.resumes_to) = (state, state);
        self.awaits_approval_of = None;
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
