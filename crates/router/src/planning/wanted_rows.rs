//! The rows that the leaves of one request need, each wanted once.
//!
//! What is wanted of the same id under the same version is one row where it fits into one: a row has at most one
//! vector and one list of columns.

use super::planned::PlannedLeaf;
use crate::admission::request::{RankingRequest, Subject};
use marquee_core::model::recipe::{
    Entity, HISTORY_MATRIX, HISTORY_ORDER_MATRIX, NeighbourSearch, Profile, Recipe,
};
use std::collections::BTreeMap;

/// Whose row it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RowOwner {
    /// The user or item that the request is for.
    Subject,
    /// One of the request's recent items, by its place.
    Recent(usize),
    /// One of the request's terms, by its place.
    Term(usize),
}

impl RowOwner {
    /// The id by which shards know it.
    pub(crate) fn id(self, request: &RankingRequest) -> &str {
        match self {
            Self::Subject => request.subject.id(),
            Self::Recent(place) => &request.shaping_items()[place],
            Self::Term(place) => &request.terms[place],
        }
    }
}

/// What a row is to have: the matrices of one version to read it from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowSource<'a> {
    /// The version's number in the shard map.
    pub(crate) version: usize,
    /// Whether ids are of users, items or terms.
    pub(crate) entity: Entity,
    /// The dense matrix, empty for none.
    pub(crate) dense: &'a str,
    /// The sparse matrix, empty for none.
    pub(crate) sparse: &'a str,
    /// Whether the tags of items are wanted.
    pub(crate) tags: bool,
}

impl<'a> RowSource<'a> {
    /// The ordinal alone.
    pub(crate) fn ordinal(version: usize, entity: Entity) -> Self {
        Self { version, entity, dense: "", sparse: "", tags: false }
    }

    /// A row of a dense matrix.
    pub(crate) fn dense(version: usize, entity: Entity, matrix: &'a str) -> Self {
        Self { dense: matrix, ..Self::ordinal(version, entity) }
    }

    /// A row of a sparse matrix.
    pub(crate) fn sparse(version: usize, entity: Entity, matrix: &'a str) -> Self {
        Self { sparse: matrix, ..Self::ordinal(version, entity) }
    }

    /// Takes the other source into this one; false if one row cannot have both.
    fn merge(&mut self, other: &Self) -> bool {
        let fits = |a: &str, b: &str| a.is_empty() || b.is_empty() || a == b;
        let is_one_row = self.version == other.version
            && self.entity == other.entity
            && fits(self.dense, other.dense)
            && fits(self.sparse, other.sparse);
        if is_one_row {
            self.dense = if self.dense.is_empty() { other.dense } else { self.dense };
            self.sparse = if self.sparse.is_empty() { other.sparse } else { self.sparse };
        }
        is_one_row
    }
}

/// The rows that are wanted, in the order in which they were first wanted.
#[derive(Debug, Default)]
pub(crate) struct WantedRows<'a> {
    rows: Vec<(RowOwner, RowSource<'a>)>,
    /// The places in `rows`: a few for each owner, and there may be hundreds of recent items.
    by_owner: BTreeMap<RowOwner, Vec<usize>>,
}

