//! One ask on its way through the rounds: what to look up, what to search for, what it comes to.
//!
//! The rounds are shared by all asks of a batch; a task is what is one ask's own. Its methods are
//! called in order: [`Task::look_up`], [`Task::settle`], then [`Task::demands`] and
//! [`Task::learn`] until there are no demands, then [`Task::spread`], [`Task::understand`] and
//! [`Task::finish`].
//!
//! A leaf is one recipe of one version: a model whose recipe is a blend has a leaf for each member.
//! How it answers is its [`Approach`]; neighbours are found first, and then searched for what they
//! like, and what a chain adds up is looked up first ([`Task::multiply`]).
//!
//! A member with a timeout has it from its first demand on ([`Task::limit`]); time is an argument.

mod explain;
mod finish;
mod settle;
mod spread;

pub(crate) use explain::{Reasons, Why};

use crate::approach::{
    Approach, By, Source, want_item, want_profile, want_recent, want_user, want_words,
};
use crate::ask::{Ask, NamedLeaf, Subject};
use crate::basis::Basis;
use crate::error::RouterError;
use crate::facts::{Facts, Who};
use crate::fanout::Failure;
use crate::last::fill_up;
use crate::layout::Layout;
use crate::lookup::{Found, LookupRound};
use crate::row_cache::RowCache;
use crate::search::Matrix;
use crate::tree::{Demand, LeafState, Scope, Shape, Step, Tree, known_rows};
use marquee_core::model::recipe::{POPULARITY_MATRIX, Recipe};
use marquee_core::plan::{Plan, Route};
use marquee_core::ranking::diversify::Diversity;
use marquee_core::ranking::fuse::Candidate;
use marquee_core::ranking::strategy::SearchStrategy;
use marquee_proto::shard::v1::{Operation, Query};
use marquee_proto::v1::{self, FallbackReason, SearchReason};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What explanations call the answer by attributes.
const PROFILE: &str = "profile";
/// What fills a list up that is too short.
static POPULARITY: Recipe = Recipe::Popularity;

/// See the module.
pub(crate) struct Task<'a> {
    ask: &'a Ask,
    route: Route,
    tree: Tree,
    leaves: Vec<Leaf<'a>>,
    /// What is done with the list at last.
    last: Option<Diversity>,
    states: Vec<LeafState>,
    /// Of the members that have a timeout: how long, and since when.
    timers: Vec<(Duration, Option<Instant>)>,
    facts: Facts<'a>,
    fallback: FallbackReason,
    search: SearchReason,
    /// Pieces that could not be searched, and how they failed.
    missing: BTreeMap<usize, Failure>,
    /// Pieces that could not look the subject up.
    silent: BTreeMap<usize, Failure>,
    searched: BTreeSet<usize>,
    /// The list, once it is there.
    items: Option<Vec<Candidate>>,
    /// Why the list is as it is.
    reasons: Reasons,
    /// No items: what is not to be found where users are searched for.
    of_nobody: Arc<[String]>,
    /// Popular items that follow a list that came out too short: the leaf that gets them.
    filler: Option<usize>,
}

/// One recipe of the ensemble.
struct Leaf<'a> {
    /// Its version's number in the layout.
    version: usize,
    /// How it answers; no blend.
    recipe: &'a Recipe,
    /// It adds up what a chain's member before it lists, and not what the user liked.
    is_chained: bool,
    /// The members with a timeout that it is part of.
    within: Vec<usize>,
    approach: Approach<'a>,
    /// What its lists are not to have.
    exclude: Arc<[u32]>,
    /// How it was searched; kept only for answers that explain.
    strategies: BTreeSet<SearchStrategy>,
    /// What the vector is a sum of that it was searched for; only for answers that explain.
    basis: Option<Basis<'a>>,
}

impl<'a> Task<'a> {
    /// What an ask needs under a plan: its route and the tree of it.
    pub(crate) fn route(ask: &Ask, plan: &Plan) -> Result<Route, RouterError> {
        Ok(plan.route(&ask.surface, ask.subject.id())?)
    }

