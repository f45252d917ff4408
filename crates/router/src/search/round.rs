//! One round of Search calls: the best rows of matrices, from all shards of each version.
//!
//! All queries of a batch over the same matrix of the same version travel in one operation, so a
//! node is asked once for everything. What nodes answer is already merged over their shards; here
//! the lists of nodes are merged to one for each query.

use super::explanation::{LeftOutOfShard, SearchExplanation, SummedRows};
use super::wire_query::{SearchedMatrix, WireQuery};
use crate::fanout::health::CallKind;
use crate::fanout::{CallTerms, Round, pair_results};
use crate::planning::shard_map::ShardMap;
use futures::future::{BoxFuture, FutureExt as _};
use marquee_core::bounds::{MAX_BATCH_REQUESTS, MAX_INTERNAL_MESSAGE_BYTES};
use marquee_core::id::ModelVersion;
use marquee_core::ranking::fuse::{Candidate, Contribution};
use marquee_core::ranking::merge::{Overlap, Pick, Ranked, merge_top_k};
use marquee_core::ranking::strategy::SearchStrategy;
use marquee_proto::convert::version::version_to_pb;
use marquee_proto::shard::v1::shard_service_server::ShardService;
use marquee_proto::shard::v1::{
    DenyList, Query, QueryResult, RowName, SearchOp, SearchRequest, SearchResponse, SearchResult,
};
use marquee_proto::v1;
use prost::Message as _;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use tonic::Status;

/// Bytes of queries in one message: half of what a message may have, since sizes are estimates.
pub(crate) const MAX_QUERY_BYTES: usize = MAX_INTERNAL_MESSAGE_BYTES / 2;
/// Results asked of a node at once: with ids and titles of 150 bytes together, they fit into a
/// message between nodes.
pub(crate) const MAX_RESULTS: usize = 400_000;
/// Filters of one operation: one for each request of a batch, were they all unlike. A shard keeps a
/// bit for each item for each of them.
pub(crate) const MAX_FILTERS: usize = MAX_BATCH_REQUESTS;

/// Bytes on the wire beside those of an id: its tag and its length.
const ID_OVERHEAD: usize = 3;

/// The place of a query in a round: where its list is found afterwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SearchPlace {
    op: usize,
    query: usize,
}

/// One round of Search calls: all queries of several requests.
pub(crate) struct SearchRound<'a> {
    epoch: u64,
    ops: Vec<MatrixQueries<'a>>,
    queries: usize,
    bytes: usize,
    results: usize,
}

/// All queries over one matrix.
struct MatrixQueries<'a> {
    matrix: SearchedMatrix<'a>,
    version: &'a ModelVersion,
    shards: Range<usize>,
    queries: Vec<Query>,
    filters: Vec<v1::Filter>,
    /// The number of each filter, by its bytes: many requests of a batch have the same one.
    filter_numbers: HashMap<Vec<u8>, u32>,
    /// Of the surfaces of a batch, each once.
    deny_lists: Vec<Arc<[String]>>,
    replies: Vec<NodeReply>,
}

/// The answer of one node to an operation.
struct NodeReply {
    shards: Vec<usize>,
    queries: Vec<QueryResult>,
}

impl<'a> SearchRound<'a> {
    /// A round without queries.
    pub(crate) fn new(epoch: u64) -> Self {
        Self { epoch, ops: Vec::new(), queries: 0, bytes: 0, results: 0 }
    }

    /// Whether another such query would make messages too large.
    pub(crate) fn is_full_for(&self, wire_query: &WireQuery<'_>) -> bool {
        let WireQuery { matrix, query, filter } = wire_query;
        let bytes = query.encoded_len() + filter.as_ref().map_or(0, v1::Filter::encoded_len);
        let has_all_filters =
            |op: &MatrixQueries<'_>| op.matrix == *matrix && op.filters.len() >= MAX_FILTERS;
        self.queries > 0
            && (self.bytes + bytes > MAX_QUERY_BYTES
                || self.results + query.count as usize > MAX_RESULTS
                || (filter.is_some() && self.ops.iter().any(has_all_filters)))
    }

