//! Items that the same users like: neighbours of items (Sarwar, Karypis, Konstan and Riedl 2001).
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
//! s is the shrinkage (Bell and Koren 2007): what few users have in common is chance. Of each item the
//! most similar others are kept, and a history's rows are summed.

use super::definition::{Family, TrainingInput};
use super::grid::{Axis, Grid};
use super::part::TrainedPart;
use super::shared_settings::{DECAY, NEIGHBOURS, NEWEST, decay_axis, history_weights};
use super::sparse::{SparseEntry, counts, greatest, product, weights};
use crate::csr::Csr;
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::settings::{
    Bounds, ModelSettings, Setting, SettingInfo, choice_name, choice_value, even, log, one_of,
};
use clap::ValueEnum;
use marquee_bundle::{ItemRecord, SparseInput, SparseShape};
use marquee_core::model::recipe::Recipe;

/// The matrix of neighbours in a bundle, items × items: how much a liked item says for another.
pub(crate) const ITEM_NEIGHBOURS: &str = "item_neighbours";

/// What makes two items similar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ItemSimilarity {
    /// The angle between the two rows of interactions.
    Cosine,
    /// What the two have in common, as a share of what either has. Items only.
    Jaccard,
    /// Interactions weighed as words are in search: of busy users less, of popular items bounded. Items only.
    Bm25,
    /// Cosine with interactions of busy users weighing less. Items only.
    TfIdf,
}
choice_value!(ItemSimilarity);

const KNN_NEIGHBOURS: Setting<usize> = NEIGHBOURS.with_default(200).searched(log(20.0, 500.0));
const SIMILARITY: Setting<ItemSimilarity> = Setting::new(
    "similarity",
    "What makes two items or users similar",
    Bounds::Choices,
    ItemSimilarity::Bm25,
)
.searched(one_of());
const BM25_K1: Setting<f32> = Setting::new(
    "bm25-k1",
    "How soon a popular item's interactions stop adding up under bm25",
    Bounds::AtLeastZero,
    0.5,
)
.only_with("similarity", &["bm25"])
.searched(log(0.1, 3.0));
const BM25_B: Setting<f32> = Setting::new(
    "bm25-b",
    "How much more slowly those of popular items count under bm25, 0 to 1",
    Bounds::Within(0.0, 1.0),
    0.25,
)
.only_with("similarity", &["bm25"])
.searched(even(0.0, 1.0));
const SHRINKAGE: Setting<f32> = Setting::new(
    "shrinkage",
    "Added to the divisor of a similarity, so that pairs with little in common count less",
    Bounds::AtLeastZero,
    0.0,
)
.only_with("similarity", &["cosine", "jaccard", "tf-idf"])
.searched(log(0.3, 300.0));

/// The family `item-knn`.
pub(super) struct ItemKnn;

impl Family for ItemKnn {
    fn name(&self) -> &'static str {
        "item-knn"
    }

    fn summary(&self) -> &'static str {
        "Items that the same users like"
    }

    fn settings(&self) -> Vec<SettingInfo> {
        vec![
            KNN_NEIGHBOURS.info(),
            SIMILARITY.info(),
            BM25_K1.info(),
            BM25_B.info(),
            SHRINKAGE.info(),
            DECAY.info(),
            NEWEST.info(),
        ]
    }

    fn can_be_member(&self) -> bool {
        true
    }

    fn grid(&self, rows: &Interactions, _items: &[ItemRecord]) -> Grid {
        let by = |name: &str| ModelSettings::default().with(SIMILARITY.name, name);
        let mut axes = vec![
            Axis::every(vec![by("cosine"), by("tf-idf")]),
            Axis::line(BM25_K1.name, &[0.1, 0.5, 1.2, 3.0], 1),
            Axis::line(BM25_B.name, &[0.0, 0.25, 0.5, 0.75], 1),
            Axis::line(SHRINKAGE.name, &[0.0, 10.0, 50.0], 0),
        ];
        axes.extend(decay_axis(rows, &[0.7, 0.8, 0.9, 0.95, 1.0], 2));
        axes.push(Axis::line(KNN_NEIGHBOURS.name, &[50usize, 100, 200, 400], 2));
        Grid::of(axes)
    }

    fn train(&self, input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
        train(input)
    }
}

struct KnnSettings {
    similarity: ItemSimilarity,
    shrinkage: f64,
    bm25_k1: f32,
    bm25_b: f32,
    /// Neighbours that are kept of each item.
    neighbours: usize,
}

impl KnnSettings {
    fn of(settings: &ModelSettings) -> Self {
        Self {
            similarity: settings.get(&SIMILARITY),
            shrinkage: f64::from(settings.get(&SHRINKAGE)),
            bm25_k1: settings.get(&BM25_K1),
            bm25_b: settings.get(&BM25_B),
            neighbours: settings.get(&KNN_NEIGHBOURS),
        }
    }
}

fn train(input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
    let TrainingInput { rows, settings, options, .. } = input;
    let history = history_weights(settings, &DECAY, &NEWEST, rows.has_times())?;
    let KnnSettings { similarity, shrinkage, bm25_k1: k1, bm25_b: b, neighbours } =
        KnnSettings::of(settings);
    let mut users = weights(rows, options.weight);
    match similarity {
        ItemSimilarity::Jaccard => users.values.fill(1.0),
        ItemSimilarity::TfIdf => weigh_by_rarity(&mut users),
        ItemSimilarity::Bm25 => {
            saturate(&mut users, k1, b);
            weigh_by_rarity(&mut users);
        }
        ItemSimilarity::Cosine => {}
    }
    let items = users.transpose();
    let sizes = counts(&items);
    let lengths: Vec<f64> = (0..items.rows())
        .map(|item| items.row(item).1.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt())
        .collect();
    let similarity_of = |item: usize, other: usize, dot: f64| match similarity {
        ItemSimilarity::Bm25 => dot,
        ItemSimilarity::Jaccard => {
            dot / (f64::from(sizes[item]) + f64::from(sizes[other]) - dot + shrinkage)
        }
        ItemSimilarity::TfIdf | ItemSimilarity::Cosine => {
            dot / (lengths[item] * lengths[other] + shrinkage)
        }
    };
    let matrix = product(&items, &users, |item, row| {
        let mut similar: Vec<SparseEntry> = Vec::new();
        for (other, dot) in row {
            let similarity = similarity_of(item, other as usize, dot) as f32;
            // A user of all items has no weight under an inverse frequency, and makes nothing similar.
            if other as usize != item && similarity > 0.0 {
                similar.push((other, similarity));
            }
        }
        greatest(similar, neighbours)
    });
    let mut part = TrainedPart::new(Recipe::ItemRows { matrix: ITEM_NEIGHBOURS.into(), history });
    part.sparse.push(SparseInput {
        name: ITEM_NEIGHBOURS.into(),
        shape: SparseShape::ITEM_ROWS,
        matrix,
    });
    let part = part
        .parameter("similarity", choice_name(similarity))
        .parameter("neighbours", neighbours)
        .parameter("weight", options.weight.name())
        .history_parameters();
    Ok(match similarity {
        ItemSimilarity::Bm25 => part.parameter("bm25_k1", k1).parameter("bm25_b", b),
        ItemSimilarity::Jaccard | ItemSimilarity::TfIdf | ItemSimilarity::Cosine => {
            part.parameter("shrinkage", shrinkage)
        }
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
