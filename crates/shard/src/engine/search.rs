//! Search: the best rows of this node's shards, merged over them, with their ids and titles.

use super::explain::{carried, left_out, row_names};
use super::filter::{SharedDenials, SharedFilter};
use super::paces::Kind;
use super::{AnswerBytes, check_ops, check_version};
use crate::error::RequestError;
use crate::lifecycle::ReplicaKey;
use crate::pool::{Pace, Work};
use crate::service::{OperationsSpent, StrategyCounts};
use crate::table::{Replica, Table};
use marquee_bundle::{
    Allow, Answered, BundleShard, CancelFlag, DenseMatrix, DenseQuery, DenseStrategy, Entity, Hit,
    MAX_SCANNED_TOGETHER, MAX_SEARCH_COUNT, Metric, Partition, SearchError, SearchParams,
    SearchScratch, dense_top_k_each, sparse_row_sum,
};
use marquee_core::bounds::{
    MAX_CARRIER_ROWS, MAX_CARRIERS, MAX_EXPLAINED_ITEMS, MAX_ID_BYTES, MAX_RANK_ITEMS,
};
use marquee_core::ranking::merge::best_first;
use marquee_core::ranking::strategy::SearchStrategy;
use marquee_proto::shard::v1::{
    self as wire, Operation, Query, QueryResult, SearchOp, SearchRequest, SearchResponse,
    SearchResult,
};
use std::collections::BTreeSet;
use std::ops::Range;
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
    /// Which queries of which operation each unit is.
    units: Vec<(usize, Range<usize>)>,
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
    deny_lists: Vec<SharedDenials>,
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
        units: Vec::new(),
        queries: 0,
        bytes: AnswerBytes::default(),
        spent: Arc::clone(spent),
    };
    let mut results = 0usize;
    for (number, op) in ops.into_iter().enumerate() {
        let op = check_op(format!("ops[{number}]"), op, table)?;
        let (queries, together) = (op.queries.len(), op.queries_a_unit());
        let unit = |from| (number, from..queries.min(from + together));
        search.units.extend((0..queries).step_by(together).map(unit));
        search.queries += queries;
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
    let SearchOp { version, shards, matrix, operation, queries, filters, deny_lists } = op;
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
    if entity != Entity::Item && !filters.is_empty() {
        let of = entity.plural();
        return Err(wrong("filters", format!("{matrix:?} has rows of {of}, filters are of items")));
    }
    if entity == Entity::User && !deny_lists.is_empty() {
        let reason = format!("{matrix:?} has rows of users, deny lists are of items");
        return Err(wrong("deny_lists", reason));
    }
    let lists = [filters.len(), deny_lists.len()];
    for (number, query) in queries.iter().enumerate() {
        check_query(query, kind, entity, columns, lists).map_err(|(part, reason)| {
            RequestError::invalid(format!("{field}.queries[{number}].{part}"), reason)
        })?;
    }
    let filters = SharedFilter::check(&field, filters, held.len())?;
    let deny_lists = SharedDenials::check(&field, deny_lists, held.len())?;
    Ok(Op { field, replicas: held, matrix, kind, entity, queries, filters, deny_lists })
}

/// Checks what can be checked without looking at every value; the search looks at those.
fn check_query(
    query: &Query,
    kind: Kind,
    entity: Entity,
    rank: usize,
    [filters, deny_lists]: [usize; 2],
) -> Result<(), (&'static str, String)> {
    let Query {
        count,
        vector,
        rows,
        weights,
        exclude_ordinals: _,
        exclude_item_ids,
        filter,
        deny_list,
        carriers,
        count_left_out,
        name_rows: _,
    } = query;
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
    if entity != Entity::Item && !exclude_item_ids.is_empty() {
        let reason = format!("the matrix has rows of {}", entity.plural());
        return Err(("exclude_item_ids", reason));
    }
    if *filter as usize > filters {
        return Err(("filter", format!("{filter}: the operation has {filters} filters")));
    }
    if *carriers > MAX_CARRIERS {
        return Err(("carriers", format!("{carriers}: at most {MAX_CARRIERS} are allowed")));
    }
    if *carriers > 0 && (kind != Kind::Sparse || rows.len() > MAX_CARRIER_ROWS) {
        let reason = format!("only sums of at most {MAX_CARRIER_ROWS} rows can say what carried");
        return Err(("carriers", reason));
    }
    if *carriers > 0 && *count as usize > MAX_EXPLAINED_ITEMS {
        let reason =
            format!("only of at most {MAX_EXPLAINED_ITEMS} results it is said what carried");
        return Err(("carriers", reason));
    }
    if *count_left_out && entity == Entity::User {
        return Err(("count_left_out", "the matrix has rows of users".into()));
    }
    if *deny_list as usize > deny_lists {
        let reason = format!("{deny_list}: the operation has {deny_lists} deny lists");
        return Err(("deny_list", reason));
    }
    Ok(())
}

impl Work for Search {
    type Output = Vec<QueryResult>;

    fn units(&self) -> usize {
        self.units.len()
    }

