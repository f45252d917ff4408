//! The gray release of a candidate ensemble on a surface, and all that judges it.
//!
//! - [`machine`]: the rollout itself, a pure state machine; [`terms`]: its steps, gates, mirroring and safety;
//!   [`ListedUsers`]: who always or never gets the candidate.
//! - [`window`]: what routers measure, as sums that add up, with the [`sketch`]es in it.
//! - [`external`]: what other systems say of a rollout.
//! - [`gate`]: what must not get worse; [`judge`]: what windows say of gates, by the tests of [`sequential`];
//!   [`tried`]: what other gates would have said.
//! - [`experiment`]: A/B tests, which are measured alike; [`traffic`]: numbers on a surface for
//!   operators.

pub mod experiment;
pub mod external;
pub mod gate;
pub mod judge;
mod listed;
mod machine;
mod mirroring;
pub mod sequential;
pub mod sketch;
mod terms;
pub mod traffic;
pub mod tried;
pub mod window;

pub use listed::{ListedUsers, ListedUsersError};
pub use machine::{
    Clearance, Decision, MAX_HISTORY, Rollout, RolloutEvent, RolloutMove, RolloutMoveError,
    RolloutState,
};
pub use mirroring::{MAX_ADAPTED_BASIS_POINTS, MirrorProgress, PAIRS_WANTED, mirror_multiple};
pub use terms::{
    DEFAULT_AUTOMATIC_SAMPLES, DEFAULT_HOLDOUT_SECONDS, DEFAULT_PREPARE_SECONDS, DEFAULT_SHADOW,
    Holdout, InterleaveStage, MAX_HOLDOUT_BASIS_POINTS, Pace, RolloutStep, Safety, Shadow,
    StepsError, Terms, TermsError, automatic_steps, check_steps, check_terms,
};
