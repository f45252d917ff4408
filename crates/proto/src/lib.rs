//! Generated gRPC types, and the checked conversions between them and `marquee-core`.
//!
//! Wire types stop here: conversions destructure exhaustively, so that a new field cannot be
//! forgotten, and refuse what is out of bounds with the field's name. [`status`] has the details of refusals.

#![forbid(unsafe_code)]

pub mod convert;
mod generated;
pub mod overload;
pub mod status;

pub use generated::{control, node, raft, shard, v1};

/// The encoded `FileDescriptorSet` of all packages, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
