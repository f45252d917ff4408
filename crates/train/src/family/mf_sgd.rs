//! Matrix factorisation of values, ratings for one, by gradient descent on squared error with biases
//! (Koren, Bell and Volinsky 2009, equation 5).
//!
//! The value of user u for item i is taken for `μ + b_u + b_i + ⟨x_u, y_i⟩`, where μ is the mean of all. The
//! squared errors of the observed values, and λ times the squares of what is learned, are descended one
//! value at a time in an order by seed, by plain steps or by Adam (Kingma and Ba 2015), whose moments move
//! where a value is looked at only.
//!
//! A user's row is `[x_u, 1, μ + b_u]` and an item's `[y_i, b_i, 1]`: their inner product is the predicted
//! value. It ranks by how much people would like an item, not by whether they would choose it: as a
//! recommender of what comes next, it is far behind models that learn from choices.

use super::mf::{mf_matrices, mf_recipe};
use super::{Lesson, Part};
use crate::als::Factors;
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::options::{Optimizer, TrainArgs};
use crate::progress::Progress;
use crate::random::{Random, shuffle};
use crate::train::index_options;
use marquee_core::bounds::MAX_RANK;

/// Columns that the biases take.
const BIASES: usize = 2;
/// Start values lie within ± this over the root of how many factors there are.
const START_SCALE: f32 = 0.1;
/// Adam's: how long it remembers gradients and their squares, and what keeps it from dividing by zero.
const FIRST_DECAY: f32 = 0.9;
const SECOND_DECAY: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Fits it.
pub(super) fn fit(lesson: Lesson<'_>) -> Result<Part, TrainError> {
    let Lesson { rows, args, label, .. } = lesson;
    if !rows.has_values {
        let problem = "mf-sgd learns values, and the interactions have none: name their column with --value-column, \
                       or take --model mf or bpr";
        return Err(TrainError::option("--model", problem));
    }
    if args.factors() > MAX_RANK - BIASES {
        let most = MAX_RANK - BIASES;
        let problem = format!("mf-sgd has two biases beside them: at most {most} are allowed");
        return Err(TrainError::option("--factors", problem));
    }
    let (factors, error) = learn(rows, args, label);
    if !factors.users.iter().chain(&factors.items).all(|x| x.is_finite()) {
        let problem = "factors are not finite: give a smaller --learning-rate";
        return Err(TrainError::Diverged(problem.into()));
    }
    let mut part = Part::new(mf_recipe(None));
    part.dense = mf_matrices(factors, index_options(args), args.rows.into());
    part.notes.push(format!("mf-sgd: values are met with a root mean square error of {error:.4}"));
    Ok(part
        .parameter("factors", args.factors())
        .parameter("regularization", args.regularization())
        .parameter("learning_rate", args.learning_rate())
        .parameter("optimizer", args.optimizer().name())
        .parameter("iterations", args.iterations()))
}

/// Parameters with what Adam remembers of each.
struct Learned {
    values: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Learned {
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

/// Factors with biases as columns, and the error of the last sweep.
fn learn(rows: &Interactions, args: &TrainArgs, label: &str) -> (Factors, f64) {
    let (factors, rank) = (args.factors(), args.factors() + BIASES);
    let lambda = args.regularization();
    let adam = args.optimizer() == Optimizer::Adam;
    let mean = rows.value.iter().map(|&x| f64::from(x)).sum::<f64>() / rows.len().max(1) as f64;
    let mut random = Random::new(args.seed);
    let scale = START_SCALE / (factors as f32).sqrt();
    // The factors and the bias of each row; the column that is 1 for all is put in at the end.
    let width = factors + 1;
    let mut start = |count: usize| {
        let mut values: Vec<f32> =
            (0..count * width).map(|_| scale * (2.0 * random.uniform() - 1.0)).collect();
        values.chunks_exact_mut(width).for_each(|row| row[factors] = 0.0);
        Learned::new(values, adam)
    };
    let (mut users, mut items) = (start(rows.users.len()), start(rows.items.len()));
    let mut order: Vec<(u32, u32)> = Vec::with_capacity(rows.len());
    for user in 0..rows.users.len() {
        order.extend(rows.rows_of(user).map(|row| (user as u32, row as u32)));
    }
    let progress = Progress::new(label);
    let (mut steps, mut error) = (0i32, 0.0);
    for sweep in 1..=args.iterations() {
        shuffle(&mut order, args.seed.wrapping_add(sweep as u64));
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
            let stride = Stride { rate: args.learning_rate(), corrections };
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
        progress.set(sweep as u64, args.iterations() as u64);
    }
    let with_biases = |learned: Learned, columns: fn(f32, f32) -> [f32; 2]| -> Vec<f32> {
        let row = |row: &[f32]| {
            let biases = columns(row[factors], mean as f32);
            row[..factors].iter().copied().chain(biases).collect::<Vec<f32>>()
        };
        learned.values.chunks_exact(width).flat_map(row).collect()
    };
    let users = with_biases(users, |bias, mean| [1.0, mean + bias]);
    let items = with_biases(items, |bias, _| [bias, 1.0]);
    (Factors { rank, users, items }, error)
}
