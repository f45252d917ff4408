//! The service for callers: the door to the stages.
//!
//! - [`recommender`]: the RPCs: checks and admits a call, has it answered, and tells telemetry and events of it.
//! - [`drawn_slots`]: the share of answers in which one slot is drawn at random.
//! - [`response`]: answers as messages.
//! - [`streamed_batch`]: batches whose answers are sent one by one.
//! - [`feedback`]: recorded events and exposures, from and to messages.
//!
//! Wire types of callers are used here and by no stage after admission, but for the filter of a search.

pub(crate) mod drawn_slots;
mod feedback;
pub(crate) mod recommender;
mod response;
mod streamed_batch;
