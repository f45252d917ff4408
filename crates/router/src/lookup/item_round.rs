//! One round of Lookup calls for items: their vectors by id, from the shards that hold them, and their vectors and names
//! by ordinal, from whichever shards those are in.

use crate::fanout::health::CallKind;
use crate::fanout::{CallTerms, Round, pair_results};
use crate::lookup::round::{check_vector, components, send};
use crate::planning::shard_map::ShardMap;
use futures::future::BoxFuture;
use marquee_core::bounds::MAX_ATTRIBUTED_ROWS;
use marquee_core::id::ModelVersion;
use marquee_proto::convert::version::version_to_pb;
use marquee_proto::shard::v1::shard_service_server::ShardService;
use marquee_proto::shard::v1::{
    Entity, LookupKey, LookupOp, LookupRequest, LookupResponse, LookupResult, RowName,
};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use tonic::Status;

/// Rows of one round: with vectors of 1,024 components they are half of what a message between nodes may have.
const MAX_ROWS: usize = 8_192;

/// Items of one version that are to be looked up.
pub(crate) struct WantedItems<'a> {
    /// The version's number in the shard map.
    pub(crate) version: usize,
    /// The dense matrix; empty for names alone.
    pub(crate) matrix: &'a str,
    /// Items by id.
    pub(crate) ids: Vec<String>,
    /// Items by ordinal, ascending; at most [`MAX_ATTRIBUTED_ROWS`].
    pub(crate) ordinals: Vec<u32>,
}

/// What was found of items.
#[derive(Debug, Default)]
pub(crate) struct FoundItems {
    pub(crate) by_id: HashMap<String, Vec<f32>>,
    pub(crate) by_ordinal: HashMap<u32, Vec<f32>>,
    /// Ids and titles of items by ordinal.
    pub(crate) names: HashMap<u32, (String, String)>,
}

/// One round of Lookup calls: all items that several requests want.
pub(crate) struct ItemRound<'a> {
    epoch: u64,
    ops: Vec<ItemLookup<'a>>,
    rows: usize,
}

/// The items of one version, and the matrix that has their vectors.
struct ItemLookup<'a> {
    version: &'a ModelVersion,
    matrix: &'a str,
    shards: Range<usize>,
    /// Shard and id of each item.
    keys: Vec<(usize, String)>,
    ordinals: Vec<u32>,
    found: FoundItems,
}

impl<'a> ItemRound<'a> {
    /// A round without rows.
    pub(crate) fn new(epoch: u64) -> Self {
        Self { epoch, ops: Vec::new(), rows: 0 }
    }

    /// Whether these would make messages too large.
    pub(crate) fn is_full_for(&self, wanted: &[WantedItems<'_>]) -> bool {
        let more: usize = wanted.iter().map(WantedItems::rows).sum();
        self.rows > 0 && self.rows + more > MAX_ROWS
    }

    /// Adds some rows, and says where to find them.
    pub(crate) fn add(&mut self, shards: &ShardMap<'a>, wanted: WantedItems<'a>) -> usize {
        debug_assert!(wanted.ordinals.len() <= MAX_ATTRIBUTED_ROWS, "shards take no more");
        self.rows += wanted.rows();
        let WantedItems { version, matrix, ids, ordinals } = wanted;
        let keys = ids.into_iter().map(|id| (shards.shard_holding(version, &id), id)).collect();
        self.ops.push(ItemLookup {
            version: shards.version(version).name,
            matrix,
            shards: shards.shards_of(version),
            keys,
            ordinals,
            found: FoundItems::default(),
        });
        self.ops.len() - 1
    }

    /// The shards to ask.
    pub(crate) fn shards(&self) -> BTreeSet<usize> {
        self.ops.iter().flat_map(|op| op.shards.clone()).collect()
    }

    /// Takes what was found, after the round.
    pub(crate) fn take(&mut self, place: usize) -> FoundItems {
        std::mem::take(&mut self.ops[place].found)
    }
}

impl WantedItems<'_> {
    fn rows(&self) -> usize {
        self.ids.len() + self.ordinals.len()
    }
}

