//! What an operator says of a rollout when it starts: its steps, its gates, what is mirrored and interleaved, and its
//! pace.

use crate::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_HOLD_SECONDS, MAX_ROLLOUT_STEPS};
use crate::ranking::interleave::Interleaving;
use crate::rollout::external::{ExternalGate, ExternalGatesError, check_external_gates};
use crate::rollout::gate::{DEFAULT_MIN_SAMPLES, Gate, GatesError, Metric, check_gates};
use crate::rollout::listed::ListedUsers;

/// One share of traffic, and how long it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloutStep {
    /// The candidate's share, 1 to 10,000 basis points.
    pub weight_basis_points: u32,
    /// How long the share is held, in seconds, at most 30 days.
    pub hold_seconds: u64,
    /// Requests that the candidate must have answered on this step before it is left.
    pub min_samples: u64,
    /// Whether the step is entered only once an operator approves.
    pub requires_approval: bool,
}

impl RolloutStep {
    /// A step that is held for a time, whatever is measured.
    pub fn new(weight_basis_points: u32, hold_seconds: u64) -> Self {
        Self { weight_basis_points, hold_seconds, min_samples: 0, requires_approval: false }
    }
}

/// How many requests are mirrored: the other variant of the rollout answers them too, and the answer is only
/// compared, not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The share of requests that are mirrored before and during the canary, 0 to 10,000 basis points.
    pub mirror_basis_points: u32,
    /// How long requests are mirrored before the candidate gets any traffic, in seconds; 0: no shadow stage.
    pub hold_seconds: u64,
    /// Mirrored requests that must have been answered before the shadow stage is left.
    pub min_samples: u64,
}

/// The mirroring of a rollout that does not say: a hundredth of the requests while the candidate has traffic.
/// This shows within minutes that two lists have nothing in common, and is hardly a load.
pub const DEFAULT_SHADOW: Shadow =
    Shadow { mirror_basis_points: 100, hold_seconds: 0, min_samples: 0 };

/// The stage before the first step in which some users' answers are made of both variants' lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterleaveStage {
    /// The share of users whose answers are interleaved, 1 to 10,000 basis points. They are the users who get the candidate
    /// first.
    pub share_basis_points: u32,
    /// How long the stage lasts, in seconds, 1 to 30 days.
    pub hold_seconds: u64,
    /// Interleaved answers that must have been given before the stage is left.
    pub min_samples: u64,
    /// How the lists are made.
    pub how: Interleaving,
}

/// When a step is left whose gates hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// When its time is over.
    #[default]
    Fixed,
    /// As soon as the gates are proven to hold, and at the latest when its time is over.
    Evidence,
}

/// How long the candidate of a rollout may take to be loaded, if nothing is said.
pub const DEFAULT_PREPARE_SECONDS: u64 = 30 * 60;

/// How many requests the candidate of a rollout that begins by itself must have answered on each step, if nothing is
/// said: as many as a gate wants to say anything.
pub const DEFAULT_AUTOMATIC_SAMPLES: u64 = DEFAULT_MIN_SAMPLES;

/// The steps of a rollout that begins by itself: nobody looks at it, so that none is left without samples, unless the
/// operator allows for no traffic.
pub fn automatic_steps(steps: &[RolloutStep], safety: &Safety) -> Vec<RolloutStep> {
    let with_samples = |step: &RolloutStep| match step.min_samples {
        0 if !safety.allows_no_traffic => {
            RolloutStep { min_samples: DEFAULT_AUTOMATIC_SAMPLES, ..*step }
        }
        _ => *step,
    };
    steps.iter().map(with_samples).collect()
}

/// How long users are held out, if nothing is said: two weeks, so that weekends and the effect of the new are in it.
pub const DEFAULT_HOLDOUT_SECONDS: u64 = 14 * 24 * 3_600;

/// The most users that are held out: beyond half of them, the candidate is hardly promoted.
pub const MAX_HOLDOUT_BASIS_POINTS: u32 = FULL_WEIGHT_BASIS_POINTS / 2;

/// The users who stay with the baseline after the promotion, so that the two can still be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdout {
    /// The share of users, 1 to [`MAX_HOLDOUT_BASIS_POINTS`]. The last step leaves at least as many to the
    /// baseline, so that they never had the candidate.
    pub share_basis_points: u32,
    /// How long after the promotion, in seconds, 1 to [`MAX_HOLD_SECONDS`].
    pub hold_seconds: u64,
}

