//! Lookup: the rows of users, items and terms by external id, and of items by ordinal.
//!
//! Whoever knows an ordinal does not know the shard: all shards that may have it are asked.

use super::{AnswerBytes, check_ops, check_version};
use crate::error::RequestError;
use crate::lifecycle::ReplicaKey;
use crate::pool::Work;
use crate::service::OperationsSpent;
use crate::table::{Replica, Table};
use marquee_bundle::{BundleShard, CancelFlag, Entity, Partition, SearchScratch};
use marquee_core::bounds::{MAX_BATCH, MAX_CARRIER_ROWS, MAX_ENSEMBLE_MEMBERS, MAX_RANK_ITEMS};
use marquee_core::id::check_id;
use marquee_proto::shard::v1::{
    self as wire, LookupKey, LookupOp, LookupRequest, LookupResponse, LookupResult, Row, RowName,
};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Keys of one request: the most items there are to rank, for every member of the largest
/// ensemble, or a full batch of users for each.
const MAX_KEYS: usize = (MAX_RANK_ITEMS + MAX_BATCH) * MAX_ENSEMBLE_MEMBERS;
/// Keys that a thread looks up at a time: some tens of microseconds.
const KEYS_A_UNIT: usize = 64;

/// A checked request, with the shards it is about.
pub(crate) struct Lookup {
    ops: Vec<Op>,
    /// Which keys of which operation each unit is.
    units: Vec<(usize, Range<usize>)>,
    bytes: AnswerBytes,
    spent: Arc<OperationsSpent>,
}

struct Op {
    entity: Entity,
    replicas: Vec<Arc<Replica>>,
    /// Ids, then ordinals.
    keys: Vec<Key>,
    /// How many of the keys are ids.
    ids: usize,
    /// The places of the replicas that may have the ordinals.
    holders: Vec<usize>,
    dense_matrix: String,
    sparse_matrix: String,
    tags: bool,
}

/// What a row is known by.
enum Key {
    /// In the replica at this place.
    Id(usize, String),
    /// In one of the holders, or none.
    Ordinal(u32),
}

/// A row, and what it is called if it was asked for by ordinal.
pub(crate) struct Known {
    row: Row,
    name: Option<RowName>,
}

/// Checks the request and takes its shards from the table.
pub(crate) fn check(
    request: LookupRequest,
    table: &Table,
    spent: &Arc<OperationsSpent>,
) -> Result<Lookup, RequestError> {
    let LookupRequest { plan_epoch: _, ops } = request;
    check_ops(ops.len())?;
    let keys: usize = ops.iter().map(|op| op.keys.len() + op.ordinals.len()).sum();
    if keys > MAX_KEYS {
        let reason = format!("{keys} keys in all: at most {MAX_KEYS} are allowed");
        return Err(RequestError::invalid("ops", reason));
    }
    let check = |(number, op)| check_op(&format!("ops[{number}]"), op, table);
    let ops = ops.into_iter().enumerate().map(check).collect::<Result<Vec<Op>, _>>()?;
    let mut units = Vec::new();
    for (number, op) in ops.iter().enumerate() {
        let keys = op.keys.len();
        let starts = (0..keys).step_by(KEYS_A_UNIT);
        units.extend(starts.map(|start| (number, start..keys.min(start + KEYS_A_UNIT))));
    }
    Ok(Lookup { ops, units, bytes: AnswerBytes::default(), spent: Arc::clone(spent) })
}