    /// Adds a query; the numbers of its filter and of its deny list are set here.
    pub(crate) fn add(
        &mut self,
        shards: &ShardMap<'a>,
        wire_query: WireQuery<'a>,
        denied: &Arc<[String]>,
    ) -> SearchPlace {
        let WireQuery { matrix, mut query, filter } = wire_query;
        let op = self.ops.iter().position(|op| op.matrix == matrix).unwrap_or_else(|| {
            self.ops.push(MatrixQueries {
                matrix,
                version: shards.version(matrix.version).name,
                shards: shards.shards_of(matrix.version),
                queries: Vec::new(),
                filters: Vec::new(),
                filter_numbers: HashMap::new(),
                deny_lists: Vec::new(),
                replies: Vec::new(),
            });
            self.ops.len() - 1
        });
        let MatrixQueries { queries, filters, filter_numbers, deny_lists, .. } = &mut self.ops[op];
        if !denied.is_empty() {
            let known = deny_lists.iter().position(|list| Arc::ptr_eq(list, denied));
            let place = known.unwrap_or_else(|| {
                self.bytes += denied.iter().map(|id| id.len() + ID_OVERHEAD).sum::<usize>();
                deny_lists.push(Arc::clone(denied));
                deny_lists.len() - 1
            });
            query.deny_list = place as u32 + 1;
        }
        if let Some(filter) = filter {
            let key = filter.encode_to_vec();
            let bytes = key.len();
            query.filter = *filter_numbers.entry(key).or_insert_with(|| {
                self.bytes += bytes;
                filters.push(filter);
                // At most one a query, of which a message holds far fewer than 2³².
                filters.len() as u32
            });
        }
        self.bytes += query.encoded_len();
        self.results += query.count as usize;
        self.queries += 1;
        queries.push(query);
        SearchPlace { op, query: queries.len() - 1 }
    }

    /// The shards to search.
    pub(crate) fn shards(&self) -> BTreeSet<usize> {
        self.ops.iter().flat_map(|op| op.shards.clone()).collect()
    }

    /// The strategies by which the nodes that answered searched a query.
    pub(crate) fn strategies(&self, place: SearchPlace) -> BTreeSet<SearchStrategy> {
        let replies = self.ops[place.op].replies.iter();
        let used = replies.flat_map(|reply| reply.queries[place.query].strategies());
        // Strategies of a later release have no name here.
        used.filter_map(|strategy| strategy.known()).collect()
    }

    /// The best items of a query over all that was answered, after the round. With `leaf` given,
    /// each says that this leaf contributed it.
    pub(crate) fn take(&mut self, place: SearchPlace, leaf: Option<usize>) -> Vec<Candidate> {
        let MatrixQueries { queries, replies, .. } = &mut self.ops[place.op];
        let count = queries[place.query].count as usize;
        let overlap = overlap(replies);
        let mut lists: Vec<&mut QueryResult> =
            replies.iter_mut().map(|reply| &mut reply.queries[place.query]).collect();
        let ranked: Vec<Ranked<'_>> = lists.iter().map(|list| ranked(list)).collect();
        let picks = merge_top_k(&ranked, count, overlap);
        let mut candidates = Vec::with_capacity(picks.len());
        for (rank, Pick { list, position }) in (1..).zip(picks) {
            let list = &mut lists[list];
            let score = f64::from(list.scores[position]);
            let contribution = leaf.map(|leaf| Contribution { leaf, score, rank });
            candidates.push(Candidate {
                item_id: std::mem::take(&mut list.item_ids[position]),
                title: std::mem::take(&mut list.titles[position]),
                score,
                contributions: contribution.into_iter().collect(),
            });
        }
        candidates
    }

    /// How a query's list came about, by [`Query::contributors`] and [`Query::count_left_out`], of all nodes that
    /// answered.
    pub(crate) fn take_explanation(&mut self, place: SearchPlace) -> SearchExplanation {
        let mut explanation = SearchExplanation::default();
        for reply in &mut self.ops[place.op].replies {
            let list = &mut reply.queries[place.query];
            // Where a hedge answered too, the copies are equal.
            let ids = std::mem::take(&mut list.item_ids).into_iter();
            let contributions = std::mem::take(&mut list.contributions);
            for ((id, &score), of_item) in ids.zip(&list.scores).zip(contributions) {
                explanation.contributions.insert(id, SummedRows::from_wire(score, of_item));
            }
            for RowName { ordinal, item_id, title } in std::mem::take(&mut list.row_names) {
                explanation.names.insert(ordinal, (item_id, title));
            }
            explanation.left_out.extend(list.left_out.drain(..).map(LeftOutOfShard::from_wire));
        }
        explanation
    }

