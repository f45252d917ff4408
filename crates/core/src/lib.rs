//! Pure types and decisions of Marquee: what is true of a cluster and what should happen next.
//!
//! Nothing here knows a socket, a disk, a clock or a random number: time arrives as an argument
//! (`now_ms`, milliseconds since the Unix epoch), randomness as a salt. So every decision can be
//! replayed, tested by scripts and properties, and is the same on every node that takes it.
//!
//! Start with [`plan`], the state that everything follows, then [`rollout`], the machine that moves
//! traffic, and [`placement`], which says where shards live.

#![forbid(unsafe_code)]

pub mod bounds;
pub mod carry;
pub mod command;
pub mod diversify;
pub mod ensemble;
pub mod event;
pub mod experiment;
pub mod fold_in;
pub mod fuse;
pub mod gate;
pub mod hash;
pub mod id;
pub mod judge;
pub mod merge;
pub mod placement;
pub mod plan;
pub mod recipe;
pub mod retention;
pub mod rollout;
pub mod sequential;
pub mod sketch;
pub mod spent;
pub mod split;
pub mod telemetry;
pub mod term;
pub mod traffic;
