//! A request whose leaves are searched: queries out, lists in.
//!
//! A leaf that finds neighbours is searched twice: for users, and then for items that they like
//! ([`SearchingRequest::set_neighbours`]). A chained leaf waits for the rows that it sums
//! ([`SearchingRequest::set_chained_rows`]). A member with a timeout has it from its first query on
//! ([`SearchingRequest::time_limit`]); time is an argument.

use super::leaf_query::{LeafQuery, LeafState, known_rows};
use super::round::SearchedMatrix;
use crate::fanout::Failure;
use crate::lookup::leaf_plan::{By, LeafPlan, Similarity, Source};
use crate::lookup::looked_up::{LookedUpLeaf, LookedUpRequest};
use crate::lookup::stored_row::FoundRow;
use crate::planning::shard_map::ShardMap;
use marquee_core::model::recipe::{POPULARITY_MATRIX, Recipe};
use marquee_core::ranking::fuse::Candidate;
use marquee_core::ranking::strategy::SearchStrategy;
use marquee_proto::shard::v1::{Operation, Query};
use marquee_proto::v1;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The recipe of the leaf that fills up a list that is too short.
static POPULARITY: Recipe = Recipe::Popularity;

/// A request, and what is known of the lists of its leaves.
pub(crate) struct SearchingRequest<'a> {
    pub(crate) looked_up: LookedUpRequest<'a>,
    /// By the numbers of the leaves.
    pub(crate) states: Vec<LeafState>,
    /// How leaves were searched, by their numbers; noted for requests that explain only.
    pub(crate) strategies: BTreeMap<usize, BTreeSet<SearchStrategy>>,
    /// The members that have a timeout: how long it is, and when it began.
    timers: Vec<(Duration, Option<Instant>)>,
    /// The shards that could not be searched, and why.
    pub(crate) unavailable: BTreeMap<usize, Failure>,
    /// The shards that were searched.
    pub(crate) searched: BTreeSet<usize>,
    /// No items: what no search for users leaves out.
    nothing_denied: Arc<[String]>,
}

/// A leaf query as shards understand it.
pub(crate) struct WireQuery<'a> {
    pub(crate) matrix: SearchedMatrix<'a>,
    pub(crate) query: Query,
    pub(crate) filter: Option<v1::Filter>,
}

