//! One round of Lookup calls: rows of users, items or terms, from the shards that hold them.

use super::row_cache::RowCache;
use super::stored_row::{FoundRow, StoredRow};
use crate::fanout::health::CallKind;
use crate::fanout::{CallFailure, CallTerms, Round, pair_results};
use crate::planning::shard_map::{PlannedVersion, ShardMap};
use crate::planning::wanted_rows::RowSource;
use futures::future::{BoxFuture, FutureExt as _};
use marquee_core::id::ModelVersion;
use marquee_core::model::recipe::Entity;
use marquee_proto::convert::version::version_to_pb;
use marquee_proto::shard::v1::shard_service_server::ShardService;
use marquee_proto::shard::v1::{
    self as wire, LookupKey, LookupOp, LookupRequest, LookupResponse, LookupResult, Row,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tonic::Status;

/// Rows asked of a node at once: so many vectors of 1,024 components with histories of some hundred
/// items fit into a message between nodes with room to spare.
pub(crate) const MAX_KEYS: usize = 8_192;

/// The place of a key in a round: where its row is found afterwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LookupPlace {
    op: usize,
    key: usize,
}

/// One round of Lookup calls: all keys of several requests.
pub(crate) struct LookupRound<'a> {
    epoch: u64,
    ops: Vec<LookupBySource<'a>>,
    keys: usize,
}

/// The keys whose rows come from the same matrices.
struct LookupBySource<'a> {
    source: RowSource<'a>,
    version: &'a ModelVersion,
    /// The digest of the version's bundle.
    bundle: &'a str,
    keys: Vec<RowKey<'a>>,
}

/// An id to look up.
struct RowKey<'a> {
    /// The shard that holds it, by its number in the shard map.
    shard: usize,
    number_in_version: u32,
    id: &'a str,
    /// None until it was answered.
    row: Option<FoundRow>,
    /// The row was remembered, and is not asked for.
    is_remembered: bool,
}

impl<'a> LookupRound<'a> {
    /// A round without keys.
    pub(crate) fn new(epoch: u64) -> Self {
        Self { epoch, ops: Vec::new(), keys: 0 }
    }

    /// Whether it has no keys at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// How many keys it asks for.
    pub(crate) fn len(&self) -> usize {
        self.keys
    }

    /// Adds a key, which is not asked for if `remembered` has its row.
    pub(crate) fn add(
        &mut self,
        shards: &ShardMap<'a>,
        source: RowSource<'a>,
        id: &'a str,
        remembered: Option<&RowCache>,
    ) -> LookupPlace {
        let PlannedVersion { name: version, digest: bundle, .. } = *shards.version(source.version);
        let op = self.ops.iter().position(|op| op.source == source).unwrap_or_else(|| {
            self.ops.push(LookupBySource { source, version, bundle, keys: Vec::new() });
            self.ops.len() - 1
        });
        let shard = shards.shard_holding(source.version, id);
        let number_in_version = shards.number_in_version(source.version, shard);
        let row = remembered.and_then(|cache| cache.get(bundle, source, id)).map(FoundRow::Row);
        let is_remembered = row.is_some();
        self.ops[op].keys.push(RowKey { shard, number_in_version, id, row, is_remembered });
        self.keys += usize::from(!is_remembered);
        LookupPlace { op, key: self.ops[op].keys.len() - 1 }
    }

    /// The shards that hold the keys that it asks for.
    pub(crate) fn shards(&self) -> BTreeSet<usize> {
        let keys = self.ops.iter().flat_map(|op| &op.keys).filter(|key| !key.is_remembered);
        keys.map(|key| key.shard).collect()
    }

    /// Has the rows remembered that were asked for and found, after the round and before they are taken out.
    pub(crate) fn remember(&self, cache: &RowCache) {
        for LookupBySource { source, version: _, bundle, keys } in &self.ops {
            for RowKey { id, row, is_remembered, .. } in keys {
                if let (Some(FoundRow::Row(row)), false) = (row, is_remembered) {
                    cache.put(bundle, *source, id, Arc::clone(row));
                }
            }
        }
    }

    /// Takes what was found of a key, after the round that had no answer from the `unanswered` shards.
    pub(crate) fn take(
        &mut self,
        place: LookupPlace,
        unanswered: &BTreeMap<usize, CallFailure>,
    ) -> FoundRow {
        let key = &mut self.ops[place.op].keys[place.key];
        key.row.take().unwrap_or_else(|| {
            let failure = unanswered.get(&key.shard).copied().unwrap_or(CallFailure::Unreachable);
            FoundRow::Unavailable(key.shard, failure)
        })
    }

