//! Matrix factorisation by [`als`](crate::als), with what recent interactions need to move a user.
//!
//! A user with new items solves the normal equations of the user's row (Hu, Koren and Volinsky 2008,
//! equation 4). By the identity of Woodbury that takes of the item factors Y only the rows of these items,
//! and theirs of `Y (YᵀY + λI)⁻¹`, which is written beside: the fold-in matrix.

use super::{Lesson, Part, cold_items};
use crate::als::{Factors, RegularizationScaling, fit as fit_als, inverse_gram, scores};
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::options::TrainArgs;
use crate::progress::Progress;
use crate::train::{ITEM_FACTORS, USER_FACTORS, index_options};
use crate::weight::confidences;
use marquee_bundle::{DenseInput, Entity, IndexOptions, RowFormat};
use marquee_core::model::recipe::{FoldIn, Recipe};

/// The matrix items × rank that recent items are folded in by.
pub(crate) const ITEM_FOLD_IN: &str = "item_fold_in";

/// Fits it.
pub(super) fn fit(lesson: Lesson<'_>) -> Result<Part, TrainError> {
    let Lesson { rows, items, args, label } = lesson;
    let mut factors = factorise(rows, args, label)?;
    // Items without interactions have factors of zero and are no part of the Gram matrix.
    let inverse = regularised_inverse(&factors, rows.users.len(), args)?;
    let predicted = match args.cold_items {
        true => Some(cold_items::predict(&mut factors, rows, items, args.seed)?),
        false => None,
    };
    let folding = fold_in_matrix(&factors, &inverse);
    let mut part = Part::new(mf_recipe(Some(FoldIn {
        matrix: ITEM_FOLD_IN.into(),
        confidence: f64::from(args.alpha()),
    })));
    part.dense = mf_matrices(factors, index_options(args), args.rows.into());
    part.dense.push(folding);
    if let Some(items) = predicted {
        part.notes
            .push(format!("mf: {items} items without interactions have vectors from their texts"));
        part = part.parameter("cold_items", items);
    }
    Ok(part.als_parameters(args))
}

impl Part {
    /// Notes the settings of ALS.
    pub(super) fn als_parameters(self, args: &TrainArgs) -> Self {
        self.parameter("factors", args.factors())
            .parameter("regularization", args.regularization())
            .parameter("regularization_scaling", args.regularization_scaling().name())
            .parameter("alpha", args.alpha())
            .parameter("iterations", args.iterations())
            .parameter("weight", args.weight.name())
    }
}

/// Factors of users and items.
pub(super) fn factorise(
    rows: &Interactions,
    args: &TrainArgs,
    label: &str,
) -> Result<Factors, TrainError> {
    let progress = Progress::new(label);
    let total = args.iterations() as u64;
    fit_als(&confidences(rows, args.weight, args.alpha()), &args.als(), &|done| {
        progress.set(done as u64, total)
    })
}

/// `(YᵀY + λI)⁻¹`, rank × rank. Where λ grows with what a user's confidences sum to, it is that of
/// the mean user: who is folded in has no row to sum.
fn regularised_inverse(
    factors: &Factors,
    users: usize,
    args: &TrainArgs,
) -> Result<Vec<f32>, TrainError> {
    let rank = factors.rank;
    let lambda = match args.regularization_scaling() {
        RegularizationScaling::None => args.regularization(),
        // λ is the mean over users and items, and either side's sums add up to the same: so the mean of
        // one side is as the other side's share of rows, twice.
        RegularizationScaling::Frequency => {
            let (users, items) = (users as f32, (factors.items.len() / rank) as f32);
            args.regularization() * (users + items) / (2.0 * users)
        }
    };
    inverse_gram(&factors.items, rank, lambda)
}

/// `Y (YᵀY + λI)⁻¹`, items × rank.
fn fold_in_matrix(factors: &Factors, inverse: &[f32]) -> DenseInput {
    let rank = factors.rank;
    let mut data = vec![0f32; factors.items.len()];
    // The inverse is symmetric: its rows are its columns.
    scores(&factors.items, inverse, rank, &mut data);
    DenseInput {
        name: ITEM_FOLD_IN.into(),
        entity: Entity::Item,
        rank,
        data,
        index: None,
        rows: RowFormat::F32,
    }
}

/// The recipe of matrix factorisation over the matrices of [`mf_matrices`].
pub(crate) fn mf_recipe(fold_in: Option<FoldIn>) -> Recipe {
    Recipe::MatrixFactorisation {
        user_factors: USER_FACTORS.into(),
        item_factors: ITEM_FACTORS.into(),
        fold_in,
    }
}

/// Both factor matrices; the items' is searched, so it may have an index.
pub(crate) fn mf_matrices(
    factors: Factors,
    index: IndexOptions,
    rows: RowFormat,
) -> Vec<DenseInput> {
    let dense = |name: &str, entity, data, index, rows| DenseInput {
        name: name.into(),
        entity,
        rank: factors.rank,
        data,
        index,
        rows,
    };
    vec![
        dense(USER_FACTORS, Entity::User, factors.users, None, RowFormat::F32),
        dense(ITEM_FACTORS, Entity::Item, factors.items, Some(index), rows),
    ]
}
