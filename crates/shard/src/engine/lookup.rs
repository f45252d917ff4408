//! Lookups: the rows of users, items and terms by external id, and of items by ordinal.
//!
//! An ordinal does not tell its shard, so all shards that may have it are asked.

use super::answer_bytes::AnswerBytes;
use super::query::{ItemName, LookupRows, LookupSpec, RowKey, StoredRow};
use super::table::{ReplicaTable, ServingReplica};
use crate::error::RequestError;
use crate::pool::Work;
use crate::replica_key::ReplicaKey;
use crate::usage::OperationsSpent;
use marquee_bundle::{BundleShard, CancelFlag, Entity, Partition, SearchScratch};
use marquee_core::id::ModelVersion;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Keys that a thread looks up at a time: some tens of microseconds.
const KEYS_A_UNIT: usize = 64;
/// Bytes of the tags, the lengths and the ordinal of an [`ItemName`] on the wire.
const NAME_OVERHEAD_BYTES: usize = 14;
/// Bytes of a column ordinal on the wire, at most.
const COLUMN_BYTES: usize = 5;
/// Bytes of the tag and the length of a string on the wire.
const TAG_OVERHEAD_BYTES: usize = 3;

/// A request's lookups, with the replicas that they are about.
pub(crate) struct Lookup {
    lookups: Vec<PlacedLookup>,
    /// Which keys of which lookup each unit is.
    units: Vec<(usize, Range<usize>)>,
    bytes: AnswerBytes,
    spent: Arc<OperationsSpent>,
}

/// One [`LookupSpec`] and its replicas.
struct PlacedLookup {
    entity: Entity,
    replicas: Vec<Arc<ServingReplica>>,
    /// The keys to look up: all ids, then all ordinals.
    keys: Vec<PlacedKey>,
    /// How many of the keys are ids.
    ids: usize,
    /// The places of the replicas that may have the ordinals.
    holders: Vec<usize>,
    dense_matrix: String,
    sparse_matrix: String,
    tags: bool,
}

/// What a row is known by.
enum PlacedKey {
    /// An id, in the replica at this place.
    Id(usize, String),
    /// An ordinal, in one of the holders or in none.
    Ordinal(u32),
}

/// A row that was found, and what it is called if it was asked for by ordinal.
pub(crate) struct FoundRow {
    row: StoredRow,
    name: Option<ItemName>,
}

impl Lookup {
    /// Takes the replicas of these lookups from the table, and checks what depends on them.
    pub(crate) fn place(
        specs: Vec<LookupSpec>,
        table: &ReplicaTable,
        spent: &Arc<OperationsSpent>,
    ) -> Result<Self, RequestError> {
        let mut lookups = Vec::with_capacity(specs.len());
        let mut units = Vec::new();
        for (number, spec) in specs.into_iter().enumerate() {
            let lookup = PlacedLookup::new(spec, table)?;
            let keys = lookup.keys.len();
            for start in (0..keys).step_by(KEYS_A_UNIT) {
                units.push((number, start..keys.min(start + KEYS_A_UNIT)));
            }
            lookups.push(lookup);
        }
        Ok(Self { lookups, units, bytes: AnswerBytes::default(), spent: Arc::clone(spent) })
    }

    /// The number of ids and the number of ordinals of each lookup.
    pub(crate) fn shape(&self) -> Vec<(usize, usize)> {
        self.lookups.iter().map(|lookup| (lookup.ids, lookup.keys.len() - lookup.ids)).collect()
    }
}

/// The rows of each lookup, given the [`shape`](Lookup::shape) and what its units came to.
pub(crate) fn rows_by_lookup(
    shape: &[(usize, usize)],
    units: Vec<Vec<Option<FoundRow>>>,
) -> Vec<LookupRows> {
    let mut found = units.into_iter().flatten();
    let mut lookups = Vec::with_capacity(shape.len());
    for &(ids, ordinals) in shape {
        let by_key = found.by_ref().take(ids).map(|key| key.map(|found| found.row)).collect();
        let mut by_ordinal = Vec::new();
        for FoundRow { row, name } in found.by_ref().take(ordinals).flatten() {
            by_ordinal.extend(name.map(|name| (row, name)));
        }
        lookups.push(LookupRows { by_key, by_ordinal });
    }
    lookups
}

impl Work for Lookup {
    type Output = Vec<Option<FoundRow>>;

    fn units(&self) -> usize {
        self.units.len()
    }

    fn expected(&self) -> Option<Duration> {
        let mut sum = Duration::ZERO;
        for lookup in &self.lookups {
            for key in &lookup.keys {
                sum += lookup.replicas[lookup.place(key)].times.lookup().expected()?;
            }
        }
        Some(sum)
    }

    fn run(
        &self,
        unit: usize,
        _: &CancelFlag,
        _: &mut SearchScratch,
    ) -> Result<Vec<Option<FoundRow>>, RequestError> {
        let (number, ref range) = self.units[unit];
        let lookup = &self.lookups[number];
        let keys = &lookup.keys[range.clone()];
        let began = Instant::now();
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            rows.push(lookup.find(key, &self.bytes)?);
        }
        // A unit has at least one key, so the mean is as good a measure for any of them.
        let took = began.elapsed();
        let replica = &lookup.replicas[lookup.place(&keys[0])];
        replica.times.lookup().record(took / keys.len() as u32);
        self.spent.lookup.add(took);
        Ok(rows)
    }
}