    /// The best rows of a query by ordinal, with their scores, after the round.
    pub(crate) fn take_ordinals(&mut self, place: SearchPlace) -> Vec<(u32, f32)> {
        let MatrixQueries { queries, replies, .. } = &self.ops[place.op];
        let lists: Vec<&QueryResult> =
            replies.iter().map(|reply| &reply.queries[place.query]).collect();
        let ranked: Vec<Ranked<'_>> = lists.iter().map(|list| ranked(list)).collect();
        let picks = merge_top_k(&ranked, queries[place.query].count as usize, overlap(replies));
        let mut rows = Vec::with_capacity(picks.len());
        for Pick { list, position } in picks {
            rows.push((lists[list].ordinals[position], lists[list].scores[position]));
        }
        rows
    }

    fn message(&self, shards: &[usize]) -> SearchRequest {
        let asked = self.ops.iter().filter(|op| op.of(shards).next().is_some());
        SearchRequest { plan_epoch: self.epoch, ops: asked.map(|op| op.message(shards)).collect() }
    }
}

impl MatrixQueries<'_> {
    fn message(&self, shards: &[usize]) -> SearchOp {
        let mut deny_lists = Vec::with_capacity(self.deny_lists.len());
        for list in &self.deny_lists {
            deny_lists.push(DenyList { item_ids: list.to_vec() });
        }
        SearchOp {
            version: Some(version_to_pb(self.version)),
            shards: self.of(shards).map(|shard| (shard - self.shards.start) as u32).collect(),
            matrix: self.matrix.name.into(),
            operation: self.matrix.operation.into(),
            queries: self.queries.clone(),
            filters: self.filters.clone(),
            deny_lists,
        }
    }

    fn of(&self, shards: &[usize]) -> impl Iterator<Item = usize> {
        shards.iter().copied().filter(|shard| self.shards.contains(shard))
    }

    fn check(&self, result: &SearchResult) -> Result<(), String> {
        let SearchResult { queries } = result;
        let version = self.version;
        if queries.len() != self.queries.len() {
            return Err(format!(
                "{} lists for {} queries of {version}",
                queries.len(),
                self.queries.len()
            ));
        }
        for (list, query) in queries.iter().zip(&self.queries) {
            let length = list.ordinals.len();
            let whole = list.item_ids.len() == length && list.titles.len() == length;
            let explained = list.contributions.is_empty() || list.contributions.len() == length;
            let whole = whole && explained;
            if !whole || !ranked(list).is_sound() || length > query.count as usize {
                return Err(format!("a list from {version} that is not ranked or not whole"));
            }
        }
        Ok(())
    }
}

impl Round for SearchRound<'_> {
    type Reply = SearchResponse;

    fn kind(&self) -> CallKind {
        CallKind::search(self.queries)
    }

    fn call(
        &self,
        service: Arc<dyn ShardService>,
        shards: &[usize],
        terms: CallTerms,
    ) -> BoxFuture<'static, Result<SearchResponse, Status>> {
        let request = terms.request(self.message(shards));
        async move { Ok(service.search(request).await?.into_inner()) }.boxed()
    }

    fn absorb(&mut self, shards: &[usize], reply: SearchResponse) -> Result<(), String> {
        let asked: Vec<usize> =
            (0..self.ops.len()).filter(|&op| self.ops[op].of(shards).next().is_some()).collect();
        let results = pair_results(asked, reply.results, "searches")?;
        for (op, result) in &results {
            self.ops[*op].check(result)?;
        }
        for (op, SearchResult { queries }) in results {
            let shards = self.ops[op].of(shards).collect();
            self.ops[op].replies.push(NodeReply { shards, queries });
        }
        Ok(())
    }
}

fn ranked(list: &QueryResult) -> Ranked<'_> {
    Ranked { scores: &list.scores, ordinals: &list.ordinals }
}

/// Whether two replies searched the same shard: a hedge and what it hedged may both have answered.
fn overlap(replies: &[NodeReply]) -> Overlap {
    let mut seen = BTreeSet::new();
    if replies.iter().flat_map(|reply| &reply.shards).all(|shard| seen.insert(*shard)) {
        Overlap::None
    } else {
        Overlap::Possible
    }
}