fn check_op(field: &str, op: LookupOp, table: &Table) -> Result<Op, RequestError> {
    let LookupOp {
        version,
        entity,
        keys,
        dense_matrix,
        sparse_matrix,
        tags,
        ordinals,
        ordinal_shards,
    } = op;
    let wrong =
        |part: &str, reason: String| RequestError::invalid(format!("{field}.{part}"), reason);
    let version = check_version(field, version)?;
    let entity = match wire::Entity::try_from(entity) {
        Ok(wire::Entity::User) => Entity::User,
        Ok(wire::Entity::Item) => Entity::Item,
        Ok(wire::Entity::Term) => Entity::Term,
        Ok(wire::Entity::Unspecified) | Err(_) => {
            return Err(wrong(
                "entity",
                format!("{entity} is no entity: ask for users, items or terms"),
            ));
        }
    };
    if tags && entity != Entity::Item {
        return Err(wrong("tags", "items have tags, users have none".into()));
    }
    if !ordinals.is_empty() && entity != Entity::Item {
        return Err(wrong("ordinals", "items are asked for by number, others by id".into()));
    }
    if ordinals.len() > MAX_CARRIER_ROWS {
        let reason = format!("{} in all: at most {MAX_CARRIER_ROWS} are allowed", ordinals.len());
        return Err(wrong("ordinals", reason));
    }
    let mut replicas: Vec<Arc<Replica>> = Vec::new();
    let mut place_of = |shard: u32| -> Result<usize, RequestError> {
        let known = replicas.iter().position(|held| held.shard.shard() == shard);
        Ok(match known {
            Some(place) => place,
            None => {
                let key = ReplicaKey::new(version.clone(), shard);
                replicas.push(Arc::clone(table.get(&key)?));
                replicas.len() - 1
            }
        })
    };
    let mut placed = Vec::with_capacity(keys.len());
    for (number, LookupKey { shard, id }) in keys.into_iter().enumerate() {
        check_id(&format!("{field}.keys[{number}].id"), &id).map_err(|error| {
            RequestError::invalid(format!("{field}.keys[{number}].id"), error.to_string())
        })?;
        placed.push(Key::Id(place_of(shard)?, id));
    }
    let ids = placed.len();
    let holders: BTreeSet<usize> =
        ordinal_shards.into_iter().map(place_of).collect::<Result<_, _>>()?;
    let holders: Vec<usize> = holders.into_iter().collect();
    if !ordinals.is_empty() && holders.is_empty() {
        return Err(wrong("ordinal_shards", "it is empty: name the shards to look in".into()));
    }
    placed.extend(ordinals.into_iter().map(Key::Ordinal));
    if let Some(first) = replicas.first() {
        check_matrices(&first.shard, entity, &dense_matrix, &sparse_matrix)
            .map_err(|(part, reason)| wrong(part, reason))?;
    }
    Ok(Op { entity, replicas, keys: placed, ids, holders, dense_matrix, sparse_matrix, tags })
}

fn check_matrices(
    shard: &BundleShard,
    entity: Entity,
    dense: &str,
    sparse: &str,
) -> Result<(), (&'static str, String)> {
    if !dense.is_empty() {
        let matrix = shard.dense(dense).map_err(|error| ("dense_matrix", error.to_string()))?;
        if matrix.entity() != entity {
            let (has, asked) = (matrix.entity().plural(), entity.plural());
            return Err(("dense_matrix", format!("{dense:?} has rows of {has}, not of {asked}")));
        }
    }
    if !sparse.is_empty() {
        let matrix = shard.sparse(sparse).map_err(|error| ("sparse_matrix", error.to_string()))?;
        if matrix.partition() != Partition::ByRow || entity != Entity::User {
            let reason = format!("{sparse:?} has no rows of {}", entity.plural());
            return Err(("sparse_matrix", reason));
        }
    }
    Ok(())
}

impl Work for Lookup {
    type Output = Vec<Known>;

    fn units(&self) -> usize {
        self.units.len()
    }

    fn expected(&self) -> Option<Duration> {
        let pace = |op: &Op, key: &Key| op.replicas[op.place(key)].paces.lookup().expected();
        let keys = self.ops.iter().flat_map(|op| op.keys.iter().map(move |key| pace(op, key)));
        keys.sum()
    }

