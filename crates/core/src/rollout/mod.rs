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
//! The machine moves by three inputs only: [`Rollout::advance`], the leader's tick, which does what is
//! due, one transition at a time; [`Rollout::act`], an operator's wish; and [`Rollout::obey`], what the
//! judge decided. All take the clock, the candidate's readiness and the judge's [`Clearance`] as arguments.
//! `advance` is idempotent: proposed twice, or by two leaders, it moves once, because the second finds
//! nothing due.
//!
//! Weight only ever grows while a rollout runs. Time on a step counts only while the rollout is not
//! paused; a step is left only while every replica of the candidate is available and nothing that was
//! measured speaks against it. The judge is obeyed in every state, pauses included.
//!
//! Deliberately missing: what is measured and what it means ([`crate::rollout::window`], [`crate::rollout::judge`]).

pub mod experiment;
pub mod gate;
pub mod judge;
pub mod sequential;
pub mod sketch;
pub mod traffic;
pub mod window;

use crate::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_HOLD_SECONDS, MAX_ROLLOUT_STEPS};
use crate::rollout::gate::{Gate, check_gates};
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
    /// Requests that the candidate must have answered on this step before it is left.
    pub min_samples: u64,
    /// It is entered only once an operator approves.
    pub requires_approval: bool,
}

impl RolloutStep {
    /// A share that is held for a time, whatever is measured.
    pub fn new(weight_basis_points: u32, hold_seconds: u64) -> Self {
        Self { weight_basis_points, hold_seconds, min_samples: 0, requires_approval: false }
    }
}

/// Requests that the other side of a rollout answers too, for nobody, so that both can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The share of requests, 0..=10,000, before and during the canary.
    pub mirror_basis_points: u32,
    /// How long this is done before the candidate gets any traffic; 0: not at all.
    pub hold_seconds: u64,
    /// Mirrored requests that must have been answered before.
    pub min_samples: u64,
}

/// A hundredth of the requests while the candidate has traffic: enough to see within minutes that lists
/// have nothing in common, and hardly a load.
pub const DEFAULT_SHADOW: Shadow =
    Shadow { mirror_basis_points: 100, hold_seconds: 0, min_samples: 0 };

/// When a step whose gates are content is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// When its time is over.
    #[default]
    Fixed,
    /// As soon as the gates are proven to hold, and at the latest when its time is over.
    Evidence,
}

/// How a rollout is guarded and how fast it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// What the candidate must not make worse.
    pub gates: Vec<Gate>,
    /// What is compared for nobody.
    pub shadow: Shadow,
    /// When steps are left.
    pub pace: Pace,
}

impl Terms {
    /// Time alone decides: no gates, nothing mirrored.
    pub fn unguarded() -> Self {
        let shadow = Shadow { mirror_basis_points: 0, hold_seconds: 0, min_samples: 0 };
        Self { gates: Vec::new(), shadow, pace: Pace::Fixed }
    }
}

/// What the measurements say to leaving the present step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clearance {
    /// Nothing against it once its time is over.
    Clear,
    /// It may be left at once: all gates are proven to hold.
    Proven,
    /// Not yet, and why.
    Wait(String),
}

/// Where a rollout is; see the module's drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// The candidate is being loaded.
    Preparing,
    /// The candidate answers a share of the requests for nobody.
    Shadow,
    /// The candidate has the share of the present step.
    Canary,
    /// An operator, a gate or a step that wants approval holds it where it is.
    Paused,
    /// The candidate is the surface's ensemble now.
    Promoted,
    /// The baseline has all traffic again.
    RolledBack,
    /// Ended before the candidate had any traffic.
    Aborted,
}

