//! Searches on the wire and in the engine.

use super::filter::{parse_deny_lists, parse_filters};
use super::lookup::row_name;
use super::version::{check_operations, parse_version};
use crate::engine::query::{
    LeftOutItems, LeftOutReason, Operand, Operation, RowContributions, SearchQuery, SearchResults,
    SearchSpec,
};
use crate::error::RequestError;
use marquee_bundle::{MAX_SEARCH_COUNT, VectorMeasure};
use marquee_core::bounds::{
    MAX_ATTRIBUTED_ROWS, MAX_ATTRIBUTIONS, MAX_EXPLAINED_ITEMS, MAX_RANK_ITEMS,
};
use marquee_proto::shard::v1::{
    self as wire, LeftOut, Query, QueryResult, SearchOp, SearchRequest, SearchResponse,
    SearchResult,
};
use marquee_proto::v1;

/// Queries of one request: twice a full batch of the largest ensembles.
const MAX_QUERIES: usize = 16_000;
/// Results of one request: more don't fit into a message, whatever their ids and titles.
const MAX_RESULTS: usize = 4_000_000;

/// The searches of a request.
pub(crate) fn parse(request: SearchRequest) -> Result<Vec<SearchSpec>, RequestError> {
    let SearchRequest { plan_epoch: _, ops } = request;
    check_operations(ops.len())?;
    let mut specs = Vec::with_capacity(ops.len());
    let (mut queries, mut results) = (0, 0);
    for (number, op) in ops.into_iter().enumerate() {
        let spec = parse_op(format!("ops[{number}]"), op)?;
        queries += spec.queries.len();
        results += spec.queries.iter().map(|query| query.count).sum::<usize>();
        for (what, found, bound) in
            [("queries", queries, MAX_QUERIES), ("results", results, MAX_RESULTS)]
        {
            if found > bound {
                let reason = format!("{found} {what} together: at most {bound} are allowed");
                return Err(RequestError::invalid("ops", reason));
            }
        }
        specs.push(spec);
    }
    Ok(specs)
}

fn parse_op(field: String, op: SearchOp) -> Result<SearchSpec, RequestError> {
    let SearchOp { version, shards, matrix, operation, queries, filters, deny_lists } = op;
    let version = parse_version(&field, version)?;
    let operation = match wire::Operation::try_from(operation) {
        Ok(wire::Operation::DenseInnerProduct) => Operation::DenseTopK(VectorMeasure::InnerProduct),
        Ok(wire::Operation::DenseCosine) => Operation::DenseTopK(VectorMeasure::Cosine),
        Ok(wire::Operation::SparseRowSum) => Operation::RowSum,
        Ok(wire::Operation::Unspecified) | Err(_) => {
            let reason = format!("{operation} is no operation");
            return Err(RequestError::at(&field, "operation", reason));
        }
    };
    let shared = SharedLists { filters: filters.len(), deny_lists: deny_lists.len() };
    let mut parsed = Vec::with_capacity(queries.len());
    for (number, query) in queries.into_iter().enumerate() {
        let query =
            parse_query(query, operation, shared).map_err(|QueryFault { part, reason }| {
                RequestError::at(&field, &format!("queries[{number}].{part}"), reason)
            })?;
        parsed.push(query);
    }
    let filters = parse_filters(&field, filters)?;
    let deny_lists = parse_deny_lists(&field, deny_lists)?;
    Ok(SearchSpec {
        field,
        version,
        shards,
        matrix,
        operation,
        queries: parsed,
        filters,
        deny_lists,
    })
}

/// How many filters and deny lists an operation has, which its queries name by index.
#[derive(Clone, Copy)]
struct SharedLists {
    filters: usize,
    deny_lists: usize,
}

/// Which field of a query is wrong, and why.
struct QueryFault {
    part: &'static str,
    reason: String,
}

impl QueryFault {
    fn new(part: &'static str, reason: impl Into<String>) -> Self {
        Self { part, reason: reason.into() }
    }
}