    /// The task of an ask whose route is laid out.
    pub(crate) fn new(
        ask: &'a Ask,
        route: Route,
        layout: &Layout<'a>,
    ) -> Result<Self, RouterError> {
        let undecided =
            || RouterError::Undecided { ensemble: route.ensemble.clone(), epoch: layout.epoch };
        let mut leaves = Vec::new();
        let shape = Shape::of(&route.root, &mut |version| {
            let version = layout.number_of(version)?;
            let parts = layout.version(version).recipe.parts();
            leaves.extend(parts.iter().map(|&(recipe, _)| Leaf::new(version, recipe)));
            Some(parts.into_iter().map(|(_, weight)| weight).collect())
        });
        let Shape { tree, last, leaves: places, timeouts } = shape.ok_or_else(undecided)?;
        for (leaf, place) in leaves.iter_mut().zip(places) {
            (leaf.is_chained, leaf.within) = (place.is_chained, place.within);
        }
        Ok(Self {
            ask,
            states: vec![LeafState::Open; leaves.len()],
            route,
            tree,
            last,
            leaves,
            timers: timeouts.into_iter().map(|timeout| (timeout, None)).collect(),
            facts: Facts::default(),
            fallback: FallbackReason::Unspecified,
            search: SearchReason::Unspecified,
            missing: BTreeMap::new(),
            silent: BTreeMap::new(),
            searched: BTreeSet::new(),
            items: None,
            reasons: Reasons::default(),
            of_nobody: Arc::default(),
            filler: None,
        })
    }

    /// Whether what is remembered of the subject may stand in for a lookup.
    ///
    /// Not in a trial: of the arm that serves most users more is remembered, and it would look quicker than it is.
    /// Nor where more is asked after the first searches: a node that hangs is found out by its lookups, in half
    /// of the time, while a search may wait for it until no time is left for what follows.
    fn may_remember(&self) -> bool {
        let is_searched_twice =
            |leaf: &Leaf<'_>| matches!(leaf.recipe, Recipe::UserNeighbours { .. });
        let has_more = self.tree.has_stages() || self.last.is_some();
        self.route.trial.is_none() && !has_more && !self.leaves.iter().any(is_searched_twice)
    }

    /// Adds what the leaves have to know of the subject. What `remembered` has is not asked for, where it
    /// [may](Self::may_remember) be.
    pub(crate) fn look_up(
        &mut self,
        layout: &Layout<'a>,
        round: &mut LookupRound<'a>,
        remembered: Option<&RowCache>,
    ) {
        let remembered = remembered.filter(|_| self.may_remember());
        let excludes_seen = !self.ask.filter.include_seen;
        for Leaf { version, recipe, is_chained, .. } in &self.leaves {
            match self.ask.subject {
                Subject::User(_) => {
                    want_user(&mut self.facts, *version, recipe, excludes_seen, self.ask.explain);
                    if *is_chained {
                        continue;
                    }
                    for recent in 0..self.ask.shaping_items().len() {
                        want_recent(&mut self.facts, Who::Recent(recent), *version, recipe);
                    }
                }
                Subject::Item(_) => want_item(&mut self.facts, *version, recipe),
                Subject::Text(_) => {
                    want_words(&mut self.facts, *version, recipe, self.ask.terms.len())
                }
            }
            let profile = layout.version(*version).recipe.profile();
            if let (Subject::User(_), Some(profile)) = (&self.ask.subject, profile) {
                want_profile(&mut self.facts, *version, profile, self.ask.terms.len());
            }
        }
        let ask = self.ask;
        self.facts.look_up(layout, round, remembered, |who| match who {
            Who::Subject => ask.subject.id(),
            Who::Recent(recent) => &ask.shaping_items()[recent],
            Who::Term(n) => &ask.terms[n],
        });
    }

    /// What to search for next; nothing when the list is there.
    pub(crate) fn demands(&mut self) -> Vec<Demand> {
        let scope = Scope { count: self.candidates(), only: self.ask.only.clone() };
        // Other tasks of the batch may still have demands.
        if self.items.is_none() {
            match self.tree.evaluate(&mut self.states, &scope) {
                Step::Ask(demands) => return demands,
                Step::Done(items) => self.items = Some(items),
            }
        }
        match self.filler {
            None => self.fill(scope),
            Some(filler) => {
                let popular = std::mem::replace(&mut self.states[filler], LeafState::Absent);
                if let (LeafState::Answered(popular), Some(items)) = (popular, &mut self.items) {
                    fill_up(items, popular, self.ask.count);
                }
                Vec::new()
            }
        }
    }

