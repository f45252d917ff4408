//! Searches: the best rows of this node's shards, merged over them, with their ids and titles.

use super::answer_bytes::AnswerBytes;
use super::explain::{contributions, left_out, row_names};
use super::filter::{SharedDenyList, SharedFilter};
use super::query::{Operand, Operation, SearchQuery, SearchResults, SearchSpec};
use super::table::{ReplicaTable, ServingReplica};
use crate::audit::{AnsweredQuery, LiveAudit};
use crate::error::RequestError;
use crate::pool::{AverageTime, Work};
use crate::replica_key::ReplicaKey;
use crate::usage::{OperationsSpent, StrategyCounts};
use marquee_bundle::{
    Allow, BundleShard, CancelFlag, DenseHits, DenseQuery, DenseStrategy, Entity, Hit,
    MAX_SCANNED_TOGETHER, Partition, SearchError, SearchParams, SearchScratch, VectorMeasure,
    dense_top_k_each, sparse_row_sum,
};
use marquee_core::bounds::MAX_ID_BYTES;
use marquee_core::ranking::merge::best_first;
use marquee_core::ranking::strategy::SearchStrategy;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Items that a query excludes, with which it is still an ordinary one: some microseconds.
const MAX_BRIEF_EXCLUSIONS: usize = 512;
/// Bytes of the tags, the lengths, the ordinal and the score of a result on the wire.
const RESULT_OVERHEAD_BYTES: usize = 14;

/// A request's searches, with the replicas that they are about.
pub(crate) struct Search {
    searches: Vec<PlacedSearch>,
    /// Which queries of which search each unit is.
    units: Vec<(usize, Range<usize>)>,
    /// Queries of all searches.
    queries: usize,
    bytes: AnswerBytes,
    spent: Arc<OperationsSpent>,
    audit: Arc<LiveAudit>,
}

/// One [`SearchSpec`] and its replicas.
struct PlacedSearch {
    /// The path of the operation in the request, such as `ops[0]`, for messages.
    field: String,
    replicas: Vec<Arc<ServingReplica>>,
    matrix: String,
    operation: Operation,
    /// What the results are.
    entity: Entity,
    queries: Vec<SearchQuery>,
    filters: Vec<SharedFilter>,
    deny_lists: Vec<SharedDenyList>,
}

impl Search {
    /// Takes the replicas of these searches from the table, and checks what depends on them.
    pub(crate) fn place(
        specs: Vec<SearchSpec>,
        table: &ReplicaTable,
        (spent, audit): (&Arc<OperationsSpent>, &Arc<LiveAudit>),
    ) -> Result<Self, RequestError> {
        let mut search = Self {
            searches: Vec::with_capacity(specs.len()),
            units: Vec::new(),
            queries: 0,
            bytes: AnswerBytes::default(),
            spent: Arc::clone(spent),
            audit: Arc::clone(audit),
        };
        for (number, spec) in specs.into_iter().enumerate() {
            let placed = PlacedSearch::new(spec, table)?;
            let (queries, together) = (placed.queries.len(), placed.queries_a_unit());
            for start in (0..queries).step_by(together) {
                search.units.push((number, start..queries.min(start + together)));
            }
            search.queries += queries;
            search.searches.push(placed);
        }
        Ok(search)
    }

    /// The number of queries of each search.
    pub(crate) fn shape(&self) -> Vec<usize> {
        self.searches.iter().map(|search| search.queries.len()).collect()
    }
}

/// The results of each search, by query, given the [`shape`](Search::shape) and what its units came to.
pub(crate) fn results_by_search(
    shape: &[usize],
    units: Vec<Vec<SearchResults>>,
) -> Vec<Vec<SearchResults>> {
    let mut results = units.into_iter().flatten();
    shape.iter().map(|&queries| results.by_ref().take(queries).collect()).collect()
}

impl Work for Search {
    type Output = Vec<SearchResults>;

    fn units(&self) -> usize {
        self.units.len()
    }

