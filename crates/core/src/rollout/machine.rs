//! The gray release of a candidate ensemble on a surface: a pure state machine.
//!
//! ```text
//! PREPARING ──ready──▶ SHADOW ──hold over──▶ CANARY(0) ──hold over──▶ CANARY(1) … ──▶ HOLDOUT ──▶ WATCHING ──▶ PROMOTED
//!     │  ▲   (if asked for)  │                 │  ▲                    │ (if asked for)    │ (if asked for)
//!     │  └──────resume───────┴─────────────────┤  │ pause, approval /  │ undo              │ undo
//!     │                                     PAUSED ── resume          │                   │
//!     ▼ too late, roll back                    │                      ▼                   │
//! ABORTED (no traffic)          roll back ──▶ ROLLED_BACK ◀────────────────────────────────┘
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
//! Between SHADOW and CANARY(0) there may be INTERLEAVE: some users' answers are made of both variants' lists. Nobody has
//! the candidate alone then, but who has seen its items has met it: to roll back from there is ROLLED_BACK.
//!
//! A candidate is promoted after its last step, or when an operator says so. If its [`Safety`] says so, the
//! rollout goes on all the same: in HOLDOUT, some users stay with the baseline, which is a further step as far as
//! measurements are concerned; in WATCHING, nobody does. In both the baseline stays loaded, so that to undo the promotion
//! is one transition. The watch is counted from the promotion: the holdout is part of it.
//!
//! Deliberately missing: what is measured and what it means ([`crate::rollout::window`],
//! [`crate::rollout::judge`]).

use super::listed::ListedUsers;
use super::mirroring::{MAX_ADAPTED_BASIS_POINTS, MirrorProgress, mirror_multiple};
use super::terms::{InterleaveStage, Pace, RolloutStep, Safety, Terms};
use crate::bounds::FULL_WEIGHT_BASIS_POINTS;
use crate::planted::{PlantedBug, is_planted};
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
    /// An external gate does not pass, for this reason: no stage ends, not even those after the promotion.
    Unsettled(String),
}

/// Where a rollout is; the module has a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// The candidate is being loaded.
    Preparing,
    /// The candidate answers a share of the requests, and its answers are only compared.
    Shadow,
    /// The answers to some users are made of both variants' lists.
    Interleave,
    /// The candidate has the share of the present step.
    Canary,
    /// The share is held by an operator, a gate, or a step that requires approval.
    Paused,
    /// The candidate was promoted and has all users but those who are held out.
    Holdout,
    /// The candidate was promoted and has all users; the baseline is still loaded.
    Watching,
    /// The candidate is the surface's ensemble now.
    Promoted,
    /// The baseline has all traffic again.
    RolledBack,
    /// The rollout ended before the candidate had any traffic.
    Aborted,
}

