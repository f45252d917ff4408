//! Titles of items, as a router gives them with items that it is asked to rank. Such an answer counts for no variant.

use marquee_client::{Address, Credentials, channel};
use marquee_core::bounds::MAX_RANK_ITEMS;
use marquee_core::plan::{Plan, Role};
use marquee_proto::v1::RankItemsRequest;
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a router may take: titles are an ornament.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The user whom the items are ranked for: no user of anybody's is called that.
const NOBODY: &str = "marquee ctl rollout diff";

/// The titles of those items that have one in what is live on the surface, from the first router that answers; none where
/// no router does, or the command may not call routers.
pub(super) async fn titles(
    credentials: &Credentials,
    plan: &Plan,
    surface: &str,
    item_ids: &BTreeSet<String>,
) -> BTreeMap<String, String> {
    let request = RankItemsRequest {
        user_id: NOBODY.into(),
        item_ids: item_ids.iter().take(MAX_RANK_ITEMS).cloned().collect(),
        surface: surface.into(),
    };
    let routers =
        plan.nodes.values().filter(|node| node.alive && node.roles.contains(&Role::Router));
    for address in routers.filter_map(|node| node.address.parse::<Address>().ok()) {
        let mut router = RecommenderServiceClient::new(channel(&address, credentials));
        let answer = tokio::time::timeout(TIMEOUT, router.rank_items(request.clone())).await;
        if let Ok(Ok(answer)) = answer {
            let titled =
                answer.into_inner().items.into_iter().filter(|item| !item.title.is_empty());
            return titled.map(|item| (item.item_id, item.title)).collect();
        }
    }
    BTreeMap::new()
}