impl RolloutState {
    /// All of them.
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

/// What the judge makes of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: time and clearance decide.
    GoOn,
    /// Hold the share until an operator decides, and why.
    Pause(String),
    /// All traffic to the baseline, and why.
    RollBack(String),
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
#[derive(Clone, Debug, PartialEq)]
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
    /// How it is guarded.
    pub terms: Terms,
    /// Where it is.
    pub state: RolloutState,
    /// Where it goes on after a pause: the state before it. Equal to `state` unless paused.
    pub resumes_to: RolloutState,
    /// While paused: the step that waits for an operator's approval.
    pub awaits_approval_of: Option<u32>,
    /// The step that an operator approved last.
    pub approved_step: Option<u32>,
    /// Index into `steps`; none before the first.
    pub step: Option<u32>,
    /// When the step, or the shadow stage, began or was resumed; 0 before.
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
    for (step, given) in steps.iter().enumerate() {
        let &RolloutStep { weight_basis_points: weight, hold_seconds: hold, .. } = given;
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

/// Checks the terms of a rollout.
///
/// # Errors
/// Words that name the field and its bound.
pub fn check_terms(terms: &Terms) -> Result<(), String> {
    let Terms { gates, shadow, pace: _ } = terms;
    check_gates(gates).map_err(|e| e.to_string())?;
    if shadow.mirror_basis_points > FULL_WEIGHT_BASIS_POINTS {
        return Err(format!(
            "shadow.mirror_basis_points: {} is more than {FULL_WEIGHT_BASIS_POINTS}",
            shadow.mirror_basis_points
        ));
    }
    if shadow.hold_seconds > MAX_HOLD_SECONDS {
        return Err(format!(
            "shadow.hold_seconds: {} is more than {MAX_HOLD_SECONDS} (30 days)",
            shadow.hold_seconds
        ));
    }
    if shadow.mirror_basis_points == 0 && (shadow.hold_seconds > 0 || shadow.min_samples > 0) {
        return Err("shadow.mirror_basis_points is 0, so there is nothing to hold for".into());
    }
    Ok(())
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

    /// The share of requests, in 1/10,000, that the other side is to answer too, for nobody.
    pub fn mirror_basis_points(&self) -> u32 {
        match self.resumes_to {
            RolloutState::Shadow | RolloutState::Canary if !self.state.is_over() => {
                self.terms.shadow.mirror_basis_points
            }
            _ => 0,
        }
    }

    /// How long the present step or shadow stage has been held, pauses left out.
    pub fn held_ms_at(&self, now_ms: u64) -> u64 {
        match self.state {
            RolloutState::Shadow | RolloutState::Canary => {
                self.held_ms + now_ms.saturating_sub(self.step_started_at_ms)
            }
            _ => self.held_ms,
        }
    }

    /// Does the one thing that is due at `now_ms`, if any, and says whether something was. `ready`:
    /// every replica that the plan wants of the candidate is available.
    pub fn advance(&mut self, ready: bool, clearance: &Clearance, now_ms: u64) -> bool {
        if !self.is_due(ready, clearance, now_ms) {
            return false;
        }
        let leaves_early = self.held_ms_at(now_ms) < self.hold_ms();
        match (self.state, self.step, self.baseline.is_some()) {
            (_, _, false) => self.finish(
                RolloutState::Promoted,
                now_ms,
                "every shard is available, and there is no baseline to compare with".into(),
            ),
            (RolloutState::Preparing, _, _) if self.terms.shadow.hold_seconds > 0 => {
                self.enter(RolloutState::Shadow, None, now_ms, "every shard is available");
            }
            (RolloutState::Preparing, _, _) => {
                self.enter_step(0, now_ms, "every shard is available");
            }
            (_, None, _) => self.enter_step(0, now_ms, "shadow stage over"),
            (_, Some(step), _) => {
                let why = if leaves_early { "gates proven to hold" } else { "hold over" };
                match (step as usize) + 1 < self.steps.len() {
                    true => self.enter_step(step + 1, now_ms, why),
                    false => {
                        let why = match leaves_early {
                            true => "gates proven to hold on the last step",
                            false => "hold of the last step over",
                        };
                        self.finish(RolloutState::Promoted, now_ms, why.into());
                    }
                }
            }
        }
        true
    }

    /// Whether [`advance`](Self::advance) would do something.
    pub fn is_due(&self, ready: bool, clearance: &Clearance, now_ms: u64) -> bool {
        let held = self.held_ms_at(now_ms) >= self.hold_ms();
        match self.state {
            RolloutState::Preparing => ready,
            RolloutState::Shadow | RolloutState::Canary => {
                ready
                    && match clearance {
                        Clearance::Wait(_) => false,
                        Clearance::Clear => held,
                        Clearance::Proven => held || self.terms.pace == Pace::Evidence,
                    }
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
            (RolloutMove::Pause, _) => self.pause(None, now_ms, because),
            (RolloutMove::Resume, RolloutState::Paused) => {
                self.approved_step = self.awaits_approval_of.take().or(self.approved_step);
                self.state = self.resumes_to;
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
            (RolloutMove::RollBack, _) => self.take_back(now_ms, because),
        }
        Ok(())
    }

    /// Does what the judge decided, in any state, and says whether that changed something.
    pub fn obey(&mut self, decision: &Decision, now_ms: u64) -> bool {
        match decision {
            _ if self.state.is_over() => false,
            Decision::GoOn => false,
            Decision::Pause(_) if self.state == RolloutState::Paused => false,
            Decision::Pause(why) => {
                self.pause(None, now_ms, why.clone());
                true
            }
            Decision::RollBack(why) => {
                self.take_back(now_ms, why.clone());
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

    fn take_back(&mut self, now_ms: u64, reason: String) {
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

    fn present_step(&self) -> Option<&RolloutStep> {
        self.steps.get(self.step? as usize)
    }

    /// Enters a step, or waits for the approval that it wants.
    fn enter_step(&mut self, step: u32, now_ms: u64, reason: &str) {
        let wants_approval =
            self.steps.get(step as usize).is_some_and(|step| step.requires_approval);
        if wants_approval && self.approved_step != Some(step) {
            let reason = format!("{reason}; step {step} wants approval");
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
