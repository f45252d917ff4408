//! The final stage of an ensemble that has one: its list is diversified, once what is compared was looked up.
//!
//! Routers look up what is compared, and evaluation reads it from bundles; what has to be known and what comes
//! of it is decided here for both. Pure.

use super::fusing::FusedRequest;
use crate::lookup::stored_row::{FoundRow, StoredRow};
use crate::planning::shard_map::ShardMap;
use crate::planning::wanted_rows::RowSource;
use crate::search::searching::SearchingRequest;
use marquee_core::model::recipe::Entity;
use marquee_core::ranking::diversify::{Diversity, ItemFeatures, diversify};
use marquee_core::ranking::fuse::Candidate;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A request that has its final list.
pub(crate) struct DiversifiedRequest<'a> {
    pub(crate) searching: SearchingRequest<'a>,
    pub(crate) items: Vec<Candidate>,
}

impl<'a> FusedRequest<'a> {
    /// What to look up of each candidate; nothing if the list stays as it is.
    pub(crate) fn compared_rows(&self, shards: &ShardMap<'a>) -> Vec<RowSource<'a>> {
        let looked_up = &self.searching.looked_up;
        let Some(diversity) = looked_up.diversity() else { return Vec::new() };
        let leaves: Vec<(usize, Option<&str>)> = looked_up
            .leaves
            .iter()
            .map(|leaf| (leaf.version, shards.version(leaf.version).recipe.item_vectors()))
            .collect();
        let mut rows = Vec::new();
        for Compared { version, vectors, tags } in compared(diversity, &leaves) {
            rows.push(RowSource { tags, ..RowSource::dense(version, Entity::Item, vectors) });
        }
        rows
    }

    /// Diversifies the list, if it is to be, given what was found of each candidate: `found` has for each, in
    /// order, one for each of [`compared_rows`](Self::compared_rows).
    pub(crate) fn diversify(self, found: Vec<FoundRow>) -> DiversifiedRequest<'a> {
        let Self { mut searching, items } = self;
        let Some(diversity) = searching.looked_up.diversity() else {
            return DiversifiedRequest { searching, items };
        };
        let rows_per_item = found.len().checked_div(items.len()).unwrap_or(0);
        let mut known = vec![ItemFeatures::default(); items.len()];
        let mut unavailable = Vec::new();
        for (place, found) in found.into_iter().enumerate() {
            match found {
                FoundRow::Row(row) => {
                    let StoredRow { vector, tags, .. } = Arc::unwrap_or_clone(row);
                    add_known(&mut known[place / rows_per_item], vector, tags);
                }
                FoundRow::Unknown => {}
                FoundRow::Unavailable(shard, failure) => unavailable.push((shard, failure)),
            }
        }
        let diversified = diversify(items, &known, diversity, searching.looked_up.request.count);
        searching.unavailable.extend(unavailable);
        DiversifiedRequest { searching, items: diversified }
    }
}

/// What of a version's items is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Compared<'a> {
    /// The version's number: in the shard map, or among the models of an evaluated ensemble.
    pub(super) version: usize,
    /// The dense matrix of vectors; empty for none.
    pub(super) vectors: &'a str,
    /// Whether tags are compared.
    pub(super) tags: bool,
}

/// What is compared of the items of an ensemble: the vectors of the first model that has some, and tags of all
/// models, since any may be the only one that knows an item. `leaves` gives for each leaf, from left to right,
/// its version's number and the matrix that has the vectors of its items.
pub(super) fn compared<'a>(
    diversity: &Diversity,
    leaves: &[(usize, Option<&'a str>)],
) -> Vec<Compared<'a>> {
    let tags = diversity.has_caps();
    let mut all = Vec::new();
    if diversity.mmr_lambda.is_some()
        && let Some((version, vectors)) =
            leaves.iter().find_map(|&(version, matrix)| Some((version, matrix?)))
    {
        all.push(Compared { version, vectors, tags });
    }
    if tags {
        let with_vectors = all.first().map(|compared| compared.version);
        let versions: BTreeSet<usize> = leaves.iter().map(|(version, _)| *version).collect();
        for version in versions {
            if with_vectors != Some(version) {
                all.push(Compared { version, vectors: "", tags });
            }
        }
    }
    all
}

/// Adds what one version knows of an item, where no earlier version knows it.
pub(super) fn add_known(known: &mut ItemFeatures, vector: Vec<f32>, tags: Vec<String>) {
    if known.vector.is_empty() {
        known.vector = vector;
    }
    if known.tags.is_empty() {
        known.tags = tags;
    }
}
