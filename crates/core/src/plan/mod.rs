//! The plan: everything that routers and shards follow.
//!
//! Control commits it; routers and shards only read it. Questions that more than one role asks of it
//! are answered here, so that all give the same answer:
//!
//! - [`route`]: what serves a user on a surface ([`Plan::route`]), by the buckets of [`assignment`].
//! - [`live`]: which versions are live, and whether an ensemble is ready for traffic.
//! - [`placement`]: where shards should be; what a node should hold ([`Plan::wanted_on`]).
//! - [`retention`]: which versions may be forgotten.
//! - [`measured_variants`](mod@measured_variants): the variants of a surface that are measured.
//! - [`Segments`]: the kinds of requests that trials are reported by.
//! - [`AnswerKeys`]: which key recommendation ids are signed with, and when a new one is due.
//! - [`privacy`]: how users are named without their ids, and who is forgotten.
//!
//! What the plan has is in [`contents`], and its parts in [`node`], [`version`] and [`surface`].

mod answer_keys;
pub mod assignment;
mod contents;
mod live;
mod measured_variants;
mod node;
pub mod placement;
pub mod privacy;
pub mod retention;
mod route;
mod segments;
mod surface;
mod version;

pub use answer_keys::{
    AnswerKey, AnswerKeys, AnswerSecret, MAX_ANSWER_KEYS, ROTATE_AFTER_MS, SECRET_BYTES,
};
pub use contents::Plan;
pub use measured_variants::measured_variants;
pub use node::{Node, Role};
pub use privacy::{Pseudonym, UserHash, UserPrivacy};
pub use route::{Route, RouteError, Trial, Variant};
pub use segments::{SegmentSet, SegmentedAttribute, Segments, SegmentsError};
pub use surface::{Automatic, DEFAULT_SURFACE, Surface};
pub use version::{Placement, PlannedReplica, PublishedVersion, Quality, ReplicaState, Retention};