    fn message(&self, shards: &[usize]) -> LookupRequest {
        let mut message = LookupRequest { plan_epoch: self.epoch, ops: Vec::new() };
        for op in &self.ops {
            let keys: Vec<LookupKey> = op
                .keys
                .iter()
                .filter(|key| key.is_in(shards))
                .map(|key| LookupKey { shard: key.number_in_version, id: key.id.into() })
                .collect();
            if !keys.is_empty() {
                message.ops.push(LookupOp {
                    version: Some(version_to_pb(op.version)),
                    entity: entity_to_wire(op.source.entity).into(),
                    keys,
                    dense_matrix: op.source.dense.into(),
                    sparse_matrix: op.source.sparse.into(),
                    tags: op.source.tags,
                    ..LookupOp::default()
                });
            }
        }
        message
    }
}

impl RowKey<'_> {
    /// Whether one of these shards is asked for it.
    fn is_in(&self, shards: &[usize]) -> bool {
        !self.is_remembered && shards.binary_search(&self.shard).is_ok()
    }
}

impl Round for LookupRound<'_> {
    type Reply = LookupResponse;

    fn kind(&self) -> CallKind {
        CallKind::lookup(self.keys)
    }

    fn call(
        &self,
        service: Arc<dyn ShardService>,
        shards: &[usize],
        terms: CallTerms,
    ) -> BoxFuture<'static, Result<LookupResponse, Status>> {
        send(service, self.message(shards), terms)
    }

    fn absorb(&mut self, shards: &[usize], reply: LookupResponse) -> Result<(), String> {
        let asked: Vec<usize> = (0..self.ops.len())
            .filter(|&op| self.ops[op].keys.iter().any(|key| key.is_in(shards)))
            .collect();
        let results = pair_results(asked, reply.results, "lookups")?;
        for (op, LookupResult { rows, ordinal_rows: _, ordinal_names: _ }) in &results {
            let op = &self.ops[*op];
            let keys = op.keys.iter().filter(|key| key.is_in(shards)).count();
            if rows.len() != keys {
                return Err(format!("{} rows for {keys} keys of {}", rows.len(), op.version));
            }
            rows.iter().try_for_each(|row| check_row(row, op))?;
        }
        for (op, LookupResult { rows, .. }) in results {
            let keys = self.ops[op].keys.iter_mut().filter(|key| key.is_in(shards));
            keys.zip(rows).for_each(|(key, row)| key.row = Some(found_row(row)));
        }
        Ok(())
    }
}

fn check_row(row: &Row, op: &LookupBySource<'_>) -> Result<(), String> {
    let Row { found, ordinal: _, vector, columns, values, tags: _ } = row;
    if !found {
        return Ok(());
    }
    check_vector(vector, !op.source.dense.is_empty(), op.version)?;
    if columns.len() != values.len() {
        return Err(format!(
            "{} columns with {} values from {}",
            columns.len(),
            values.len(),
            op.version
        ));
    }
    Ok(())
}

/// Asks a node for rows.
pub(crate) fn send(
    service: Arc<dyn ShardService>,
    message: LookupRequest,
    terms: CallTerms,
) -> BoxFuture<'static, Result<LookupResponse, Status>> {
    let request = terms.request(message);
    async move { Ok(service.lookup(request).await?.into_inner()) }.boxed()
}

/// Refuses a vector with a part of a component, one that is missing, and one that is not finite.
pub(crate) fn check_vector(
    vector: &[u8],
    is_wanted: bool,
    version: &ModelVersion,
) -> Result<(), String> {
    if !vector.len().is_multiple_of(4) || (vector.is_empty() && is_wanted) {
        return Err(format!("a vector of {} bytes from {version}", vector.len()));
    }
    if !components(vector).all(f32::is_finite) {
        return Err(format!("a vector with a component that is not finite from {version}"));
    }
    Ok(())
}

fn found_row(row: Row) -> FoundRow {
    let Row { found, ordinal, vector, columns, values, tags } = row;
    if !found {
        return FoundRow::Unknown;
    }
    // Decoded, a vector does not keep the message in memory that it came in.
    let components = components(&vector).collect();
    FoundRow::Row(Arc::new(StoredRow { ordinal, vector: components, columns, values, tags }))
}

/// The components of a vector on the wire: little-endian `f32`s.
pub(crate) fn components(vector: &[u8]) -> impl Iterator<Item = f32> {
    vector.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes))
}

fn entity_to_wire(entity: Entity) -> wire::Entity {
    match entity {
        Entity::User => wire::Entity::User,
        Entity::Item => wire::Entity::Item,
        Entity::Term => wire::Entity::Term,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_does_not_keep_the_message_that_it_came_in() {
        let message = bytes::Bytes::from([1.0_f32.to_le_bytes(), 0.5_f32.to_le_bytes()].concat());
        let row = Row { found: true, vector: message.slice(4..), ..Row::default() };
        let FoundRow::Row(stored) = found_row(row) else { panic!("it was found") };
        assert_eq!(stored.vector, [0.5]);
        assert!(message.is_unique(), "the message stays in memory");
        assert!(matches!(found_row(Row::default()), FoundRow::Unknown));
    }
}
