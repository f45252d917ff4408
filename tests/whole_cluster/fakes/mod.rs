//! Models in memory and nodes that answer from them, as tests of routers have them.

#[path = "../../../crates/router/tests/router/support/bundle.rs"]
pub(crate) mod bundle;
#[path = "../../../crates/router/tests/router/support/shard.rs"]
pub(crate) mod shard;
