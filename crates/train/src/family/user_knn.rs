//! What people of like taste like: neighbours of users (Herlocker, Konstan, Borchers and Riedl 1999).
//!
//! Neighbours are found while a request is answered, so whoever has a history has neighbours. Their
//! histories, rows of ones, are summed by how similar they are.
//!
//! - By histories, cosine: the similarity to user v is `Σ w_i x_vi / |v|` over the asker's items i, which
//!   is the row-sum of a matrix items × users whose column v is v's history divided by its length. The
//!   asker's own length divides all sums alike and is left out.
//! - By histories, Pearson: the column is v's values less their mean, divided by their length; the weight
//!   is the asker's value less the asker's mean where it is above 0. It is so much of the correlation as
//!   comes from what the asker liked more than usual: a history holds nothing that speaks against.
//! - By vectors: cosine of the rows of [`als`](crate::als) that the two have.

use super::mf::factorise;
use super::sparse::{Entry, assemble, input, ones, weights};
use super::{Lesson, Part};
use crate::csr::Csr;
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::options::{NeighboursBy, Similarity};
use crate::train::{USER_FACTORS, index_options};
use marquee_bundle::{DenseInput, Entity, RowFormat, RowSpace, SparseInput, SparseShape};
use marquee_core::model::recipe::{HistoryWeights, NeighbourSearch, Recipe};

/// The matrix items × users in a bundle whose row-sum over a history is the similarity to each user.
pub(crate) const USERS_BY_ITEM: &str = "users_by_item";
/// The matrix users × items in a bundle whose rows are summed over neighbours.
pub(crate) const USER_HISTORIES: &str = "user_histories";

/// Fits it.
pub(super) fn fit(lesson: Lesson<'_>) -> Result<Part, TrainError> {
    let Lesson { rows, args, label, .. } = lesson;
    let neighbours = args.neighbours() as u32;
    let mut part = Part::new(Recipe::Popularity);
    let by = match args.by() {
        NeighboursBy::Vectors => {
            let factors = factorise(rows, args, label)?;
            part.dense.push(DenseInput {
                name: USER_FACTORS.into(),
                entity: Entity::User,
                rank: factors.rank,
                data: factors.users,
                index: Some(index_options(args)),
                rows: RowFormat::F32,
            });
            part = part.als_parameters(args);
            NeighbourSearch::Vectors { user_factors: USER_FACTORS.into() }
        }
        NeighboursBy::Histories => {
            let mut history = args.history_weights(rows.has_times())?;
            let users = match args.similarity() {
                Similarity::Pearson => {
                    let centred = centred(rows)?;
                    part.history_values =
                        Some(centred.values.iter().map(|value| value.max(0.0)).collect());
                    history = HistoryWeights { by_value: true, ..history };
                    centred
                }
                _ => weights(rows, args.weight),
            };
            part.sparse.push(SparseInput {
                name: USERS_BY_ITEM.into(),
                shape: SparseShape::Sums { rows: RowSpace::Items, columns: Entity::User },
                matrix: by_item(users),
            });
            part = part.parameter("similarity", args.similarity().name());
            NeighbourSearch::Histories { matrix: USERS_BY_ITEM.into(), history }
        }
    };
    part.recipe = Recipe::UserNeighbours { by, histories: USER_HISTORIES.into(), neighbours };
    part.sparse.push(SparseInput {
        name: USER_HISTORIES.into(),
        shape: SparseShape::Sums { rows: RowSpace::Users, columns: Entity::Item },
        matrix: input(ones(rows)),
    });
    Ok(part
        .parameter("by", args.by().name())
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
    let row = |item: usize| -> Vec<Entry> {
        let (users, values) = items.row(item);
        let entries = users.iter().copied().zip(values.iter().copied());
        entries.filter(|(_, value)| *value != 0.0).collect()
    };
    assemble((0..items.rows()).map(row).collect())
}
