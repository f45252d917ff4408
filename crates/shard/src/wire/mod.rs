//! Where wire types stop: requests become the engine's specifications, and its answers become messages.
//!
//! Everything that can be told without the replicas is checked here: counts, bounds, indexes and names.
//! Requests are destructured exhaustively, so that a new field cannot be forgotten.

mod filter;
pub(crate) mod lookup;
pub(crate) mod search;
mod version;
