//! The engine: lookups and the two operations over the replicas of this node, in types of its own.
//!
//! A specification ([`query`]) is first *placed* on the replicas that answer
//! ([`lookup::Lookup::place`], [`search::Search::place`]): its shards are taken from the table, and
//! what depends on their matrices is checked. That is cheap, needs no pool, and leaves a
//! [`Work`](crate::pool::Work) that holds on to its shards, so that a swap in mid-request changes
//! nothing for it. The work then runs on the pool, which is told how long such work took lately on the
//! replicas that it is about ([`AverageTimes`](average_times::AverageTimes)).
//!
//! What is deliberately missing: the wire (`crate::wire` converts both ways), and recipes. Which
//! matrices to search, and with what, is the router's business; new model families need no change here.

mod answer_bytes;
pub(crate) mod average_times;
mod explain;
mod filter;
pub(crate) mod lookup;
pub(crate) mod query;
pub(crate) mod search;
pub(crate) mod table;
