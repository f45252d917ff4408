//! Stage two: what answers a request, decided from the plan alone, before anything is asked of a shard.
//!
//! - [`planned`]: [`PlannedRequest`](planned::PlannedRequest), the result of this stage: the request's route, the tree of its ensemble, and
//!   its leaves (one recipe of one version each; a blend has a leaf for each member).
//! - [`ensemble_tree`]: an ensemble without references and splits.
//! - [`shard_map`]: the versions, shards and nodes of all requests of a batch, numbered.
//! - [`wanted_rows`]: the rows that the leaves need of the user, the recent items and the terms of a request.
//!
//! Takes [requests](crate::admission::request::RankingRequest) from admission; nothing here waits.

pub(crate) mod ensemble_tree;
pub(crate) mod planned;
pub(crate) mod shard_map;
pub(crate) mod wanted_rows;
