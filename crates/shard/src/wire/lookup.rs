//! Lookups on the wire and in the engine.

use super::version::{check_operations, parse_version};
use crate::engine::query::{ItemName, LookupRows, LookupSpec, RowKey, StoredRow};
use crate::error::RequestError;
use marquee_bundle::Entity;
use marquee_core::bounds::{
    MAX_ATTRIBUTED_ROWS, MAX_BATCH_REQUESTS, MAX_ENSEMBLE_MEMBERS, MAX_RANK_ITEMS,
};
use marquee_core::id::check_id;
use marquee_proto::shard::v1::{
    self as wire, LookupKey, LookupOp, LookupRequest, LookupResponse, LookupResult, Row, RowName,
};

/// Keys of one request: the most items there are to rank, for every member of the largest
/// ensemble, or a full batch of users for each.
const MAX_KEYS: usize = (MAX_RANK_ITEMS + MAX_BATCH_REQUESTS) * MAX_ENSEMBLE_MEMBERS;

/// The lookups of a request.
pub(crate) fn parse(request: LookupRequest) -> Result<Vec<LookupSpec>, RequestError> {
    let LookupRequest { plan_epoch: _, ops } = request;
    check_operations(ops.len())?;
    let keys: usize = ops.iter().map(|op| op.keys.len() + op.ordinals.len()).sum();
    if keys > MAX_KEYS {
        let reason = format!("{keys} keys together: at most {MAX_KEYS} are allowed");
        return Err(RequestError::invalid("ops", reason));
    }
    let mut specs = Vec::with_capacity(ops.len());
    for (number, op) in ops.into_iter().enumerate() {
        specs.push(parse_op(format!("ops[{number}]"), op)?);
    }
    Ok(specs)
}

fn parse_op(field: String, op: LookupOp) -> Result<LookupSpec, RequestError> {
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
    let version = parse_version(&field, version)?;
    let entity = match wire::Entity::try_from(entity) {
        Ok(wire::Entity::User) => Entity::User,
        Ok(wire::Entity::Item) => Entity::Item,
        Ok(wire::Entity::Term) => Entity::Term,
        Ok(wire::Entity::Unspecified) | Err(_) => {
            let reason = format!("{entity} is no entity: ask for users, items or terms");
            return Err(RequestError::at(&field, "entity", reason));
        }
    };
    if tags && entity != Entity::Item {
        return Err(RequestError::at(&field, "tags", "items have tags, users have none"));
    }
    if !ordinals.is_empty() && entity != Entity::Item {
        let reason = "items are asked for by number, others by id";
        return Err(RequestError::at(&field, "ordinals", reason));
    }
    if ordinals.len() > MAX_ATTRIBUTED_ROWS {
        let reason = format!("{}: at most {MAX_ATTRIBUTED_ROWS} are allowed", ordinals.len());
        return Err(RequestError::at(&field, "ordinals", reason));
    }
    if !ordinals.is_empty() && ordinal_shards.is_empty() {
        let reason = "it is empty: name the shards to look in";
        return Err(RequestError::at(&field, "ordinal_shards", reason));
    }
    let mut row_keys = Vec::with_capacity(keys.len());
    for (number, LookupKey { shard, id }) in keys.into_iter().enumerate() {
        check_id("id", &id).map_err(|error| {
            RequestError::invalid(format!("{field}.keys[{number}].id"), error.to_string())
        })?;
        row_keys.push(RowKey { shard, id });
    }
    Ok(LookupSpec {
        field,
        version,
        entity,
        keys: row_keys,
        ordinals,
        ordinal_shards,
        dense_matrix,
        sparse_matrix,
        tags,
    })
}

/// The answer with these rows, one for each lookup of the request.
pub(crate) fn response(lookups: Vec<LookupRows>) -> LookupResponse {
    LookupResponse { results: lookups.into_iter().map(result).collect() }
}

fn result(LookupRows { by_key, by_ordinal }: LookupRows) -> LookupResult {
    let rows = by_key.into_iter().map(|row| row.map_or_else(Row::default, found_row)).collect();
    let mut ordinal_rows = Vec::with_capacity(by_ordinal.len());
    let mut ordinal_names = Vec::with_capacity(by_ordinal.len());
    for (row, name) in by_ordinal {
        ordinal_rows.push(found_row(row));
        ordinal_names.push(row_name(name));
    }
    LookupResult { rows, ordinal_rows, ordinal_names }
}

fn found_row(StoredRow { ordinal, vector, columns, values, tags }: StoredRow) -> Row {
    Row { found: true, ordinal, vector: vector.into(), columns, values, tags }
}

/// An item's name on the wire.
pub(super) fn row_name(ItemName { ordinal, id, title }: ItemName) -> RowName {
    RowName { ordinal, item_id: id, title }
}