    fn size(&self) -> usize {
        self.queries
    }

    fn expected(&self) -> Option<Duration> {
        let mut sum = Duration::ZERO;
        for search in &self.searches {
            for query in &search.queries {
                for replica in &search.replicas {
                    sum += search.average_time(replica, query)?.expected()?;
                }
            }
        }
        Some(sum)
    }

    fn run(
        &self,
        unit: usize,
        cancel: &CancelFlag,
        scratch: &mut SearchScratch,
    ) -> Result<Vec<SearchResults>, RequestError> {
        let (number, ref queries) = self.units[unit];
        let began = Instant::now();
        let results = self.run_queries(&self.searches[number], queries.clone(), cancel, scratch);
        self.spent.search.add(began.elapsed());
        results
    }
}

impl Search {
    fn run_queries(
        &self,
        search: &PlacedSearch,
        queries: Range<usize>,
        cancel: &CancelFlag,
        scratch: &mut SearchScratch,
    ) -> Result<Vec<SearchResults>, RequestError> {
        let counts = &self.spent.strategies;
        let found = search.run(queries.clone(), cancel, scratch, (counts, &self.audit))?;
        let mut results = Vec::with_capacity(found.len());
        for (number, hits) in queries.zip(found) {
            results.push(search.describe(number, hits, &self.bytes)?);
        }
        Ok(results)
    }
}

/// A hit, and the place of its shard in the search.
type PlacedHit = (usize, Hit);

/// What a query found in one shard, and by which strategy; none where no row could be in the result.
type ShardHits = Result<ShardHit, SearchError>;
/// The hits, the strategy, and how many rows of a dense matrix were looked at.
type ShardHit = (Vec<Hit>, Option<SearchStrategy>, u64);

/// What a query found in all shards, best first.
#[derive(Default)]
struct MergedHits {
    hits: Vec<PlacedHit>,
    strategies: BTreeSet<SearchStrategy>,
}

impl PlacedSearch {
    fn new(spec: SearchSpec, table: &ReplicaTable) -> Result<Self, RequestError> {
        let SearchSpec { field, version, shards, matrix, operation, queries, filters, deny_lists } =
            spec;
        let mut replicas: Vec<Arc<ServingReplica>> = Vec::with_capacity(shards.len());
        for shard in shards {
            if replicas.iter().any(|other| other.shard.shard() == shard) {
                let reason = format!("shard {shard} is named twice");
                return Err(RequestError::at(&field, "shards", reason));
            }
            replicas.push(Arc::clone(table.get(&ReplicaKey::new(version.clone(), shard))?));
        }
        let Some(first) = replicas.first() else {
            return Err(RequestError::at(&field, "shards", "name at least one"));
        };
        let searched = SearchedMatrix::find(&field, &first.shard, &matrix, operation)?;
        if searched.entity != Entity::Item && !filters.is_empty() {
            let has = searched.entity.plural();
            let reason = format!("{matrix:?} has rows of {has}, filters are of items");
            return Err(RequestError::at(&field, "filters", reason));
        }
        if searched.entity == Entity::User && !deny_lists.is_empty() {
            let reason = format!("{matrix:?} has rows of users, deny lists are of items");
            return Err(RequestError::at(&field, "deny_lists", reason));
        }
        for (number, query) in queries.iter().enumerate() {
            searched.check_query(&field, number, query)?;
        }
        let entity = searched.entity;
        let shards = replicas.len();
        let filters = filters.into_iter().map(|spec| SharedFilter::new(spec, shards)).collect();
        let deny_lists =
            deny_lists.into_iter().map(|ids| SharedDenyList::new(ids, shards)).collect();
        Ok(Self { field, replicas, matrix, operation, entity, queries, filters, deny_lists })
    }

