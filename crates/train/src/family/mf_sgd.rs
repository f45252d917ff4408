//! Matrix factorisation of values, ratings for one, by gradient descent on squared error with biases
//! (Koren, Bell and Volinsky 2009, equation 5).
//!
//! The value of user u for item i is taken for `μ + b_u + b_i + ⟨x_u, y_i⟩`, where μ is the mean of all. The
//! squared errors of the observed values, and λ times the squares of the parameters, are descended one
//! value at a time in an order by seed, by plain steps or by Adam (Kingma and Ba 2015), whose moments move
//! where a value is looked at only.
//!
//! A user's row is `[x_u, 1, μ + b_u]` and an item's `[y_i, b_i, 1]`: their inner product is the predicted
//! value. It ranks by how much users would like an item, not by whether they would choose it: as a
//! recommender of what comes next, it is far behind models that are trained on choices.

use super::definition::{Family, TrainingInput};
use super::mf::{mf_matrices, mf_recipe};
use super::part::TrainedPart;
use super::shared_settings::{FACTORS, ITERATIONS, LEARNING_RATE, REGULARIZATION};
use crate::als::Factors;
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::progress::TaskProgress;
use crate::random::{Random, shuffle};
use crate::settings::{
    Bounds, ModelSettings, Setting, SettingInfo, choice_name, choice_value, even, log,
};
use clap::ValueEnum;
use marquee_core::bounds::MAX_RANK;

/// Columns that the biases take.
const BIASES: usize = 2;
/// Start values lie within ± this over the root of how many factors there are.
const START_SCALE: f32 = 0.1;
/// Adam's: how long it remembers gradients and their squares, and what keeps it from dividing by zero.
const FIRST_DECAY: f32 = 0.9;
const SECOND_DECAY: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// How gradients become steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Optimizer {
    /// Each step as long as its gradient.
    Sgd,
    /// Steps scaled by what gradients were like so far (Kingma and Ba 2015).
    Adam,
}
choice_value!(Optimizer);

const SGD_FACTORS: Setting<usize> = FACTORS
    .with_bounds(Bounds::Counts(1, (MAX_RANK - BIASES) as u64))
    .searched(log(8.0, 128.0).in_multiples_of(8));
const SGD_REGULARIZATION: Setting<f32> =
    REGULARIZATION.with_default(0.05).searched(log(0.005, 0.5));
const SGD_LEARNING_RATE: Setting<Option<f32>> =
    LEARNING_RATE.without_default("with adam 0.005, with sgd 0.01").searched(log(0.001, 0.03));
const SGD_ITERATIONS: Setting<usize> = ITERATIONS.with_default(30).searched(even(10.0, 60.0));
const OPTIMIZER: Setting<Optimizer> =
    Setting::new("optimizer", "How gradients become steps", Bounds::Choices, Optimizer::Adam);

/// The family `mf-sgd`.
pub(super) struct MfSgd;

impl Family for MfSgd {
    fn name(&self) -> &'static str {
        "mf-sgd"
    }

    fn summary(&self) -> &'static str {
        "Matrix factorisation of values (ratings) by gradient descent, with biases"
    }

    fn settings(&self) -> Vec<SettingInfo> {
        vec![
            SGD_FACTORS.info(),
            SGD_REGULARIZATION.info(),
            SGD_LEARNING_RATE.info(),
            SGD_ITERATIONS.info(),
            OPTIMIZER.info(),
        ]
    }

    fn train(&self, input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
        train(input)
    }
}

struct SgdSettings {
    /// Components of a vector without its biases.
    factors: usize,
    regularization: f32,
    learning_rate: f32,
    iterations: usize,
    optimizer: Optimizer,
    seed: u64,
}

impl SgdSettings {
    fn of(settings: &ModelSettings, seed: u64) -> Self {
        let optimizer = settings.get(&OPTIMIZER);
        let learning_rate = match optimizer {
            Optimizer::Adam => 0.005,
            Optimizer::Sgd => 0.01,
        };
        Self {
            factors: settings.get(&SGD_FACTORS),
            regularization: settings.get(&SGD_REGULARIZATION),
            learning_rate: settings.get(&SGD_LEARNING_RATE).unwrap_or(learning_rate),
            iterations: settings.get(&SGD_ITERATIONS),
            optimizer,
            seed,
        }
    }
}

fn train(input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
    let TrainingInput { rows, settings, options, label, .. } = input;
    if !rows.has_values {
        let problem = "mf-sgd predicts values, and the interactions have none: name their column with --value-column, \
                       or take --model mf or bpr";
        return Err(TrainError::option("--model", problem));
    }
    let settings = SgdSettings::of(settings, options.seed);
    let (factors, error) = descend(rows, &settings, label);
    if !factors.users.iter().chain(&factors.items).all(|x| x.is_finite()) {
        let problem = "factors are not finite: give a smaller --learning-rate";
        return Err(TrainError::Diverged(problem.into()));
    }
    let mut part = TrainedPart::new(mf_recipe(None));
    part.dense = mf_matrices(factors, options.index.clone(), options.row_format);
    part.notes
        .push(format!("mf-sgd: values are predicted with a root mean square error of {error:.4}"));
    Ok(part
        .parameter("factors", settings.factors)
        .parameter("regularization", settings.regularization)
        .parameter("learning_rate", settings.learning_rate)
        .parameter("optimizer", choice_name(settings.optimizer))
        .parameter("iterations", settings.iterations))
}

