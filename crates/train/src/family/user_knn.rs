//! What similar users like: neighbours of users (Herlocker, Konstan, Borchers and Riedl 1999).
//!
//! Neighbours are found while a request is answered, so every user with a history has neighbours. Their
//! histories, rows of ones, are summed by how similar they are.
//!
//! - By histories, cosine: the similarity to user v is `Σ w_i x_vi / |v|` over the user's items i, which
//!   is the row-sum of a matrix items × users whose column v is v's history divided by its length. The
//!   user's own length divides all sums alike and is left out.
//! - By histories, Pearson: the column is v's values less their mean, divided by their length; the weight
//!   is the user's value less the user's mean where it is above 0. It is so much of the correlation as
//!   comes from what the user liked more than usual: a history holds nothing negative.
//! - By vectors: cosine of the rows of [`als`](crate::als) that the two have.

use super::definition::{Family, TrainingInput};
use super::grid::{Axis, Grid};
use super::mf::{ALPHA, AlsSettings, USER_FACTORS};
use super::part::TrainedPart;
use super::shared_settings::{
    DECAY, FACTORS, ITERATIONS, NEIGHBOURS, NEWEST, REGULARIZATION, decay_axis, history_weights,
};
use super::sparse::{SparseEntry, assemble, input as sparse_input, ones, weights};
use crate::csr::Csr;
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::settings::{Bounds, Setting, SettingInfo, choice_name, choice_value, log};
use clap::ValueEnum;
use marquee_bundle::{
    DenseInput, Entity, ItemRecord, RowFormat, RowSpace, SparseInput, SparseShape,
};
use marquee_core::model::recipe::{HistoryWeights, MAX_NEIGHBOURS, NeighbourSearch, Recipe};

/// The matrix items × users in a bundle whose row-sum over a history is the similarity to each user.
pub(crate) const USERS_BY_ITEM: &str = "users_by_item";
/// The matrix users × items in a bundle whose rows are summed over neighbours.
pub(crate) const USER_HISTORIES: &str = "user_histories";

/// What makes two users similar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum UserSimilarity {
    /// The angle between the two rows of interactions.
    Cosine,
    /// Correlation of values: who likes the same more than usual. Users only.
    Pearson,
}
choice_value!(UserSimilarity);

/// How similar users are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum NeighboursBy {
    /// By their histories, exactly.
    Histories,
    /// By their vectors from ALS: quicker where users are many.
    Vectors,
}
choice_value!(NeighboursBy);

const KNN_NEIGHBOURS: Setting<usize> = NEIGHBOURS
    .with_bounds(Bounds::Counts(1, MAX_NEIGHBOURS as u64))
    .with_default(100)
    .searched(log(20.0, 500.0));
const BY: Setting<NeighboursBy> =
    Setting::new("by", "How similar users are found", Bounds::Choices, NeighboursBy::Histories);
const SIMILARITY: Setting<UserSimilarity> = Setting::new(
    "similarity",
    "What makes two items or users similar",
    Bounds::Choices,
    UserSimilarity::Cosine,
);
/// The value of [`BY`] that a setting goes with.
const HISTORIES: &[&str] = &["histories"];
/// The value of [`BY`] that a setting goes with.
const VECTORS: &[&str] = &["vectors"];

/// The family `user-knn`.
pub(super) struct UserKnn;

impl Family for UserKnn {
    fn name(&self) -> &'static str {
        "user-knn"
    }

    fn summary(&self) -> &'static str {
        "What similar users like"
    }

    fn settings(&self) -> Vec<SettingInfo> {
        vec![
            KNN_NEIGHBOURS.info(),
            BY.info(),
            SIMILARITY.only_with("by", HISTORIES).info(),
            DECAY.only_with("by", HISTORIES).info(),
            NEWEST.only_with("by", HISTORIES).info(),
            FACTORS.only_with("by", VECTORS).info(),
            REGULARIZATION.only_with("by", VECTORS).info(),
            ALPHA.only_with("by", VECTORS).info(),
            ITERATIONS.only_with("by", VECTORS).info(),
        ]
    }

    fn can_be_member(&self) -> bool {
        true
    }

    fn grid(&self, rows: &Interactions, _items: &[ItemRecord]) -> Grid {
        let mut axes =
            vec![Axis::line(KNN_NEIGHBOURS.name, &[25usize, 50, 100, 200, 400], 2).of_requests()];
        axes.extend(decay_axis(rows, &[0.7, 0.8, 0.9, 0.95, 1.0], 2));
        Grid::of(axes)
    }

    fn train(&self, input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
        train(input)
    }
}

