//! What users did with what they were shown, kept until a model is trained with it.
//!
//! ```text
//! events ── rules ──▶ journal: one thread ── duplicates ──▶ log, synced ──▶ acknowledged
//!             │                                 │                 └──▶ recent items, sinks
//!             └─ refused                        └─ quarantine: well formed, and not plausible
//! answers ── sampled ──▶ exposures: a log of its own that no answer waits for
//! ```
//!
//! [`EventLog`] does all of it for events and [`ExposureLog`] for answers; both stand on the same
//! segmented [`log`]. [`rules`] says what becomes of an event and why, without a clock or a disk.
//!
//! Invariants: what was acknowledged is on disk as the [`Fsync`] policy has it; an event counts once
//! within the window of [`duplicates`]; every queue has a bound, and what meets it is refused or waits,
//! or is counted as dropped where callers may not wait; no event vanishes without a count.
//!
//! The layers, each of which uses those above it only: `fields` (records as bytes), `forgetting` and [`rules`];
//! [`log`], `log_state`, [`duplicates`], `counts` and `directories`; `event`, `exposures` and `recent_items`; `journal`.
//!
//! Deliberately missing: a clock (times are arguments), gRPC, and what events mean for a rollout: a
//! [`EventSink`] is told of them.

#![forbid(unsafe_code)]

mod counts;
mod directories;
pub mod duplicates;
mod event;
mod exposures;
mod fields;
mod forgetting;
mod journal;
pub mod log;
mod log_state;
mod recent_items;
pub mod rules;

pub use counts::{Counters, Counts};
pub use directories::{EXPOSURES_DIRECTORY, QUARANTINE_DIRECTORY};
pub use event::{Quarantined, StoredEvent, complete};
pub use exposures::{
    AskedFor, Exposure, ExposureLog, ExposureSettings, WeakExposureLog, is_sampled,
};
pub use forgetting::ForgottenUsers;
pub use journal::{
    EventLog, EventSettings, EventSink, FalseIdCheck, Pending, RecordError, RecordOutcome,
    Recorded, WeakEventLog,
};
pub use log::{Contents, ErasedCounts, Fsync, LogError};
pub use log_state::LogState;
pub use marquee_core::event::{Event, EventType};
pub use recent_items::{MAX_RECENT_OF_USER, RecentItems};
