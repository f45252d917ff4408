//! What this router measures of trials, and the requests that both sides of a rollout answer.
//!
//! ```text
//! service ──an answer, once it is made──▶ observer ──one short push──▶ buffer
//!                                            └─ some requests again, by the other side ─▶ buffer
//! events  ──clicks, plays, purchases────────────────────────────────────────────────────▶ buffer
//!                        every 2 s:  buffer ──close (pure)──▶ one window a trial ──▶ reports
//! ```
//!
//! - `observation`: an answer as it is kept until its window is over: hashes and numbers, no text.
//! - `buffer`: what a window is made of, bounded.
//! - `window`: what is made of it; pure.
//! - `automated`: finds automated traffic; pure.
//! - `overlap`: how much two lists have in common; pure.
//! - `rewards`: what answers are called, so that what comes of them finds their arm; pure.
//! - `observer`: what of a call is an observation, and whether it is mirrored.
//! - `mirror`: the budget of mirrored requests, and how one is answered.
//! - `report`: closes windows and hands them over.
//!
//! Nothing is observed or mirrored until the reports are taken
//! ([`Router::reports`](crate::Router::reports)).
//!
//! **What counts.** Answers count for the arm of their trial; those that belong to none for their surface.
//! All calls count with their errors, latencies, emptiness, coverage and fallbacks; recommendations alone
//! count with their lists, scores and rewards, and are mirrored: a list of given items says nothing of what a model
//! would recommend. Errors that no arm can help
//! ([`RouterError::blames_arm`](crate::RouterError)) do not count at all. If one request of a batch has
//! no answer the batch has none, and only that request counts. The time of a batch of several requests counts for none of them.
//!
//! Every reason for a fallback counts, even that a user is unknown: arms have like users, so reasons that
//! lie in users cancel out, and a version that has forgotten half of the users is found by this alone.
//!
//! Deliberately missing: calls that the caller broke off (they are dropped before they can be noted), and state
//! that outlives the process.

mod automated;
mod buffer;
mod mirror;
mod observation;
mod observer;
mod outcome;
mod overlap;
mod report;
mod rewards;
#[cfg(test)]
mod tests;
mod window;

pub use buffer::RouterTelemetry;
pub use report::Report;
pub use rewards::Reward;

pub(crate) use mirror::Mirror;
pub(crate) use observation::AnswerScope;
pub(crate) use observer::{ObservedCall, Observer};
pub(crate) use report::{Reporting, start_reporting};
pub(crate) use rewards::name_answer;

use marquee_core::rollout::window::WINDOW_MS;
use std::time::Duration;

/// How long a window is.
pub(crate) const WINDOW: Duration = Duration::from_millis(WINDOW_MS);
/// Answers that a window has room for: 65,000 a second, more than a router of today's machines gives,
/// in 20 MB.
pub(crate) const MAX_OBSERVATIONS: usize = 1 << 17;
/// Mirrored requests that a window has room for: more than the budget lets through.
pub(crate) const MAX_PAIRS: usize = 1 << 14;
/// Events that a window has room for; what is beyond is missing on all arms alike.
pub(crate) const MAX_EVENTS: usize = 1 << 16;
/// Trials and shares, and surfaces, that a window tells apart: shares hardly change while a window is open.
pub(crate) const MAX_KEYS: usize = 256;
/// Surfaces among them: however many there are, trials find room.
pub(crate) const MAX_SURFACES: usize = 128;