    /// The average time of such a query over a replica; none for one that has more to do than most.
    fn average_time<'a>(
        &self,
        replica: &'a ServingReplica,
        query: &SearchQuery,
    ) -> Option<&'a AverageTime> {
        let denied = self.deny_list(query).map_or(0, SharedDenyList::len);
        let excluded = query.exclude_ordinals.len() + query.exclude_item_ids.len() + denied;
        if query.filter.is_some() || excluded > MAX_BRIEF_EXCLUSIONS {
            return None;
        }
        Some(replica.times.search(self.operation, query.count))
    }

    /// How many of its queries go together. Those that are scanned for share what they read; others are
    /// better spread over the threads. The shards of a search are of one version and so alike.
    fn queries_a_unit(&self) -> usize {
        let Operation::DenseTopK(_) = self.operation else { return 1 };
        let Some(Ok(matrix)) =
            self.replicas.first().map(|replica| replica.shard.dense(&self.matrix))
        else {
            return 1;
        };
        let is_scanned = matrix.cells().is_none() && matrix.graph().is_none();
        if is_scanned { MAX_SCANNED_TOGETHER } else { 1 }
    }

    /// Searches all replicas for these queries.
    fn run(
        &self,
        numbers: Range<usize>,
        cancel: &CancelFlag,
        scratch: &mut SearchScratch,
        (counts, audit): (&StrategyCounts, &LiveAudit),
    ) -> Result<Vec<MergedHits>, RequestError> {
        let queries = &self.queries[numbers.clone()];
        let vectors: Vec<Vec<f32>> = queries.iter().map(|query| query.operand.vector()).collect();
        let mut found: Vec<MergedHits> = queries.iter().map(|_| MergedHits::default()).collect();
        for (place, replica) in self.replicas.iter().enumerate() {
            let shard = &replica.shard;
            let began = Instant::now();
            let mut excluded = Vec::with_capacity(queries.len());
            for number in numbers.clone() {
                excluded.push(self.excluded_rows(number, place, shard)?);
            }
            let mut dense = Vec::with_capacity(queries.len());
            for ((number, vector), exclude_rows) in numbers.clone().zip(&vectors).zip(&excluded) {
                let allow = self.allow(number, place, shard)?;
                let count = self.queries[number].count;
                let params =
                    SearchParams { allow, exclude_rows, ..SearchParams::new(count, cancel) };
                dense.push(DenseQuery { vector, params });
            }
            let answers = self.search_shard(shard, queries, &dense, scratch);
            for ((number, answer), merged) in numbers.clone().zip(answers).zip(&mut found) {
                let (hits, strategy, rows) = answer.map_err(|error| self.failed(number, error))?;
                if let Some(SearchStrategy::Cells | SearchStrategy::Graph) = strategy {
                    let query = &dense[number - numbers.start];
                    audit.offer(|| self.answered(shard, query, &hits));
                }
                merged.hits.extend(hits.into_iter().map(|hit| (place, hit)));
                if let Some(strategy) = strategy {
                    counts.count(strategy);
                    replica.counts.strategies.count(strategy);
                    replica.counts.read_rows(rows);
                    merged.strategies.insert(strategy);
                }
            }
            let each = began.elapsed() / queries.len() as u32;
            for query in queries {
                if let Some(time) = self.average_time(replica, query) {
                    time.record(each);
                }
            }
        }
        if self.replicas.len() > 1 {
            for (MergedHits { hits, .. }, query) in found.iter_mut().zip(queries) {
                hits.sort_unstable_by(|(_, a), (_, b)| {
                    best_first((a.score, a.ordinal), (b.score, b.ordinal))
                });
                hits.truncate(query.count);
            }
        }
        Ok(found)
    }

    /// A query that was searched for in this shard, with what was found.
    fn answered(
        &self,
        shard: &Arc<BundleShard>,
        DenseQuery { vector, params }: &DenseQuery<'_>,
        hits: &[Hit],
    ) -> AnsweredQuery {
        let measure = match self.operation {
            Operation::DenseTopK(measure) => measure,
            // Never: a sum of rows is not approximate.
            Operation::RowSum => VectorMeasure::InnerProduct,
        };
        AnsweredQuery {
            shard: Arc::downgrade(shard),
            matrix: self.matrix.clone(),
            measure,
            vector: vector.to_vec(),
            count: params.count,
            allowed: match params.allow {
                Allow::All => None,
                Allow::Rows(rows) => Some(rows.clone()),
            },
            excluded: params.exclude_rows.to_vec(),
            scores: hits.iter().map(|hit| hit.score).collect(),
        }
    }

    /// What these queries find in one shard, in order.
    fn search_shard(
        &self,
        shard: &BundleShard,
        queries: &[SearchQuery],
        dense: &[DenseQuery<'_>],
        scratch: &mut SearchScratch,
    ) -> Vec<ShardHits> {
        let mut answers = Vec::with_capacity(queries.len());
        match self.operation {
            Operation::DenseTopK(measure) => {
                for answer in dense_top_k_each(shard, &self.matrix, measure, dense, scratch) {
                    answers.push(answer.map(|DenseHits { hits, strategy, rows_read }| {
                        (hits, strategy.map(strategy_of_dense), rows_read)
                    }));
                }
            }
            Operation::RowSum => {
                for (query, DenseQuery { params, .. }) in queries.iter().zip(dense) {
                    let (rows, weights) = query.operand.rows();
                    let hits = sparse_row_sum(shard, &self.matrix, rows, weights, params, scratch);
                    answers.push(hits.map(|hits| (hits, Some(SearchStrategy::RowSum), 0)));
                }
            }
        }
        answers
    }

    /// What a search's error means for the request, at the query of this number.
    fn failed(&self, number: usize, error: SearchError) -> RequestError {
        RequestError::of_search(&format!("{}.queries[{number}]", self.field), error)
    }

    /// The rows of the shard at this place that the query's filter allows.
    fn allow(
        &self,
        number: usize,
        place: usize,
        shard: &BundleShard,
    ) -> Result<Allow<'_>, RequestError> {
        let Some(filter) = self.queries[number].filter else { return Ok(Allow::All) };
        match self.filters[filter].rows(place, shard) {
            Ok(None) => Ok(Allow::All),
            Ok(Some(rows)) => Ok(Allow::Rows(rows)),
            Err(error) => Err(self.failed(number, error)),
        }
    }

    /// The deny list that a query names.
    fn deny_list(&self, query: &SearchQuery) -> Option<&SharedDenyList> {
        query.deny_list.map(|index| &self.deny_lists[index])
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
                let part = format!("queries[{number}].exclude_ordinals");
                let reason = format!("there is no ordinal {ordinal}: the bundle has {total}");
                return Err(RequestError::at(&self.field, &part, reason));
            }
            rows.extend(ids.row_of_ordinal(ordinal));
        }
        let plausible = query.exclude_item_ids.iter().filter(|id| id.len() <= MAX_ID_BYTES);
        rows.extend(plausible.filter_map(|id| ids.find(id)));
        if let Some(deny_list) = self.deny_list(query) {
            rows.extend_from_slice(deny_list.rows(place, shard));
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }

    /// The results of a query, with ids and titles, and what the query wants to know of them.
    fn describe(
        &self,
        number: usize,
        found: MergedHits,
        bytes: &AnswerBytes,
    ) -> Result<SearchResults, RequestError> {
        let MergedHits { hits, strategies } = found;
        let mut texts: Vec<(&str, &str)> = Vec::with_capacity(hits.len());
        for (place, hit) in &hits {
            let ids = self.replicas[*place].shard.ids(self.entity);
            texts.push((ids.id(hit.row), ids.title(hit.row)));
        }
        // Before they are copied: what is too large shall not be made first.
        bytes.add(
            texts.iter().map(|(id, title)| id.len() + title.len() + RESULT_OVERHEAD_BYTES).sum(),
        )?;
        let mut results = SearchResults {
            ordinals: hits.iter().map(|(_, hit)| hit.ordinal).collect(),
            scores: hits.iter().map(|(_, hit)| hit.score).collect(),
            ids: texts.iter().map(|(id, _)| (*id).to_owned()).collect(),
            titles: texts.iter().map(|(_, title)| (*title).to_owned()).collect(),
            strategies,
            ..SearchResults::default()
        };
        self.explain(number, &hits, &mut results).map_err(|error| self.failed(number, error))?;
        let names = &results.row_names;
        bytes.add(
            names.iter().map(|name| name.id.len() + name.title.len() + RESULT_OVERHEAD_BYTES).sum(),
        )?;
        Ok(results)
    }

    /// Adds what the query wants to know of its results.
    fn explain(
        &self,
        number: usize,
        hits: &[PlacedHit],
        results: &mut SearchResults,
    ) -> Result<(), SearchError> {
        let query = &self.queries[number];
        if query.contributors > 0 {
            for (place, hit) in hits {
                let matrix = self.replicas[*place].shard.sparse(&self.matrix)?;
                results.contributions.push(contributions(matrix, query, hit.row));
            }
            if query.name_rows {
                for replica in &self.replicas {
                    results.row_names.extend(row_names(replica.shard.items(), query));
                }
            }
        }
        if query.count_left_out {
            let filter = query.filter.map(|index| self.filters[index].spec());
            let deny_list = self.deny_list(query);
            for (place, replica) in self.replicas.iter().enumerate() {
                let counted = left_out(&replica.shard, place, query, filter, deny_list)?;
                results.left_out.push(counted);
            }
        }
        Ok(())
    }
}

