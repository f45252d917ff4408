//! Matrix factorisation by [`als`](crate::als), with what recent interactions need to move a user.
//!
//! A user with new items solves the normal equations of the user's row (Hu, Koren and Volinsky 2008,
//! equation 4). By the identity of Woodbury that takes of the item factors Y only the rows of these items,
//! and theirs of `Y (YᵀY + λI)⁻¹`, which is written beside: the fold-in matrix.

use super::cold_items;
use super::definition::{Family, TrainingInput, TrainingOptions};
use super::grid::{Axis, Grid};
use super::part::TrainedPart;
use super::shared_settings::{FACTORS, ITERATIONS, REGULARIZATION};
use crate::als::{AlsOptions, Factors, RegularizationScaling, fit, inverse_gram, scores};
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::progress::TaskProgress;
use crate::settings::{
    Bounds, ModelSettings, Setting, SettingInfo, choice_name, choice_value, even, log,
};
use crate::weight::{Weight, confidences};
use marquee_bundle::{DenseInput, Entity, IndexOptions, ItemRecord, RowFormat};
use marquee_core::model::recipe::{FoldIn, Recipe};

/// The matrix of user factors in a bundle of matrix factorisation.
pub const USER_FACTORS: &str = "user_factors";
/// The matrix of item factors in a bundle of matrix factorisation.
pub const ITEM_FACTORS: &str = "item_factors";
/// The matrix items × rank that recent items are folded in by.
pub(crate) const ITEM_FOLD_IN: &str = "item_fold_in";

choice_value!(RegularizationScaling);

/// How λ is spread over users and items.
pub(super) const REGULARIZATION_SCALING: Setting<RegularizationScaling> = Setting::new(
    "regularization-scaling",
    "How regularization is spread: the same for all, or in proportion to how often a user or an item occurs",
    Bounds::Choices,
    RegularizationScaling::None,
);

/// Confidence in an observed pair of weight 1.
pub(super) const ALPHA: Setting<f32> = Setting::new(
    "alpha",
    "Confidence in an observed pair of weight 1, where an unobserved one has 1; as in PyPI implicit",
    Bounds::AboveZero,
    1.0,
);

/// Pairs of α and λ that are tried beside the defaults: unobserved pairs weigh 1/α of an observed one and the factors
/// are held at zero by λ/α, so both are spread by powers.
const TRIED_PAIRS: [(f64, f64); 7] = [
    (2.0, 30.0),
    (5.0, 15.0),
    (5.0, 75.0),
    (20.0, 20.0),
    (20.0, 100.0),
    (60.0, 60.0),
    (60.0, 300.0),
];
/// Factors that are tried, as far as there are more users and items.
const TRIED_FACTORS: [usize; 5] = [16, 32, 64, 128, 256];
/// Iterations of a trial: the first few bring nearly all of the gain.
const TRIAL_ITERATIONS: usize = 5;

/// The family `mf`.
pub(super) struct Mf;

impl Family for Mf {
    fn name(&self) -> &'static str {
        "mf"
    }

    fn summary(&self) -> &'static str {
        "Matrix factorisation: implicit-feedback ALS"
    }

    fn settings(&self) -> Vec<SettingInfo> {
        vec![
            FACTORS.searched(log(16.0, 256.0).in_multiples_of(8)).info(),
            REGULARIZATION.searched(log(0.1, 100.0)).info(),
            REGULARIZATION_SCALING.info(),
            ALPHA.searched(log(0.3, 30.0)).info(),
            ITERATIONS.searched(even(8.0, 24.0)).info(),
        ]
    }

    fn can_be_member(&self) -> bool {
        true
    }

    fn grid(&self, rows: &Interactions, _items: &[ItemRecord]) -> Grid {
        let pair = |(alpha, lambda): (f64, f64)| {
            ModelSettings::default().with(ALPHA.name, alpha).with(REGULARIZATION.name, lambda)
        };
        let most = rows.users.len().min(rows.items.len());
        let factors: Vec<usize> = TRIED_FACTORS
            .into_iter()
            .filter(|&count| count == FACTORS.default || count < most)
            .collect();
        let start = factors.iter().position(|&count| count == FACTORS.default).unwrap_or(0);
        let axes = vec![
            Axis::every(TRIED_PAIRS.map(pair).to_vec()),
            Axis::line(FACTORS.name, &factors, start),
        ];
        // λ stands beside sums over all users, and so depends on how many there are.
        let trial = ModelSettings::default().with(ITERATIONS.name, TRIAL_ITERATIONS);
        let cost = TRIAL_ITERATIONS as f64 / ITERATIONS.default as f64;
        Grid::of(axes).on_all_users().with_trials(trial, cost)
    }

    fn predicts_cold_items(&self) -> bool {
        true
    }

    fn train(&self, input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
        train(input)
    }
}