    /// Asks for popular items where sums of rows, which list only what some row names, gave too few.
    fn fill(&mut self, scope: Scope) -> Vec<Demand> {
        let sums = |leaf: &&Leaf<'_>| {
            leaf.recipe.is_personal()
                && matches!(
                    &leaf.approach,
                    Approach::Items(Source { by: By::Rows(..), .. }) | Approach::Profile(_)
                )
        };
        let found = self.items.as_ref().map_or(0, Vec::len);
        let (true, Some(leaf)) = (found < self.ask.count, self.leaves.iter().find(sums)) else {
            return Vec::new();
        };
        if matches!(self.ask.subject, Subject::Item(_)) {
            return Vec::new();
        }
        let (version, exclude) = (leaf.version, Arc::clone(&leaf.exclude));
        let filler = Leaf::new(version, &POPULARITY);
        self.leaves.push(Leaf { approach: Approach::Popularity, exclude, ..filler });
        self.states.push(LeafState::Open);
        let leaf = self.leaves.len() - 1;
        self.filler = Some(leaf);
        // What is listed already may be among the most popular; given items are all asked for anyway.
        let count = if scope.only.is_some() { scope.count } else { scope.count + found };
        vec![Demand { leaf, scope: Scope { count, ..scope }, rows: None }]
    }

    /// The search that a demand comes to.
    pub(crate) fn query(&self, demand: &Demand) -> (Matrix<'a>, Query, Option<v1::Filter>) {
        let leaf = &self.leaves[demand.leaf];
        let mut query = Query {
            count: demand.scope.count as u32,
            exclude_ordinals: leaf.exclude.to_vec(),
            ..Query::default()
        };
        let source = match &leaf.approach {
            Approach::Items(source)
            | Approach::Profile(source)
            | Approach::Neighbours(source, _) => source.clone(),
            Approach::Popularity | Approach::Chained | Approach::None => {
                Source::one_row(POPULARITY_MATRIX)
            }
        };
        let operation = match source.by {
            By::Vector(vector, operation) => {
                query.vector = vector;
                operation
            }
            By::Rows(rows, weights) => {
                (query.rows, query.weights) = (rows, weights);
                Operation::SparseRowSum
            }
        };
        let matrix = Matrix { version: leaf.version, name: source.matrix, operation };
        if let (Approach::Neighbours(_, myself), Recipe::UserNeighbours { neighbours, .. }) =
            (&leaf.approach, leaf.recipe)
        {
            query.count = *neighbours;
            query.exclude_ordinals = myself.iter().copied().collect();
            return (matrix, query, None);
        }
        let filter = match &demand.scope.only {
            // What was proposed has passed the filter already.
            Some(only) => {
                query.exclude_ordinals.clear();
                Some(v1::Filter { include_item_ids: only.to_vec(), ..v1::Filter::default() })
            }
            None => {
                query.exclude_item_ids = self.ask.left_out_items().to_vec();
                let filter = &self.ask.filter;
                (!filter.lets_all_pass()).then(|| filter.to_shard())
            }
        };
        (matrix, query, filter)
    }

    /// The items that a demand's list is not to have on this surface, whoever asks.
    pub(crate) fn denied(&self, demand: &Demand) -> &Arc<[String]> {
        match self.finds_neighbours(demand.leaf) {
            true => &self.of_nobody,
            false => &self.route.denied,
        }
    }

    /// Whether lists are to say which leaf they are of.
    pub(crate) fn explains(&self) -> bool {
        self.ask.explain
    }

    /// How a demand was searched.
    pub(crate) fn note_strategies(
        &mut self,
        demand: &Demand,
        strategies: BTreeSet<SearchStrategy>,
    ) {
        self.leaves[demand.leaf].strategies.extend(strategies);
    }

    /// Whether a demand of this leaf finds users, for [`meet`](Self::meet), and no items.
    pub(crate) fn finds_neighbours(&self, leaf: usize) -> bool {
        matches!(self.leaves[leaf].approach, Approach::Neighbours(..))
    }

    /// The users of like taste, by ordinal, and how alike they are; and the pieces that are lost.
    pub(crate) fn meet(
        &mut self,
        layout: &Layout<'_>,
        leaf: usize,
        neighbours: Vec<(u32, f32)>,
        lost: &BTreeMap<usize, Failure>,
    ) {
        let (users, likeness): (Vec<u32>, Vec<f32>) =
            neighbours.into_iter().filter(|(_, likeness)| *likeness > 0.0).unzip();
        let (version, recipe) = (self.leaves[leaf].version, self.leaves[leaf].recipe);
        if let Recipe::UserNeighbours { histories, .. } = recipe {
            self.leaves[leaf].approach =
                Approach::Items(Source { matrix: histories, by: By::Rows(users, likeness) });
        }
        let gone = layout.pieces(version).filter(|piece| lost.contains_key(piece));
        self.missing.extend(gone.map(|piece| (piece, lost[&piece])));
    }

    /// When a demand is to be answered, for members that have a timeout: none is as late as the request may.
    pub(crate) fn limit(&mut self, demand: &Demand, now: Instant) -> Option<Instant> {
        let within = &self.leaves[demand.leaf].within;
        let limits = within.iter().map(|&member| {
            let (timeout, begun) = &mut self.timers[member];
            *begun.get_or_insert(now) + *timeout
        });
        limits.min()
    }

    /// Goes on without a leaf whose time was over before it could be asked.
    pub(crate) fn leave_out(&mut self, layout: &Layout<'_>, leaf: usize) {
        self.states[leaf] = LeafState::Absent;
        let pieces = layout.pieces(self.leaves[leaf].version);
        self.missing.extend(pieces.map(|piece| (piece, Failure::Timeout)));
    }

    /// The version whose numbers of items a demand's rows are to be named by.
    pub(crate) fn version_of(&self, demand: &Demand) -> usize {
        self.leaves[demand.leaf].version
    }

    /// What a chain's leaf adds up: for each row that was demanded what its lookup found. False if it knows
    /// none of these items, and so has nothing to say.
    pub(crate) fn multiply(
        &mut self,
        demand: &Demand,
        found: &[Found],
        lost: &BTreeMap<usize, Failure>,
    ) -> bool {
        for piece in found.iter().filter_map(Found::unavailable) {
            let failure = lost.get(&piece).copied().unwrap_or(Failure::Unreachable);
            self.missing.insert(piece, failure);
        }
        let ordinals = found.iter().map(|found| match found {
            Found::Row(row) => Some(row.ordinal),
            Found::Unknown | Found::Unavailable(_) => None,
        });
        let (rows, weights) = known_rows(demand.rows.as_deref().unwrap_or_default(), ordinals);
        let leaf = &mut self.leaves[demand.leaf];
        match leaf.recipe {
            Recipe::ItemRows { matrix, .. } if !rows.is_empty() => {
                leaf.approach = Approach::Items(Source { matrix, by: By::Rows(rows, weights) });
                true
            }
            _ => {
                self.states[demand.leaf] = LeafState::Absent;
                false
            }
        }
    }

    /// What came of a demand: a list, and the pieces that are lost in the round.
    pub(crate) fn learn(
        &mut self,
        layout: &Layout<'_>,
        demand: &Demand,
        list: Vec<Candidate>,
        lost: &BTreeMap<usize, Failure>,
    ) {
        let pieces = layout.pieces(self.leaves[demand.leaf].version);
        let (gone, there): (Vec<usize>, Vec<usize>) =
            pieces.partition(|piece| lost.contains_key(piece));
        self.states[demand.leaf] = match there.is_empty() {
            true => LeafState::Absent,
            false => LeafState::Answered(list),
        };
        self.missing.extend(gone.into_iter().map(|piece| (piece, lost[&piece])));
        self.searched.extend(there);
    }

    /// Whether a shard did not hold what the plan says it holds.
    pub(crate) fn met_another_plan(&self) -> bool {
        let mut failures = self.missing.values().chain(self.silent.values());
        failures.any(|failure| *failure == Failure::NotHeld)
    }
}

impl<'a> Leaf<'a> {
    /// One of which nothing else is known yet.
    fn new(version: usize, recipe: &'a Recipe) -> Self {
        Self {
            version,
            recipe,
            is_chained: false,
            within: Vec::new(),
            approach: Approach::None,
            exclude: Arc::default(),
            strategies: BTreeSet::new(),
            basis: None,
        }
    }

    /// Whether it answers by what it knows of the user's taste, if it does.
    fn knows_tastes(&self) -> bool {
        self.recipe.is_personal() && !self.is_chained
    }

    fn named(&self, layout: &Layout<'_>) -> NamedLeaf {
        let recipe = match self.approach {
            Approach::Popularity => POPULARITY.name(),
            Approach::Profile(_) => PROFILE,
            _ => self.recipe.name(),
        };
        let model = layout.version(self.version).name.clone();
        let names: Vec<&str> = self.strategies.iter().map(|strategy| strategy.name()).collect();
        NamedLeaf { model, recipe: recipe.into(), search: names.join(", ") }
    }
}
