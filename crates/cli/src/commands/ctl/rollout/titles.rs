//! Titles of items, looked up in the shards that hold them: routers would count the question as one of a user's.

use marquee_client::{Address, Connection, Credentials, channel};
use marquee_core::hash::shard_of;
use marquee_core::id::ModelVersion;
use marquee_core::plan::{Plan, ReplicaState};
use marquee_proto::shard::v1::shard_service_client::ShardServiceClient;
use marquee_proto::shard::v1::{Entity, LookupKey, LookupOp, LookupRequest, LookupResponse};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a node may take: titles are an ornament.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The titles of those items that have one in a version of these ensembles, as far as nodes answer: where callers must
/// prove who they are, shards answer routers only.
pub(super) async fn titles(
    credentials: &Credentials,
    plan: &Plan,
    ensembles: [&str; 2],
    item_ids: &BTreeSet<String>,
) -> BTreeMap<String, String> {
    let mut titles = BTreeMap::new();
    let versions: BTreeSet<ModelVersion> =
        ensembles.into_iter().flat_map(|ensemble| plan.versions_of(ensemble)).collect();
    for version in versions {
        let missing: Vec<&String> =
            item_ids.iter().filter(|id| !titles.contains_key(*id)).collect();
        for (address, keys) in by_node(plan, &version, &missing) {
            // A node that does not answer leaves its items without titles.
            let found = titles_at(credentials, &address, &version, keys).await;
            titles.extend(found.unwrap_or_default());
        }
    }
    titles
}

/// The keys of items by the address of a node that holds them.
fn by_node(
    plan: &Plan,
    version: &ModelVersion,
    item_ids: &[&String],
) -> BTreeMap<String, Vec<LookupKey>> {
    let mut keys: BTreeMap<String, Vec<LookupKey>> = BTreeMap::new();
    let Some(published) = plan.versions.get(version) else { return keys };
    for id in item_ids {
        let shard = shard_of(id, published.shards);
        let Some(placement) = published.placements.get(shard as usize) else { continue };
        let mut replicas = placement.replicas.iter();
        let held = replicas.find(|(_, replica)| replica.state == ReplicaState::Available);
        if let Some(node) = held.and_then(|(node_id, _)| plan.nodes.get(node_id)) {
            let key = LookupKey { shard, id: (*id).clone() };
            keys.entry(node.address.clone()).or_default().push(key);
        }
    }
    keys
}

/// The titles that one node has of these items: by their ids to ordinals, and by these to names.
async fn titles_at(
    credentials: &Credentials,
    address: &str,
    version: &ModelVersion,
    keys: Vec<LookupKey>,
) -> Option<BTreeMap<String, String>> {
    let address: Address = address.parse().ok()?;
    let mut shard = ShardServiceClient::new(channel(&address, credentials));
    let shards: BTreeSet<u32> = keys.iter().map(|key| key.shard).collect();
    let op = LookupOp {
        version: Some(marquee_proto::v1::ModelVersion {
            model: version.model.clone(),
            version: version.version,
        }),
        entity: Entity::Item as i32,
        keys,
        ..LookupOp::default()
    };
    let found = lookup(&mut shard, op.clone()).await?;
    let rows = found.results.into_iter().flat_map(|result| result.rows);
    let ordinals = rows.filter(|row| row.found).map(|row| row.ordinal).collect();
    let ordinal_shards = shards.into_iter().collect();
    let named = LookupOp { keys: Vec::new(), ordinals, ordinal_shards, ..op };
    let found = lookup(&mut shard, named).await?;
    let names = found.results.into_iter().flat_map(|result| result.ordinal_names);
    let titled = names.filter(|name| !name.title.is_empty());
    Some(titled.map(|name| (name.item_id, name.title)).collect())
}

async fn lookup(
    shard: &mut ShardServiceClient<Connection>,
    op: LookupOp,
) -> Option<LookupResponse> {
    let request = LookupRequest { plan_epoch: 0, ops: vec![op] };
    let answer = tokio::time::timeout(TIMEOUT, shard.lookup(request)).await;
    Some(answer.ok()?.ok()?.into_inner())
}
