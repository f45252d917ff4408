//! The service for callers: the door to the stages.
//!
//! - [`recommender`]: the RPCs: checks and admits a call, has it answered, and tells telemetry and events of it.
//! - [`response`]: answers as messages.
//!
//! Wire types of callers are used here and in the events, and by no stage after admission.

pub(crate) mod recommender;
mod response;
