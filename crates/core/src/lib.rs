//! Pure types and decisions of Marquee: what is true of a cluster and what should happen next.
//!
//! Nothing here knows a socket, a disk, a clock or a random number: time arrives as an argument
//! (`now_ms`, milliseconds since the Unix epoch), randomness as a salt. So every decision can be
//! replayed, tested by scripts and properties, and is the same on every node that takes it.
//!
//! Start with [`plan`], the state that everything follows, then [`rollout`], the machine that moves
//! traffic, and [`model`], which says how a model answers a request.

#![forbid(unsafe_code)]

pub mod access;
pub mod audit;
pub mod bounds;
pub mod command;
pub mod duration_counts;
pub mod ensemble;
pub mod event;
pub mod hash;
pub mod id;
pub mod limits;
pub mod model;
pub mod notification;
pub mod off_policy;
pub mod overload;
pub mod plan;
#[doc(hidden)]
pub mod planted;
pub mod ranking;
pub mod rollout;
pub mod text;
pub mod time_spent;
pub mod trouble;