fn train(input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
    let TrainingInput { rows, settings, options, label, .. } = input;
    let neighbours = settings.get(&KNN_NEIGHBOURS) as u32;
    let neighbours_by = settings.get(&BY);
    let mut part = TrainedPart::new(Recipe::Popularity);
    let by = match neighbours_by {
        NeighboursBy::Vectors => {
            let als = AlsSettings::of(settings, options);
            let factors = als.factorise(rows, label)?;
            part.dense.push(DenseInput {
                name: USER_FACTORS.into(),
                entity: Entity::User,
                rank: factors.rank,
                data: factors.users,
                index: Some(options.index.clone()),
                rows: RowFormat::F32,
            });
            part = als.noted_in(part);
            NeighbourSearch::Vectors { user_factors: USER_FACTORS.into() }
        }
        NeighboursBy::Histories => {
            let mut history = history_weights(settings, &DECAY, &NEWEST, rows.has_times())?;
            let similarity = settings.get(&SIMILARITY);
            let users = match similarity {
                UserSimilarity::Pearson => {
                    let centred = centred(rows)?;
                    part.history_values =
                        Some(centred.values.iter().map(|value| value.max(0.0)).collect());
                    history = HistoryWeights { by_value: true, ..history };
                    centred
                }
                UserSimilarity::Cosine => weights(rows, options.weight),
            };
            part.sparse.push(SparseInput {
                name: USERS_BY_ITEM.into(),
                shape: SparseShape::Sums { rows: RowSpace::Items, columns: Entity::User },
                matrix: by_item(users),
            });
            part = part.parameter("similarity", choice_name(similarity));
            NeighbourSearch::Histories { matrix: USERS_BY_ITEM.into(), history }
        }
    };
    part.recipe = Recipe::UserNeighbours { by, histories: USER_HISTORIES.into(), neighbours };
    part.sparse.push(SparseInput {
        name: USER_HISTORIES.into(),
        shape: SparseShape::Sums { rows: RowSpace::Users, columns: Entity::Item },
        matrix: sparse_input(ones(rows)),
    });
    Ok(part
        .parameter("by", choice_name(neighbours_by))
        .parameter("neighbours", neighbours)
        .history_parameters())
}

/// Values less the mean of the user's.
fn centred(rows: &Interactions) -> Result<Csr, TrainError> {
    if !rows.has_values {
        let problem =
            "pearson needs values, and the interactions have none: take --similarity cosine";
        return Err(TrainError::option("--similarity", problem));
    }
    let mut users = ones(rows);
    users.values.clone_from(&rows.value);
    for user in 0..users.rows() {
        let mine = &mut users.values[rows.rows_of(user)];
        let mean = mine.iter().map(|&x| f64::from(x)).sum::<f64>() / mine.len().max(1) as f64;
        mine.iter_mut().for_each(|x| *x = (f64::from(*x) - mean) as f32);
    }
    Ok(users)
}

/// Items × users: each user's row divided by its length, as a column.
fn by_item(mut users: Csr) -> marquee_bundle::CsrInput {
    for user in 0..users.rows() {
        let range = users.offsets[user]..users.offsets[user + 1];
        let mine = &mut users.values[range];
        let length = mine.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        if length > 0.0 {
            mine.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
    }
    let items = users.transpose();
    assemble((0..items.rows()).map(|item| nonzero_entries(&items, item)).collect())
}

/// The entries of a row that are not zero.
fn nonzero_entries(matrix: &Csr, row: usize) -> Vec<SparseEntry> {
    let (columns, values) = matrix.row(row);
    let entries = columns.iter().copied().zip(values.iter().copied());
    entries.filter(|(_, value)| *value != 0.0).collect()
}
