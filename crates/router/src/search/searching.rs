//! A request whose leaves are searched: queries out, lists in.
//!
//! A leaf that finds neighbours is searched twice: for users, and then for items that they like
//! ([`SearchingRequest::set_neighbours`]). A chained leaf waits for the rows that it sums
//! ([`SearchingRequest::set_chained_rows`]). A member with a timeout has it from its first query on
//! ([`SearchingRequest::time_limit`]); time is an argument.

use super::leaf_query::{LeafQuery, LeafState, known_rows};
use super::wire_query::WireQuery;
use crate::admission::request::Subject;
use crate::fanout::CallFailure;
use crate::lookup::looked_up::{LookedUpLeaf, LookedUpRequest};
use crate::lookup::stored_row::FoundRow;
use crate::planning::shard_map::ShardMap;
use marquee_core::model::interpreter::{LeafPlan, MatrixSearch, chained_search};
use marquee_core::model::recipe::Recipe;
use marquee_core::planted::{PlantedBug, is_planted};
use marquee_core::ranking::fuse::Candidate;
use marquee_core::ranking::strategy::SearchStrategy;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The recipe of leaves that fill up a list: explanations name them by their plans.
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
    pub(crate) unavailable: BTreeMap<usize, CallFailure>,
    /// The shards that were searched.
    pub(crate) searched: BTreeSet<usize>,
    /// No items: what no search for users leaves out.
    nothing_denied: Arc<[String]>,
}

impl<'a> SearchingRequest<'a> {
    /// No leaf was searched yet; those that have no plan are absent.
    pub(crate) fn new(mut looked_up: LookedUpRequest<'a>) -> Self {
        let timeouts = std::mem::take(&mut looked_up.timeouts);
        Self {
            states: looked_up.leaves.iter().map(|leaf| first_state(&leaf.plan)).collect(),
            strategies: BTreeMap::new(),
            timers: timeouts.into_iter().map(|timeout| (timeout, None)).collect(),
            unavailable: BTreeMap::new(),
            searched: BTreeSet::new(),
            nothing_denied: Arc::default(),
            looked_up,
        }
    }

    /// Adds a leaf of the same version as the leaf `like` and gives its number: it fills up a list.
    pub(crate) fn add_filler(&mut self, like: usize, plan: LeafPlan<'a>) -> usize {
        let version = self.looked_up.leaves[like].version;
        let (timed_members, basis) = (Vec::new(), None);
        let filler = LookedUpLeaf { version, recipe: &POPULARITY, timed_members, plan, basis };
        self.looked_up.leaves.push(filler);
        self.states.push(LeafState::Open);
        self.states.len() - 1
    }