fn parse_query(
    query: Query,
    operation: Operation,
    shared: SharedLists,
) -> Result<SearchQuery, QueryFault> {
    let Query {
        count,
        vector,
        rows,
        weights,
        exclude_ordinals,
        exclude_item_ids,
        filter,
        deny_list,
        contributors,
        count_left_out,
        name_rows,
    } = query;
    let count = count as usize;
    if !(1..=MAX_SEARCH_COUNT).contains(&count) {
        let reason = format!("{count}: 1 to {MAX_SEARCH_COUNT} are allowed");
        return Err(QueryFault::new("count", reason));
    }
    if exclude_item_ids.len() > MAX_RANK_ITEMS {
        let reason = format!("{}: at most {MAX_RANK_ITEMS} are allowed", exclude_item_ids.len());
        return Err(QueryFault::new("exclude_item_ids", reason));
    }
    if contributors > MAX_ATTRIBUTIONS {
        let reason = format!("{contributors}: at most {MAX_ATTRIBUTIONS} are allowed");
        return Err(QueryFault::new("contributors", reason));
    }
    if contributors > 0 && (operation != Operation::RowSum || rows.len() > MAX_ATTRIBUTED_ROWS) {
        let reason =
            format!("contributions are given for sums of at most {MAX_ATTRIBUTED_ROWS} rows only");
        return Err(QueryFault::new("contributors", reason));
    }
    if contributors > 0 && count > MAX_EXPLAINED_ITEMS {
        let reason = format!("contributions are given for at most {MAX_EXPLAINED_ITEMS} results");
        return Err(QueryFault::new("contributors", reason));
    }
    let operand = match operation {
        Operation::DenseTopK(_) if !rows.is_empty() || !weights.is_empty() => {
            let reason = "a dense operation has a vector, and no rows and weights";
            return Err(QueryFault::new("rows", reason));
        }
        Operation::DenseTopK(_) => Operand::Vector(vector),
        Operation::RowSum if !vector.is_empty() => {
            let reason = "a sparse operation has rows and weights, and no vector";
            return Err(QueryFault::new("vector", reason));
        }
        Operation::RowSum if rows.len() != weights.len() => {
            let reason = format!("{} for {} rows: send one for each", weights.len(), rows.len());
            return Err(QueryFault::new("weights", reason));
        }
        Operation::RowSum => Operand::Rows { rows, weights },
    };
    Ok(SearchQuery {
        count,
        operand,
        exclude_ordinals,
        exclude_item_ids,
        filter: parse_index("filter", "filters", filter, shared.filters)?,
        deny_list: parse_index("deny_list", "deny lists", deny_list, shared.deny_lists)?,
        contributors: contributors as usize,
        name_rows,
        count_left_out,
    })
}

/// The index, from 0, that the wire counts from 1; none for 0.
fn parse_index(
    part: &'static str,
    lists: &str,
    number: u32,
    length: usize,
) -> Result<Option<usize>, QueryFault> {
    if number as usize > length {
        let reason = format!("{number}: the operation has {length} {lists}");
        return Err(QueryFault::new(part, reason));
    }
    Ok((number as usize).checked_sub(1))
}

/// The answer with these results, by operation and by query.
pub(crate) fn response(operations: Vec<Vec<SearchResults>>) -> SearchResponse {
    let mut results = Vec::with_capacity(operations.len());
    for queries in operations {
        results.push(SearchResult { queries: queries.into_iter().map(query_result).collect() });
    }
    SearchResponse { results }
}

fn query_result(results: SearchResults) -> QueryResult {
    let SearchResults {
        ordinals,
        scores,
        ids,
        titles,
        strategies,
        contributions,
        row_names,
        left_out,
    } = results;
    QueryResult {
        ordinals,
        scores,
        item_ids: ids,
        titles,
        strategies: strategies
            .into_iter()
            .map(|strategy| wire::SearchStrategy::from(strategy).into())
            .collect(),
        contributions: contributions.into_iter().map(contributions_to_wire).collect(),
        row_names: row_names.into_iter().map(row_name).collect(),
        left_out: left_out.into_iter().map(shard_left_out).collect(),
    }
}

fn contributions_to_wire(contributions: RowContributions) -> wire::RowContributions {
    let RowContributions { rows, weight, top_rows, parts } = contributions;
    wire::RowContributions { rows, weight, top_rows, parts }
}

fn shard_left_out(LeftOutItems { shard, items, counts }: LeftOutItems) -> LeftOut {
    let counts = counts.into_iter().map(|(reason, items)| v1::LeftOutCount {
        reason: wire_reason(reason).into(),
        items: items as u64,
    });
    LeftOut { shard, items: items as u64, counts: counts.collect() }
}

fn wire_reason(reason: LeftOutReason) -> v1::LeftOutReason {
    match reason {
        LeftOutReason::NotIncluded => v1::LeftOutReason::NotIncluded,
        LeftOutReason::Excluded => v1::LeftOutReason::Excluded,
        LeftOutReason::WithoutTag => v1::LeftOutReason::WithoutTag,
        LeftOutReason::WithTag => v1::LeftOutReason::WithTag,
        LeftOutReason::OutOfRange => v1::LeftOutReason::OutOfRange,
        LeftOutReason::Denied => v1::LeftOutReason::Denied,
        LeftOutReason::Recent => v1::LeftOutReason::Recent,
        LeftOutReason::Seen => v1::LeftOutReason::Seen,
    }
}
