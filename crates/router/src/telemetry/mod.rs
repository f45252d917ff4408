//! What this router measures of trials, and the requests that both sides of a rollout answer.
//!
//! ```text
//! service ──an answer, once it is made──▶ observer ──one short push──▶ buffer
//!                                            └─ some requests again, by the other side ─▶ buffer
//! events  ──clicks, plays, purchases────────────────────────────────────────────────────▶ buffer
//!                        every 2 s:  buffer ──close (pure)──▶ one window a trial ──▶ reports
//! ```
//!
//! - `limits`: how much of all that is kept.
//! - `clock`: what answers and events are dated by.
//! - `scope`: what an answer counts for.
//! - `credits`: whom clicks on an interleaved answer are credited to; pure.
//! - `answer_id`: what answers are called, so that what comes of them finds their arm and their time; pure.
//! - `observation`: an answer as it is kept until its window is over: hashes and numbers, no text.
//! - `buffer`: what a window is made of, bounded.
//! - `window`: what is made of it; pure. It uses what follows.
//! - `automated`: finds automated traffic; pure.
//! - `request_share`: how many requests of a user count; pure.
//! - `draft`: counts answers on their arms; pure.
//! - `overlap`: how much two lists have in common; pure.
//! - `slow`: which answers are slow; pure.
//! - `rewards`: what may come of an answer, and how much of it counts; pure.
//! - `cohorts`: answers and rewards that wait until the time for rewards is over; pure.
//! - `segment_sums`: what is counted of segments of requests; pure.
//! - `past`: what users did before a trial; pure.
//! - `observer`: what of a call is an observation, and whether it is mirrored.
//! - `mirror`: the budget of mirrored requests, and how one is answered.
//! - `report`: closes windows and hands them over.
//!
//! Nothing is observed or mirrored until the reports are taken
//! ([`Router::reports`](crate::Router::reports)).
//!
//! **What counts.** Answers count for the arm of their trial; those that belong to none for their surface. Of a user within a trial
//! so many requests count as other active users have (`request_share`).
//! All calls count with their errors, latencies, emptiness, coverage and fallbacks; recommendations alone
//! count with their lists, scores and rewards, and are mirrored: a list of given items says nothing of what a model
//! would recommend. Errors that no arm can help
//! ([`RouterError::blames_arm`](crate::RouterError)) do not count at all. If one request of a batch has
//! no answer the batch has none, and only that request counts. The time of a batch of several requests counts for none of them.
//!
//! Every reason for a fallback counts, even that a user is unknown: arms have like users, so reasons that
//! lie in users cancel out, and a version that has forgotten half of the users is found by this alone.
//!
//! Interleaved answers count for no arm: of them, and of clicks on them, it is counted which side's items users prefer. They are not
//! mirrored.
//!
//! Deliberately missing: calls that the caller broke off (they are dropped before they can be noted), and state
//! that outlives the process.

mod answer_id;
mod automated;
mod buffer;
mod clock;
mod cohorts;
mod credits;
mod draft;
mod limits;
mod mirror;
mod observation;
mod observer;
mod outcome;
mod overlap;
mod past;
mod report;
mod request_share;
mod rewards;
mod scope;
mod segment_sums;
mod signature;
mod slow;
#[cfg(test)]
mod tests;
mod window;

pub use answer_id::segments_of;
pub use buffer::RouterTelemetry;
pub use report::Report;
pub use rewards::Reward;

pub(crate) use answer_id::name_answer;
pub(crate) use credits::Credits;
pub(crate) use mirror::Mirror;
pub(crate) use observer::{ObservedCall, Observer};
pub(crate) use report::{Reporting, start_reporting};
pub(crate) use scope::AnswerScope;
pub(crate) use signature::{Authenticity, check, sign};
