//! Ranked lists: merging those of shards ([`merge`]), fusing those of an ensemble's members ([`fuse`]), diversifying the
//! result ([`diversify`]), and making one of two ensembles' lists ([`interleave`](mod@interleave)); and how shards search for
//! them ([`strategy`]).

pub mod diversify;
pub mod fuse;
pub mod interleave;
pub mod merge;
pub mod randomise;
pub mod strategy;