    fn size(&self) -> usize {
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
    ) -> Result<Vec<QueryResult>, RequestError> {
        let (op, ref queries) = self.units[unit];
        let op = &self.ops[op];
        let began = Instant::now();
        let found = op.search(queries.clone(), cancel, scratch, &self.spent.strategies);
        let describe = |found: Vec<Found>| {
            let numbered = queries.clone().zip(&found);
            numbered.map(|(number, found)| op.describe(number, found, &self.bytes)).collect()
        };
        let described = found.and_then(describe);
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

/// The answer of a request of this shape, given what its units came to.
pub(crate) fn response(shape: Vec<usize>, units: Vec<Vec<QueryResult>>) -> SearchResponse {
    let mut queries = units.into_iter().flatten();
    let result = |length| SearchResult { queries: queries.by_ref().take(length).collect() };
    SearchResponse { results: shape.into_iter().map(result).collect() }
}

/// A hit, and the place of its shard in the operation.
type Placed = (usize, Hit);

/// What a query came to in one shard.
type OfShard = Result<(Vec<Hit>, Option<SearchStrategy>), SearchError>;

/// What a query came to.
#[derive(Default)]
struct Found {
    hits: Vec<Placed>,
    strategies: BTreeSet<SearchStrategy>,
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
        let denied = self.denials(query).map_or(0, SharedDenials::len);
        let excluded = query.exclude_ordinals.len() + query.exclude_item_ids.len() + denied;
        let ordinary = query.filter == 0 && excluded <= MAX_BRIEF_EXCLUSIONS;
        ordinary.then(|| replica.paces.search(self.kind, query.count as usize))
    }

    /// How many of its queries go together. Those that are scanned for share what they read; others are
    /// better spread over the threads. The shards of an operation are of one version and so alike.
    fn queries_a_unit(&self) -> usize {
        let matrix = self.replicas.first().map(|replica| replica.shard.dense(&self.matrix));
        let scanned = |matrix: &DenseMatrix| matrix.cells().is_none() && matrix.graph().is_none();
        match (self.kind, matrix) {
            (Kind::Dense(_), Some(Ok(matrix))) if scanned(matrix) => MAX_SCANNED_TOGETHER,
            _ => 1,
        }
    }

    /// Searches all replicas for these queries.
    fn search(
        &self,
        numbers: Range<usize>,
        cancel: &CancelFlag,
        scratch: &mut SearchScratch,
        counts: &StrategyCounts,
    ) -> Result<Vec<Found>, RequestError> {
        let queries = &self.queries[numbers.clone()];
        let vectors: Vec<Vec<f32>> = queries.iter().map(vector).collect();
        let mut found: Vec<Found> = queries.iter().map(|_| Found::default()).collect();
        for (place, replica) in self.replicas.iter().enumerate() {
            let shard = &replica.shard;
            let began = Instant::now();
            let excluded = numbers.clone().map(|number| self.excluded_rows(number, place, shard));
            let excluded: Vec<Vec<u32>> = excluded.collect::<Result<_, _>>()?;
            let mut dense = Vec::with_capacity(queries.len());
            for ((number, vector), exclude_rows) in numbers.clone().zip(&vectors).zip(&excluded) {
                let allow = self.allow(number, place, shard)?;
                let count = self.queries[number].count as usize;
                let params =
                    SearchParams { allow, exclude_rows, ..SearchParams::new(count, cancel) };
                dense.push(DenseQuery { vector, params });
            }
            let answers: Vec<OfShard> = match self.kind {
                Kind::Dense(metric) => {
                    let answers = dense_top_k_each(shard, &self.matrix, metric, &dense, scratch);
                    let told = |Answered { hits, strategy }| (hits, strategy.map(strategy_of));
                    answers.into_iter().map(|answer| answer.map(told)).collect()
                }
                Kind::Sparse => {
                    let sum = |(query, of): (&Query, &DenseQuery<'_>)| {
                        let Query { rows, weights, .. } = query;
                        sparse_row_sum(shard, &self.matrix, rows, weights, &of.params, scratch)
                            .map(|hits| (hits, Some(SearchStrategy::RowSum)))
                    };
                    queries.iter().zip(&dense).map(sum).collect()
                }
            };
            for ((number, answer), found) in numbers.clone().zip(answers).zip(&mut found) {
                let (hits, strategy) = answer.map_err(|error| self.failed(number, error))?;
                found.hits.extend(hits.into_iter().map(|hit| (place, hit)));
                if let Some(strategy) = strategy {
                    counts.count(strategy);
                    found.strategies.insert(strategy);
                }
            }
            let each = began.elapsed() / queries.len() as u32;
            for pace in queries.iter().filter_map(|query| self.pace(replica, query)) {
                pace.record(each);
            }
        }
        if self.replicas.len() > 1 {
            let rank = |(_, hit): &Placed| (hit.score, hit.ordinal);
            for (Found { hits, .. }, query) in found.iter_mut().zip(queries) {
                hits.sort_unstable_by(|a, b| best_first(rank(a), rank(b)));
                hits.truncate(query.count as usize);
            }
        }
        Ok(found)
    }

    /// The field of a query, such as `ops[0].queries[3]`.
    fn field_of(&self, number: usize) -> String {
        format!("{}.queries[{number}]", self.field)
    }

    fn failed(&self, number: usize, error: SearchError) -> RequestError {
        RequestError::of_search(&self.field_of(number), error)
    }

    /// The rows of the shard at this place that the query's filter allows.
    fn allow(
        &self,
        number: usize,
        place: usize,
        shard: &BundleShard,
    ) -> Result<Allow<'_>, RequestError> {
        let Some(filter) = (self.queries[number].filter as usize).checked_sub(1) else {
            return Ok(Allow::All);
        };
        let rows = self.filters[filter].rows(place, shard);
        let rows = rows.map_err(|error| self.failed(number, error))?;
        Ok(rows.map_or(Allow::All, Allow::Rows))
    }