impl<'a> SearchingRequest<'a> {
    /// No leaf was searched yet; those that have no plan are absent.
    pub(crate) fn new(mut looked_up: LookedUpRequest<'a>) -> Self {
        let state = |leaf: &LookedUpLeaf<'_>| match leaf.plan {
            LeafPlan::None => LeafState::Absent,
            _ => LeafState::Open,
        };
        let timeouts = std::mem::take(&mut looked_up.timeouts);
        Self {
            states: looked_up.leaves.iter().map(state).collect(),
            strategies: BTreeMap::new(),
            timers: timeouts.into_iter().map(|timeout| (timeout, None)).collect(),
            unavailable: BTreeMap::new(),
            searched: BTreeSet::new(),
            nothing_denied: Arc::default(),
            looked_up,
        }
    }

    /// Adds a leaf that lists the popular items that `like` would be allowed to list; gives its number.
    pub(crate) fn add_popularity(&mut self, like: usize) -> usize {
        let LookedUpLeaf { version, exclude, .. } = &self.looked_up.leaves[like];
        let leaf = LookedUpLeaf {
            version: *version,
            recipe: &POPULARITY,
            is_chained: false,
            timed_members: Vec::new(),
            plan: LeafPlan::Popularity,
            exclude: Arc::clone(exclude),
            basis: None,
        };
        self.looked_up.leaves.push(leaf);
        self.states.push(LeafState::Open);
        self.states.len() - 1
    }

    /// The query to shards that a leaf query comes to.
    pub(crate) fn wire_query(&self, leaf_query: &LeafQuery) -> WireQuery<'a> {
        let leaf = &self.looked_up.leaves[leaf_query.leaf];
        let mut query = Query {
            count: leaf_query.scope.count as u32,
            exclude_ordinals: leaf.exclude.to_vec(),
            ..Query::default()
        };
        let source = match &leaf.plan {
            LeafPlan::Items(source)
            | LeafPlan::Profile(source)
            | LeafPlan::Neighbours(source, _) => source.clone(),
            LeafPlan::Popularity | LeafPlan::Chained | LeafPlan::None => {
                Source::one_row(POPULARITY_MATRIX)
            }
        };
        let operation = match source.by {
            By::Vector(vector, similarity) => {
                query.vector = vector;
                match similarity {
                    Similarity::InnerProduct => Operation::DenseInnerProduct,
                    Similarity::Cosine => Operation::DenseCosine,
                }
            }
            By::Rows(rows, weights) => {
                (query.rows, query.weights) = (rows, weights);
                Operation::SparseRowSum
            }
        };
        let matrix = SearchedMatrix { version: leaf.version, name: source.matrix, operation };
        if let (LeafPlan::Neighbours(_, user), Recipe::UserNeighbours { neighbours, .. }) =
            (&leaf.plan, leaf.recipe)
        {
            query.count = *neighbours;
            query.exclude_ordinals = user.iter().copied().collect();
            return WireQuery { matrix, query, filter: None };
        }
        let request = self.looked_up.request;
        let filter = match &leaf_query.scope.only {
            // The items that were proposed have passed the filter already.
            Some(only) => {
                query.exclude_ordinals.clear();
                Some(v1::Filter { include_item_ids: only.to_vec(), ..v1::Filter::default() })
            }
            None => {
                query.exclude_item_ids = request.left_out_items().to_vec();
                (!request.filter.lets_all_pass()).then(|| request.filter.to_shard())
            }
        };
        WireQuery { matrix, query, filter }
    }

    /// The items that no list on this surface may have; none where users are searched for.
    pub(crate) fn denied(&self, leaf_query: &LeafQuery) -> &Arc<[String]> {
        if self.finds_neighbours(leaf_query.leaf) {
            &self.nothing_denied
        } else {
            &self.looked_up.route.denied
        }
    }

    /// Whether lists are to say which leaf they are of.
    pub(crate) fn explains(&self) -> bool {
        self.looked_up.request.explain
    }

    /// Notes how a leaf was searched.
    pub(crate) fn note_strategies(&mut self, leaf: usize, strategies: BTreeSet<SearchStrategy>) {
        self.strategies.entry(leaf).or_default().extend(strategies);
    }

    /// Whether a search of this leaf finds users, for [`set_neighbours`](Self::set_neighbours), and no items.
    pub(crate) fn finds_neighbours(&self, leaf: usize) -> bool {
        matches!(self.looked_up.leaves[leaf].plan, LeafPlan::Neighbours(..))
    }

    /// Has a leaf sum the rows of its neighbours next, given by ordinal and similarity. `unanswered` are the shards
    /// that did not answer the round.
    pub(crate) fn set_neighbours(
        &mut self,
        shards: &ShardMap<'_>,
        leaf: usize,
        neighbours: Vec<(u32, f32)>,
        unanswered: &BTreeMap<usize, Failure>,
    ) {
        let (users, similarities): (Vec<u32>, Vec<f32>) =
            neighbours.into_iter().filter(|(_, similarity)| *similarity > 0.0).unzip();
        let searched = &mut self.looked_up.leaves[leaf];
        if let Recipe::UserNeighbours { histories, .. } = searched.recipe {
            searched.plan =
                LeafPlan::Items(Source { matrix: histories, by: By::Rows(users, similarities) });
        }
        for shard in shards.shards_of(searched.version) {
            if let Some(failure) = unanswered.get(&shard) {
                self.unavailable.insert(shard, *failure);
            }
        }
    }

    /// When a leaf query is to be answered, for members that have a timeout; none is as late as the request may be.
    pub(crate) fn time_limit(&mut self, leaf: usize, now: Instant) -> Option<Instant> {
        let mut earliest = None;
        for &member in &self.looked_up.leaves[leaf].timed_members {
            let (timeout, begun) = &mut self.timers[member];
            let limit = *begun.get_or_insert(now) + *timeout;
            earliest = Some(earliest.map_or(limit, |other: Instant| other.min(limit)));
        }
        earliest
    }

    /// Goes on without a leaf whose time was over before it could be searched.
    pub(crate) fn leave_out(&mut self, shards: &ShardMap<'_>, leaf: usize) {
        self.states[leaf] = LeafState::Absent;
        let unsearched = shards.shards_of(self.looked_up.leaves[leaf].version);
        self.unavailable.extend(unsearched.map(|shard| (shard, Failure::Timeout)));
    }

    /// The version that has the ordinals of the items whose rows a chained leaf sums.
    pub(crate) fn version_of(&self, leaf: usize) -> usize {
        self.looked_up.leaves[leaf].version
    }

    /// Has a chained leaf sum the rows of its items, given what was found of each. False if it knows none of them:
    /// then it is absent.
    pub(crate) fn set_chained_rows(&mut self, leaf_query: &LeafQuery, found: &[FoundRow]) -> bool {
        self.unavailable.extend(found.iter().filter_map(FoundRow::unavailable));
        let ordinals = found.iter().map(|found| Some(found.row()?.ordinal));
        let (rows, weights) = known_rows(leaf_query.items.as_deref().unwrap_or_default(), ordinals);
        let leaf = &mut self.looked_up.leaves[leaf_query.leaf];
        match leaf.recipe {
            Recipe::ItemRows { matrix, .. } if !rows.is_empty() => {
                leaf.plan = LeafPlan::Items(Source { matrix, by: By::Rows(rows, weights) });
                true
            }
            _ => {
                self.states[leaf_query.leaf] = LeafState::Absent;
                false
            }
        }
    }

    /// Records the list of a leaf. `unanswered` are the shards that did not answer the round; where none of the
    /// leaf's did, it is absent.
    pub(crate) fn record_list(
        &mut self,
        shards: &ShardMap<'_>,
        leaf: usize,
        list: Vec<Candidate>,
        unanswered: &BTreeMap<usize, Failure>,
    ) {
        let mut is_answered = false;
        for shard in shards.shards_of(self.looked_up.leaves[leaf].version) {
            if let Some(failure) = unanswered.get(&shard) {
                self.unavailable.insert(shard, *failure);
            } else {
                self.searched.insert(shard);
                is_answered = true;
            }
        }
        self.states[leaf] = if is_answered { LeafState::Answered(list) } else { LeafState::Absent };
    }
}
