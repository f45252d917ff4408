//! Why the items of a list are in it: asked once the list is there, for requests that explain.
//!
//! For each version a query over its popular items counts what filters leave out of its catalogue. For each leaf
//! that summed rows, the same sum over the listed items says which rows contributed to them; rows of users are
//! counted and not named. For each leaf that compared a vector which is a sum of items, the vectors of these and of
//! the listed items say it; they are looked up while the queries are under way.

use crate::fusion::diversification::DiversifiedRequest;
use crate::lookup::item_round::{FoundItems, WantedItems};
use crate::lookup::looked_up::LookedUpLeaf;
use crate::search::explanation::{
    ExplainedSubject, ExplainingSearch, LeftOutReason, SearchExplanation,
};
use crate::search::searching::SearchingRequest;
use marquee_core::bounds::{MAX_ATTRIBUTED_ROWS, MAX_EXPLAINED_ITEMS, MIN_NEIGHBOURS_DESCRIBED};
use marquee_core::model::interpreter::{LeafPlan, MatrixSearch, share_of};
use marquee_core::ranking::fuse::Candidate;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A request that has its final list, and what is known of how the list came about.
pub(crate) struct ExplainedRequest<'a> {
    pub(crate) searching: SearchingRequest<'a>,
    pub(crate) items: Vec<Candidate>,
    /// Empty unless the request explains.
    pub(crate) reasons: Reasons,
}

/// What is known of a list besides what its leaves contributed.
#[derive(Debug, Default)]
pub(crate) struct Reasons {
    /// What was left out of the catalogue of each version, by its number.
    pub(crate) left_out: BTreeMap<usize, LeftOutItems>,
    /// The items that contributed to an item, by leaf and the item's id.
    pub(crate) attributions: BTreeMap<(usize, String), Vec<Attribution>>,
    /// The neighbours that contributed to an item, by leaf and the item's id.
    pub(crate) neighbours: BTreeMap<(usize, String), ContributingNeighbours>,
}

/// An item that contributed to another.
#[derive(Debug)]
pub(crate) struct Attribution {
    pub(crate) item_id: String,
    pub(crate) title: String,
    /// Its part of the leaf's score, as a share of it.
    pub(crate) share: f64,
}

/// The neighbours who have an item.
#[derive(Debug)]
pub(crate) struct ContributingNeighbours {
    /// How many of the users whose histories were summed have it.
    pub(crate) count: u32,
    /// How similar they are to the user on average; 0 if they are fewer than [`MIN_NEIGHBOURS_DESCRIBED`].
    pub(crate) mean_similarity: f64,
}

/// What was left out of one version's catalogue, by the shards that answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftOutItems {
    /// How many items the catalogue has.
    pub(crate) items: u64,
    /// How many of these could be recommended.
    pub(crate) candidates: u64,
    /// How many items each reason left out; reasons that left out none are not listed.
    pub(crate) counts: Vec<(LeftOutReason, u64)>,
}

/// A question about a list that a search answers.
pub(crate) struct ListQuestion<'a> {
    pub(crate) topic: QuestionTopic,
    pub(crate) search: ExplainingSearch<'a>,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuestionTopic {
    /// What is left out of the catalogue of the version of this number.
    Catalogue(usize),
    /// The rows that contributed to the items of the leaf of this number.
    Leaf(usize),
}

/// The vectors that say which items contributed to the items of one leaf.
pub(crate) struct LeafVectors<'a> {
    /// The number of the leaf.
    pub(crate) leaf: usize,
    /// Rows of the matrix that was compared, and of the one that was summed if it is another.
    pub(crate) wanted: Vec<WantedItems<'a>>,
}

impl<'a> ExplainedRequest<'a> {
    /// A request of which nothing is explained yet.
    pub(crate) fn new(diversified: DiversifiedRequest<'a>) -> Self {
        let DiversifiedRequest { searching, items } = diversified;
        Self { searching, items, reasons: Reasons::default() }
    }