/// What is searched: its results are of this entity, and vectors have `rank` values.
#[derive(Clone, Copy)]
struct SearchedMatrix {
    entity: Entity,
    /// 0 for a sparse matrix.
    rank: usize,
}

impl SearchedMatrix {
    fn find(
        field: &str,
        shard: &BundleShard,
        name: &str,
        operation: Operation,
    ) -> Result<Self, RequestError> {
        match operation {
            Operation::DenseTopK(_) => {
                let matrix =
                    shard.dense(name).map_err(|error| RequestError::of_search(field, error))?;
                Ok(Self { entity: matrix.entity(), rank: matrix.rank() })
            }
            Operation::RowSum => {
                let matrix =
                    shard.sparse(name).map_err(|error| RequestError::of_search(field, error))?;
                if matrix.partition() != Partition::ByColumn {
                    let reason = format!(
                        "{name:?} is partitioned by row: it has rows to look up, not to sum"
                    );
                    return Err(RequestError::at(field, "matrix", reason));
                }
                Ok(Self { entity: matrix.columns_of(), rank: 0 })
            }
        }
    }

    /// Checks what can be checked of a query without looking at every value; the search looks at those.
    fn check_query(
        self,
        field: &str,
        number: usize,
        query: &SearchQuery,
    ) -> Result<(), RequestError> {
        let Self { entity, rank } = self;
        let (part, reason) = match &query.operand {
            Operand::Vector(bytes) if bytes.len() != rank * size_of::<f32>() => {
                let reason =
                    format!("{} bytes: {rank} values of 4 bytes are expected", bytes.len());
                ("vector", reason)
            }
            _ if entity != Entity::Item && !query.exclude_item_ids.is_empty() => {
                ("exclude_item_ids", format!("the matrix has rows of {}", entity.plural()))
            }
            _ if entity == Entity::User && query.count_left_out => {
                ("count_left_out", "the matrix has rows of users".into())
            }
            _ => return Ok(()),
        };
        Err(RequestError::at(field, &format!("queries[{number}].{part}"), reason))
    }
}

/// The strategy by which a dense matrix was searched.
fn strategy_of_dense(strategy: DenseStrategy) -> SearchStrategy {
    match strategy {
        DenseStrategy::Scan => SearchStrategy::Scan,
        DenseStrategy::Cells(_) => SearchStrategy::Cells,
        DenseStrategy::ExactCells => SearchStrategy::ExactCells,
        DenseStrategy::Graph { .. } => SearchStrategy::Graph,
    }
}
