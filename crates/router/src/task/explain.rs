//! Why the items of a task's list are in it: asked once the list is there, of those who explain.
//!
//! One round more, and nothing of it changes the list: what does not answer is not said. For each version a
//! query over its popular items counts what filters leave out of its catalogue. For each leaf that summed
//! rows, the same sum over the listed items says which rows carried them. Rows of users are counted and not
//! named. For each leaf that compared a vector which is a sum of items, the vectors of these and of the listed
//! items say it; they are looked up while the queries are under way.

use super::{Leaf, Task};
use crate::approach::{Approach, By, Source};
use crate::search::{Matrix, Said};
use crate::vectors::{Vectors, Wanted};
use marquee_core::bounds::{
    MAX_CARRIER_ROWS, MAX_CARRIERS, MAX_EXPLAINED_ITEMS, MIN_NEIGHBOURS_DESCRIBED,
};
use marquee_core::model::recipe::{POPULARITY_MATRIX, Recipe};
use marquee_core::ranking::fuse::Candidate;
use marquee_proto::shard::v1::{Operation, Query};
use marquee_proto::v1;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A question about a list.
pub(crate) struct Why<'a> {
    pub(crate) about: About,
    pub(crate) matrix: Matrix<'a>,
    pub(crate) query: Query,
    pub(crate) filter: Option<v1::Filter>,
    pub(crate) denied: Arc<[String]>,
}

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// What is left out of the catalogue of a version of this number.
    Catalogue(usize),
    /// What carried the items of a leaf.
    Leaf(usize),
}

/// What is known of a list beside what its members said.
#[derive(Debug, Default)]
pub(crate) struct Reasons {
    /// By version.
    pub(crate) left_out: BTreeMap<usize, v1::LeftOut>,
    /// By leaf and item.
    pub(crate) carriers: BTreeMap<(usize, String), Vec<v1::Carrier>>,
    /// By leaf and item.
    pub(crate) neighbours: BTreeMap<(usize, String), v1::Neighbours>,
}

