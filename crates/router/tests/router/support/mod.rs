//! A cluster of fake shards that keep their models in memory and fail as they are told.

mod bundle;
mod shard;
mod world;

pub(crate) use bundle::{Bundle, Item, User, films};
pub(crate) use shard::{FakeShard, Mood};
pub(crate) use world::{TRIAL, World, interleave, leaf, roll_out, user, users};