/// What keeps a rollout safe besides its gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Safety {
    /// How long the candidate may take to be loaded on every node, in seconds, 1 to [`MAX_HOLD_SECONDS`]. After
    /// that the rollout is aborted.
    pub prepare_seconds: u64,
    /// Whether a step may be left on which the candidate has answered nothing, although there are gates and a
    /// baseline.
    pub allows_no_traffic: bool,
    /// How long after the promotion the baseline stays loaded, so that it can be undone, in seconds, at most
    /// [`MAX_HOLD_SECONDS`]; 0: it is unloaded at once.
    pub watch_seconds: u64,
    /// The users who stay with the baseline after the promotion; none: nobody does.
    pub holdout: Option<Holdout>,
}

impl Default for Safety {
    fn default() -> Self {
        Self {
            prepare_seconds: DEFAULT_PREPARE_SECONDS,
            allows_no_traffic: false,
            watch_seconds: 0,
            holdout: None,
        }
    }
}

impl Safety {
    /// The candidate's share while users are held out, in 1/10,000.
    pub fn weight_in_holdout(&self) -> u32 {
        let held_out = self.holdout.map_or(0, |holdout| holdout.share_basis_points);
        FULL_WEIGHT_BASIS_POINTS.saturating_sub(held_out)
    }
}

/// How a rollout is guarded and how fast it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// What the candidate must not make worse.
    pub gates: Vec<Gate>,
    /// What other systems must say.
    pub external_gates: Vec<ExternalGate>,
    /// How many requests are mirrored.
    pub shadow: Shadow,
    /// The stage of interleaved answers; none: there is no such stage.
    pub interleave: Option<InterleaveStage>,
    /// When steps are left.
    pub pace: Pace,
    /// What keeps it safe besides its gates.
    pub safety: Safety,
    /// Users who always or never get the candidate.
    pub listed: ListedUsers,
}

impl Terms {
    /// Time alone decides: there are no gates, and nothing is mirrored or interleaved.
    pub fn unguarded() -> Self {
        let shadow = Shadow { mirror_basis_points: 0, hold_seconds: 0, min_samples: 0 };
        Self {
            gates: Vec::new(),
            external_gates: Vec::new(),
            shadow,
            interleave: None,
            pace: Pace::Fixed,
            safety: Safety::default(),
            listed: ListedUsers::default(),
        }
    }
}

/// Why the steps of a rollout are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepsError {
    /// There are none, or too many.
    #[error(
        "steps: {count} given: a rollout has 1 to {MAX_ROLLOUT_STEPS} steps, such as 100 basis points for 60 s"
    )]
    Count {
        /// How many were given.
        count: usize,
    },
    /// A weight is out of bounds, or not above the one before.
    #[error(
        "steps[{step}].weight_basis_points: {weight} is not above the step before and at most {FULL_WEIGHT_BASIS_POINTS}"
    )]
    Weight {
        /// The step's index.
        step: usize,
        /// Its weight, in 1/10,000.
        weight: u32,
    },
    /// A hold is too long.
    #[error("steps[{step}].hold_seconds: {hold} is more than {MAX_HOLD_SECONDS} (30 days)")]
    Hold {
        /// The step's index.
        step: usize,
        /// Its hold, in seconds.
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

/// Why the terms of a rollout are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TermsError {
    /// A gate is malformed.
    #[error(transparent)]
    Gates(#[from] GatesError),
    /// An external gate is malformed.
    #[error(transparent)]
    ExternalGates(#[from] ExternalGatesError),
    /// More than all requests would be mirrored.
    #[error("shadow.mirror_basis_points: {share} is more than {FULL_WEIGHT_BASIS_POINTS}")]
    MirrorShare {
        /// The share that was given, in 1/10,000.
        share: u32,
    },
    /// The shadow stage is too long.
    #[error("shadow.hold_seconds: {hold} is more than {MAX_HOLD_SECONDS} (30 days)")]
    ShadowHold {
        /// The hold that was given, in seconds.
        hold: u64,
    },
    /// The share of interleaved answers is out of bounds.
    #[error("interleave.share_basis_points: {share} is not 1 to {FULL_WEIGHT_BASIS_POINTS}")]
    InterleaveShare {
        /// The share that was given, in 1/10,000.
        share: u32,
    },
    /// The stage of interleaved answers is too long, or none.
    #[error("interleave.hold_seconds: {hold} is not 1 to {MAX_HOLD_SECONDS} (30 days)")]
    InterleaveHold {
        /// The hold that was given, in seconds.
        hold: u64,
    },
    /// A preference is to be judged without interleaved answers.
    #[error(
        "gates: {} is of interleaved answers, and there is no stage of them: use --interleave",
        Metric::Preference
    )]
    NothingInterleaved,
    /// The time to prepare is out of bounds.
    #[error("safety.prepare_seconds: {seconds} is not 1 to {MAX_HOLD_SECONDS} (30 days)")]
    Prepare {
        /// The time that was given, in seconds.
        seconds: u64,
    },
    /// The watch is too long.
    #[error("safety.watch_seconds: {seconds} is more than {MAX_HOLD_SECONDS} (30 days)")]
    Watch {
        /// The time that was given, in seconds.
        seconds: u64,
    },
    /// The share that is held out is out of bounds.
    #[error(
        "safety.holdout.share_basis_points: {share} is not 1 to {MAX_HOLDOUT_BASIS_POINTS} (half of the users)"
    )]
    HoldoutShare {
        /// The share that was given, in 1/10,000.
        share: u32,
    },
    /// The holdout is too long, or none.
    #[error("safety.holdout.hold_seconds: {hold} is not 1 to {MAX_HOLD_SECONDS} (30 days)")]
    HoldoutHold {
        /// The hold that was given, in seconds.
        hold: u64,
    },
    /// Users would be held out who had the candidate.
    #[error(
        "steps: the last one gives the candidate {last} basis points: with {held_out} held out it is at most {most}, so \
         that who is held out never had the candidate"
    )]
    HoldoutHadCandidate {
        /// The candidate's share on the last step, in 1/10,000.
        last: u32,
        /// The share that is held out, in 1/10,000.
        held_out: u32,
        /// What the last step may have, in 1/10,000.
        most: u32,
    },
    /// A shadow stage is asked for in which nothing is mirrored.
    #[error("shadow.mirror_basis_points is 0, so there is nothing to hold for")]
    NothingMirrored,
}

