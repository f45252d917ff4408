//! Ranked lists: merging those of shards ([`merge`]), fusing those of an ensemble's members ([`fuse`]), and
//! diversifying the result ([`diversify`]).

pub mod diversify;
pub mod fuse;
pub mod merge;
