//! The router against fake shards in the same process: everything that can be seen from outside.

mod answers;
mod batches;
mod ensembles;
mod events;
mod failures;
mod interleaved;
mod plans;
mod preferences;
mod remembered;
mod sockets;
mod stages;
mod support;
mod trials;
mod variants;

use marquee_proto::v1;

/// The ids of an answer's items.
fn ids(items: &[v1::RecommendedItem]) -> Vec<&str> {
    items.iter().map(|item| item.item_id.as_str()).collect()
}