impl PlacedLookup {
    fn new(spec: LookupSpec, table: &ReplicaTable) -> Result<Self, RequestError> {
        let LookupSpec {
            field,
            version,
            entity,
            keys,
            ordinals,
            ordinal_shards,
            dense_matrix,
            sparse_matrix,
            tags,
        } = spec;
        let mut replicas: Vec<Arc<ServingReplica>> = Vec::new();
        let ids = keys.len();
        let mut placed = Vec::with_capacity(ids + ordinals.len());
        for RowKey { shard, id } in keys {
            placed.push(PlacedKey::Id(place_of(&mut replicas, table, &version, shard)?, id));
        }
        let mut holders = BTreeSet::new();
        for shard in ordinal_shards {
            holders.insert(place_of(&mut replicas, table, &version, shard)?);
        }
        placed.extend(ordinals.into_iter().map(PlacedKey::Ordinal));
        if let Some(first) = replicas.first() {
            check_matrices(&field, &first.shard, entity, &dense_matrix, &sparse_matrix)?;
        }
        let holders = holders.into_iter().collect();
        Ok(Self { entity, replicas, keys: placed, ids, holders, dense_matrix, sparse_matrix, tags })
    }

    /// The place of a replica that looks for the key.
    fn place(&self, key: &PlacedKey) -> usize {
        match key {
            PlacedKey::Id(place, _) => *place,
            // Ordinals come with holders.
            PlacedKey::Ordinal(_) => self.holders[0],
        }
    }

    /// The row of a key, if its shards have it.
    fn find(&self, key: &PlacedKey, bytes: &AnswerBytes) -> Result<Option<FoundRow>, RequestError> {
        match key {
            PlacedKey::Id(place, id) => {
                let Some(number) = self.replicas[*place].shard.ids(self.entity).find(id) else {
                    return Ok(None);
                };
                let row = self.stored_row(&self.replicas[*place].shard, number, bytes)?;
                Ok(Some(FoundRow { row, name: None }))
            }
            PlacedKey::Ordinal(ordinal) => {
                for &holder in &self.holders {
                    let shard = &self.replicas[holder].shard;
                    let ids = shard.ids(self.entity);
                    let Some(number) = ids.row_of_ordinal(*ordinal) else { continue };
                    let (id, title) = (ids.id(number), ids.title(number));
                    bytes.add(id.len() + title.len() + NAME_OVERHEAD_BYTES)?;
                    let name = ItemName { ordinal: *ordinal, id: id.into(), title: title.into() };
                    let row = self.stored_row(shard, number, bytes)?;
                    return Ok(Some(FoundRow { row, name: Some(name) }));
                }
                Ok(None)
            }
        }
    }

    /// What this lookup wants of a shard's row.
    fn stored_row(
        &self,
        shard: &BundleShard,
        number: u32,
        bytes: &AnswerBytes,
    ) -> Result<StoredRow, RequestError> {
        let ordinal = shard.ids(self.entity).ordinal(number);
        let mut row = StoredRow { ordinal, ..StoredRow::default() };
        // Every shard of a version has the matrices that the first one was seen to have.
        if !self.dense_matrix.is_empty() {
            let matrix = shard.dense(&self.dense_matrix).map_err(|_| RequestError::Internal)?;
            let values = matrix.row(number);
            bytes.add(size_of_val(values))?;
            row.vector = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        }
        if !self.sparse_matrix.is_empty() {
            let matrix = shard.sparse(&self.sparse_matrix).map_err(|_| RequestError::Internal)?;
            let (columns, values) = matrix.row(number);
            bytes.add(columns.len() * COLUMN_BYTES + size_of_val(values))?;
            row.columns = columns.to_vec();
            row.values = values.to_vec();
        }
        if self.tags {
            row.tags = shard.labels().tags_of(number).map(String::from).collect();
            bytes.add(row.tags.iter().map(|tag| tag.len() + TAG_OVERHEAD_BYTES).sum())?;
        }
        Ok(row)
    }
}

/// Checks that a shard has these matrices, if they are named, with rows of the entity.
fn check_matrices(
    field: &str,
    shard: &BundleShard,
    entity: Entity,
    dense: &str,
    sparse: &str,
) -> Result<(), RequestError> {
    if !dense.is_empty() {
        let matrix = shard
            .dense(dense)
            .map_err(|error| RequestError::at(field, "dense_matrix", error.to_string()))?;
        if matrix.entity() != entity {
            let (has, asked) = (matrix.entity().plural(), entity.plural());
            let reason = format!("{dense:?} has rows of {has}, not of {asked}");
            return Err(RequestError::at(field, "dense_matrix", reason));
        }
    }
    if !sparse.is_empty() {
        let matrix = shard
            .sparse(sparse)
            .map_err(|error| RequestError::at(field, "sparse_matrix", error.to_string()))?;
        if matrix.partition() != Partition::ByRow || entity != Entity::User {
            let reason = format!("{sparse:?} has no rows of {}", entity.plural());
            return Err(RequestError::at(field, "sparse_matrix", reason));
        }
    }
    Ok(())
}

/// The place of a shard's replica among those of a lookup, which it joins if it is not there yet.
fn place_of(
    replicas: &mut Vec<Arc<ServingReplica>>,
    table: &ReplicaTable,
    version: &ModelVersion,
    shard: u32,
) -> Result<usize, RequestError> {
    if let Some(place) = replicas.iter().position(|held| held.shard.shard() == shard) {
        return Ok(place);
    }
    replicas.push(Arc::clone(table.get(&ReplicaKey::new(version.clone(), shard))?));
    Ok(replicas.len() - 1)
}
