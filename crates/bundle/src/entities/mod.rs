//! The users, items and terms of a shard: their ids and titles ([`ids`]), and the tags and
//! attributes that filters read ([`labels`]).

pub mod ids;
pub mod labels;
