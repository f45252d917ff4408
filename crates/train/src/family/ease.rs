//! EASE, a linear model of items by items in closed form (Steck 2019, "Embarrassingly Shallow
//! Autoencoders for Sparse Data").
//!
//! With X users × items and `P = (XᵀX + λI)⁻¹`, the weights that reproduce X best without using an
//! item for itself are `B = −P / diag(P)`, column by column, with a zero diagonal (equations 7 and 8).
//!
//! P is items × items. Where users are fewer, the same P is `(I − Xᵀ (XXᵀ + λI)⁻¹ X) / λ`, by the
//! identity of Woodbury: an inverse of users × users, and sums over the few interactions of each item
//! instead of a dense product.
//!
//! Of each row of B, which is what one liked item says of all others, the largest entries by magnitude are
//! kept: what speaks against an item counts as well.

use super::definition::{Family, TrainingInput};
use super::grid::{Axis, Grid};
use super::part::TrainedPart;
use super::shared_settings::{
    DECAY, NEIGHBOURS, NEWEST, REGULARIZATION, decay_axis, history_weights,
};
use super::sparse::{SparseEntry, assemble, greatest, weights, without_room};
use crate::csr::Csr;
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::settings::{Setting, SettingInfo, log};
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};
use marquee_bundle::{ItemRecord, SparseInput, SparseShape};
use marquee_core::model::recipe::Recipe;
use rayon::prelude::*;

/// The matrix of weights in a bundle, items × items: what a liked item says of another.
pub(crate) const EASE: &str = "ease";
/// Most users or items, whichever are fewer: their square in doubles is what the inverse takes, 3.2 GB.
const MAX_SIDE: usize = 20_000;

/// λ for each user, where none is given: more users make the Gram matrix larger, and what is right for it grows
/// with it until it stays.
const LAMBDA_PER_USER: f32 = 0.2;
/// What λ is kept within, where none is given. Steck (2019) has 200 to 1,000 for catalogues of 20,000 to 41,000 items.
const LAMBDA_RANGE: (f32, f32) = (50.0, 1_000.0);

/// What is tried of λ, as multiples of the fixed one in the middle.
const LAMBDA_STEPS: [f32; 5] = [0.1, 0.3, 1.0, 3.0, 10.0];

const LAMBDA: Setting<Option<f32>> = REGULARIZATION
    .without_default("a fifth of the users, within 50 to 1000")
    .searched(log(10.0, 3_000.0));
const EASE_DECAY: Setting<f64> = DECAY.with_default(0.8);

/// The family `ease`.
pub(super) struct Ease;

impl Family for Ease {
    fn name(&self) -> &'static str {
        "ease"
    }

    fn summary(&self) -> &'static str {
        "A linear model of items by items, in closed form (EASE)"
    }

    fn settings(&self) -> Vec<SettingInfo> {
        vec![LAMBDA.info(), NEIGHBOURS.info(), EASE_DECAY.info(), NEWEST.info()]
    }

    fn can_be_member(&self) -> bool {
        true
    }

    fn unsuited(&self, rows: &Interactions, _items: &[ItemRecord]) -> Option<String> {
        let (users, items) = (rows.users.len(), rows.items.len());
        (!fits(rows)).then(|| {
            format!(
                "{users} users and {items} items, of which one would have to be {MAX_SIDE} or fewer"
            )
        })
    }

    fn grid(&self, rows: &Interactions, _items: &[ItemRecord]) -> Grid {
        if !fits(rows) {
            return Grid::default();
        }
        let fixed = lambda_of(rows);
        let lambdas = LAMBDA_STEPS.map(|step| f64::from(fixed * step));
        let decays = decay_axis(rows, &[0.6, 0.8, 0.9, 1.0], 1);
        let mut axes = vec![Axis::line(LAMBDA.name, &lambdas, LAMBDA_STEPS.len() / 2)];
        axes.extend(decays);
        // What is right for λ depends on how many users there are.
        Grid::of(axes).on_all_users()
    }

    fn train(&self, input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
        train(input)
    }
}

/// λ where none is given.
fn lambda_of(rows: &Interactions) -> f32 {
    let (low, high) = LAMBDA_RANGE;
    (LAMBDA_PER_USER * rows.users.len() as f32).clamp(low, high)
}

/// Whether there is room for the inverse.
fn fits(rows: &Interactions) -> bool {
    rows.users.len().min(rows.items.len()) <= MAX_SIDE
}

