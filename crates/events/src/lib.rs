//! What people did with what they were shown, kept until a model has learned of it.
//!
//! ```text
//! events ── rules ──▶ journal: one thread ── duplicates ──▶ log, synced ──▶ acknowledged
//!             │                                 │                 └──▶ recent items, sinks
//!             └─ refused                        └─ quarantine: well formed, and not to be believed
//! answers ── sampled ──▶ exposures: a log of its own that nobody waits for
//! ```
//!
//! [`EventLog`] is the whole of it for events and [`ExposureLog`] for answers; both stand on the same
//! segmented [`log`]. [`rules`] says what becomes of an event and why, without a clock or a disk.
//!
//! Invariants: what was acknowledged is on disk as the [`Fsync`] policy has it; an event counts once
//! within the window of [`duplicates`]; every queue has a bound, and what meets it is refused or waits,
//! or is counted as dropped where nobody may wait; no event vanishes without a count.
//!
//! Deliberately missing: a clock (times are arguments), gRPC, and what events mean for a rollout: a
//! [`EventSink`] is told of them.

#![forbid(unsafe_code)]

mod bytes;
mod counts;
pub mod duplicates;
mod event;
mod exposure;
mod journal;
pub mod log;
mod recent;
pub mod rules;

pub use counts::{Counters, Counts};
pub use event::{Quarantined, StoredEvent, complete};
pub use exposure::{Exposure, ExposureLog, ExposureSettings, is_sampled};
pub use journal::{EventLog, EventSettings, EventSink, Outcome, Pending, RecordError, Recorded};
pub use log::{Contents, Fsync, LogError};
pub use marquee_core::event::{Event, EventType};
pub use recent::{MAX_RECENT_OF_USER, Recent};

/// Where quarantined events are, under the directory of a router's events.
pub const QUARANTINE_DIRECTORY: &str = "quarantine";
/// Where exposures are, under the directory of a router's events.
pub const EXPOSURES_DIRECTORY: &str = "exposures";
