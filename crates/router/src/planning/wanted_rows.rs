//! The rows that the leaves of one request need, each wanted once.
//!
//! What the interpreter needs of the same id under the same version is one row where it fits into one: a row has at
//! most one vector and one list of columns.

use super::planned::{PlannedLeaf, PlannedRequest};
use super::shard_map::ShardMap;
use crate::admission::request::{RankingRequest, Subject};
use marquee_core::model::interpreter::{
    Request, RowNeed, RowOf, RowPart, UserRequest, rows_needed,
};
use marquee_core::model::recipe::{Entity, Profile};
use std::collections::BTreeMap;

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

    /// A row of a dense matrix; the ordinal alone if its name is empty.
    pub(crate) fn dense(version: usize, entity: Entity, matrix: &'a str) -> Self {
        Self { dense: matrix, ..Self::ordinal(version, entity) }
    }

    /// Takes the other source into this one; false if one row cannot have both.
    fn merge(&mut self, other: &Self) -> bool {
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

/// Whether one row can have both of these matrices; an empty name stands for none.
fn fits(a: &str, b: &str) -> bool {
    a.is_empty() || b.is_empty() || a == b
}

impl<'a> PlannedRequest<'a> {
    /// The rows that the leaves need.
    pub(crate) fn wanted_rows(&self, shards: &ShardMap<'a>) -> WantedRows<'a> {
        let request = interpreted(self.request);
        let mut wanted = WantedRows::default();
        for leaf in &self.leaves {
            wanted.add_leaf(&request, leaf, shards.version(leaf.version).recipe.profile());
        }
        wanted
    }
}

/// The rows that are wanted, in the order in which they were first wanted.
#[derive(Debug, Default)]
pub(crate) struct WantedRows<'a> {
    rows: Vec<(RowOf, RowSource<'a>)>,
    /// The places in `rows`: a few for each id, and there may be hundreds of recent items.
    by_owner: BTreeMap<RowOf, Vec<usize>>,
}

impl<'a> WantedRows<'a> {
    /// Each wanted row, and whose it is.
    pub(crate) fn rows(&self) -> &[(RowOf, RowSource<'a>)] {
        &self.rows
    }

    /// The rows that are wanted of an id, each with its place in [`rows`](Self::rows).
    pub(crate) fn of(&self, owner: RowOf) -> impl Iterator<Item = (usize, &RowSource<'a>)> {
        let places = self.by_owner.get(&owner).into_iter().flatten();
        places.map(|&place| (place, &self.rows[place].1))
    }

    /// Adds what a leaf needs; `profile` is that of its version.
    fn add_leaf(
        &mut self,
        request: &Request,
        leaf: &PlannedLeaf<'a>,
        profile: Option<&'a Profile>,
    ) {
        let subject = match request {
            Request::User(_) => Entity::User,
            Request::Item | Request::Text { .. } => Entity::Item,
        };
        for RowNeed { of, part } in rows_needed(leaf.recipe, leaf.is_chained, profile, request) {
            let ordinal = RowSource::ordinal(leaf.version, of.entity(subject));
            let source = match part {
                RowPart::Ordinal => ordinal,
                RowPart::Dense(matrix) => RowSource { dense: matrix, ..ordinal },
                RowPart::Sparse(matrix) => RowSource { sparse: matrix, ..ordinal },
            };
            self.add(of, source);
        }
    }

    fn add(&mut self, of: RowOf, source: RowSource<'a>) {
        let places = self.by_owner.entry(of).or_default();
        if !places.iter().any(|&place| self.rows[place].1.merge(&source)) {
            places.push(self.rows.len());
            self.rows.push((of, source));
        }
    }
}

/// A request as the interpreter sees it.
pub(crate) fn interpreted(request: &RankingRequest) -> Request {
    match request.subject {
        Subject::User(_) | Subject::Forgotten(_) => Request::User(UserRequest {
            recents: request.shaping_items().len(),
            terms: request.terms.len(),
            include_seen: request.filter.include_seen,
            explain: request.explain,
        }),
        Subject::Item(_) => Request::Item,
        Subject::Text(_) => Request::Text { words: request.terms.len() },
    }
}

/// The id by which shards know whose row it is.
pub(crate) fn id_of(of: RowOf, request: &RankingRequest) -> &str {
    match of {
        RowOf::Subject => request.subject.id(),
        RowOf::Recent(place) => &request.shaping_items()[place],
        RowOf::Term(place) => &request.terms[place],
        RowOf::Past(_) => unreachable!("routers are not asked for rows of stored items"),
    }
}
