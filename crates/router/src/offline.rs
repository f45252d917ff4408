//! An ensemble over leaves that answer at once, as a router executes it: for evaluation.
//!
//! The tree, the rows of chains, the filling up and the last step are the ones that serve. What bundles say
//! comes from whoever implements [`OfflineLeaves`]; nothing is late, and no shard is silent.

use crate::last::{Compared, candidates, compared, fill_up, learn};
use crate::tree::{Demand, LeafState, Scope, Shape, Step, Weights, known_rows};
use marquee_core::ensemble::EnsembleNode;
use marquee_core::ranking::diversify::{Diversity, ItemFacts, diversify};
use marquee_core::ranking::fuse::Candidate;

/// What a leaf is asked for.
#[derive(Clone, Copy, Debug)]
pub struct LeafScope<'a> {
    /// At most this many items.
    pub count: usize,
    /// Only these, if given.
    pub only: Option<&'a [String]>,
}

/// What the leaves of an ensemble say, by their numbers from left to right.
pub trait OfflineLeaves {
    /// Whether anything will come of it.
    fn answers(&self, leaf: usize) -> bool;

    /// Its list, best first.
    fn list(&mut self, leaf: usize, scope: LeafScope<'_>) -> Option<Vec<Candidate>>;

    /// The number that its model has for an item; none if it does not know it.
    fn ordinal(&self, leaf: usize, item_id: &str) -> Option<u32>;

    /// For a leaf of a chain: the best of the weighted sum of these rows, equally many of both and at least one.
    fn sum(
        &mut self,
        leaf: usize,
        rows: &[u32],
        weights: &[f32],
        scope: LeafScope<'_>,
    ) -> Option<Vec<Candidate>>;

    /// So many popular items that follow a list which sums of rows made too short; none where no leaf summed
    /// any for the user.
    fn popular(&mut self, count: usize) -> Option<Vec<Candidate>>;

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
    shape: Shape,
}

impl OfflineEnsemble {
    /// None if a reference or a split is left in it, or `weights` has none. `weights` gives, for each model from
    /// left to right, the weights of its recipe's parts, which are the leaves.
    pub fn of(root: &EnsembleNode, weights: &mut Weights<'_>) -> Option<Self> {
        Some(Self { shape: Shape::of(root, weights)? })
    }

    /// Whether a leaf adds up the rows of what a chain's member before it lists.
    pub fn is_chained(&self, leaf: usize) -> bool {
        self.shape.leaves[leaf].is_chained
    }

    /// The list of a user, as a router makes it.
    pub fn list(&self, count: usize, leaves: &mut dyn OfflineLeaves) -> Vec<Candidate> {
        let Shape { tree, last, leaves: shapes, timeouts: _ } = &self.shape;
        let state = |leaf| match leaves.answers(leaf) {
            true => LeafState::Open,
            false => LeafState::Absent,
        };
        let mut states: Vec<LeafState> = (0..shapes.len()).map(state).collect();
        let scope = Scope { count: candidates(last.as_ref(), count), only: None };
        let mut list = loop {
            match tree.evaluate(&mut states, &scope) {
                Step::Done(list) => break list,
                Step::Ask(demands) => {
                    for demand in demands {
                        let list = answer(&demand, leaves);
                        states[demand.leaf] = list.map_or(LeafState::Absent, LeafState::Answered);
                    }
                }
            }
        };
        if list.len() < count
            && let Some(popular) = leaves.popular(count + list.len())
        {
            fill_up(&mut list, popular, count);
        }
        match last {
            Some(how) => {
                let facts = self.facts(how, &list, leaves);
                diversify(list, &facts, how, count)
            }
            None => list,
        }
    }

    /// What the last step compares of each of these items.
    fn facts(
        &self,
        how: &Diversity,
        list: &[Candidate],
        leaves: &dyn OfflineLeaves,
    ) -> Vec<ItemFacts> {
        let models: Vec<(usize, Option<&str>)> =
            (0..self.shape.leaves.len()).map(|leaf| leaves.model(leaf)).collect();
        let all = compared(how, &models);
        let of_item = |item: &Candidate| {
            let mut facts = ItemFacts::default();
            for &Compared { version, vectors, tags } in &all {
                let known = leaves.compare(version, &item.item_id, vectors, tags);
                if let Some((vector, tags)) = known {
                    learn(&mut facts, vector.into_iter(), tags);
                }
            }
            facts
        };
        list.iter().map(of_item).collect()
    }
}

fn answer(demand: &Demand, leaves: &mut dyn OfflineLeaves) -> Option<Vec<Candidate>> {
    let Demand { leaf, scope, rows } = demand;
    let scope = LeafScope { count: scope.count, only: scope.only.as_deref() };
    let Some(rows) = rows else { return leaves.list(*leaf, scope) };
    let ordinals = rows.iter().map(|(id, _)| leaves.ordinal(*leaf, id));
    let (rows, weights) = known_rows(rows, ordinals.collect::<Vec<_>>());
    if rows.is_empty() { None } else { leaves.sum(*leaf, &rows, &weights, scope) }
}