/// Checks the terms of a rollout with these steps: its gates, what is mirrored and interleaved, and what keeps it safe.
pub fn check_terms(terms: &Terms, steps: &[RolloutStep]) -> Result<(), TermsError> {
    // Lists of users are in bounds, or there are none.
    let Terms { gates, external_gates, shadow, interleave, pace: _, safety, listed: _ } = terms;
    let &Shadow { mirror_basis_points: share, hold_seconds: hold, min_samples } = shadow;
    check_gates(gates)?;
    check_external_gates(external_gates)?;
    if share > FULL_WEIGHT_BASIS_POINTS {
        return Err(TermsError::MirrorShare { share });
    }
    if hold > MAX_HOLD_SECONDS {
        return Err(TermsError::ShadowHold { hold });
    }
    if share == 0 && (hold > 0 || min_samples > 0) {
        return Err(TermsError::NothingMirrored);
    }
    check_interleaving(*interleave, gates)?;
    check_safety(safety, steps)
}

fn check_interleaving(stage: Option<InterleaveStage>, gates: &[Gate]) -> Result<(), TermsError> {
    let Some(InterleaveStage { share_basis_points: share, hold_seconds: hold, .. }) = stage else {
        let judges_it = gates.iter().any(|gate| gate.metric == Metric::Preference);
        return if judges_it { Err(TermsError::NothingInterleaved) } else { Ok(()) };
    };
    if !(1..=FULL_WEIGHT_BASIS_POINTS).contains(&share) {
        return Err(TermsError::InterleaveShare { share });
    }
    if !(1..=MAX_HOLD_SECONDS).contains(&hold) {
        return Err(TermsError::InterleaveHold { hold });
    }
    Ok(())
}

fn check_safety(safety: &Safety, steps: &[RolloutStep]) -> Result<(), TermsError> {
    let &Safety { prepare_seconds, allows_no_traffic: _, watch_seconds, holdout } = safety;
    if !(1..=MAX_HOLD_SECONDS).contains(&prepare_seconds) {
        return Err(TermsError::Prepare { seconds: prepare_seconds });
    }
    if watch_seconds > MAX_HOLD_SECONDS {
        return Err(TermsError::Watch { seconds: watch_seconds });
    }
    let Some(Holdout { share_basis_points: share, hold_seconds: hold }) = holdout else {
        return Ok(());
    };
    if !(1..=MAX_HOLDOUT_BASIS_POINTS).contains(&share) {
        return Err(TermsError::HoldoutShare { share });
    }
    if !(1..=MAX_HOLD_SECONDS).contains(&hold) {
        return Err(TermsError::HoldoutHold { hold });
    }
    let last = steps.last().map_or(0, |step| step.weight_basis_points);
    let most = safety.weight_in_holdout();
    if last > most {
        return Err(TermsError::HoldoutHadCandidate { last, held_out: share, most });
    }
    Ok(())
}
