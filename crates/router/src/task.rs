//! One ask on its way through the rounds: what to look up, what to search for, what it comes to.
//!
//! The rounds are shared by all asks of a batch; a task is what is one ask's own. Its methods are
//! called in order: [`Task::look_up`], [`Task::settle`], then [`Task::demands`] and
//! [`Task::learn`] until there are no demands, then [`Task::finish`].

use crate::ask::{Answer, Ask, NamedLeaf, Subject};
use crate::error::{RouterError, Silence};
use crate::fanout::Failure;
use crate::layout::Layout;
use crate::lookup::{self, Found, LookupRound, Rows, components};
use crate::search::Matrix;
use crate::tree::{Demand, LeafState, Scope, Step, Tree};
use bytes::Bytes;
use marquee_core::fuse::Candidate;
use marquee_core::plan::{Plan, Route};
use marquee_core::recipe::{HISTORY_MATRIX, POPULARITY_MATRIX, Recipe};
use marquee_proto::shard::v1::{Entity, Operation, Query, Row, SearchWay};
use marquee_proto::v1::{self, FallbackReason};
use std::collections::{BTreeMap, BTreeSet};

/// Shards that a message names before it says only how many more there are.
const MAX_NAMED_SHARDS: usize = 8;

/// See the module.
pub(crate) struct Task<'a> {
    ask: &'a Ask,
    route: Route,
    tree: Tree,
    leaves: Vec<Leaf<'a>>,
    states: Vec<LeafState>,
    fallback: FallbackReason,
    /// Pieces that could not be searched, and how they failed.
    missing: BTreeMap<usize, Failure>,
    /// Pieces that could not look the subject up.
    silent: BTreeMap<usize, Failure>,
    searched: BTreeSet<usize>,
    /// The list, once it is there.
    items: Option<Vec<Candidate>>,
}

/// One model of the ensemble.
struct Leaf<'a> {
    /// Its number in the layout.
    version: usize,
    recipe: &'a Recipe,
    ticket: Option<lookup::Ticket>,
    approach: Approach,
    /// How it was searched; kept only for answers that explain.
    ways: BTreeSet<SearchWay>,
}