    fn leaves(&self) -> &[LookedUpLeaf<'a>] {
        &self.searching.looked_up.leaves
    }

    /// What to ask about the list; nothing unless the request explains.
    pub(crate) fn questions(&self) -> Vec<ListQuestion<'a>> {
        let mut questions = Vec::new();
        if !self.searching.explains() {
            return questions;
        }
        let mut counted = BTreeSet::new();
        for leaf in self.leaves() {
            if counted.insert(leaf.version) {
                questions.push(self.catalogue_question(leaf));
            }
        }
        for (number, leaf) in self.leaves().iter().enumerate() {
            questions.extend(self.leaf_question(number, leaf));
        }
        questions
    }

    /// What is left out of the catalogue of a leaf's version.
    fn catalogue_question(&self, leaf: &LookedUpLeaf<'a>) -> ListQuestion<'a> {
        let looked_up = &self.searching.looked_up;
        let filter = &looked_up.request.filter;
        let of_others = looked_up.seen.ids_of_others(leaf.version);
        let search = ExplainingSearch {
            version: leaf.version,
            search: MatrixSearch::popularity(),
            subject: ExplainedSubject::LeftOutItems {
                filter: filter.clone(),
                exclude_ordinals: looked_up.seen.ordinals(leaf.version).to_vec(),
                exclude_item_ids: [looked_up.request.left_out_items(), of_others].concat(),
            },
            denied: Arc::clone(&looked_up.route.denied),
        };
        ListQuestion { topic: QuestionTopic::Catalogue(leaf.version), search }
    }

    /// Which rows contributed to the listed items of a leaf; none unless it summed rows for the user.
    fn leaf_question(&self, number: usize, leaf: &LookedUpLeaf<'a>) -> Option<ListQuestion<'a>> {
        let LeafPlan::Search(MatrixSearch::RowSum { matrix, rows, weights }) = &leaf.plan else {
            return None;
        };
        let ids = listed_ids(&self.items, number);
        if ids.is_empty() || !leaf.recipe.is_personal() {
            return None;
        }
        let mut summands: Vec<(u32, f32)> =
            rows.iter().copied().zip(weights.iter().copied()).collect();
        if summands.len() > MAX_ATTRIBUTED_ROWS {
            summands.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
            summands.truncate(MAX_ATTRIBUTED_ROWS);
        }
        let (heaviest, their_weights) = summands.into_iter().unzip();
        let search = ExplainingSearch {
            version: leaf.version,
            search: MatrixSearch::RowSum { matrix, rows: heaviest, weights: their_weights },
            subject: ExplainedSubject::Contributors {
                item_ids: ids,
                // Rows of users are counted and not named.
                are_rows_named: !leaf.recipe.searches_users(),
            },
            denied: Arc::default(),
        };
        Some(ListQuestion { topic: QuestionTopic::Leaf(number), search })
    }

    /// For each leaf whose vector is a sum of items, the vectors that say which of them contributed to the list.
    /// Nothing unless the request explains.
    pub(crate) fn wanted_vectors(&self) -> Vec<LeafVectors<'a>> {
        let mut all = Vec::new();
        for (number, leaf) in self.leaves().iter().enumerate() {
            let Some(basis) = &leaf.basis else { continue };
            let ids = listed_ids(&self.items, number);
            if ids.is_empty() {
                continue;
            }
            let version = leaf.version;
            let ordinals = basis.ordinals();
            let mut wanted = Vec::with_capacity(2);
            if basis.summed != basis.compared {
                let (ids, ordinals) = (Vec::new(), ordinals.clone());
                wanted.push(WantedItems { version, matrix: basis.summed, ids, ordinals });
            }
            wanted.insert(0, WantedItems { version, matrix: basis.compared, ids, ordinals });
            all.push(LeafVectors { leaf: number, wanted });
        }
        all
    }

    /// Records the items that contributed to those of a leaf, by what was found of its
    /// [wanted vectors](Self::wanted_vectors).
    pub(crate) fn record_vectors(&mut self, number: usize, found: &[FoundItems]) {
        let Self { searching, items, reasons } = self;
        let Some(basis) = &searching.looked_up.leaves[number].basis else { return };
        let Some(compared) = found.first() else { return };
        let summed = found.last().unwrap_or(compared);
        let mut ids = Vec::new();
        let mut vectors = Vec::new();
        for (item, score) in listed(items, number) {
            if let Some(vector) = compared.by_id.get(&item.item_id) {
                ids.push(&item.item_id);
                vectors.push((vector.as_slice(), score));
            }
        }
        let of_items = basis.shares(&compared.by_ordinal, &summed.by_ordinal, &vectors);
        for (id, shares) in ids.into_iter().zip(of_items) {
            let attributions = shares.into_iter().filter_map(|(ordinal, share)| {
                let (item_id, title) = compared.names.get(&ordinal)?.clone();
                Some(Attribution { item_id, title, share })
            });
            reasons.attributions.insert((number, id.clone()), attributions.collect());
        }
    }

    /// Records the answer to a question.
    pub(crate) fn record_answer(&mut self, topic: QuestionTopic, explanation: SearchExplanation) {
        match topic {
            QuestionTopic::Catalogue(version) => self.record_catalogue(version, explanation),
            QuestionTopic::Leaf(leaf) if self.leaves()[leaf].recipe.searches_users() => {
                self.record_neighbours(leaf, explanation);
            }
            QuestionTopic::Leaf(leaf) => self.record_attributions(leaf, explanation),
        }
    }

    fn record_catalogue(&mut self, version: usize, explanation: SearchExplanation) {
        let mut items = 0;
        let mut counts: BTreeMap<LeftOutReason, u64> = BTreeMap::new();
        for of_shard in explanation.left_out.into_values() {
            items += of_shard.items;
            for (reason, left_out) in of_shard.counts {
                *counts.entry(reason).or_default() += left_out;
            }
        }
        let candidates = items.saturating_sub(counts.values().sum());
        let counts = counts.into_iter().collect();
        self.reasons.left_out.insert(version, LeftOutItems { items, candidates, counts });
    }

    fn record_neighbours(&mut self, leaf: usize, explanation: SearchExplanation) {
        for (id, rows) in explanation.contributions {
            // With few neighbours the mean would say something of one of them.
            let is_described = rows.count >= MIN_NEIGHBOURS_DESCRIBED;
            let mean = rows.weight / f64::from(rows.count.max(1));
            let mean_similarity = if is_described { mean } else { 0.0 };
            let neighbours = ContributingNeighbours { count: rows.count, mean_similarity };
            self.reasons.neighbours.insert((leaf, id), neighbours);
        }
    }

    fn record_attributions(&mut self, leaf: usize, explanation: SearchExplanation) {
        let SearchExplanation { contributions, names, left_out: _ } = explanation;
        for (id, rows) in contributions {
            let mut attributions = Vec::new();
            for (row, part) in rows.greatest {
                if let Some((item_id, title)) = names.get(&row).cloned() {
                    let share = share_of(f64::from(part), rows.score);
                    attributions.push(Attribution { item_id, title, share });
                }
            }
            self.reasons.attributions.insert((leaf, id), attributions);
        }
    }
}

/// The items that are explained and that a leaf contributed, each with the score it gave.
fn listed(items: &[Candidate], leaf: usize) -> impl Iterator<Item = (&Candidate, f64)> {
    items.iter().take(MAX_EXPLAINED_ITEMS).filter_map(move |item| {
        let contribution = item.contributions.iter().find(|it| it.leaf == leaf)?;
        Some((item, contribution.score))
    })
}

/// The ids of the items that are explained and that a leaf contributed.
fn listed_ids(items: &[Candidate], leaf: usize) -> Vec<String> {
    listed(items, leaf).map(|(item, _)| item.item_id.clone()).collect()
}
