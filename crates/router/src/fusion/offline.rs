//! An ensemble over leaves that answer at once, as a router executes it: for evaluation.
//!
//! The tree, the rows of chains, the filling up and the final stage are the ones that serve. What bundles say
//! comes from an implementation of [`OfflineLeaves`]; nothing is late, and no shard is unavailable.

use super::diversification::{Compared, add_known, compared};
use super::evaluate::Step;
use super::fusing::{candidate_count, fill_up};
use crate::planning::ensemble_tree::{EnsembleShape, Weights};
use crate::search::leaf_query::{LeafQuery, LeafState, Scope, known_rows};
use marquee_core::ensemble::EnsembleNode;
use marquee_core::ranking::diversify::{Diversity, ItemFeatures, diversify};
use marquee_core::ranking::fuse::Candidate;

/// What the list of a leaf is to have.
#[derive(Clone, Copy, Debug)]
pub struct LeafScope<'a> {
    /// At most this many items.
    pub count: usize,
    /// Only these, if given.
    pub only: Option<&'a [String]>,
}

/// The leaves of an ensemble, by their numbers from left to right.
pub trait OfflineLeaves {
    /// Whether it gives a list.
    fn answers(&self, leaf: usize) -> bool;

    /// Its list, best first.
    fn list(&mut self, leaf: usize, scope: LeafScope<'_>) -> Option<Vec<Candidate>>;

    /// The ordinal that its model has for an item; none if it does not know it.
    fn ordinal(&self, leaf: usize, item_id: &str) -> Option<u32>;

    /// For a leaf of a chain: the best of the weighted sum of these rows, equally many of both and at least one.
    fn sum(
        &mut self,
        leaf: usize,
        rows: &[u32],
        weights: &[f32],
        scope: LeafScope<'_>,
    ) -> Option<Vec<Candidate>>;

    /// Up to `count` items of the profile and as many popular ones, to fill up a list that row-sums made too short;
    /// none where no leaf sums rows for the user.
    fn fillers(&mut self, count: usize) -> Option<Vec<Candidate>>;

    /// The number of its model among the ensemble's, in the order of their names, and the matrix that has the
    /// vectors of that model's items.
    fn model(&self, leaf: usize) -> (usize, Option<&str>);

    /// What the model of this number knows of an item: its row of a matrix of vectors, which is empty where
    /// that has no name, and its tags if they are asked for. None for an item that it does not know.
    fn compare(
        &self,
        model: usize,
        item_id: &str,
        vectors: &str,
        tags: bool,
    ) -> Option<(Vec<f32>, Vec<String>)>;
}

/// A decided ensemble, to be evaluated for one user after another.
#[derive(Clone, Debug)]
pub struct OfflineEnsemble {
    shape: EnsembleShape,
}

impl OfflineEnsemble {
    /// The ensemble below `root`. None if a reference or a split is left in it, or `weights` gives none for a model.
    /// `weights` gives, for each model from left to right, the weights of its recipe's parts, which are the leaves.
    pub fn of(root: &EnsembleNode, weights: &mut Weights<'_>) -> Option<Self> {
        Some(Self { shape: EnsembleShape::of(root, weights)? })
    }

    /// Whether a leaf sums the rows of the items that a chain's member before it lists.
    pub fn is_chained(&self, leaf: usize) -> bool {
        self.shape.leaves[leaf].is_chained
    }

    /// The list of a user, as a router makes it.
    pub fn list(&self, count: usize, leaves: &mut dyn OfflineLeaves) -> Vec<Candidate> {
        let EnsembleShape { tree, diversity, leaves: positions, timeouts: _ } = &self.shape;
        let mut states = Vec::with_capacity(positions.len());
        for leaf in 0..positions.len() {
            let is_answered = leaves.answers(leaf);
            states.push(if is_answered { LeafState::Open } else { LeafState::Absent });
        }
        let scope = Scope { count: candidate_count(diversity.as_ref(), count), only: None };
        let mut list = loop {
            match tree.evaluate(&mut states, &scope) {
                Step::Done(list) => break list,
                Step::Search(queries) => {
                    for query in queries {
                        let list = list_of_leaf(&query, leaves);
                        states[query.leaf] = list.map_or(LeafState::Absent, LeafState::Answered);
                    }
                }
            }
        };
        if list.len() < count
            && let Some(fillers) = leaves.fillers(count + list.len())
        {
            fill_up(&mut list, fillers, count);
        }
        match diversity {
            Some(diversity) => {
                let known = self.known_items(diversity, &list, leaves);
                diversify(list, &known, diversity, count)
            }
            None => list,
        }
    }

    /// What is compared of each item of a list.
    fn known_items(
        &self,
        diversity: &Diversity,
        list: &[Candidate],
        leaves: &dyn OfflineLeaves,
    ) -> Vec<ItemFeatures> {
        let models: Vec<(usize, Option<&str>)> =
            (0..self.shape.leaves.len()).map(|leaf| leaves.model(leaf)).collect();
        let compared = compared(diversity, &models);
        let mut known_items = Vec::with_capacity(list.len());
        for item in list {
            let mut known = ItemFeatures::default();
            for &Compared { version, vectors, tags } in &compared {
                if let Some((vector, tags)) = leaves.compare(version, &item.item_id, vectors, tags)
                {
                    add_known(&mut known, vector, tags);
                }
            }
            known_items.push(known);
        }
        known_items
    }
}

/// The list that a leaf query asks for; none where the leaf has none.
fn list_of_leaf(query: &LeafQuery, leaves: &mut dyn OfflineLeaves) -> Option<Vec<Candidate>> {
    let LeafQuery { leaf, scope, items } = query;
    let leaf_scope = LeafScope { count: scope.count, only: scope.only.as_deref() };
    let Some(items) = items else { return leaves.list(*leaf, leaf_scope) };
    let ordinals: Vec<Option<u32>> =
        items.iter().map(|(id, _)| leaves.ordinal(*leaf, id)).collect();
    let (rows, weights) = known_rows(items, ordinals);
    if rows.is_empty() { None } else { leaves.sum(*leaf, &rows, &weights, leaf_scope) }
}
