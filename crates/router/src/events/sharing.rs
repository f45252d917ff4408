//! What users have had, from router to router: a user's next request may go to any of them, and so may the
//! retry of a backend that did not hear the acknowledgement.
//!
//! Best effort and bounded: accepted events wait in a queue, are sent together every [`EVERY`], and are
//! dropped where a router does not take them. What is durable is in the log of the router that
//! acknowledged it.

use crate::fanout::grpc::channel;
use marquee_core::bounds::{MAX_INTERNAL_MESSAGE_BYTES, MAX_SHARED_ITEMS};
use marquee_core::plan::{Plan, Role};
use marquee_events::duplicates::hash_of;
use marquee_events::{Event, EventLog, EventSink};
use marquee_net::Connector;
use marquee_proto::convert::events::{SharedItem, recent_items, to_recent_item};
use marquee_proto::node::v1::recent_items_service_client::RecentItemsServiceClient;
use marquee_proto::node::v1::recent_items_service_server::RecentItemsService;
use marquee_proto::node::v1::{RecentItem, ShareRecentItemsRequest, ShareRecentItemsResponse};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, async_trait};

/// How long events wait for others: within a second they are everywhere.
const EVERY: Duration = Duration::from_millis(200);
/// Items that wait; what comes on top is dropped.
const QUEUE: usize = 2 * MAX_SHARED_ITEMS;
/// What a router may take to take them: the next message is due by then.
const PATIENCE: Duration = Duration::from_millis(500);

type Client = RecentItemsServiceClient<Channel>;

/// Sends the events that `events` accepts to the other routers of `plan`, until the log ends.
pub(crate) async fn share(
    events: EventLog,
    node_id: String,
    plan: watch::Receiver<Arc<Plan>>,
    connector: Connector,
) {
    let (outbox, mut queue) = mpsc::channel(QUEUE);
    events.add_sink(Arc::new(Outbox(outbox)));
    // The log ends when no service records any more, not when no sink is left.
    drop(events);
    let mut clients: BTreeMap<String, Client> = BTreeMap::new();
    while let Some(first) = queue.recv().await {
        sleep(EVERY).await;
        let mut items = vec![first];
        while items.len() < MAX_SHARED_ITEMS
            && let Ok(item) = queue.try_recv()
        {
            items.push(item);
        }
        let addresses = others(&plan.borrow(), &node_id);
        clients.retain(|address, _| addresses.iter().any(|(_, known)| known == address));
        for (id, address) in addresses {
            if !clients.contains_key(&address)
                && let Ok(channel) = channel(&address, connector.to(&id))
            {
                let client = RecentItemsServiceClient::new(channel)
                    .max_encoding_message_size(MAX_INTERNAL_MESSAGE_BYTES);
                clients.insert(address, client);
            }
        }
        let calls = clients.values().map(|client| tell(client.clone(), items.clone()));
        futures::future::join_all(calls).await;
    }
}

async fn tell(mut client: Client, items: Vec<RecentItem>) {
    let dropped = items.len();
    let call = client.share_recent_items(ShareRecentItemsRequest { items });
    let reason = match timeout(PATIENCE, call).await {
        Ok(Ok(_)) => return,
        Ok(Err(status)) => status.message().to_owned(),
        Err(_) => format!("no answer within {PATIENCE:?}"),
    };
    tracing::debug!(dropped, reason, "another router did not take recent events");
}

/// Ids and addresses of the other routers.
fn others(plan: &Plan, node_id: &str) -> Vec<(String, String)> {
    let mut addresses = Vec::new();
    for (id, node) in &plan.nodes {
        if id != node_id && node.alive && node.roles.contains(&Role::Router) {
            addresses.push((id.clone(), node.address.clone()));
        }
    }
    addresses
}

struct Outbox(mpsc::Sender<RecentItem>);

impl EventSink for Outbox {
    fn accepted(&self, events: &[Event]) {
        for event in events.iter().filter(|event| event.event_type.is_consumption()) {
            // Full, or sharing has ended: other routers will know it by the next training.
            if self.0.try_send(to_recent_item(event, hash_of(&event.event_id))).is_err() {
                return;
            }
        }
    }
}

/// Takes the recent items of other routers.
#[derive(Clone, Debug)]
pub struct RecentItems(pub(crate) EventLog);

#[async_trait]
impl RecentItemsService for RecentItems {
    async fn share_recent_items(
        &self,
        request: Request<ShareRecentItemsRequest>,
    ) -> Result<Response<ShareRecentItemsResponse>, Status> {
        let mut keys = Vec::new();
        for SharedItem { user_id, item_id, time_ms, event_key } in
            recent_items(request.into_inner())
        {
            self.0.recent().insert(&user_id, &item_id, time_ms);
            keys.extend(event_key);
        }
        self.0.recorded_elsewhere(&keys);
        Ok(Response::new(ShareRecentItemsResponse {}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::plan::Node;

    #[test]
    fn the_others_are_live_routers_but_this_one() {
        let node = |address: &str, role, alive| Node {
            address: address.into(),
            roles: [role].into(),
            draining: false,
            memory_budget_bytes: 0,
            alive,
        };
        let mut plan = Plan::default();
        for (id, address, role, alive) in [
            ("r1", "http://r1", Role::Router, true),
            ("r2", "http://r2", Role::Router, true),
            ("r3", "http://r3", Role::Router, false),
            ("s1", "http://s1", Role::Shard, true),
        ] {
            plan.nodes.insert(id.into(), node(address, role, alive));
        }
        assert_eq!(others(&plan, "r1"), [("r2".to_owned(), "http://r2".to_owned())]);
    }

    #[tokio::test]
    async fn the_outbox_has_a_bound_and_no_impressions() {
        let (outbox, mut queue) = mpsc::channel(3);
        let event = |event_type| Event { event_type, ..Event::default() };
        let click = event(marquee_events::EventType::Click);
        let shown = event(marquee_events::EventType::Impression);
        Outbox(outbox).accepted(&[shown, click.clone(), click.clone(), click.clone(), click]);
        let mut count = 0;
        while queue.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, 3);
    }
}
