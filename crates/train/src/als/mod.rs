//! Matrix factorisation by alternating least squares for implicit feedback (Hu, Koren and Volinsky
//! 2008), with conjugate gradients (Takács, Pilászy and Tikk 2011).
//!
//! [`fit`] takes users × items with the confidence c > 0 of each observed pair, and minimises
//! `Σ_all c_ui (p_ui − ⟨x_u, y_i⟩)² + Σ λ_u |x_u|² + Σ λ_i |y_i|²`, where p is 1 and c as given for
//! an observed pair, and p is 0 and c is 1 for any other. So confidences mean here what they mean in
//! PyPI `implicit`, whose results at equal settings these equal but for the random start.
//!
//! Deliberately missing: negative feedback, biases, early stopping.

mod gram;
mod kernels;
mod side;
mod solve;
#[cfg(test)]
mod tests;

use crate::csr::Csr;
use crate::error::TrainError;
use crate::random::Random;
pub(crate) use gram::scores;
use kernels::padded;
use serde::{Deserialize, Serialize};
use side::Side;
use solve::{Regularization, solve_side};

/// How λ depends on how often a user or an item occurs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegularizationScaling {
    /// One λ for all, as PyPI `implicit` has it.
    #[default]
    None,
    /// λ in proportion to the confidence that a row sums to over all columns, observed or not
    /// (Rendle, Krichene, Zhang and Koren 2021, arXiv 2110.14037, with ν = 1), scaled so that the
    /// mean over all users and items is the given λ: a value tuned without scaling is a good first
    /// guess with it.
    Frequency,
}

impl RegularizationScaling {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Frequency => "frequency",
        }
    }
}

/// Settings of a fit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlsOptions {
    /// Components of a factor vector, 1 to 4,096.
    pub factors: usize,
    /// λ, at least 0.
    pub regularization: f32,
    /// How λ is spread over users and items.
    pub scaling: RegularizationScaling,
    /// Sweeps over users and items, at least 1.
    pub iterations: usize,
    /// Decides the random start.
    pub seed: u64,
}

/// Factors of users and items, row-major, of one rank.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Factors {
    /// Components of a vector.
    pub rank: usize,
    /// The users' factors, row-major, users × rank.
    pub users: Vec<f32>,
    /// The items' factors, row-major, items × rank.
    pub items: Vec<f32>,
}

/// The random start lies in [0, this): small, so that the first solve forgets it.
const START_SCALE: f32 = 0.01;

/// A random start for this many users and items.
pub fn random_start(users: usize, items: usize, rank: usize, seed: u64) -> Factors {
    let mut random = Random::new(seed);
    let mut draw = |rows: usize| (0..rows * rank).map(|_| random.uniform() * START_SCALE).collect();
    Factors { rank, users: draw(users), items: draw(items) }
}

/// Factorises users × items of confidences from a random start.
///
/// `progress` is called after each iteration with how many are done.
///
/// # Errors
/// When the factors stop being finite.
pub fn fit(
    confidences: &Csr,
    options: &AlsOptions,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Factors, TrainError> {
    let start =
        random_start(confidences.rows(), confidences.columns, options.factors, options.seed);
    fit_from(confidences, options, start, progress)
}

/// As [`fit`], from a given start; its rank is what `options.factors` says.
///
/// # Errors
/// When the factors stop being finite.
pub fn fit_from(
    confidences: &Csr,
    options: &AlsOptions,
    start: Factors,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Factors, TrainError> {
    let rank = start.rank;
    let (mut users, mut items) = (pad(&start.users, rank), pad(&start.items, rank));
    drop(start);
    let transposed = confidences.transpose();
    let [user_lambda, item_lambda] = regularization(confidences, &transposed, options);
    for iteration in 1..=options.iterations {
        solve_side(confidences, &mut users, &items, rank, &user_lambda)?;
        solve_side(&transposed, &mut items, &users, rank, &item_lambda)?;
        progress(iteration);
    }
    let factors = Factors { rank, users: strip(users, rank), items: strip(items, rank) };
    if !factors.users.iter().chain(&factors.items).all(|value| value.is_finite()) {
        let problem = "factors are not finite: give more --regularization or a smaller --alpha";
        return Err(TrainError::Diverged(problem.into()));
    }
    Ok(factors)
}

/// `(YᵀY + λI)⁻¹` of factors rows × rank, row-major rank × rank.
///
/// # Errors
/// When λ is 0 and the factors don't span all components.
pub(crate) fn inverse_gram(
    factors: &[f32],
    rank: usize,
    lambda: f32,
) -> Result<Vec<f32>, TrainError> {
    let side = pad(factors, rank);
    let stride = side.stride;
    let inverse = gram::gram(&side, rank).inverse(lambda)?;
    Ok(inverse.chunks_exact(stride).take(rank).flat_map(|row| &row[..rank]).copied().collect())
}

fn regularization(users: &Csr, items: &Csr, options: &AlsOptions) -> [Regularization; 2] {
    let lambda = options.regularization;
    if options.scaling == RegularizationScaling::None {
        return [Regularization::Same(lambda), Regularization::Same(lambda)];
    }
    let masses = [confidence_sums(users), confidence_sums(items)];
    let rows = (users.rows() + items.rows()) as f64;
    let mean = masses.iter().flatten().sum::<f64>() / rows;
    masses.map(|masses| {
        let scale = f64::from(lambda) / mean.max(f64::MIN_POSITIVE);
        Regularization::PerRow(masses.iter().map(|mass| (mass * scale) as f32).collect())
    })
}

/// What each row's confidences sum to: 1 for each column, and what observed ones have above 1.
fn confidence_sums(matrix: &Csr) -> Vec<f64> {
    let mut sums = Vec::with_capacity(matrix.rows());
    for row in 0..matrix.rows() {
        let excess = matrix.row(row).1.iter().map(|&c| f64::from(c) - 1.0).sum::<f64>();
        sums.push((matrix.columns as f64 + excess).max(0.0));
    }
    sums
}

fn pad(rows: &[f32], rank: usize) -> Side {
    let stride = padded(rank);
    let mut data = vec![0.0; rows.len() / rank * stride];
    for (from, to) in rows.chunks_exact(rank).zip(data.chunks_exact_mut(stride)) {
        to[..rank].copy_from_slice(from);
    }
    Side { data, stride }
}

fn strip(side: Side, rank: usize) -> Vec<f32> {
    if side.stride == rank {
        return side.data;
    }
    side.data.chunks_exact(side.stride).flat_map(|row| &row[..rank]).copied().collect()
}