impl ItemLookup<'_> {
    fn of<'p>(&self, shards: &'p [usize]) -> impl Iterator<Item = usize> + use<'p> {
        let mine = self.shards.clone();
        shards.iter().copied().filter(move |shard| mine.contains(shard))
    }

    fn number_in_version(&self, shard: usize) -> u32 {
        (shard - self.shards.start) as u32
    }

    fn keys<'p>(&'p self, shards: &'p [usize]) -> impl Iterator<Item = &'p (usize, String)> {
        self.keys.iter().filter(|(shard, _)| shards.contains(shard))
    }

    fn message(&self, shards: &[usize]) -> LookupOp {
        let mut keys = Vec::new();
        for (shard, id) in self.keys(shards) {
            keys.push(LookupKey { shard: self.number_in_version(*shard), id: id.clone() });
        }
        LookupOp {
            version: Some(version_to_pb(self.version)),
            entity: Entity::Item.into(),
            keys,
            dense_matrix: self.matrix.into(),
            ordinals: self.ordinals.clone(),
            ordinal_shards: self.of(shards).map(|shard| self.number_in_version(shard)).collect(),
            ..LookupOp::default()
        }
    }

    fn check(&self, shards: &[usize], result: &LookupResult) -> Result<(), String> {
        let LookupResult { rows, ordinal_rows, ordinal_names } = result;
        if rows.len() != self.keys(shards).count() {
            return Err(format!("not a row for each key from {}", self.version));
        }
        if ordinal_rows.len() != ordinal_names.len() {
            return Err(format!("rows without names from {}", self.version));
        }
        for row in rows.iter().filter(|row| row.found).chain(ordinal_rows) {
            check_vector(&row.vector, !self.matrix.is_empty(), self.version)?;
        }
        for (row, name) in ordinal_rows.iter().zip(ordinal_names) {
            if row.ordinal != name.ordinal || self.ordinals.binary_search(&row.ordinal).is_err() {
                return Err(format!("an item that was not asked for from {}", self.version));
            }
        }
        Ok(())
    }

    fn take_in(&mut self, shards: &[usize], result: LookupResult) {
        let LookupResult { rows, ordinal_rows, ordinal_names } = result;
        let ids: Vec<String> = self.keys(shards).map(|(_, id)| id.clone()).collect();
        let FoundItems { by_id, by_ordinal, names } = &mut self.found;
        for (id, row) in ids.into_iter().zip(&rows).filter(|(_, row)| row.found) {
            by_id.insert(id, components(&row.vector).collect());
        }
        for row in &ordinal_rows {
            by_ordinal.insert(row.ordinal, components(&row.vector).collect());
        }
        for RowName { ordinal, item_id, title } in ordinal_names {
            names.insert(ordinal, (item_id, title));
        }
    }
}

impl Round for ItemRound<'_> {
    type Reply = LookupResponse;

    fn kind(&self) -> CallKind {
        CallKind::lookup(self.rows)
    }

    fn call(
        &self,
        service: Arc<dyn ShardService>,
        shards: &[usize],
        terms: CallTerms,
    ) -> BoxFuture<'static, Result<LookupResponse, Status>> {
        let asked = self.ops.iter().filter(|op| op.of(shards).next().is_some());
        let ops = asked.map(|op| op.message(shards)).collect();
        send(service, LookupRequest { plan_epoch: self.epoch, ops }, terms)
    }

    fn absorb(&mut self, shards: &[usize], reply: LookupResponse) -> Result<(), String> {
        let asked: Vec<usize> =
            (0..self.ops.len()).filter(|&op| self.ops[op].of(shards).next().is_some()).collect();
        let results = pair_results(asked, reply.results, "lookups")?;
        for (op, result) in &results {
            self.ops[*op].check(shards, result)?;
        }
        for (op, result) in results {
            self.ops[op].take_in(shards, result);
        }
        Ok(())
    }
}
