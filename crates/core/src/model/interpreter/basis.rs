//! What a user's vector is a sum of, to say which items of the history an answer is due to.
//!
//! It is known where the vector was made of items: by folding in, by training a model that can fold in, by adding
//! up topics. What it is made of is noted when the leaf is planned ([`Basis::of`]). Vectors of those items are
//! needed later, once the list is there ([`Basis::shares`]). Models trained by gradient descent have no such sum.

use super::history::UserHistory;
use super::known_rows::KnownRows;
use super::leaf::{LeafPlan, MatrixSearch, TopicSum};
use super::request::RowOf;
use crate::bounds::{MAX_ATTRIBUTED_COMPONENTS, MAX_ATTRIBUTED_ROWS, MAX_ATTRIBUTIONS};
use crate::model::attribution::{Summand, VectorWeight, Vectors, parts, weights};
use crate::model::recipe::Recipe;
use std::collections::{BTreeMap, HashMap};

/// The items that a leaf's vector is a sum of.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis<'p> {
    /// The matrix whose rows were compared with the vector.
    pub compared: &'p str,
    /// The matrix whose rows the vector is a sum of.
    pub summed: &'p str,
    /// The items, by ordinal, and how each counts; an item may be there twice.
    summands: Vec<(u32, VectorWeight)>,
    /// Whether these are all items that the stored vector was fitted to.
    is_whole: bool,
    stored: Vec<f32>,
    vector: Vec<f32>,
}

/// A part of a score: the ordinal of an item, and [its share of the score](share_of).
pub type Share = (u32, f64);

/// A part of a score, divided by the absolute value of the score: above 0 where it raises the score, also one below 0; 0 of a
/// score of 0.
pub fn share_of(part: f64, score: f64) -> f64 {
    if score == 0.0 { 0.0 } else { part / score.abs() }
}

impl<'p> Basis<'p> {
    /// What the vector of a leaf that is answered by one is a sum of; none where that is not known.
    pub(super) fn of<R: KnownRows>(
        recipe: &'p Recipe,
        plan: &LeafPlan<'_>,
        rows: &R,
        history: &UserHistory<'_>,
    ) -> Option<Self> {
        let LeafPlan::Search(MatrixSearch::DenseTopK { vector, .. }) = plan else { return None };
        let stored = rows.vector(RowOf::Subject, recipe.user_vectors()?);
        let mut summands = Vec::new();
        let (compared, summed) = match recipe {
            Recipe::MatrixFactorisation { item_factors, fold_in: Some(fold_in), .. } => {
                for recent in history.new_recents() {
                    let of = RowOf::Recent(recent.place);
                    let is_folded = rows.vector(of, item_factors).is_some()
                        && rows.vector(of, &fold_in.matrix).is_some();
                    if is_folded {
                        summands.push((recent.ordinal, VectorWeight::FoldedIn(fold_in.confidence)));
                    }
                }
                for seen in history.stored.iter().filter(|seen| seen.value > 0.0) {
                    let confidence = fold_in.confidence * f64::from(seen.value);
                    summands.push((seen.ordinal, VectorWeight::Fitted(confidence)));
                }
                (item_factors.as_str(), fold_in.matrix.as_str())
            }
            Recipe::Content { item_topics, history: weights, .. } => {
                let is_stored = stored.is_some();
                let sum = TopicSum::of(item_topics, weights.as_ref(), is_stored, rows, history);
                let added = sum.added.iter().map(|&(_, item, weight)| (item, weight));
                let all = added.chain(sum.rest.iter().copied());
                summands.extend(all.map(|(item, weight)| (item, VectorWeight::Times(weight))));
                (item_topics.as_str(), item_topics.as_str())
            }
            Recipe::MatrixFactorisation { fold_in: None, .. }
            | Recipe::ItemRows { .. }
            | Recipe::UserNeighbours { .. }
            | Recipe::Popularity
            | Recipe::Trending { .. }
            | Recipe::Blend { .. }
            | Recipe::Profiled { .. } => return None,
        };
        let most = MAX_ATTRIBUTED_ROWS.min(MAX_ATTRIBUTED_COMPONENTS / vector.len().max(1));
        let is_whole = summands.len() <= most;
        summands.truncate(most);
        if summands.is_empty() {
            return None;
        }
        let stored = stored.map(<[f32]>::to_vec).unwrap_or_default();
        Some(Self { compared, summed, summands, is_whole, stored, vector: vector.clone() })
    }

    /// The ordinals of the items whose rows are needed, each once, ascending.
    pub fn ordinals(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.summands.iter().map(|(ordinal, _)| *ordinal).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// For each of some items, given by its vector and the score that the leaf gave it, the items with the
    /// greatest shares in the score, greatest first. `compared` and `summed` have the rows that were found, by
    /// ordinal. Empty if the stored vector is not the sum of what was found.
    pub fn shares(
        &self,
        compared: &HashMap<u32, Vec<f32>>,
        summed: &HashMap<u32, Vec<f32>>,
        items: &[(&[f32], f64)],
    ) -> Vec<Vec<Share>> {
        let found = self.summands.iter().filter_map(|&(ordinal, weight)| {
            let (factors, row) = (compared.get(&ordinal)?, summed.get(&ordinal)?);
            Some((ordinal, Summand { weight, factors, row }))
        });
        let (ordinals, summands): (Vec<u32>, Vec<Summand<'_>>) = found.unzip();
        let user = Vectors { stored: &self.stored, compared: &self.vector };
        let is_whole = self.is_whole && summands.len() == self.summands.len();
        let Some(times) = weights(user, &summands, is_whole) else { return Vec::new() };
        let mut all = Vec::with_capacity(items.len());
        for &(vector, score) in items {
            let mut sums: BTreeMap<u32, f64> = BTreeMap::new();
            for (&ordinal, part) in ordinals.iter().zip(parts(&summands, &times, vector)) {
                *sums.entry(ordinal).or_default() += part;
            }
            let mut shares: Vec<Share> = sums.into_iter().collect();
            shares.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            shares.truncate(MAX_ATTRIBUTIONS as usize);
            for (_, part) in &mut shares {
                *part = share_of(*part, score);
            }
            all.push(shares);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a score of −4 that is the sum of 1, −2 and −3.
    #[test]
    fn what_raises_a_score_below_0_comes_first_and_its_share_is_above_0() {
        let summands = vec![
            (7, VectorWeight::Times(1.0)),
            (8, VectorWeight::Times(-3.0)),
            (9, VectorWeight::Times(-2.0)),
        ];
        let basis = Basis {
            compared: "topics",
            summed: "topics",
            summands,
            is_whole: true,
            stored: Vec::new(),
            vector: vec![-4.0],
        };
        let rows: HashMap<u32, Vec<f32>> = (7..=9).map(|ordinal| (ordinal, vec![1.0])).collect();
        let shares = basis.shares(&rows, &rows, &[(&[1.0], -4.0), (&[-1.0], 4.0)]);
        assert_eq!(shares[0], [(7, 0.25), (9, -0.5), (8, -0.75)]);
        assert_eq!(shares[1], [(8, 0.75), (9, 0.5), (7, -0.25)]);
        assert_eq!(share_of(3.0, 0.0), 0.0);
    }
}
