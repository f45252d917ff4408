//! The items that a leaf's vector is a sum of, for requests that ask which items contributed to a score. Pure.
//!
//! Known where the vector was made of items: by folding in, by training a model that can fold in, by adding up
//! topics. Noted when the leaf is planned; the rows of these items are looked up once the list is there, by
//! [`attribution`](crate::explanation::attribution). Models that were trained by gradient descent have no such sum.

use super::leaf_plan::{floats, own_history};
use super::looked_up_rows::LookedUpRows;
use super::stored_row::components;
use crate::planning::wanted_rows::{RowOwner, own_vector};
use bytes::Bytes;
use marquee_core::bounds::{MAX_CARRIER_COMPONENTS, MAX_CARRIER_ROWS};
use marquee_core::model::attribution::Weight;
use marquee_core::model::recipe::Recipe;

/// What a vector is a sum of.
#[derive(Clone, Debug)]
pub(crate) struct VectorBasis<'a> {
    /// The matrix whose rows were compared with the vector.
    pub(crate) compared: &'a str,
    /// The matrix whose rows the vector is a sum of.
    pub(crate) summed: &'a str,
    /// The items, by ordinal, and how each counts; one may be there twice.
    pub(crate) summands: Vec<(u32, Weight)>,
    /// Whether these are all that the stored vector was fitted to.
    pub(crate) is_whole: bool,
    /// The user's vector in the bundle; empty for none.
    pub(crate) stored: Vec<f32>,
    /// The vector that was searched for.
    pub(crate) vector: Vec<f32>,
}

impl<'a> VectorBasis<'a> {
    /// What a leaf's vector is a sum of; none where that is not known.
    pub(crate) fn of(
        recipe: &'a Recipe,
        version: usize,
        rows: &LookedUpRows<'a>,
        recents: usize,
        vector: &Bytes,
    ) -> Option<Self> {
        let stored = own_vector(recipe)
            .and_then(|matrix| rows.row(RowOwner::Subject, version, matrix, ""))
            .map(floats)
            .unwrap_or_default();
        let (compared, summed, mut summands) = match recipe {
            Recipe::MatrixFactorisation { item_factors, fold_in: Some(fold_in), .. } => {
                let mut summands = Vec::new();
                for item in recent_items(rows, version, recents, &[item_factors, &fold_in.matrix]) {
                    summands.push((item, Weight::FoldedIn(fold_in.confidence)));
                }
                for seen in own_history(rows, version) {
                    if seen.value > 0.0 {
                        let confidence = fold_in.confidence * f64::from(seen.value);
                        summands.push((seen.ordinal, Weight::Fitted(confidence)));
                    }
                }
                (item_factors.as_str(), fold_in.matrix.as_str(), summands)
            }
            Recipe::Content { item_topics, history, .. } => {
                let mut summands = Vec::new();
                for item in recent_items(rows, version, recents, &[item_topics]) {
                    summands.push((item, Weight::Times(1.0)));
                }
                if let Some(weights) = history {
                    let (items, times) = weights.weigh(&own_history(rows, version));
                    let times = times.into_iter().map(|times| Weight::Times(f64::from(times)));
                    summands.extend(items.into_iter().zip(times));
                }
                (item_topics.as_str(), item_topics.as_str(), summands)
            }
            _ => return None,
        };
        let vector: Vec<f32> = components(vector).collect();
        let most = MAX_CARRIER_ROWS.min(MAX_CARRIER_COMPONENTS / vector.len().max(1));
        let is_whole = summands.len() <= most;
        summands.truncate(most);
        if summands.is_empty() {
            return None;
        }
        Some(Self { compared, summed, summands, is_whole, stored, vector })
    }

    /// The items whose rows are needed, each once, ascending.
    pub(crate) fn ordinals(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.summands.iter().map(|(ordinal, _)| *ordinal).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The ordinals of the recent items that have a row in all of these matrices: those that were folded in or added.
fn recent_items(
    rows: &LookedUpRows<'_>,
    version: usize,
    recents: usize,
    matrices: &[&str],
) -> Vec<u32> {
    let mut items = Vec::new();
    for place in 0..recents {
        let row = |matrix: &&str| rows.row(RowOwner::Recent(place), version, matrix, "");
        if let Some(found) = matrices.iter().map(row).collect::<Option<Vec<_>>>()
            && let Some(first) = found.first()
        {
            items.push(first.ordinal);
        }
    }
    items
}