    fn run(
        &self,
        unit: usize,
        _: &CancelFlag,
        _: &mut SearchScratch,
    ) -> Result<Vec<Known>, RequestError> {
        let (number, keys) = self.units[unit].clone();
        let op = &self.ops[number];
        let keys = &op.keys[keys];
        let began = Instant::now();
        let rows =
            keys.iter().map(|key| op.row(key, &self.bytes)).collect::<Result<Vec<Known>, _>>()?;
        // A unit has at least one key and at most some. What all took is as good a measure for any.
        let took = began.elapsed();
        op.replicas[op.place(&keys[0])].paces.lookup().record(took / keys.len() as u32);
        self.spent.lookup.add(took);
        Ok(rows)
    }
}

impl Lookup {
    /// How many ids each operation has, and how many keys beside them.
    pub(crate) fn shape(&self) -> Vec<(usize, usize)> {
        self.ops.iter().map(|op| (op.ids, op.keys.len() - op.ids)).collect()
    }
}

/// The answer of a request of this shape.
pub(crate) fn response(shape: Vec<(usize, usize)>, units: Vec<Vec<Known>>) -> LookupResponse {
    let mut known = units.into_iter().flatten();
    let result = |(ids, ordinals)| {
        let rows = known.by_ref().take(ids).map(|known| known.row).collect();
        let by_ordinal = known.by_ref().take(ordinals);
        let (ordinal_rows, ordinal_names) =
            by_ordinal.filter_map(|Known { row, name }| Some((row, name?))).unzip();
        LookupResult { rows, ordinal_rows, ordinal_names }
    };
    LookupResponse { results: shape.into_iter().map(result).collect() }
}

impl Op {
    /// The place of a replica that looks for the key.
    fn place(&self, key: &Key) -> usize {
        match key {
            Key::Id(place, _) => *place,
            // Ordinals come with holders.
            Key::Ordinal(_) => self.holders[0],
        }
    }

    fn row(&self, key: &Key, bytes: &AnswerBytes) -> Result<Known, RequestError> {
        let ids_at = |place: usize| self.replicas[place].shard.ids(self.entity);
        let found = match key {
            Key::Id(place, id) => ids_at(*place).find(id).map(|number| (*place, number)),
            Key::Ordinal(ordinal) => self
                .holders
                .iter()
                .find_map(|&place| Some((place, ids_at(place).row_of_ordinal(*ordinal)?))),
        };
        let Some((place, number)) = found else {
            return Ok(Known { row: Row::default(), name: None });
        };
        let (shard, ids) = (&self.replicas[place].shard, ids_at(place));
        let name = match key {
            Key::Id(..) => None,
            Key::Ordinal(ordinal) => {
                let (item_id, title) = (ids.id(number).to_owned(), ids.title(number).to_owned());
                // Tags and lengths on the wire.
                bytes.add(item_id.len() + title.len() + 14)?;
                Some(RowName { ordinal: *ordinal, item_id, title })
            }
        };
        let mut row = Row { found: true, ordinal: ids.ordinal(number), ..Row::default() };
        // Every shard of a version has the matrices that the first one was seen to have.
        let missing = |_| RequestError::Internal;
        if !self.dense_matrix.is_empty() {
            let values = shard.dense(&self.dense_matrix).map_err(missing)?.row(number);
            bytes.add(size_of_val(values))?;
            let vector: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            row.vector = vector.into();
        }
        if !self.sparse_matrix.is_empty() {
            let sparse = shard.sparse(&self.sparse_matrix).map_err(missing)?;
            let (columns, values) = sparse.row(number);
            // Columns are variable-length on the wire, at most five bytes.
            bytes.add(columns.len() * 5 + size_of_val(values))?;
            row.columns = columns.to_vec();
            row.values = values.to_vec();
        }
        if self.tags {
            let tags = shard.labels().tags_of(number);
            row.tags = tags.map(String::from).collect();
            // A tag and a length each.
            bytes.add(row.tags.iter().map(|tag| tag.len() + 3).sum())?;
        }
        Ok(Known { row, name })
    }
}
