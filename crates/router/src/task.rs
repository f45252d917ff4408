//! One ask on its way through the rounds: what to look up, what to search for, what it comes to.
//!
//! The rounds are shared by all asks of a batch; a task is what is one ask's own. Its methods are
//! called in order: [`Task::look_up`], [`Task::settle`], then [`Task::demands`] and
//! [`Task::learn`] until there are no demands, then [`Task::finish`].
//!
//! A leaf is one recipe of one version: a model whose recipe is a blend has a leaf for each member.
//! How it answers is its [`Approach`]; neighbours are found first, and then searched for what they
//! like.

use crate::approach::{
    Approach, By, History, Source, approach_to_text, approach_to_user, by_profile, has_direction,
    item_vector, own_vector, text_vectors, want_item, want_profile, want_recent, want_user,
    want_words,
};
use crate::ask::{Answer, Ask, NamedLeaf, Subject};
use crate::error::{RouterError, Silence};
use crate::facts::{Facts, Who};
use crate::fanout::Failure;
use crate::layout::Layout;
use crate::lookup::{Found, LookupRound};
use crate::search::Matrix;
use crate::tree::{Demand, LeafState, Scope, Step, Tree};
use marquee_core::fuse::Candidate;
use marquee_core::plan::{Plan, Route};
use marquee_core::recipe::{POPULARITY_MATRIX, Recipe};
use marquee_proto::shard::v1::{Operation, Query, SearchWay};
use marquee_proto::v1::{self, FallbackReason, SearchReason};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Shards that a message names before it says only how many more there are.
const MAX_NAMED_SHARDS: usize = 8;
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
    states: Vec<LeafState>,
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
    /// Popular items that follow a list that came out too short: the leaf that gets them.
    filler: Option<usize>,
}