/// How a leaf is answered.
#[derive(Debug)]
enum Approach {
    /// By what is like this vector.
    Vector { vector: Bytes, exclude: Vec<u32> },
    /// By what is popular.
    Popularity { exclude: Vec<u32> },
    /// Not at all.
    None,
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
        let (tree, versions) = Tree::of(&route.root).ok_or_else(undecided)?;
        let leaves = versions
            .iter()
            .map(|version| {
                let version = layout.number_of(version).ok_or_else(undecided)?;
                let recipe = layout.version(version).recipe;
                Ok(Leaf {
                    version,
                    recipe,
                    ticket: None,
                    approach: Approach::None,
                    ways: BTreeSet::new(),
                })
            })
            .collect::<Result<Vec<_>, RouterError>>()?;
        Ok(Self {
            ask,
            states: vec![LeafState::Open; leaves.len()],
            route,
            tree,
            leaves,
            fallback: FallbackReason::Unspecified,
            missing: BTreeMap::new(),
            silent: BTreeMap::new(),
            searched: BTreeSet::new(),
            items: None,
        })
    }

    /// Adds what the leaves have to know of the subject.
    pub(crate) fn look_up(&mut self, layout: &Layout<'a>, round: &mut LookupRound<'a>) {
        let wants_history = self.wants_history();
        for leaf in &mut self.leaves {
            let sparse = if wants_history { HISTORY_MATRIX } else { "" };
            let (entity, dense, sparse) = match (&self.ask.subject, leaf.recipe) {
                (Subject::User(_), Recipe::MatrixFactorisation { user_factors, .. }) => {
                    (Entity::User, user_factors.as_str(), sparse)
                }
                (Subject::User(_), Recipe::Popularity) if wants_history => {
                    (Entity::User, "", sparse)
                }
                (Subject::Item(_), Recipe::MatrixFactorisation { item_factors, .. }) => {
                    (Entity::Item, item_factors.as_str(), "")
                }
                (Subject::User(_) | Subject::Item(_), Recipe::Popularity) => continue,
            };
            let rows = Rows { version: leaf.version, entity, dense, sparse };
            leaf.ticket = Some(round.add(layout, rows, self.ask.subject.id()));
        }
    }

    /// Whether what the user has seen matters.
    fn wants_history(&self) -> bool {
        matches!(self.ask.subject, Subject::User(_)) && !self.ask.filter.include_seen
    }

    /// Decides how each leaf is answered, given what was found.
    ///
    /// # Errors
    /// An item that is not known, or cannot be known now.
    pub(crate) fn settle(
        &mut self,
        layout: &Layout<'_>,
        round: &mut LookupRound<'_>,
        lost: &BTreeMap<usize, Failure>,
    ) -> Result<(), RouterError> {
        let found: Vec<Option<Found>> =
            self.leaves.iter().map(|leaf| Some(round.take(leaf.ticket?))).collect();
        for piece in found.iter().flatten().filter_map(Found::unavailable) {
            self.silent.insert(piece, lost.get(&piece).copied().unwrap_or(Failure::Unreachable));
        }
        match self.ask.subject {
            Subject::User(_) => self.settle_user(found),
            Subject::Item(_) => self.settle_item(layout, found)?,
        }
        for (leaf, state) in self.leaves.iter().zip(&mut self.states) {
            if matches!(leaf.approach, Approach::None) {
                *state = LeafState::Absent;
            }
        }
        Ok(())
    }

    /// A leaf that knows the user answers by the user's vector. If there is one, those that do not
    /// know the user are silent; if there is none, they answer with what is popular.
    fn settle_user(&mut self, found: Vec<Option<Found>>) {
        let personal = |leaf: &Leaf<'_>| matches!(leaf.recipe, Recipe::MatrixFactorisation { .. });
        let has_taste = found.iter().zip(&self.leaves).any(|(found, leaf)| {
            personal(leaf) && matches!(found, Some(Found::Row(row)) if has_direction(row))
        });
        if !has_taste && self.leaves.iter().any(personal) {
            let of_personal = || {
                let all = found.iter().zip(&self.leaves);
                all.filter(|(_, leaf)| personal(leaf)).filter_map(|(found, _)| found.as_ref())
            };
            self.fallback = if of_personal().any(|f| f.unavailable().is_some()) {
                FallbackReason::UserShardUnavailable
            } else if of_personal().any(|f| matches!(f, Found::Row(_))) {
                FallbackReason::NoHistory
            } else {
                FallbackReason::UnknownUser
            };
        }
        for (leaf, found) in self.leaves.iter_mut().zip(found) {
            let row = match found {
                Some(Found::Row(row)) => row,
                Some(Found::Unknown | Found::Unavailable(_)) | None => Row::default(),
            };
            leaf.approach = match (personal(leaf), has_direction(&row)) {
                (true, true) => Approach::Vector { vector: row.vector, exclude: row.columns },
                (true, false) if has_taste => Approach::None,
                (true, false) | (false, _) => Approach::Popularity { exclude: row.columns },
            };
        }
    }

    fn settle_item(
        &mut self,
        layout: &Layout<'_>,
        found: Vec<Option<Found>>,
    ) -> Result<(), RouterError> {
        let unavailable = found.iter().flatten().find_map(Found::unavailable);
        let nothing_to_ask = found.iter().all(Option::is_none);
        let mut known = false;
        for (leaf, found) in self.leaves.iter_mut().zip(found) {
            if let Some(Found::Row(row)) = found {
                known = true;
                // Without a direction nothing points the same way.
                if has_direction(&row) {
                    leaf.approach =
                        Approach::Vector { vector: row.vector, exclude: vec![row.ordinal] };
                }
            }
        }
        let (item_id, surface) = (self.ask.subject.id().to_owned(), self.ask.surface.clone());
        match (known, unavailable) {
            (true, _) => Ok(()),
            (false, Some(piece)) => {
                Err(RouterError::ItemShardUnavailable { item_id, shard: layout.name(piece) })
            }
            (false, None) if nothing_to_ask => Err(RouterError::NoItemVectors { surface }),
            (false, None) => Err(RouterError::UnknownItem { item_id, surface }),
        }
    }

    /// What to search for next; nothing when the list is there.
    pub(crate) fn demands(&mut self) -> Vec<Demand> {
        // Other tasks of the batch may still have demands.
        if self.items.is_none() {
            let scope = Scope { count: self.ask.count, only: self.ask.only.clone() };
            match self.tree.evaluate(&mut self.states, &scope) {
                Step::Ask(demands) => return demands,
                Step::Done(items) => self.items = Some(items),
            }
        }
        Vec::new()
    }

    /// The search that a demand comes to.
    pub(crate) fn query(&self, demand: &Demand) -> (Matrix<'a>, Query, Option<v1::Filter>) {
        let leaf = &self.leaves[demand.leaf];
        let operation = match self.ask.subject {
            Subject::User(_) => Operation::DenseInnerProduct,
            Subject::Item(_) => Operation::DenseCosine,
        };
        let mut query = Query { count: demand.scope.count as u32, ..Query::default() };
        let (name, operation) = match (&leaf.approach, leaf.recipe) {
            (
                Approach::Vector { vector, exclude },
                Recipe::MatrixFactorisation { item_factors, .. },
            ) => {
                query.vector = vector.clone();
                query.exclude_ordinals.clone_from(exclude);
                (item_factors.as_str(), operation)
            }
            (Approach::Popularity { exclude } | Approach::Vector { exclude, .. }, _) => {
                query.exclude_ordinals.clone_from(exclude);
                (POPULARITY_MATRIX, Operation::SparseRowSum)
            }
            (Approach::None, _) => (POPULARITY_MATRIX, Operation::SparseRowSum),
        };
        if operation == Operation::SparseRowSum {
            (query.rows, query.weights) = (vec![0], vec![1.0]);
        }
        let filter = match &demand.scope.only {
            // What was proposed has passed the filter already.
            Some(only) => {
                query.exclude_ordinals.clear();
                Some(v1::Filter { include_item_ids: only.to_vec(), ..v1::Filter::default() })
            }
            None => {
                query.exclude_item_ids.clone_from(&self.ask.recent_item_ids);
                let filter = &self.ask.filter;
                (!filter.lets_all_pass()).then(|| filter.to_shard())
            }
        };
        (Matrix { version: leaf.version, name, operation }, query, filter)
    }

    /// Whether lists are to say which leaf they are of.
    pub(crate) fn explains(&self) -> bool {
        self.ask.explain
    }

    /// How a demand was searched.
    pub(crate) fn note_ways(&mut self, demand: &Demand, ways: BTreeSet<SearchWay>) {
        self.leaves[demand.leaf].ways.extend(ways);
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
            unknown_item_ids: self.unknown(layout, &versions),
            leaves: self.leaves.iter().map(|leaf| leaf.named(layout)).collect(),
            items: self.items.unwrap_or_default(),
            route: self.route,
            epoch: layout.epoch,
            fallback: self.fallback,
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
            Approach::Popularity { .. } => Recipe::Popularity.name(),
            Approach::Vector { .. } | Approach::None => self.recipe.name(),
        };
        let model = layout.version(self.version).name.clone();
        let ways: Vec<&str> = self.ways.iter().filter_map(|way| way.word()).collect();
        NamedLeaf { model, recipe, search: ways.join(", ") }
    }
}

impl Found {
    fn unavailable(&self) -> Option<usize> {
        match self {
            Self::Unavailable(piece) => Some(*piece),
            Self::Row(_) | Self::Unknown => None,
        }
    }
}

/// Whether a row has a vector that points anywhere: one of zeros scores all items alike.
fn has_direction(row: &Row) -> bool {
    components(&row.vector).any(|component| component != 0.0)
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
