//! Items that the same people like: neighbours of items (Sarwar, Karypis, Konstan and Riedl 2001).
//!
//! The similarity of two items is that of their columns of interactions, `a` and `b` over users:
//!
//! - cosine: `⟨a, b⟩ / (|a| |b| + s)`;
//! - Jaccard: `|a ∩ b| / (|a ∪ b| + s)`, of who interacted, however often;
//! - TF-IDF: cosine after an interaction of user u is multiplied by `ln(items / (1 + items of u))`: who
//!   likes everything says little of anything;
//! - BM25 (Robertson and Zaragoza 2009): `⟨a, b⟩` after an interaction of weight w becomes
//!   `w (k₁ + 1) / (k₁ (1 − b + b l) + w)` times the same logarithm, where l is the item's sum of
//!   weights over the mean of all; as PyPI `implicit` weighs.
//!
//! s is the shrinkage (Bell and Koren 2007): what few people have in common is chance. Of each item the
//! most similar others are kept, and a history's rows are summed.

use super::sparse::{Entry, counts, greatest, product, weights};
use super::{Lesson, Part};
use crate::csr::Csr;
use crate::error::TrainError;
use crate::options::Similarity;
use marquee_bundle::{SparseInput, SparseShape};
use marquee_core::model::recipe::Recipe;

/// The matrix of neighbours in a bundle, items × items: what a liked item says of another.
pub(crate) const ITEM_NEIGHBOURS: &str = "item_neighbours";

/// Fits it.
pub(super) fn fit(lesson: Lesson<'_>) -> Result<Part, TrainError> {
    let Lesson { rows, args, .. } = lesson;
    let history = args.history_weights(rows.has_times())?;
    let similarity = args.similarity();
    let shrinkage = f64::from(args.shrinkage.unwrap_or(0.0));
    let (k1, b) = (args.bm25_k1.unwrap_or(0.5), args.bm25_b.unwrap_or(0.25));
    let mut users = weights(rows, args.weight);
    match similarity {
        Similarity::Jaccard => users.values.fill(1.0),
        Similarity::TfIdf => weigh_by_rarity(&mut users),
        Similarity::Bm25 => {
            saturate(&mut users, k1, b);
            weigh_by_rarity(&mut users);
        }
        Similarity::Cosine | Similarity::Pearson => {}
    }
    let items = users.transpose();
    let sizes = counts(&items);
    let lengths: Vec<f64> = (0..items.rows())
        .map(|item| items.row(item).1.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt())
        .collect();
    let similarity_of = |item: usize, other: usize, dot: f64| match similarity {
        Similarity::Bm25 => dot,
        Similarity::Jaccard => {
            dot / (f64::from(sizes[item]) + f64::from(sizes[other]) - dot + shrinkage)
        }
        _ => dot / (lengths[item] * lengths[other] + shrinkage),
    };
    let matrix = product(&items, &users, |item, row| {
        let similar = |(other, dot): (u32, f64)| -> Option<Entry> {
            let similarity = similarity_of(item, other as usize, dot) as f32;
            // Who says nothing (a user of all items, under an inverse frequency) makes nothing similar.
            (other as usize != item && similarity > 0.0).then_some((other, similarity))
        };
        greatest(row.into_iter().filter_map(similar).collect(), args.neighbours())
    });
    let mut part = Part::new(Recipe::ItemRows { matrix: ITEM_NEIGHBOURS.into(), history });
    part.sparse.push(SparseInput {
        name: ITEM_NEIGHBOURS.into(),
        shape: SparseShape::ITEM_ROWS,
        matrix,
    });
    let part = part
        .parameter("similarity", similarity.name())
        .parameter("neighbours", args.neighbours())
        .parameter("weight", args.weight.name())
        .history_parameters();
    Ok(match similarity {
        Similarity::Bm25 => part.parameter("bm25_k1", k1).parameter("bm25_b", b),
        _ => part.parameter("shrinkage", shrinkage),
    })
}

/// Multiplies a user's interactions by how few they are: `ln(items / (1 + items of the user))`, at least 0.
fn weigh_by_rarity(users: &mut Csr) {
    let items = users.columns as f32;
    for (user, count) in counts(users).into_iter().enumerate() {
        let rarity = (items / (1.0 + count)).ln().max(0.0);
        let range = users.offsets[user]..users.offsets[user + 1];
        users.values[range].iter_mut().for_each(|value| *value *= rarity);
    }
}

/// Bounds what the interactions of one item add up to.
fn saturate(users: &mut Csr, k1: f32, b: f32) {
    let mut sums = vec![0f64; users.columns];
    for (&item, &value) in users.indices.iter().zip(&users.values) {
        sums[item as usize] += f64::from(value);
    }
    let mean = sums.iter().sum::<f64>() / sums.len().max(1) as f64;
    for (&item, value) in users.indices.iter().zip(&mut users.values) {
        let length = (sums[item as usize] / mean) as f32;
        *value = *value * (k1 + 1.0) / (k1 * (1.0 - b + b * length) + *value);
    }
}