/// One recipe of the ensemble.
struct Leaf<'a> {
    /// Its version's number in the layout.
    version: usize,
    /// How it answers; no blend.
    recipe: &'a Recipe,
    approach: Approach<'a>,
    /// What its lists are not to have.
    exclude: Arc<[u32]>,
    /// How it was searched; kept only for answers that explain.
    ways: BTreeSet<SearchWay>,
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
        let tree = Tree::of(&route.root, &mut |version| {
            let version = layout.number_of(version)?;
            let parts = layout.version(version).recipe.parts();
            let nothing: Arc<[u32]> = Arc::default();
            leaves.extend(parts.iter().map(|&(recipe, _)| Leaf {
                version,
                recipe,
                approach: Approach::None,
                exclude: Arc::clone(&nothing),
                ways: BTreeSet::new(),
            }));
            Some(parts.into_iter().map(|(_, weight)| weight).collect())
        })
        .ok_or_else(undecided)?;
        Ok(Self {
            ask,
            states: vec![LeafState::Open; leaves.len()],
            route,
            tree,
            leaves,
            facts: Facts::default(),
            fallback: FallbackReason::Unspecified,
            search: SearchReason::Unspecified,
            missing: BTreeMap::new(),
            silent: BTreeMap::new(),
            searched: BTreeSet::new(),
            items: None,
            filler: None,
        })
    }

    /// Adds what the leaves have to know of the subject.
    pub(crate) fn look_up(&mut self, layout: &Layout<'a>, round: &mut LookupRound<'a>) {
        let excludes_seen = !self.ask.filter.include_seen;
        for Leaf { version, recipe, .. } in &self.leaves {
            match self.ask.subject {
                Subject::User(_) => {
                    want_user(&mut self.facts, *version, recipe, excludes_seen);
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
        self.facts.look_up(layout, round, |who| match who {
            Who::Subject => ask.subject.id(),
            Who::Recent(recent) => &ask.shaping_items()[recent],
            Who::Term(n) => &ask.terms[n],
        });
    }

    /// Decides how each leaf is answered, given what was found.
    ///
    /// # Errors
    /// An item that is not known, or cannot be known now.
    pub(crate) fn settle(
        &mut self,
        layout: &Layout<'a>,
        round: &mut LookupRound<'a>,
        lost: &BTreeMap<usize, Failure>,
    ) -> Result<(), RouterError> {
        self.facts.take(round);
        for piece in self.facts.unavailable() {
            self.silent.insert(piece, lost.get(&piece).copied().unwrap_or(Failure::Unreachable));
        }
        match self.ask.subject {
            Subject::User(_) => self.settle_user(layout),
            Subject::Item(_) => self.settle_item(layout)?,
            Subject::Text(_) => self.settle_text()?,
        }
        for (leaf, state) in self.leaves.iter().zip(&mut self.states) {
            if matches!(leaf.approach, Approach::None) {
                *state = LeafState::Absent;
            }
        }
        self.facts = Facts::default();
        Ok(())
    }

    /// Leaves that know a taste answer by it, and personal ones that do not are silent; if none of
    /// them does, the first of each version answers with what people of the user's attributes like, or with
    /// what is popular.
    fn settle_user(&mut self, layout: &Layout<'a>) {
        let mut histories: BTreeMap<usize, History> = BTreeMap::new();
        let (facts, recents) = (&self.facts, self.ask.shaping_items().len());
        let (mut has_taste, mut has_own_taste) = (false, false);
        for leaf in &mut self.leaves {
            let history = histories
                .entry(leaf.version)
                .or_insert_with(|| History::of(facts, leaf.version, recents));
            leaf.exclude = Arc::clone(&history.seen);
            leaf.approach = approach_to_user(leaf.recipe, leaf.version, facts, history, recents);
            if leaf.recipe.is_personal() {
                has_taste |= !matches!(leaf.approach, Approach::None);
                let own = own_vector(leaf.recipe)
                    .and_then(|matrix| facts.row(Who::Subject, leaf.version, matrix, ""))
                    .is_some_and(has_direction);
                has_own_taste |= own || (leaf.recipe.history().is_some() && history.has_own);
            }
        }
        if self.ask.filter.include_seen {
            self.leaves.iter_mut().for_each(|leaf| leaf.exclude = Arc::default());
        }
        let personal: BTreeSet<usize> = self
            .leaves
            .iter()
            .filter(|leaf| leaf.recipe.is_personal())
            .map(|leaf| leaf.version)
            .collect();
        if personal.is_empty() || has_own_taste {
            return;
        }
        let of_personal = || {
            let all = facts.of_subject().filter(|(version, _)| personal.contains(version));
            all.map(|(_, found)| found)
        };
        self.fallback = if of_personal().any(|found| found.unavailable().is_some()) {
            FallbackReason::UserShardUnavailable
        } else if has_taste {
            FallbackReason::RecentItems
        } else if of_personal().any(|found| matches!(found, Found::Row(_))) {
            FallbackReason::NoHistory
        } else {
            FallbackReason::UnknownUser
        };
        if !has_taste {
            let mut standing_in = BTreeSet::new();
            for leaf in self.leaves.iter_mut().filter(|leaf| leaf.recipe.is_personal()) {
                if standing_in.insert(leaf.version) {
                    let profile = layout.version(leaf.version).recipe.profile();
                    let terms = self.ask.terms.len();
                    let source =
                        profile.and_then(|profile| by_profile(profile, leaf.version, facts, terms));
                    leaf.approach = match source {
                        Some(source) => Approach::Profile(source),
                        None => Approach::Popularity,
                    };
                }
            }
            let by_profile = |leaf: &Leaf<'_>| matches!(leaf.approach, Approach::Profile(_));
            let is_silent = self.fallback == FallbackReason::UserShardUnavailable;
            if !is_silent && self.leaves.iter().any(by_profile) {
                self.fallback = FallbackReason::Profile;
            }
        }
    }

    /// Leaves that know words answer by the topics of those they know.
    fn settle_text(&mut self) -> Result<(), RouterError> {
        if !self.leaves.iter().any(|leaf| text_vectors(leaf.recipe).is_some()) {
            return Err(RouterError::NoTexts { surface: self.ask.surface.clone() });
        }
        let words = self.ask.terms.len();
        let is_known = |leaf: &Leaf<'_>| !matches!(leaf.approach, Approach::None);
        for leaf in &mut self.leaves {
            leaf.approach = approach_to_text(leaf.recipe, leaf.version, &self.facts, words);
        }
        if !self.leaves.iter().any(is_known) {
            self.search = SearchReason::UnknownWords;
        }
        Ok(())
    }

    fn settle_item(&mut self, layout: &Layout<'_>) -> Result<(), RouterError> {
        for leaf in &mut self.leaves {
            let matrix = match (item_vector(leaf.recipe), leaf.recipe) {
                (Some(matrix), _) => matrix,
                (None, Recipe::ItemRows { .. }) => "",
                (None, _) => continue,
            };
            let Some(row) = self.facts.row(Who::Subject, leaf.version, matrix, "") else {
                continue;
            };
            leaf.exclude = Arc::new([row.ordinal]);
            leaf.approach = match leaf.recipe {
                Recipe::ItemRows { matrix, .. } => {
                    let by = By::Rows(vec![row.ordinal], vec![1.0]);
                    Approach::Items(Source { matrix, by })
                }
                // Without a direction nothing points the same way.
                _ if !has_direction(row) => Approach::None,
                _ => {
                    let vector = row.vector.clone();
                    Approach::Items(Source::vector(matrix, vector, Operation::DenseCosine))
                }
            };
        }
        let unavailable = self.facts.unavailable().next();
        let known = self.facts.of_subject().any(|(_, found)| matches!(found, Found::Row(_)));
        let (item_id, surface) = (self.ask.subject.id().to_owned(), self.ask.surface.clone());
        match (known, unavailable) {
            (true, _) => Ok(()),
            (false, Some(piece)) => {
                Err(RouterError::ItemShardUnavailable { item_id, shard: layout.name(piece) })
            }
            (false, None) if !self.facts.has_subject() => {
                Err(RouterError::NoItemVectors { surface })
            }
            (false, None) => Err(RouterError::UnknownItem { item_id, surface }),
        }
    }

    /// What to search for next; nothing when the list is there.
    pub(crate) fn demands(&mut self) -> Vec<Demand> {
        let scope = Scope { count: self.ask.count, only: self.ask.only.clone() };
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
        self.leaves.push(Leaf {
            version,
            recipe: &POPULARITY,
            approach: Approach::Popularity,
            exclude,
            ways: BTreeSet::new(),
        });
        self.states.push(LeafState::Open);
        let leaf = self.leaves.len() - 1;
        self.filler = Some(leaf);
        // What is listed already may be among the most popular; given items are all asked for anyway.
        let count = if scope.only.is_some() { scope.count } else { scope.count + found };
        vec![Demand { leaf, scope: Scope { count, ..scope } }]
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
            Approach::Popularity | Approach::None => Source::one_row(POPULARITY_MATRIX),
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

    /// Whether lists are to say which leaf they are of.
    pub(crate) fn explains(&self) -> bool {
        self.ask.explain
    }

    /// How a demand was searched.
    pub(crate) fn note_ways(&mut self, demand: &Demand, ways: BTreeSet<SearchWay>) {
        self.leaves[demand.leaf].ways.extend(ways);
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

    /// The answer.
    ///
    /// # Errors
    /// Too little was searched.
    pub(crate) fn finish(mut self, layout: &Layout<'_>) -> Result<Answer, RouterError> {
        let versions: BTreeSet<usize> = self.leaves.iter().map(|leaf| leaf.version).collect();
        let total: usize = versions.iter().map(|version| layout.pieces(*version).len()).sum();
        // A shard that was silent at first may have been searched after all.
        self.silent.retain(|piece, _| !self.searched.contains(piece));
        self.missing.append(&mut self.silent);
        let answered = total - self.missing.len();
        let has_list = |state: &LeafState| matches!(state, LeafState::Answered(_));
        if !self.states.iter().any(has_list) && !self.missing.is_empty() {
            return Err(RouterError::NothingAnswered {
                surface: self.route.surface,
                missing: named(layout, &self.missing),
                why: silence(&self.missing),
            });
        }
        if answered as f64 / (total as f64) < self.ask.min_coverage {
            return Err(RouterError::Coverage {
                answered,
                total,
                min_coverage: self.ask.min_coverage,
                missing: named(layout, &self.missing),
            });
        }
        Ok(Answer {
            recommendation_id: String::new(),
            unknown_item_ids: self.unknown(layout, &versions),
            leaves: match self.ask.explain {
                true => self.leaves.iter().map(|leaf| leaf.named(layout)).collect(),
                false => Vec::new(),
            },
            items: self.items.unwrap_or_default(),
            route: self.route,
            epoch: layout.epoch,
            fallback: self.fallback,
            search: self.search,
            shards_total: total,
            shards_missing: self.missing.keys().map(|piece| layout.name(*piece)).collect(),
        })
    }

    /// Of the items that were given, those that would have been found if they were anywhere.
    fn unknown(&self, layout: &Layout<'_>, versions: &BTreeSet<usize>) -> Vec<String> {
        let Some(only) = &self.ask.only else { return Vec::new() };
        let found: BTreeSet<&str> =
            self.items.iter().flatten().map(|item| item.item_id.as_str()).collect();
        let is_unknown = |id: &&String| {
            let searched =
                |&version: &usize| !self.missing.contains_key(&layout.piece_of(version, id));
            !found.contains(id.as_str()) && versions.iter().all(searched)
        };
        only.iter().filter(is_unknown).cloned().collect()
    }
}

impl Leaf<'_> {
    fn named(&self, layout: &Layout<'_>) -> NamedLeaf {
        let recipe = match self.approach {
            Approach::Popularity => POPULARITY.name(),
            Approach::Profile(_) => PROFILE,
            _ => self.recipe.name(),
        };
        let model = layout.version(self.version).name.clone();
        let ways: Vec<&str> = self.ways.iter().filter_map(|way| way.word()).collect();
        NamedLeaf { model, recipe: recipe.into(), search: ways.join(", ") }
    }
}

/// Appends what is popular and not listed yet, with scores below all others.
fn fill_up(items: &mut Vec<Candidate>, popular: Vec<Candidate>, count: usize) {
    let lowest = items.last().map_or(0.0, |last| last.score);
    let listed: BTreeSet<String> = items.iter().map(|item| item.item_id.clone()).collect();
    let more = popular.into_iter().filter(|item| !listed.contains(&item.item_id));
    for (below, mut item) in (1_u32..).zip(more.take(count.saturating_sub(items.len()))) {
        item.score = lowest - f64::from(below);
        items.push(item);
    }
}

fn silence(missing: &BTreeMap<usize, Failure>) -> Silence {
    let all = |wanted| missing.values().all(|failure| *failure == wanted);
    match () {
        () if all(Failure::Timeout) => Silence::Late,
        () if all(Failure::Overloaded) => Silence::Busy,
        () => Silence::Gone,
    }
}

fn named(layout: &Layout<'_>, missing: &BTreeMap<usize, Failure>) -> String {
    let mut names: Vec<String> =
        missing.keys().take(MAX_NAMED_SHARDS).map(|piece| layout.name(*piece)).collect();
    if missing.len() > names.len() {
        names.push(format!("and {} more", missing.len() - names.len()));
    }
    names.join(", ")
}