fn train(input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
    let TrainingInput { rows, settings, options, .. } = input;
    let history = history_weights(settings, &EASE_DECAY, &NEWEST, rows.has_times())?;
    let kept = settings.get(&NEIGHBOURS);
    let lambda = settings.get(&LAMBDA).unwrap_or(lambda_of(rows));
    if !fits(rows) {
        return Err(TrainError::Data(format!(
            "ease inverts a matrix of users × users or items × items, whichever is smaller, and has room for \
             {MAX_SIDE}: there are {} users and {} items; take --model rp3beta or item-knn, or fewer items",
            rows.users.len(),
            rows.items.len()
        )));
    }
    let users = weights(rows, options.weight);
    let inverse = Inverse::of(users, f64::from(lambda))?;
    let diagonal = inverse.diagonal();
    let rows_of_b: Vec<(Vec<SparseEntry>, f64, f64)> = (0..rows.items.len())
        .into_par_iter()
        .map_init(Vec::new, |row, item| {
            inverse.row(item, row);
            let mut all: Vec<SparseEntry> = Vec::new();
            for (other, &p) in row.iter().enumerate().filter(|(other, _)| *other != item) {
                let weight = (-p / diagonal[other]) as f32;
                if weight != 0.0 {
                    all.push((other as u32, weight));
                }
            }
            let sum_of_all = sum_of_sizes(&all);
            let best = largest(all, kept);
            let sum_of_best = sum_of_sizes(&best);
            (best, sum_of_all, sum_of_best)
        })
        .collect();
    let (mut total, mut stays) = (0.0, 0.0);
    for (_, all, kept) in &rows_of_b {
        total += all;
        stays += kept;
    }
    let matrix = assemble(rows_of_b.into_iter().map(|(row, ..)| row).collect());
    let mut part = TrainedPart::new(Recipe::ItemRows { matrix: EASE.into(), history });
    part.sparse.push(SparseInput { name: EASE.into(), shape: SparseShape::ITEM_ROWS, matrix });
    if total > 0.0 {
        let share = 100.0 * (total - stays) / total;
        part.notes.push(format!(
            "ease: of each item the {kept} largest weights were kept; the others had {share:.1} % of the sum of all"
        ));
    }
    Ok(part
        .parameter("regularization", lambda)
        .parameter("neighbours", kept)
        .parameter("weight", options.weight.name())
        .history_parameters())
}

/// The `count` largest by magnitude, equal ones by smaller column, in the order of columns.
fn largest(entries: Vec<SparseEntry>, count: usize) -> Vec<SparseEntry> {
    if entries.len() <= count {
        return without_room(entries);
    }
    let magnitudes: Vec<SparseEntry> =
        entries.iter().zip(0..).map(|(e, at)| (at, e.1.abs())).collect();
    let mut best = Vec::with_capacity(count);
    best.extend(greatest(magnitudes, count).into_iter().map(|(at, _)| entries[at as usize]));
    best
}

/// The sum of the entries' absolute values.
fn sum_of_sizes(entries: &[SparseEntry]) -> f64 {
    entries.iter().map(|&(_, weight)| f64::from(weight.abs())).sum()
}

/// `(XᵀX + λI)⁻¹`, by whichever side is smaller.
struct Inverse {
    /// What each user had, users × items.
    users: Csr,
    /// Which users had each item, items × users.
    items: Csr,
    lambda: f64,
    /// Of the Gram matrix of users (`dual`) or of items.
    inverse: Mat<f64>,
    dual: bool,
}

impl Inverse {
    fn of(users: Csr, lambda: f64) -> Result<Self, TrainError> {
        let items = users.transpose();
        let dual = users.rows() < users.columns;
        let mut gram = if dual { gram(&users, &items) } else { gram(&items, &users) };
        for n in 0..gram.nrows() {
            gram[(n, n)] += lambda;
        }
        let factor = gram.llt(Side::Lower).map_err(|_| {
            TrainError::Diverged(
                "the Gram matrix has no inverse: give --regularization above 0".into(),
            )
        })?;
        drop(gram);
        Ok(Self { users, items, lambda, inverse: factor.inverse(), dual })
    }

    /// P_jj of every item.
    fn diagonal(&self) -> Vec<f64> {
        (0..self.items.rows()).into_par_iter().map(|item| self.diagonal_entry(item)).collect()
    }

    /// P_jj of one item.
    fn diagonal_entry(&self, item: usize) -> f64 {
        if !self.dual {
            return self.inverse[(item, item)];
        }
        let (users, weights) = self.items.row(item);
        let mut sum = 0.0;
        for (&a, &x) in users.iter().zip(weights) {
            for (&b, &y) in users.iter().zip(weights) {
                sum += f64::from(x) * f64::from(y) * self.inverse[(b as usize, a as usize)];
            }
        }
        (1.0 - sum) / self.lambda
    }

    /// P's row of an item, for every other item.
    fn row(&self, item: usize, out: &mut Vec<f64>) {
        out.clear();
        if !self.dual {
            out.extend((0..self.items.rows()).map(|other| self.inverse[(other, item)]));
            return;
        }
        // What each user's interactions are multiplied by, then the sums over them.
        let mut factors = vec![0.0; self.users.rows()];
        let (users, weights) = self.items.row(item);
        for (&user, &x) in users.iter().zip(weights) {
            let column = self.inverse.col(user as usize);
            for (factor, value) in factors.iter_mut().zip(column.iter()) {
                *factor += f64::from(x) * value;
            }
        }
        out.extend((0..self.items.rows()).map(|other| {
            let (users, weights) = self.items.row(other);
            let terms =
                users.iter().zip(weights).map(|(&user, &x)| factors[user as usize] * f64::from(x));
            -terms.sum::<f64>() / self.lambda
        }));
    }
}

/// left × leftᵀ, dense, given both left and its transpose.
fn gram(left: &Csr, transposed: &Csr) -> Mat<f64> {
    let mut out = Mat::zeros(left.rows(), left.rows());
    for row in 0..left.rows() {
        let (middles, weights) = left.row(row);
        for (&middle, &weight) in middles.iter().zip(weights) {
            let (columns, values) = transposed.row(middle as usize);
            for (&column, &value) in columns.iter().zip(values) {
                out[(column as usize, row)] += f64::from(weight) * f64::from(value);
            }
        }
    }
    out
}
