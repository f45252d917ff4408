//! The gray release of a candidate ensemble on a surface, and all that judges it.
//!
//! - [`machine`]: the rollout itself, a pure state machine; [`terms`]: its steps, gates and mirroring.
//! - [`window`]: what routers measure, as sums that add up, with the [`sketch`]es in it.
//! - [`gate`]: what must not get worse; [`judge`]: what windows say of gates, by the tests of [`sequential`].
//! - [`experiment`]: A/B tests, which are measured alike; [`traffic`]: numbers on a surface for
//!   operators.

pub mod experiment;
pub mod gate;
pub mod judge;
mod machine;
pub mod sequential;
pub mod sketch;
mod terms;
pub mod traffic;
pub mod window;

pub use machine::{
    Clearance, Decision, MAX_HISTORY, Rollout, RolloutEvent, RolloutMove, RolloutMoveError,
    RolloutState,
};
pub use terms::{
    DEFAULT_SHADOW, Pace, RolloutStep, Shadow, StepsError, Terms, TermsError, check_steps,
    check_terms,
};