    /// The query to shards that a leaf query comes to.
    pub(crate) fn wire_query(&self, leaf_query: &LeafQuery) -> WireQuery<'a> {
        let LookedUpRequest { request, seen, leaves, .. } = &self.looked_up;
        let LookedUpLeaf { version, plan, .. } = &leaves[leaf_query.leaf];
        let mut wire = match plan {
            LeafPlan::Search(search) | LeafPlan::Profile(search) => {
                WireQuery::new(*version, search)
            }
            LeafPlan::Neighbours(neighbours) => {
                let mut wire = WireQuery::new(*version, &neighbours.search);
                wire.query.count = neighbours.count;
                wire.query.exclude_ordinals.extend(neighbours.user);
                return wire;
            }
            LeafPlan::Popularity | LeafPlan::Chained | LeafPlan::Nothing => {
                WireQuery::new(*version, &MatrixSearch::popularity())
            }
        };
        wire.query.count = leaf_query.scope.count as u32;
        if let Some(only) = &leaf_query.scope.only {
            // The items that were proposed have passed the filter already.
            wire.set_only(only);
        } else {
            if !is_planted(PlantedBug::SeenItemsRecommended) {
                wire.query.exclude_ordinals = seen.ordinals(*version).to_vec();
            }
            wire.query.exclude_item_ids =
                [request.left_out_items(), seen.ids_of_others(*version)].concat();
            wire.filter = (!request.filter.lets_all_pass()).then(|| request.filter.to_shard());
        }
        wire
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
        matches!(self.looked_up.leaves[leaf].plan, LeafPlan::Neighbours(_))
    }

    /// Has a leaf sum the rows of its neighbours next, given by ordinal and similarity. `unanswered` are the shards
    /// that did not answer the round.
    pub(crate) fn set_neighbours(
        &mut self,
        shards: &ShardMap<'_>,
        leaf: usize,
        neighbours: &[(u32, f32)],
        unanswered: &BTreeMap<usize, CallFailure>,
    ) {
        let searched = &mut self.looked_up.leaves[leaf];
        if let LeafPlan::Neighbours(plan) = &searched.plan {
            searched.plan = LeafPlan::Search(plan.items(neighbours));
        }
        for shard in shards.shards_of(searched.version) {
            if let Some(failure) = unanswered.get(&shard) {
                self.unavailable.insert(shard, *failure);
            }
        }
    }

    /// When a leaf query is to be answered, for members that have a timeout; none is as late as the request may be. A timeout
    /// is of one request: so many that are answered together have as many times as long, but no more than half of the time that
    /// is left, which is for the other members.
    pub(crate) fn time_limit(
        &mut self,
        leaf: usize,
        requests: usize,
        now: Instant,
        deadline: Instant,
    ) -> Option<Instant> {
        let mut earliest = None;
        for &member in &self.looked_up.leaves[leaf].timed_members {
            let (timeout, begun) = &mut self.timers[member];
            let begun = *begun.get_or_insert(now);
            let limit = begun
                + timeout_of_batch(*timeout, requests, deadline.saturating_duration_since(begun));
            earliest = Some(earliest.map_or(limit, |other: Instant| other.min(limit)));
        }
        earliest
    }

    /// Goes on without a leaf whose time was over before it could be searched.
    pub(crate) fn leave_out(&mut self, shards: &ShardMap<'_>, leaf: usize) {
        self.states[leaf] = LeafState::Absent;
        let unsearched = shards.shards_of(self.looked_up.leaves[leaf].version);
        self.unavailable.extend(unsearched.map(|shard| (shard, CallFailure::Timeout)));
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
        let Some(search) = chained_search(leaf.recipe, rows, weights) else {
            self.states[leaf_query.leaf] = LeafState::Absent;
            return false;
        };
        leaf.plan = LeafPlan::Search(search);
        true
    }

    /// Records the list of a leaf. `unanswered` are the shards that did not answer the round; where none of the
    /// leaf's did, it is absent.
    pub(crate) fn record_list(
        &mut self,
        shards: &ShardMap<'_>,
        leaf: usize,
        mut list: Vec<Candidate>,
        unanswered: &BTreeMap<usize, CallFailure>,
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
        let LookedUpRequest { request, leaves, .. } = &self.looked_up;
        // Values of a row below 0 say that who has the one item does not take the other.
        let is_row_of_item =
            matches!(request.subject, Subject::Item(_)) && leaves[leaf].plan.is_sum();
        if is_row_of_item {
            list.retain(|item| item.score > 0.0);
        }
        self.states[leaf] = if is_answered { LeafState::Answered(list) } else { LeafState::Absent };
    }
}

/// The timeout of a member for so many requests at once, where so much time is left for all members.
fn timeout_of_batch(of_one: Duration, requests: usize, left: Duration) -> Duration {
    let of_all = of_one.saturating_mul(u32::try_from(requests).unwrap_or(u32::MAX));
    of_all.min(left / 2).max(of_one)
}

/// The state of a leaf that was not searched yet.
fn first_state(plan: &LeafPlan<'_>) -> LeafState {
    if plan.answers() { LeafState::Open } else { LeafState::Absent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_of_one_request_and_leaves_time_for_the_others() {
        let ms = Duration::from_millis;
        assert_eq!(timeout_of_batch(ms(30), 1, ms(1_000)), ms(30));
        assert_eq!(timeout_of_batch(ms(30), 10, ms(1_000)), ms(300));
        assert_eq!(timeout_of_batch(ms(30), 50, ms(2_000)), ms(1_000));
        assert_eq!(timeout_of_batch(ms(30), usize::MAX, ms(40)), ms(30));
    }
}
