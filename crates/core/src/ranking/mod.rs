//! Ranked lists: merging those of shards ([`merge`]), fusing those of an ensemble's members ([`fuse`]), and
//! diversifying the result ([`diversify`]); and how shards search for them ([`strategy`]).

pub mod diversify;
pub mod fuse;
pub mod merge;
pub mod strategy;