    /// The deny list that a query names.
    fn denials(&self, query: &Query) -> Option<&SharedDenials> {
        self.deny_lists.get((query.deny_list as usize).checked_sub(1)?)
    }

    /// The rows of the shard at this place that the query excludes, ascending.
    fn excluded_rows(
        &self,
        number: usize,
        place: usize,
        shard: &BundleShard,
    ) -> Result<Vec<u32>, RequestError> {
        let query = &self.queries[number];
        let ids = shard.ids(self.entity);
        let mut rows = Vec::new();
        for &ordinal in &query.exclude_ordinals {
            let total = ids.total();
            if ordinal as usize >= total {
                let field = format!("{}.exclude_ordinals", self.field_of(number));
                let reason = format!("there is no ordinal {ordinal}: the bundle has {total}");
                return Err(RequestError::invalid(field, reason));
            }
            rows.extend(ids.row_of_ordinal(ordinal));
        }
        let known = query.exclude_item_ids.iter().filter(|id| id.len() <= MAX_ID_BYTES);
        rows.extend(known.filter_map(|id| ids.find(id)));
        if let Some(denials) = self.denials(query) {
            rows.extend_from_slice(denials.rows(place, shard));
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }

    fn describe(
        &self,
        number: usize,
        found: &Found,
        bytes: &AnswerBytes,
    ) -> Result<QueryResult, RequestError> {
        let Found { hits, strategies } = found;
        let texts = |(place, hit): &Placed| {
            let ids = self.replicas[*place].shard.ids(self.entity);
            (ids.id(hit.row), ids.title(hit.row))
        };
        // Before they are copied: what is too large shall not be made first.
        let texts: Vec<(&str, &str)> = hits.iter().map(texts).collect();
        // Two tags and lengths, an ordinal and a score.
        let length = |(id, title): &(&str, &str)| id.len() + title.len() + 14;
        bytes.add(texts.iter().map(length).sum())?;
        let mut result = QueryResult {
            ordinals: hits.iter().map(|(_, hit)| hit.ordinal).collect(),
            scores: hits.iter().map(|(_, hit)| hit.score).collect(),
            item_ids: texts.iter().map(|(id, _)| (*id).to_owned()).collect(),
            titles: texts.iter().map(|(_, title)| (*title).to_owned()).collect(),
            strategies: strategies
                .iter()
                .map(|&used| wire::SearchStrategy::from(used).into())
                .collect(),
            ..QueryResult::default()
        };
        self.explain(number, hits, &mut result)?;
        let names = result.row_names.iter().map(|name| name.item_id.len() + name.title.len() + 14);
        bytes.add(names.sum())?;
        Ok(result)
    }

    /// Adds what the query wants to know of its answer.
    fn explain(
        &self,
        number: usize,
        hits: &[Placed],
        result: &mut QueryResult,
    ) -> Result<(), RequestError> {
        let query = &self.queries[number];
        let failed = |error| self.failed(number, error);
        if query.carriers > 0 {
            for (place, hit) in hits {
                let matrix = self.replicas[*place].shard.sparse(&self.matrix).map_err(failed)?;
                result.carried.push(carried(matrix, query, hit.row));
            }
            for replica in self.replicas.iter().filter(|_| query.name_rows) {
                result.row_names.extend(row_names(replica.shard.items(), query));
            }
        }
        if query.count_left_out {
            let filter = (query.filter as usize).checked_sub(1).map(|at| self.filters[at].spec());
            for (place, replica) in self.replicas.iter().enumerate() {
                let counted = left_out(&replica.shard, place, query, filter, self.denials(query));
                result.left_out.push(counted.map_err(failed)?);
            }
        }
        Ok(())
    }
}

/// A dense query's vector; empty for others.
fn vector(query: &Query) -> Vec<f32> {
    let values = query.vector.chunks_exact(size_of::<f32>());
    values.map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}

/// The strategy by which a dense matrix was searched.
fn strategy_of(strategy: DenseStrategy) -> SearchStrategy {
    match strategy {
        DenseStrategy::Scan => SearchStrategy::Scan,
        DenseStrategy::Cells(_) => SearchStrategy::Cells,
        DenseStrategy::ExactCells => SearchStrategy::ExactCells,
        DenseStrategy::Graph { .. } => SearchStrategy::Graph,
    }
}
