//! Matrix factorisation by Bayesian personalised ranking (Rendle, Freudenthaler, Gantner and
//! Schmidt-Thieme 2009).
//!
//! An interaction of user u with item i and a random item j that u has not interacted with are a pair to
//! get right: `ln σ(s_ui − s_uj)` is ascended by stochastic gradients, where s is `⟨x_u, y_i⟩ + b_i`. The
//! items' bias is one more column of theirs against a 1 of all users, so that an inner product has it.
//!
//! Steps are taken one after another: the result is the same on any number of threads.

use super::definition::{Family, TrainingInput};
use super::mf::{mf_matrices, mf_recipe};
use super::part::TrainedPart;
use super::shared_settings::{FACTORS, ITERATIONS, LEARNING_RATE, REGULARIZATION};
use crate::als::Factors;
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::progress::TaskProgress;
use crate::random::Random;
use crate::settings::{Bounds, ModelSettings, Setting, SettingInfo, even, log};
use marquee_core::bounds::MAX_RANK;

/// Columns that the bias takes.
const BIASES: usize = 1;
/// Start values lie within ± this over the root of how many factors there are.
const START_SCALE: f32 = 0.1;
/// Draws of an item that the user may know, before the interaction is skipped: who knows nearly all
/// items has nearly no pairs.
const MAX_DRAWS: usize = 20;

const BPR_FACTORS: Setting<usize> = FACTORS
    .with_bounds(Bounds::Counts(1, (MAX_RANK - BIASES) as u64))
    .searched(log(16.0, 256.0).in_multiples_of(8));
const BPR_REGULARIZATION: Setting<f32> =
    REGULARIZATION.with_default(0.01).searched(log(0.001, 0.1));
const BPR_LEARNING_RATE: Setting<f32> = LEARNING_RATE.searched(log(0.01, 0.2));
const BPR_ITERATIONS: Setting<usize> = ITERATIONS.with_default(100).searched(even(30.0, 200.0));

/// The family `bpr`.
pub(super) struct Bpr;

impl Family for Bpr {
    fn name(&self) -> &'static str {
        "bpr"
    }

    fn summary(&self) -> &'static str {
        "Matrix factorisation by Bayesian personalised ranking"
    }

    fn settings(&self) -> Vec<SettingInfo> {
        vec![
            BPR_FACTORS.info(),
            BPR_REGULARIZATION.info(),
            BPR_LEARNING_RATE.info(),
            BPR_ITERATIONS.info(),
        ]
    }

    fn train(&self, input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
        train(input)
    }
}

struct BprSettings {
    /// Components of a vector without its bias.
    factors: usize,
    regularization: f32,
    learning_rate: f32,
    iterations: usize,
    seed: u64,
}

impl BprSettings {
    fn of(settings: &ModelSettings, seed: u64) -> Self {
        Self {
            factors: settings.get(&BPR_FACTORS),
            regularization: settings.get(&BPR_REGULARIZATION),
            learning_rate: settings.get(&BPR_LEARNING_RATE),
            iterations: settings.get(&BPR_ITERATIONS),
            seed,
        }
    }
}

fn train(input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
    let TrainingInput { rows, settings, options, label, .. } = input;
    let settings = BprSettings::of(settings, options.seed);
    let factors = descend(rows, &settings, label);
    if !factors.users.iter().chain(&factors.items).all(|x| x.is_finite()) {
        let problem = "factors are not finite: give a smaller --learning-rate";
        return Err(TrainError::Diverged(problem.into()));
    }
    let mut part = TrainedPart::new(mf_recipe(None));
    part.dense = mf_matrices(factors, options.index.clone(), options.row_format);
    Ok(part
        .parameter("factors", settings.factors)
        .parameter("regularization", settings.regularization)
        .parameter("learning_rate", settings.learning_rate)
        .parameter("iterations", settings.iterations))
}

/// Factors of users and items with the bias as a column, one step after another.
fn descend(rows: &Interactions, settings: &BprSettings, label: &str) -> Factors {
    let (factors, rank) = (settings.factors, settings.factors + BIASES);
    let (rate, lambda) = (settings.learning_rate, settings.regularization);
    let mut random = Random::new(settings.seed);
    let scale = START_SCALE / (factors as f32).sqrt();
    let mut users: Vec<f32> =
        (0..rows.users.len() * rank).map(|_| scale * (2.0 * random.uniform() - 1.0)).collect();
    users.chunks_exact_mut(rank).for_each(|user| user[factors] = 1.0);
    let mut items: Vec<f32> =
        (0..rows.items.len() * rank).map(|_| scale * (2.0 * random.uniform() - 1.0)).collect();
    items.chunks_exact_mut(rank).for_each(|item| item[factors] = 0.0);
    let mut user_of = vec![0u32; rows.len()];
    for user in 0..rows.users.len() {
        user_of[rows.rows_of(user)].fill(user as u32);
    }
    let progress = TaskProgress::new(label);
    for sweep in 1..=settings.iterations {
        for _ in 0..rows.len() {
            let row = random.below(rows.len());
            let (user, liked) = (user_of[row] as usize, rows.item[row] as usize);
            let known = rows.items_of(user);
            let unknown = (0..MAX_DRAWS)
                .map(|_| random.below(rows.items.len()))
                .find(|&item| known.binary_search(&(item as u32)).is_err());
            let Some(other) = unknown else { continue };
            let x = &mut users[user * rank..(user + 1) * rank];
            let Ok([y, z]) = items.get_disjoint_mut([
                liked * rank..(liked + 1) * rank,
                other * rank..(other + 1) * rank,
            ]) else {
                continue;
            };
            let margin: f32 = x.iter().zip(&*y).zip(&*z).map(|((x, y), z)| x * (y - z)).sum();
            let pull = 1.0 / (1.0 + margin.exp());
            for ((x, y), z) in x.iter_mut().zip(y).zip(z).take(factors) {
                let (from, of_liked, of_other) = (*x, *y, *z);
                *x += rate * (pull * (of_liked - of_other) - lambda * from);
                *y += rate * (pull * from - lambda * of_liked);
                *z += rate * (-pull * from - lambda * of_other);
            }
            for (item, sign) in [(liked, 1.0), (other, -1.0)] {
                let bias = &mut items[item * rank + factors];
                *bias += rate * (sign * pull - lambda * *bias);
            }
        }
        progress.set(sweep as u64, settings.iterations as u64);
    }
    Factors { rank, users, items }
}