impl RolloutState {
    /// Every state, in order.
    pub const ALL: [Self; 10] = [
        Self::Preparing,
        Self::Shadow,
        Self::Interleave,
        Self::Canary,
        Self::Paused,
        Self::Holdout,
        Self::Watching,
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
            Self::Interleave => "INTERLEAVE",
            Self::Canary => "CANARY",
            Self::Paused => "PAUSED",
            Self::Holdout => "HOLDOUT",
            Self::Watching => "WATCHING",
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
    /// Give the baseline all traffic again, after the promotion.
    Undo,
    /// Give the candidate the users who are held out.
    EndHoldout,
    /// Let the baseline be unloaded before the watch is over.
    EndWatch,
}

impl RolloutMove {
    /// Every move, in order.
    pub const ALL: [Self; 7] = [
        Self::Pause,
        Self::Resume,
        Self::Promote,
        Self::RollBack,
        Self::Undo,
        Self::EndHoldout,
        Self::EndWatch,
    ];
}

impl fmt::Display for RolloutMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::RollBack => "roll back",
            Self::Undo => "undo",
            Self::EndHoldout => "end holdout",
            Self::EndWatch => "end watch",
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
    /// It is promoted, and only its holdout or its watch is left.
    #[error(
        "rollout {rollout_id} is promoted already ({state}): end its holdout or its watch, or undo it"
    )]
    AlreadyPromoted {
        /// The rollout's id.
        rollout_id: String,
        /// Where it is.
        state: RolloutState,
    },
    /// There is no promotion to undo yet.
    #[error("rollout {rollout_id} is not promoted but {state}: roll it back")]
    NotPromoted {
        /// The rollout's id.
        rollout_id: String,
        /// Where it is.
        state: RolloutState,
    },
    /// The old version need not be loaded any more.
    #[error(
        "rollout {rollout_id} is over (PROMOTED), and {baseline} may be unloaded: start a rollout back, \
         `marquee ctl rollout start --surface {surface} --candidate {baseline} --steps 100%:0s`"
    )]
    TooLateToUndo {
        /// The rollout's id.
        rollout_id: String,
        /// The surface that it ran on.
        surface: String,
        /// What was live before.
        baseline: String,
    },
    /// No users are held out.
    #[error("rollout {rollout_id} holds no users out: it is {state}")]
    NoHoldout {
        /// The rollout's id.
        rollout_id: String,
        /// Where it is.
        state: RolloutState,
    },
    /// The promoted candidate is not being watched, or not yet alone.
    #[error("rollout {rollout_id} is not in its watch but {state}")]
    NotWatched {
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
    /// The present step, an index into `steps`; none before the first. The holdout is the one after the last, and
    /// the watch the one after that.
    pub step: Option<u32>,
    /// When the step, or the stage, began or was resumed, in ms since the Unix epoch.
    pub step_started_at_ms: u64,
    /// How long the step or stage was held before `step_started_at_ms`, in ms. In the watch, the time of the holdout
    /// is counted too.
    pub held_ms: u64,
    /// How many times the share of its terms is mirrored, because there is little traffic; 1 where it is enough.
    pub mirror_multiple: u32,
    /// When the rollout was started, in ms since the Unix epoch.
    pub started_at_ms: u64,
    /// When it was over, in ms since the Unix epoch; 0 while it runs.
    pub finished_at_ms: u64,
    /// What happened, oldest first, at most [`MAX_HISTORY`].
    pub history: Vec<RolloutEvent>,
    /// How many events there were, forgotten ones too: the last one's number.
    pub transitions: u64,
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
            step_started_at_ms: now_ms,
            held_ms: 0,
            mirror_multiple: 1,
            started_at_ms: now_ms,
            finished_at_ms: 0,
            history: Vec::new(),
            transitions: 0,
        };
        rollout.record(now_ms, "started".into());
        rollout
    }

    /// The candidate's share now, in 1/10,000.
    pub fn weight_basis_points(&self) -> u32 {
        match self.resumes_to {
            RolloutState::Canary => self.present_step().map_or(0, |step| step.weight_basis_points),
            RolloutState::Holdout => self.terms.safety.weight_in_holdout(),
            RolloutState::Watching | RolloutState::Promoted => FULL_WEIGHT_BASIS_POINTS,
            RolloutState::Preparing
            | RolloutState::Shadow
            | RolloutState::Interleave
            | RolloutState::Paused
            | RolloutState::RolledBack
            | RolloutState::Aborted => 0,
        }
    }

    /// The stage of interleaved answers, while it is on.
    pub fn interleaves(&self) -> Option<InterleaveStage> {
        self.terms.interleave.filter(|_| self.resumes_to == RolloutState::Interleave)
    }

    /// Whether the candidate may have had this share, in 1/10,000: it is that of no step, of a step, or one after the
    /// promotion.
    pub fn may_have_had_weight(&self, weight_basis_points: u32) -> bool {
        let after = [self.terms.safety.weight_in_holdout(), FULL_WEIGHT_BASIS_POINTS];
        let mut of_steps = self.steps.iter().map(|step| step.weight_basis_points);
        weight_basis_points == 0
            || of_steps.any(|weight| weight == weight_basis_points)
            || (self.may_be_undone() && after.contains(&weight_basis_points))
    }

    /// The share of requests that are mirrored now, in 1/10,000: the other variant answers them too.
    pub fn mirror_basis_points(&self) -> u32 {
        match self.resumes_to {
            RolloutState::Shadow
            | RolloutState::Interleave
            | RolloutState::Canary
            | RolloutState::Holdout => {
                let asked = self.terms.shadow.mirror_basis_points;
                let adapted = asked.saturating_mul(self.mirror_multiple);
                adapted.min(MAX_ADAPTED_BASIS_POINTS).max(asked)
            }
            RolloutState::Preparing
            | RolloutState::Paused
            | RolloutState::Watching
            | RolloutState::Promoted
            | RolloutState::RolledBack
            | RolloutState::Aborted => 0,
        }
    }

    /// Whether the candidate was promoted, and the rollout goes on: it may be undone.
    pub fn may_be_undone(&self) -> bool {
        matches!(self.resumes_to, RolloutState::Holdout | RolloutState::Watching)
    }

    /// Whether the candidate is loaded and answers: that a request asks for one variant makes sense.
    pub fn has_two_variants(&self) -> bool {
        match self.resumes_to {
            RolloutState::Shadow
            | RolloutState::Interleave
            | RolloutState::Canary
            | RolloutState::Holdout
            | RolloutState::Watching => self.baseline.is_some(),
            RolloutState::Preparing
            | RolloutState::Paused
            | RolloutState::Promoted
            | RolloutState::RolledBack
            | RolloutState::Aborted => false,
        }
    }

    /// Whether a listed user gets the candidate; none for other users, and while the candidate has no users at all.
    pub fn listed_has_candidate(&self, user_id: &str) -> Option<bool> {
        if self.weight_basis_points() == 0 {
            return None;
        }
        self.terms.listed.has_candidate(user_id)
    }

    /// How long the present step or stage has been held, in ms, pauses left out.
    pub fn held_ms_at(&self, now_ms: u64) -> u64 {
        match self.state {
            RolloutState::Preparing
            | RolloutState::Shadow
            | RolloutState::Interleave
            | RolloutState::Canary
            | RolloutState::Holdout
            | RolloutState::Watching => {
                self.held_ms + now_ms.saturating_sub(self.step_started_at_ms)
            }
            RolloutState::Paused
            | RolloutState::Promoted
            | RolloutState::RolledBack
            | RolloutState::Aborted => self.held_ms,
        }
    }

    /// Does the one thing that is due at `now_ms`, if any, and says whether something was. `missing`: which of
    /// the replicas that the plan wants of the candidate are not available, in words, if any.
    pub fn advance(&mut self, missing: Option<&str>, clearance: &Clearance, now_ms: u64) -> bool {
        if !self.is_due(missing.is_none(), clearance, now_ms) {
            return false;
        }
        const READY: &str = "every shard is available";
        match (self.state, missing) {
            (RolloutState::Preparing, Some(missing)) => {
                let seconds = self.terms.safety.prepare_seconds;
                self.roll_back(now_ms, format!("not loaded within {seconds} s: {missing}"));
            }
            (RolloutState::Preparing, None) if self.baseline.is_none() => {
                let why = format!("{READY}, and there is no baseline to compare with");
                self.finish(RolloutState::Promoted, now_ms, why);
            }
            (RolloutState::Preparing, None) if self.terms.shadow.hold_seconds > 0 => {
                self.enter(RolloutState::Shadow, None, now_ms, READY);
            }
            (RolloutState::Preparing, None) => self.leave_shadow(now_ms, READY),
            (RolloutState::Shadow, _) => self.leave_shadow(now_ms, "shadow stage over"),
            (RolloutState::Interleave, _) => {
                self.enter_step(0, now_ms, "stage of interleaved answers over");
            }
            (RolloutState::Canary, _) => self.leave_step(self.step.unwrap_or(0), now_ms),
            (RolloutState::Holdout, _) => self.end_holdout(now_ms, "holdout over".into()),
            (RolloutState::Watching, _) => {
                self.finish(RolloutState::Promoted, now_ms, "watch over".into());
            }
            (
                RolloutState::Paused
                | RolloutState::Promoted
                | RolloutState::RolledBack
                | RolloutState::Aborted,
                _,
            ) => return false,
        }
        true
    }

    /// Enters the stage of interleaved answers, if there is one, or the first step.
    fn leave_shadow(&mut self, now_ms: u64, why: &str) {
        match self.terms.interleave {
            Some(_) => self.enter(RolloutState::Interleave, None, now_ms, why),
            None => self.enter_step(0, now_ms, why),
        }
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
            self.promote(now_ms, why.into());
        } else {
            self.enter_step(step + 1, now_ms, why);
        }
    }

    /// Gives the candidate the surface: at once, or by way of the holdout and the watch.
    fn promote(&mut self, now_ms: u64, why: String) {
        let Safety { holdout, watch_seconds, .. } = self.terms.safety;
        if self.baseline.is_none() {
            self.finish(RolloutState::Promoted, now_ms, why);
        } else if holdout.is_some() {
            self.enter(RolloutState::Holdout, Some(self.holdout_step()), now_ms, &why);
        } else if watch_seconds > 0 {
            self.enter(RolloutState::Watching, Some(self.holdout_step() + 1), now_ms, &why);
        } else {
            self.finish(RolloutState::Promoted, now_ms, why);
        }
    }

    /// Gives the candidate the users who are held out, and watches it for what is left of the watch.
    fn end_holdout(&mut self, now_ms: u64, why: String) {
        let since_promotion_ms = self.held_ms_at(now_ms);
        if since_promotion_ms < self.terms.safety.watch_seconds.saturating_mul(1_000) {
            self.enter(RolloutState::Watching, Some(self.holdout_step() + 1), now_ms, &why);
            self.held_ms = since_promotion_ms;
        } else {
            self.finish(RolloutState::Promoted, now_ms, why);
        }
    }

    fn holdout_step(&self) -> u32 {
        self.steps.len() as u32
    }

    /// Whether [`advance`](Self::advance) would do something.
    pub fn is_due(&self, is_ready: bool, clearance: &Clearance, now_ms: u64) -> bool {
        let hold_is_over = self.held_ms_at(now_ms) >= self.hold_ms()
            || (is_planted(PlantedBug::HoldSkipped) && self.step.is_some());
        let is_cleared = match clearance {
            _ if is_planted(PlantedBug::GateSkipped) => hold_is_over,
            Clearance::Wait(_) | Clearance::Unsettled(_) => false,
            Clearance::Clear => hold_is_over,
            Clearance::Proven => hold_is_over || self.terms.pace == Pace::Evidence,
        };
        let is_settled = !matches!(clearance, Clearance::Unsettled(_));
        match self.state {
            RolloutState::Preparing => is_ready || hold_is_over,
            RolloutState::Shadow | RolloutState::Interleave | RolloutState::Canary => {
                is_ready && is_cleared
            }
            RolloutState::Holdout | RolloutState::Watching => {
                is_ready && hold_is_over && is_settled
            }
            RolloutState::Paused
            | RolloutState::Promoted
            | RolloutState::RolledBack
            | RolloutState::Aborted => false,
        }
    }

    /// Does what an operator asks. `missing`: what the candidate is not ready for, in words, if anything.
    ///
    /// # Errors
    /// The state does not allow the move, or the candidate is not ready for more users.
    pub fn apply_move(
        &mut self,
        requested: RolloutMove,
        reason: &str,
        missing: Option<&str>,
        now_ms: u64,
    ) -> Result<(), RolloutMoveError> {
        let (rollout_id, state) = (self.id.clone(), self.state);
        let why = match reason {
            "" => format!("operator: {requested}"),
            reason => format!("operator: {requested}: {reason}"),
        };
        let not_ready = missing.map(|missing| RolloutMoveError::NotReady {
            rollout_id: rollout_id.clone(),
            missing: missing.into(),
        });
        if state.is_over() {
            return Err(match (requested, state, &self.baseline) {
                (RolloutMove::Undo, RolloutState::Promoted, Some(baseline)) => {
                    let (surface, baseline) = (self.surface.clone(), baseline.clone());
                    RolloutMoveError::TooLateToUndo { rollout_id, surface, baseline }
                }
                _ => RolloutMoveError::Over { rollout_id, state },
            });
        }
        match requested {
            RolloutMove::Pause if state == RolloutState::Paused => {
                return Err(RolloutMoveError::AlreadyPaused { rollout_id });
            }
            RolloutMove::Pause => self.pause(None, now_ms, why),
            RolloutMove::Resume if state == RolloutState::Paused => self.resume(now_ms, why),
            RolloutMove::Resume => return Err(RolloutMoveError::NotPaused { rollout_id, state }),
            RolloutMove::Promote if self.may_be_undone() => {
                return Err(RolloutMoveError::AlreadyPromoted { rollout_id, state });
            }
            RolloutMove::Promote => match not_ready {
                Some(not_ready) => return Err(not_ready),
                None => self.promote(now_ms, why),
            },
            RolloutMove::RollBack => self.roll_back(now_ms, why),
            RolloutMove::Undo if self.may_be_undone() => self.roll_back(now_ms, why),
            RolloutMove::Undo => return Err(RolloutMoveError::NotPromoted { rollout_id, state }),
            RolloutMove::EndHoldout if self.resumes_to == RolloutState::Holdout => {
                match not_ready {
                    Some(not_ready) => return Err(not_ready),
                    None => self.end_holdout(now_ms, why),
                }
            }
            RolloutMove::EndHoldout => {
                return Err(RolloutMoveError::NoHoldout { rollout_id, state });
            }
            RolloutMove::EndWatch if self.resumes_to == RolloutState::Watching => {
                self.finish(RolloutState::Promoted, now_ms, why);
            }
            RolloutMove::EndWatch => {
                return Err(RolloutMoveError::NotWatched { rollout_id, state });
            }
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

    /// Mirrors as many requests as it takes to have enough pairs of answers in time. `pairs`: since the beginning;
    /// `requests`: in the present stage.
    pub fn adapt_mirroring(&mut self, pairs: u64, requests: u64, now_ms: u64) {
        let (held_ms, hold_ms) = (self.held_ms_at(now_ms), self.hold_ms());
        let progress = MirrorProgress { pairs, requests, held_ms, hold_ms };
        self.mirror_multiple = mirror_multiple(self.terms.shadow.mirror_basis_points, progress);
    }

    /// How long the present step or stage lasts, in ms; of PREPARING, how long it may take.
    fn hold_ms(&self) -> u64 {
        let Safety { prepare_seconds, holdout, watch_seconds, .. } = self.terms.safety;
        let seconds = match self.resumes_to {
            RolloutState::Preparing => prepare_seconds,
            RolloutState::Shadow => self.terms.shadow.hold_seconds,
            RolloutState::Interleave => self.terms.interleave.map_or(0, |stage| stage.hold_seconds),
            RolloutState::Canary => self.present_step().map_or(0, |step| step.hold_seconds),
            RolloutState::Holdout => holdout.map_or(0, |holdout| holdout.hold_seconds),
            RolloutState::Watching => watch_seconds,
            RolloutState::Paused
            | RolloutState::Promoted
            | RolloutState::RolledBack
            | RolloutState::Aborted => 0,
        };
        seconds.saturating_mul(1_000)
    }

    /// Gives the baseline all traffic: ABORTED before anybody met the candidate, ROLLED_BACK after.
    fn roll_back(&mut self, now_ms: u64, reason: String) {
        let nobody_met_it = self.step.is_none() && self.resumes_to != RolloutState::Interleave;
        let over = if nobody_met_it { RolloutState::Aborted } else { RolloutState::RolledBack };
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
        self.awaits_approval_of = None;
        self.step_started_at_ms = now_ms;
        self.held_ms = 0;
        self.record(now_ms, reason.into());
    }

    fn finish(&mut self, state: RolloutState, now_ms: u64, reason: String) {
        self.held_ms = self.held_ms_at(now_ms);
        (self.state, self.resumes_to) = (state, state);
        self.awaits_approval_of = None;
        // They would be in the plan for as long as the rollout is remembered.
        self.terms.listed = ListedUsers::default();
        self.finished_at_ms = now_ms;
        self.record(now_ms, reason);
    }

    fn record(&mut self, at_ms: u64, reason: String) {
        if self.history.len() == MAX_HISTORY {
            self.history.remove(0);
        }
        self.transitions += 1;
        self.history.push(RolloutEvent {
            at_ms,
            state: self.state,
            step: self.step,
            weight_basis_points: self.weight_basis_points(),
            reason,
        });
    }
}
