//! The items that contributed to a score by a vector which is a sum of items. Pure.

use crate::lookup::vector_basis::VectorBasis;
use marquee_core::bounds::MAX_CARRIERS;
use marquee_core::model::attribution::{Summand, Vectors, parts, weights};
use std::collections::{BTreeMap, HashMap};

/// A part of a score: the ordinal of an item, and its share of the score.
pub(crate) type Share = (u32, f64);

/// For each of some `items`, given by its vector and the score that the leaf gave it, the items of the basis with
/// the greatest parts in the score, greatest first. `compared` and `summed` have the rows that were found, by
/// ordinal. Empty where too little was found.
pub(crate) fn shares(
    basis: &VectorBasis<'_>,
    compared: &HashMap<u32, Vec<f32>>,
    summed: &HashMap<u32, Vec<f32>>,
    items: &[(&[f32], f64)],
) -> Vec<Vec<Share>> {
    let mut ordinals = Vec::new();
    let mut summands = Vec::new();
    for &(ordinal, weight) in &basis.summands {
        if let (Some(factors), Some(row)) = (compared.get(&ordinal), summed.get(&ordinal)) {
            ordinals.push(ordinal);
            summands.push(Summand { weight, factors, row });
        }
    }
    let user = Vectors { stored: &basis.stored, compared: &basis.vector };
    let is_whole = basis.is_whole && summands.len() == basis.summands.len();
    let Some(weights) = weights(user, &summands, is_whole) else { return Vec::new() };
    let mut of_items = Vec::with_capacity(items.len());
    for &(vector, score) in items {
        let mut sums: BTreeMap<u32, f64> = BTreeMap::new();
        for (&ordinal, part) in ordinals.iter().zip(parts(&summands, &weights, vector)) {
            *sums.entry(ordinal).or_default() += part;
        }
        let mut greatest: Vec<Share> = sums.into_iter().collect();
        greatest.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        greatest.truncate(MAX_CARRIERS as usize);
        for (_, part) in &mut greatest {
            *part = share(*part, score);
        }
        of_items.push(greatest);
    }
    of_items
}

/// The share that a part has of a score; 0 of a score of 0.
pub(crate) fn share(part: f64, score: f64) -> f64 {
    if score == 0.0 { 0.0 } else { part / score }
}
