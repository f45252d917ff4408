//! Stage four: the lists of the leaves, from all shards of their versions.
//!
//! - [`leaf_query`]: what the tree asks of one leaf, and what is known of its list.
//! - [`searching`]: [`SearchingRequest`](searching::SearchingRequest), a request whose leaves are searched; it makes
//!   wire queries of leaf queries and records what comes back.
//! - [`explanation`]: searches that say why a list is as it is, and what shards answer them.
//! - [`wire_query`]: a search of one matrix, as shards understand it.
//! - [`round`]: one round of Search calls; merges the lists of nodes.
//!
//! Takes [looked-up requests](crate::lookup::looked_up::LookedUpRequest). Which leaves are searched when, and what
//! becomes of their lists, is decided by fusion.

pub(crate) mod explanation;
pub(crate) mod leaf_query;
pub(crate) mod round;
pub(crate) mod searching;
pub(crate) mod wire_query;
