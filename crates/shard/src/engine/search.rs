//! Search: the best rows of this node's shards, merged over them, with their ids and titles.

use super::filter::SharedFilter;
use super::paces::Kind;
use super::{AnswerBytes, check_ops, check_version};
use crate::error::RequestError;
use crate::lifecycle::ReplicaKey;
use crate::pool::{Pace, Work};
use crate::service::{OperationsSpent, WayCounts};
use crate::table::{Replica, Table};
use marquee_bundle::{
    Allow, BundleShard, CancelFlag, Entity, Hit, MAX_SEARCH_COUNT, Metric, Partition, SearchParams,
    SearchScratch, Way, dense_top_k, sparse_row_sum,
};
use marquee_core::bounds::{MAX_ID_BYTES, MAX_RANK_ITEMS};
use marquee_core::merge::best_first;
use marquee_proto::shard::v1::{
    Operation, Query, QueryResult, SearchOp, SearchRequest, SearchResponse, SearchResult, SearchWay,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Queries of one request: twice a full batch of the largest ensembles.
const MAX_QUERIES: usize = 16_000;
/// Results of one request: more don't fit into a message, whatever their ids and titles.
const MAX_RESULTS: usize = 4_000_000;

/// Items that a query excludes, with which it is still an ordinary one: some microseconds.
const MAX_BRIEF_EXCLUSIONS: usize = 512;

/// A checked request, with the shards it is about.
pub(crate) struct Search {
    ops: Vec<Op>,
    /// The first query of each operation, counted over all.
    starts: Vec<usize>,
    queries: usize,
    bytes: AnswerBytes,
    spent: Arc<OperationsSpent>,
}

struct Op {
    /// Such as `ops[0]`.
    field: String,
    replicas: Vec<Arc<Replica>>,
    matrix: String,
    kind: Kind,
    entity: Entity,
    queries: Vec<Query>,
    filters: Vec<SharedFilter>,
}

/// Checks the request and takes its shards from the table.
pub(crate) fn check(
    request: SearchRequest,
    table: &Table,
    spent: &Arc<OperationsSpent>,
) -> Result<Search, RequestError> {
    let SearchRequest { plan_epoch: _, ops } = request;
    check_ops(ops.len())?;
    let mut search = Search {
        ops: Vec::new(),
        starts: Vec::new(),
        queries: 0,
        bytes: AnswerBytes::default(),
        spent: Arc::clone(spent),
    };
    let mut results = 0usize;
    for (number, op) in ops.into_iter().enumerate() {
        let op = check_op(format!("ops[{number}]"), op, table)?;
        search.starts.push(search.queries);
        search.queries += op.queries.len();
        results += op.queries.iter().map(|query| query.count as usize).sum::<usize>();
        search.ops.push(op);
        for (what, found, bound) in
            [("queries", search.queries, MAX_QUERIES), ("results", results, MAX_RESULTS)]
        {
            if found > bound {
                let reason = format!("{found} {what} in all: at most {bound} are allowed");
                return Err(RequestError::invalid("ops", reason));
            }
        }
    }
    Ok(search)
}

fn check_op(field: String, op: SearchOp, table: &Table) -> Result<Op, RequestError> {
    let SearchOp { version, shards, matrix, operation, queries, filters } = op;
    let wrong =
        |part: &str, reason: String| RequestError::invalid(format!("{field}.{part}"), reason);
    let version = check_version(&field, version)?;
    let kind = match Operation::try_from(operation) {
        Ok(Operation::DenseInnerProduct) => Kind::Dense(Metric::InnerProduct),
        Ok(Operation::DenseCosine) => Kind::Dense(Metric::Cosine),
        Ok(Operation::SparseRowSum) => Kind::Sparse,
        Ok(Operation::Unspecified) | Err(_) => {
            return Err(wrong("operation", format!("{operation} is no operation")));
        }
    };
    let mut held: Vec<Arc<Replica>> = Vec::new();
    for shard in shards {
        if held.iter().any(|other| other.shard.shard() == shard) {
            return Err(wrong("shards", format!("shard {shard} is named twice")));
        }
        held.push(Arc::clone(table.get(&ReplicaKey::new(version.clone(), shard))?));
    }
    let Some(Replica { shard: first, .. }) = held.first().map(Arc::as_ref) else {
        return Err(wrong("shards", "name at least one".into()));
    };
    let found = |error| RequestError::of_search(&field, error);
    let (entity, columns) = match kind {
        Kind::Dense(_) => {
            let matrix = first.dense(&matrix).map_err(found)?;
            (matrix.entity(), matrix.rank())
        }
        Kind::Sparse => {
            let found_matrix = first.sparse(&matrix).map_err(found)?;
            if found_matrix.partition() != Partition::ByColumn {
                let reason =
                    format!("{matrix:?} is partitioned by row: it has rows to look up, not to sum");
                return Err(wrong("matrix", reason));
            }
            (found_matrix.columns_of(), 0)
        }
    };
    if entity == Entity::User && !filters.is_empty() {
        return Err(wrong(
            "filters",
            format!("{matrix:?} has rows of users, filters are of items"),
        ));
    }
    for (number, query) in queries.iter().enumerate() {
        check_query(query, kind, entity, columns, filters.len()).map_err(|(part, reason)| {
            RequestError::invalid(format!("{field}.queries[{number}].{part}"), reason)
        })?;
    }
    let filters = SharedFilter::check(&field, filters, held.len())?;
    Ok(Op { field, replicas: held, matrix, kind, entity, queries, filters })
}

/// Checks what can be checked without looking at every value; the search looks at those.
fn check_query(
    query: &Query,
    kind: Kind,
    entity: Entity,
    rank: usize,
    filters: usize,
) -> Result<(), (&'static str, String)> {
    let Query { count, vector, rows, weights, exclude_ordinals: _, exclude_item_ids, filter } =
        query;
    if !(1..=MAX_SEARCH_COUNT).contains(&(*count as usize)) {
        return Err(("count", format!("{count}: 1 to {MAX_SEARCH_COUNT} are allowed")));
    }
    match kind {
        Kind::Dense(_) if vector.len() != rank * size_of::<f32>() => {
            let (bytes, expected) = (vector.len(), rank * size_of::<f32>());
            let reason = format!("{bytes} bytes: {rank} values of 4 bytes are {expected}");
            return Err(("vector", reason));
        }
        Kind::Dense(_) if !rows.is_empty() || !weights.is_empty() => {
            return Err(("rows", "a dense operation has a vector, and no rows and weights".into()));
        }
        Kind::Sparse if !vector.is_empty() => {
            return Err((
                "vector",
                "a sparse operation has rows and weights, and no vector".into(),
            ));
        }
        Kind::Sparse if rows.len() != weights.len() => {
            let reason = format!("{} for {} rows: send one for each", weights.len(), rows.len());
            return Err(("weights", reason));
        }
        Kind::Dense(_) | Kind::Sparse => {}
    }
    if exclude_item_ids.len() > MAX_RANK_ITEMS {
        let reason = format!("{}: at most {MAX_RANK_ITEMS} are allowed", exclude_item_ids.len());
        return Err(("exclude_item_ids", reason));
    }
    if entity == Entity::User && !exclude_item_ids.is_empty() {
        return Err(("exclude_item_ids", "the matrix has rows of users".into()));
    }
    if *filter as usize > filters {
        return Err(("filter", format!("{filter}: the operation has {filters} filters")));
    }
    Ok(())
}

impl Work for Search {
    type Output = QueryResult;

    fn units(&self) -> usize {
        self.queries
    }

    fn expected(&self) -> Option<Duration> {
        self.ops.iter().map(Op::expected).sum()
    }

    fn run(
        &self,
        unit: usize,
        cancel: &CancelFlag,
        scratch: &mut SearchScratch,
    ) -> Result<QueryResult, RequestError> {
        // The last operation that begins at or before it: those without queries begin there too.
        let number = self.starts.partition_point(|&start| start <= unit) - 1;
        let op = &self.ops[number];
        let place = unit - self.starts[number];
        let began = Instant::now();
        let found = op.search(place, cancel, scratch, &self.spent.ways);
        let described = found.and_then(|found| op.describe(&found, &self.bytes));
        self.spent.search.add(began.elapsed());
        described
    }
}

impl Search {
    /// How many queries each operation has.
    pub(crate) fn shape(&self) -> Vec<usize> {
        self.ops.iter().map(|op| op.queries.len()).collect()
    }
}

/// The answer of a request of this shape.
pub(crate) fn response(shape: Vec<usize>, queries: Vec<QueryResult>) -> SearchResponse {
    let mut queries = queries.into_iter();
    let result = |length| SearchResult { queries: queries.by_ref().take(length).collect() };
    SearchResponse { results: shape.into_iter().map(result).collect() }
}

/// A hit, and the place of its shard in the operation.
type Placed = (usize, Hit);

/// What a query came to.
struct Found {
    hits: Vec<Placed>,
    ways: BTreeSet<SearchWay>,
}

impl Op {
    /// How long its queries are expected to take; none if that is not known.
    fn expected(&self) -> Option<Duration> {
        let paces = |query| self.replicas.iter().map(move |replica| self.pace(replica, query));
        let expected = |pace: Option<&Pace>| pace.and_then(Pace::expected);
        self.queries.iter().flat_map(paces).map(expected).sum()
    }

    /// How long such a query takes over a replica; none for one that has more to do than most.
    fn pace<'a>(&self, replica: &'a Replica, query: &Query) -> Option<&'a Pace> {
        let excluded = query.exclude_ordinals.len() + query.exclude_item_ids.len();
        let ordinary = query.filter == 0 && excluded <= MAX_BRIEF_EXCLUSIONS;
        ordinary.then(|| replica.paces.search(self.kind, query.count as usize))
    }

    fn search(
        &self,
        number: usize,
        cancel: &CancelFlag,
        scratch: &mut SearchScratch,
        counts: &WayCounts,
    ) -> Result<Found, RequestError> {
        let query = &self.queries[number];
        let field = || format!("{}.queries[{number}]", self.field);
        let vector: Vec<f32> = query
            .vector
            .chunks_exact(size_of::<f32>())
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        let mut hits: Vec<Placed> = Vec::new();
        let mut ways = BTreeSet::new();
        for (place, replica) in self.replicas.iter().enumerate() {
            let shard = &replica.shard;
            let began = Instant::now();
            let excluded = self.excluded_rows(shard, query).map_err(|ordinal| {
                let total = shard.ids(self.entity).total();
                let reason = format!("there is no ordinal {ordinal}: the bundle has {total}");
                RequestError::invalid(format!("{}.exclude_ordinals", field()), reason)
            })?;
            let filter = match query.filter {
                0 => Ok(None),
                filter => self.filters[filter as usize - 1].rows(place, shard),
            };
            let failed = |error| RequestError::of_search(&field(), error);
            let mut params = SearchParams::new(query.count as usize, cancel);
            params.exclude_rows = &excluded;
            if let Some(rows) = filter.map_err(failed)? {
                params.allow = Allow::Rows(rows);
            }
            let found = match self.kind {
                Kind::Dense(metric) => {
                    dense_top_k(shard, &self.matrix, &vector, metric, &params, scratch)
                }
                Kind::Sparse => {
                    let (rows, weights) = (&query.rows, &query.weights);
                    sparse_row_sum(shard, &self.matrix, rows, weights, &params, scratch)
                }
            };
            hits.extend(found.map_err(failed)?.into_iter().map(|hit| (place, hit)));
            if let Some(way) = way_taken(self.kind, scratch) {
                counts.count(way);
                ways.insert(way);
            }
            if let Some(pace) = self.pace(replica, query) {
                pace.record(began.elapsed());
            }
        }
        if self.replicas.len() > 1 {
            let rank = |(_, hit): &Placed| (hit.score, hit.ordinal);
            hits.sort_unstable_by(|a, b| best_first(rank(a), rank(b)));
            hits.truncate(query.count as usize);
        }
        Ok(Found { hits, ways })
    }

    /// The rows of the shard that the query excludes, ascending; or an ordinal that isn't any.
    fn excluded_rows(&self, shard: &BundleShard, query: &Query) -> Result<Vec<u32>, u32> {
        let ids = shard.ids(self.entity);
        let mut rows = Vec::new();
        for &ordinal in &query.exclude_ordinals {
            if ordinal as usize >= ids.total() {
                return Err(ordinal);
            }
            rows.extend(ids.row_of_ordinal(ordinal));
        }
        let known = query.exclude_item_ids.iter().filter(|id| id.len() <= MAX_ID_BYTES);
        rows.extend(known.filter_map(|id| ids.find(id)));
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }

    fn describe(&self, found: &Found, bytes: &AnswerBytes) -> Result<QueryResult, RequestError> {
        let Found { hits, ways } = found;
        let texts = |(place, hit): &Placed| {
            let ids = self.replicas[*place].shard.ids(self.entity);
            (ids.id(hit.row), ids.title(hit.row))
        };
        // Before they are copied: what is too large shall not be made first.
        let texts: Vec<(&str, &str)> = hits.iter().map(texts).collect();
        // Two tags and lengths, an ordinal and a score.
        let length = |(id, title): &(&str, &str)| id.len() + title.len() + 14;
        bytes.add(texts.iter().map(length).sum())?;
        Ok(QueryResult {
            ordinals: hits.iter().map(|(_, hit)| hit.ordinal).collect(),
            scores: hits.iter().map(|(_, hit)| hit.score).collect(),
            item_ids: texts.iter().map(|(id, _)| (*id).to_owned()).collect(),
            titles: texts.iter().map(|(_, title)| (*title).to_owned()).collect(),
            ways: ways.iter().map(|&way| way.into()).collect(),
        })
    }
}

/// How the last search of this kind was made; none if it had no rows to search.
fn way_taken(kind: Kind, scratch: &SearchScratch) -> Option<SearchWay> {
    match kind {
        Kind::Sparse => Some(SearchWay::RowSum),
        Kind::Dense(_) => scratch.last_way().map(|way| match way {
            Way::Scan => SearchWay::Scan,
            Way::Cells(_) => SearchWay::Cells,
            Way::ExactCells => SearchWay::ExactCells,
            Way::Graph { .. } => SearchWay::Graph,
        }),
    }
}
