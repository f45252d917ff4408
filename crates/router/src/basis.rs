//! What a user's vector is a sum of, for those who ask what carried an item. Pure.
//!
//! Known where the vector was made of items: by folding in, by training a model that can fold in, by adding up
//! topics. What it is made of is noted when the leaf is settled ([`Basis::of`]); rows of vectors come later, once
//! the list is there ([`Basis::carried`]). Models that were trained by gradient descent have no such sum.

use crate::approach::{floats, own_history, own_vector};
use crate::facts::{Facts, Who};
use crate::lookup::components;
use bytes::Bytes;
use marquee_core::bounds::{MAX_CARRIER_COMPONENTS, MAX_CARRIER_ROWS, MAX_CARRIERS};
use marquee_core::model::attribution::{Summand, Vectors, Weight, parts, weights};
use marquee_core::model::recipe::Recipe;
use std::collections::{BTreeMap, HashMap};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Basis<'a> {
    /// The matrix whose rows were compared with the vector.
    pub(crate) compared: &'a str,
    /// The matrix whose rows the vector is a sum of.
    pub(crate) summed: &'a str,
    /// The items, by ordinal, and how each counts; one may be there twice.
    summands: Vec<(u32, Weight)>,
    /// Whether these are all that the stored vector was fitted to.
    is_whole: bool,
    stored: Vec<f32>,
    vector: Vec<f32>,
}

/// A part of a score: the item's ordinal, and its share.
pub(crate) type Share = (u32, f64);

/// Whether it can be said what a user's vector is a sum of.
pub(crate) fn has_parts(recipe: &Recipe) -> bool {
    matches!(recipe, Recipe::MatrixFactorisation { fold_in: Some(_), .. } | Recipe::Content { .. })
}

impl<'a> Basis<'a> {
    /// What a leaf's vector is a sum of; none where that is not known.
    pub(crate) fn of(
        recipe: &'a Recipe,
        version: usize,
        facts: &Facts<'a>,
        recents: usize,
        vector: &Bytes,
    ) -> Option<Self> {
        let stored = own_vector(recipe)
            .and_then(|matrix| facts.row(Who::Subject, version, matrix, ""))
            .map(floats)
            .unwrap_or_default();
        let vector: Vec<f32> = components(vector).collect();
        let own = || own_history(facts, version);
        // Recent items count if they were there to be folded in or added.
        let recent = |matrices: &[&str]| -> Vec<u32> {
            let ordinal = |recent| {
                let rows = matrices
                    .iter()
                    .map(|matrix| facts.row(Who::Recent(recent), version, matrix, ""));
                Some(rows.collect::<Option<Vec<_>>>()?.first()?.ordinal)
            };
            (0..recents).filter_map(ordinal).collect()
        };
        let (compared, summed, mut summands) = match recipe {
            Recipe::MatrixFactorisation { item_factors, fold_in: Some(fold_in), .. } => {
                let fitted = own().into_iter().filter(|seen| seen.value > 0.0);
                let confidence = |value: f32| fold_in.confidence * f64::from(value);
                let fitted =
                    fitted.map(|seen| (seen.ordinal, Weight::Fitted(confidence(seen.value))));
                let newer = recent(&[item_factors, &fold_in.matrix]);
                let newer =
                    newer.into_iter().map(|item| (item, Weight::FoldedIn(fold_in.confidence)));
                let all: Vec<(u32, Weight)> = newer.chain(fitted).collect();
                (item_factors.as_str(), fold_in.matrix.as_str(), all)
            }
            Recipe::Content { item_topics, history, .. } => {
                let newer =
                    recent(&[item_topics]).into_iter().map(|item| (item, Weight::Times(1.0)));
                let older = history.as_ref().map(|weights| weights.weigh(&own()));
                let older =
                    older.into_iter().flat_map(|(items, weights)| items.into_iter().zip(weights));
                let older = older.map(|(item, times)| (item, Weight::Times(f64::from(times))));
                (item_topics.as_str(), item_topics.as_str(), newer.chain(older).collect())
            }
            _ => return None,
        };
        let most = MAX_CARRIER_ROWS.min(MAX_CARRIER_COMPONENTS / vector.len().max(1));
        let is_whole = summands.len() <= most;
        summands.truncate(most);
        let has_any = !summands.is_empty();
        has_any.then_some(Self { compared, summed, summands, is_whole, stored, vector })
    }

    /// The items whose rows are needed, each once, ascending.
    pub(crate) fn ordinals(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.summands.iter().map(|(ordinal, _)| *ordinal).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// For each of some items, given by its vector and the score that the leaf gave it, the items with the
    /// greatest parts in the score, greatest first. `compared` and `summed` have the rows that were found.
    pub(crate) fn carried(
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
        let Some(weights) = weights(user, &summands, is_whole) else { return Vec::new() };
        let of_item = |&(vector, score): &(&[f32], f64)| {
            let mut sums: BTreeMap<u32, f64> = BTreeMap::new();
            for (&ordinal, part) in ordinals.iter().zip(parts(&summands, &weights, vector)) {
                *sums.entry(ordinal).or_default() += part;
            }
            let mut shares: Vec<Share> = sums.into_iter().collect();
            shares.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            shares.truncate(MAX_CARRIERS as usize);
            let share = |part: f64| if score == 0.0 { 0.0 } else { part / score };
            shares.into_iter().map(|(ordinal, part)| (ordinal, share(part))).collect()
        };
        items.iter().map(of_item).collect()
    }
}