impl<'a> WantedRows<'a> {
    /// Each wanted row and its owner.
    pub(crate) fn rows(&self) -> &[(RowOwner, RowSource<'a>)] {
        &self.rows
    }

    /// The rows that are wanted of an owner, each with its place in [`rows`](Self::rows).
    pub(crate) fn of(&self, owner: RowOwner) -> impl Iterator<Item = (usize, &RowSource<'a>)> {
        let places = self.by_owner.get(&owner).into_iter().flatten();
        places.map(|&place| (place, &self.rows[place].1))
    }

    fn add(&mut self, owner: RowOwner, source: RowSource<'a>) {
        let places = self.by_owner.entry(owner).or_default();
        if !places.iter().any(|&place| self.rows[place].1.merge(&source)) {
            places.push(self.rows.len());
            self.rows.push((owner, source));
        }
    }

    /// Adds what a leaf needs; `model` is the recipe that the leaf is a part of.
    pub(super) fn add_leaf(
        &mut self,
        request: &RankingRequest,
        leaf: &PlannedLeaf<'a>,
        model: &'a Recipe,
    ) {
        let PlannedLeaf { version, recipe, is_chained, timed_members: _ } = leaf;
        match request.subject {
            Subject::User(_) => {
                self.add_user(request, *version, recipe);
                if !is_chained {
                    for place in 0..request.shaping_items().len() {
                        self.add_recent_item(place, *version, recipe);
                    }
                    if let Some(profile) = model.profile() {
                        self.add_profile(request, *version, profile);
                    }
                }
            }
            Subject::Item(_) => {
                let matrix = match recipe {
                    Recipe::ItemRows { .. } => Some(""),
                    _ => recipe.item_vectors(),
                };
                if let Some(matrix) = matrix {
                    self.add(RowOwner::Subject, RowSource::dense(*version, Entity::Item, matrix));
                }
            }
            Subject::Text(_) => {
                if let Some((matrix, _)) = text_vectors(recipe) {
                    let source = RowSource::dense(*version, Entity::Term, matrix);
                    (0..request.terms.len()).for_each(|n| self.add(RowOwner::Term(n), source));
                }
            }
        }
    }

    fn add_user(&mut self, request: &RankingRequest, version: usize, recipe: &'a Recipe) {
        if let Some(matrix) = own_vector(recipe) {
            self.add(RowOwner::Subject, RowSource::dense(version, Entity::User, matrix));
        }
        let excludes_seen = !request.filter.include_seen;
        let is_explained_sum = request.explain && is_sum_of_items(recipe);
        if excludes_seen || recipe.history().is_some() || is_explained_sum {
            self.add(RowOwner::Subject, RowSource::sparse(version, Entity::User, HISTORY_MATRIX));
        }
        let summed = recipe.summed().filter(|_| request.explain);
        if recipe.history().or(summed).is_some_and(|weights| weights.needs_order()) {
            let source = RowSource::sparse(version, Entity::User, HISTORY_ORDER_MATRIX);
            self.add(RowOwner::Subject, source);
        }
    }

    fn add_recent_item(&mut self, place: usize, version: usize, recipe: &'a Recipe) {
        let owner = RowOwner::Recent(place);
        let dense = |matrix| RowSource::dense(version, Entity::Item, matrix);
        match recipe {
            Recipe::MatrixFactorisation { item_factors, fold_in: Some(fold_in), .. } => {
                self.add(owner, dense(item_factors));
                self.add(owner, dense(&fold_in.matrix));
            }
            Recipe::Content { item_topics, .. } => self.add(owner, dense(item_topics)),
            _ if recipe.history().is_some() => {
                self.add(owner, RowSource::ordinal(version, Entity::Item));
            }
            _ => {}
        }
    }

    /// The terms of the user that were known at training, and those of the request.
    fn add_profile(&mut self, request: &RankingRequest, version: usize, profile: &'a Profile) {
        self.add(RowOwner::Subject, RowSource::sparse(version, Entity::User, &profile.users));
        for place in 0..request.terms.len() {
            self.add(RowOwner::Term(place), RowSource::ordinal(version, Entity::Term));
        }
    }
}

/// The matrix that has the user's own vector, if the recipe has one.
pub(crate) fn own_vector(recipe: &Recipe) -> Option<&str> {
    match recipe {
        Recipe::MatrixFactorisation { user_factors, .. }
        | Recipe::UserNeighbours { by: NeighbourSearch::Vectors { user_factors }, .. } => {
            Some(user_factors)
        }
        Recipe::Content { user_topics, .. } => Some(user_topics),
        _ => None,
    }
}

/// The matrix that has the topics of words, if the recipe has one, and the items' beside it.
pub(crate) fn text_vectors(recipe: &Recipe) -> Option<(&str, &str)> {
    match recipe {
        Recipe::Content { item_topics, term_topics: Some(term_topics), .. } => {
            Some((term_topics, item_topics))
        }
        _ => None,
    }
}

/// Whether it is known which items a user's vector is a sum of.
fn is_sum_of_items(recipe: &Recipe) -> bool {
    matches!(recipe, Recipe::MatrixFactorisation { fold_in: Some(_), .. } | Recipe::Content { .. })
}