/// Parameters with what Adam remembers of each.
struct Parameters {
    values: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Parameters {
    fn new(values: Vec<f32>, adam: bool) -> Self {
        let zeros = if adam { vec![0.0; values.len()] } else { Vec::new() };
        Self { values, first: zeros.clone(), second: zeros }
    }

    /// A step against a gradient.
    fn step(&mut self, at: usize, gradient: f32, stride: &Stride) {
        match stride.corrections {
            None => self.values[at] -= stride.rate * gradient,
            Some((of_first, of_second)) => {
                let first = &mut self.first[at];
                *first = FIRST_DECAY * *first + (1.0 - FIRST_DECAY) * gradient;
                let second = &mut self.second[at];
                *second = SECOND_DECAY * *second + (1.0 - SECOND_DECAY) * gradient * gradient;
                let (first, second) = (*first / of_first, *second / of_second);
                self.values[at] -= stride.rate * first / (second.sqrt() + EPSILON);
            }
        }
    }
}

/// How long a step is, and what Adam's moments, which start at zero, are divided by so far.
struct Stride {
    rate: f32,
    corrections: Option<(f32, f32)>,
}

/// Random factors of `count` rows, each with a bias of 0 in its last column, row-major.
fn start(count: usize, width: usize, random: &mut Random) -> Vec<f32> {
    let bias = width - 1;
    let scale = START_SCALE / (bias as f32).sqrt();
    let mut values: Vec<f32> =
        (0..count * width).map(|_| scale * (2.0 * random.uniform() - 1.0)).collect();
    values.chunks_exact_mut(width).for_each(|row| row[bias] = 0.0);
    values
}

/// Factors with biases as columns, and the error of the last sweep.
fn descend(rows: &Interactions, settings: &SgdSettings, label: &str) -> (Factors, f64) {
    let (factors, rank) = (settings.factors, settings.factors + BIASES);
    let lambda = settings.regularization;
    let adam = settings.optimizer == Optimizer::Adam;
    let mean = rows.value.iter().map(|&x| f64::from(x)).sum::<f64>() / rows.len().max(1) as f64;
    let mut random = Random::new(settings.seed);
    // The factors and the bias of each row; the column that is 1 for all is put in at the end.
    let width = factors + 1;
    let mut users = Parameters::new(start(rows.users.len(), width, &mut random), adam);
    let mut items = Parameters::new(start(rows.items.len(), width, &mut random), adam);
    let mut order: Vec<(u32, u32)> = Vec::with_capacity(rows.len());
    for user in 0..rows.users.len() {
        order.extend(rows.rows_of(user).map(|row| (user as u32, row as u32)));
    }
    let progress = TaskProgress::new(label);
    let (mut steps, mut error) = (0i32, 0.0);
    for sweep in 1..=settings.iterations {
        shuffle(&mut order, settings.seed.wrapping_add(sweep as u64));
        let mut squares = 0.0;
        for &(user, row) in &order {
            let (x, y) = (user as usize * width, rows.item[row as usize] as usize * width);
            let dot: f32 = users.values[x..x + factors]
                .iter()
                .zip(&items.values[y..y + factors])
                .map(|(x, y)| x * y)
                .sum();
            let biases = users.values[x + factors] + items.values[y + factors];
            let miss = mean as f32 + biases + dot - rows.value[row as usize];
            squares += f64::from(miss).powi(2);
            steps = steps.saturating_add(1);
            let corrections =
                adam.then(|| (1.0 - FIRST_DECAY.powi(steps), 1.0 - SECOND_DECAY.powi(steps)));
            let stride = Stride { rate: settings.learning_rate, corrections };
            for n in 0..factors {
                let (of_user, of_item) = (users.values[x + n], items.values[y + n]);
                users.step(x + n, miss * of_item + lambda * of_user, &stride);
                items.step(y + n, miss * of_user + lambda * of_item, &stride);
            }
            let (of_user, of_item) = (users.values[x + factors], items.values[y + factors]);
            users.step(x + factors, miss + lambda * of_user, &stride);
            items.step(y + factors, miss + lambda * of_item, &stride);
        }
        error = (squares / rows.len().max(1) as f64).sqrt();
        progress.set(sweep as u64, settings.iterations as u64);
    }
    let users = with_last_columns(&users.values, factors, |bias| [1.0, mean as f32 + bias]);
    let items = with_last_columns(&items.values, factors, |bias| [bias, 1.0]);
    (Factors { rank, users, items }, error)
}

/// Rows of factors and a bias, with two columns in place of the bias.
fn with_last_columns(
    values: &[f32],
    factors: usize,
    columns: impl Fn(f32) -> [f32; 2],
) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len() / (factors + 1) * (factors + 2));
    for row in values.chunks_exact(factors + 1) {
        out.extend_from_slice(&row[..factors]);
        out.extend(columns(row[factors]));
    }
    out
}
