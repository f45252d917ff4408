//! External gates: conditions on what other systems say of a rollout.
//!
//! An [`ExternalGate`] has a [`Question`]: a PromQL expression with a bound, or a webhook that gives a verdict. The leader
//! of control asks it again and again while the rollout runs, and proposes each [`ExternalAnswer`] as a command, so that what
//! follows from it is replicated. What follows is for [`crate::rollout::judge`] to say.
//!
//! A gate passes by an answer only. If there is none, for whatever reason, nothing passes and nothing fails.
//!
//! Deliberately missing: whom control may ask. That is a matter of its config, not of the rollout: who may start a rollout could
//! else make control connect to anything.

mod answer;
mod gate;
#[cfg(test)]
mod tests;

pub use answer::{AnswerKind, ExternalAnswer, MAX_SAYS_BYTES, judge_values};
pub use gate::{
    DEFAULT_ANSWER_BYTES, DEFAULT_CONSECUTIVE_FAILURES, DEFAULT_INTERVAL_SECONDS,
    DEFAULT_TIMEOUT_MS, ExternalGate, ExternalGateError, ExternalGatesError, MAX_ANSWER_BYTES,
    MAX_EXTERNAL_GATES, MIN_INTERVAL_SECONDS, Question, check_external_gates,
};