impl<'a> Task<'a> {
    /// What to ask about the list; nothing unless the request explains.
    pub(crate) fn whys(&self) -> Vec<Why<'a>> {
        if !self.ask.explain {
            return Vec::new();
        }
        let mut whys = Vec::new();
        let mut counted = BTreeSet::new();
        for leaf in &self.leaves {
            if counted.insert(leaf.version) {
                whys.push(self.why_not(leaf));
            }
        }
        let items = self.items.as_deref().unwrap_or_default();
        for (number, leaf) in self.leaves.iter().enumerate() {
            let (Approach::Items(Source { matrix, by: By::Rows(rows, weights) }), true) =
                (&leaf.approach, leaf.recipe.is_personal())
            else {
                continue;
            };
            let ids: Vec<String> =
                listed(items, number).map(|(item, _)| item.item_id.clone()).collect();
            if ids.is_empty() {
                continue;
            }
            let mut parts: Vec<(u32, f32)> =
                rows.iter().copied().zip(weights.iter().copied()).collect();
            if parts.len() > MAX_CARRIER_ROWS {
                parts.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
                parts.truncate(MAX_CARRIER_ROWS);
            }
            let (rows, weights) = parts.into_iter().unzip();
            let query = Query {
                count: ids.len() as u32,
                rows,
                weights,
                carriers: MAX_CARRIERS,
                name_rows: matches!(leaf.recipe, Recipe::ItemRows { .. }),
                ..Query::default()
            };
            let matrix =
                Matrix { version: leaf.version, name: matrix, operation: Operation::SparseRowSum };
            let filter = v1::Filter { include_item_ids: ids, ..v1::Filter::default() };
            whys.push(Why {
                about: About::Leaf(number),
                matrix,
                query,
                filter: Some(filter),
                denied: Arc::default(),
            });
        }
        whys
    }

    /// For each leaf whose vector is a sum of items, by its number, what to look up to say which of them
    /// carried the list: rows of the matrix that was compared, and of the one that was summed if it is another.
    /// Nothing unless the request explains.
    pub(crate) fn sums(&self) -> Vec<(usize, Vec<Wanted<'a>>)> {
        let items = self.items.as_deref().unwrap_or_default();
        let of_leaf = |(number, leaf): (usize, &Leaf<'a>)| {
            let basis = leaf.basis.as_ref()?;
            let ids =
                listed(items, number).map(|(item, _)| item.item_id.clone()).collect::<Vec<_>>();
            let version = leaf.version;
            let compared =
                Wanted { version, matrix: basis.compared, ids, ordinals: basis.ordinals() };
            let summed = (basis.summed != basis.compared).then(|| Wanted {
                version,
                matrix: basis.summed,
                ids: Vec::new(),
                ordinals: basis.ordinals(),
            });
            let is_any = !compared.ids.is_empty();
            is_any.then(|| (number, [compared].into_iter().chain(summed).collect()))
        };
        self.leaves.iter().enumerate().filter_map(of_leaf).collect()
    }

    /// What was found of the rows that [`sums`](Self::sums) has for a leaf.
    pub(crate) fn attribute(&mut self, number: usize, found: &[Vectors]) {
        let (Some(basis), Some(compared)) = (&self.leaves[number].basis, found.first()) else {
            return;
        };
        let summed = found.last().unwrap_or(compared);
        let items = self.items.as_deref().unwrap_or_default();
        let known: Vec<(&str, (&[f32], f64))> = listed(items, number)
            .filter_map(|(item, score)| {
                let vector = compared.by_id.get(&item.item_id)?;
                Some((item.item_id.as_str(), (vector.as_slice(), score)))
            })
            .collect();
        let (ids, vectors): (Vec<&str>, Vec<_>) = known.into_iter().unzip();
        let shares = basis.carried(&compared.by_ordinal, &summed.by_ordinal, &vectors);
        for (id, shares) in ids.into_iter().zip(shares) {
            let carriers = shares.into_iter().filter_map(|(ordinal, share)| {
                let (item_id, title) = compared.names.get(&ordinal)?.clone();
                Some(v1::Carrier { item_id, title, share })
            });
            self.reasons.carriers.insert((number, id.to_owned()), carriers.collect());
        }
    }

    fn why_not(&self, leaf: &Leaf<'a>) -> Why<'a> {
        let filter = &self.ask.filter;
        Why {
            about: About::Catalogue(leaf.version),
            matrix: Matrix {
                version: leaf.version,
                name: POPULARITY_MATRIX,
                operation: Operation::SparseRowSum,
            },
            query: Query {
                count: 1,
                rows: vec![0],
                weights: vec![1.0],
                exclude_ordinals: leaf.exclude.to_vec(),
                exclude_item_ids: self.ask.left_out_items().to_vec(),
                count_left_out: true,
                ..Query::default()
            },
            filter: (!filter.lets_all_pass()).then(|| filter.to_shard()),
            denied: Arc::clone(&self.route.denied),
        }
    }

    /// What was said of it.
    pub(crate) fn understand(&mut self, about: About, said: Said) {
        let Said { carried, names, left_out } = said;
        match about {
            About::Catalogue(version) => {
                let mut sum = v1::LeftOut::default();
                let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
                for of_shard in left_out.into_values() {
                    sum.items += of_shard.items;
                    for v1::LeftOutCount { reason, items } in of_shard.counts {
                        *counts.entry(reason).or_default() += items;
                    }
                }
                sum.candidates = sum.items.saturating_sub(counts.values().sum());
                let count = |(reason, items)| v1::LeftOutCount { reason, items };
                sum.counts = counts.into_iter().map(count).collect();
                self.reasons.left_out.insert(version, sum);
            }
            About::Leaf(leaf)
                if matches!(self.leaves[leaf].recipe, Recipe::UserNeighbours { .. }) =>
            {
                for (id, (_, carried)) in carried {
                    let described = carried.rows >= MIN_NEIGHBOURS_DESCRIBED;
                    let mean = carried.weight / f64::from(carried.rows.max(1));
                    let mean_likeness = if described { mean } else { 0.0 };
                    let neighbours = v1::Neighbours { count: carried.rows, mean_likeness };
                    self.reasons.neighbours.insert((leaf, id), neighbours);
                }
            }
            About::Leaf(leaf) => {
                for (id, (score, carried)) in carried {
                    let share =
                        |part: f32| if score == 0.0 { 0.0 } else { f64::from(part) / score };
                    let parts = carried.top_rows.iter().zip(&carried.parts);
                    let carriers = parts.filter_map(|(row, &part)| {
                        let (item_id, title) = names.get(row)?.clone();
                        Some(v1::Carrier { item_id, title, share: share(part) })
                    });
                    self.reasons.carriers.insert((leaf, id), carriers.collect());
                }
            }
        }
    }
}

/// The items that are explained and that a leaf contributed, each with the score it gave.
fn listed(items: &[Candidate], leaf: usize) -> impl Iterator<Item = (&Candidate, f64)> {
    items.iter().take(MAX_EXPLAINED_ITEMS).filter_map(move |item| {
        let said = item.contributions.iter().find(|said| said.leaf == leaf)?;
        Some((item, said.score))
    })
}
