//! The matrices of a shard: dense ones ([`dense`]) with what makes searches in them fast (coarse rows,
//! [`cells`] or a [`graph`]), and sparse ones ([`sparse`]).

pub mod cells;
pub(crate) mod coarse;
pub mod dense;
pub mod graph;
pub mod sparse;
pub(crate) mod tuning;