/// Settings of ALS, for `mf` and for `user-knn` by vectors.
pub(super) struct AlsSettings {
    /// What ALS is run with.
    pub(super) options: AlsOptions,
    /// Confidence in an observed pair of weight 1.
    pub(super) alpha: f32,
    /// What an interaction weighs.
    weight: Weight,
}

impl AlsSettings {
    /// Those that are given, and defaults.
    pub(super) fn of(settings: &ModelSettings, options: &TrainingOptions) -> Self {
        Self {
            options: AlsOptions {
                factors: settings.get(&FACTORS),
                regularization: settings.get(&REGULARIZATION),
                scaling: settings.get(&REGULARIZATION_SCALING),
                iterations: settings.get(&ITERATIONS),
                seed: options.seed,
            },
            alpha: settings.get(&ALPHA),
            weight: options.weight,
        }
    }

    /// Factors of users and items.
    ///
    /// # Errors
    /// Factors that are not finite.
    pub(super) fn factorise(
        &self,
        rows: &Interactions,
        label: &str,
    ) -> Result<Factors, TrainError> {
        let progress = TaskProgress::new(label);
        let total = self.options.iterations as u64;
        fit(&confidences(rows, self.weight, self.alpha), &self.options, &|done| {
            progress.set(done as u64, total)
        })
    }

    /// The part with these settings among its parameters.
    pub(super) fn noted_in(&self, part: TrainedPart) -> TrainedPart {
        part.parameter("factors", self.options.factors)
            .parameter("regularization", self.options.regularization)
            .parameter("regularization_scaling", choice_name(self.options.scaling))
            .parameter("alpha", self.alpha)
            .parameter("iterations", self.options.iterations)
            .parameter("weight", self.weight.name())
    }
}

fn train(input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
    let TrainingInput { rows, items, settings, options, label, .. } = input;
    let als = AlsSettings::of(settings, options);
    let mut factors = als.factorise(rows, label)?;
    // Items without interactions have factors of zero and are no part of the Gram matrix.
    let inverse = regularised_inverse(&factors, rows.users.len(), &als.options)?;
    let predicted = if options.predict_cold_items {
        Some(cold_items::predict(&mut factors, rows, items, options.seed)?)
    } else {
        None
    };
    let folding = fold_in_matrix(&factors, &inverse);
    let mut part = TrainedPart::new(mf_recipe(Some(FoldIn {
        matrix: ITEM_FOLD_IN.into(),
        confidence: f64::from(als.alpha),
    })));
    part.dense = mf_matrices(factors, options.index.clone(), options.row_format);
    part.dense.push(folding);
    if let Some(items) = predicted {
        part.notes
            .push(format!("mf: {items} items without interactions have vectors from their texts"));
        part = part.parameter("cold_items", items);
    }
    Ok(als.noted_in(part))
}

/// `(YᵀY + λI)⁻¹`, rank × rank. Where λ grows with what a user's confidences sum to, it is that of
/// the mean user: who is folded in has no row to sum.
fn regularised_inverse(
    factors: &Factors,
    users: usize,
    als: &AlsOptions,
) -> Result<Vec<f32>, TrainError> {
    let rank = factors.rank;
    let lambda = match als.scaling {
        RegularizationScaling::None => als.regularization,
        // λ is the mean over users and items, and either side's sums add up to the same: so the mean of
        // one side is as the other side's share of rows, twice.
        RegularizationScaling::Frequency => {
            let (users, items) = (users as f32, (factors.items.len() / rank) as f32);
            als.regularization * (users + items) / (2.0 * users)
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
    let Factors { rank, users, items } = factors;
    vec![
        DenseInput {
            name: USER_FACTORS.into(),
            entity: Entity::User,
            rank,
            data: users,
            index: None,
            rows: RowFormat::F32,
        },
        DenseInput {
            name: ITEM_FACTORS.into(),
            entity: Entity::Item,
            rank,
            data: items,
            index: Some(index),
            rows,
        },
    ]
}
