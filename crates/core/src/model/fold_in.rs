//! Folding in: a user's vector after the interactions since training, by the closed form of alternating least
//! squares.
//!
//! Training minimises `Σ c (p − ⟨x, y⟩)² + λ|x|²` over all items, so a user's vector is the minimum of
//! a quadratic form. Its matrix is `H = YᵀY + λI` as far as items without interactions go. Each new
//! item y, liked with confidence c = 1 + α, changes the form, and the new minimum is
//!
//! ```text
//! x' = x + Zᵀ (I + αK)⁻¹ (c − α Y x)        Z = Y H⁻¹,  K = Y Zᵀ
//! ```
//!
//! by the identity of Woodbury, where Y are the rows of the new items only. So a fold-in needs the
//! rows of a few items of two matrices, and no Gram matrix. For a new user x = 0 and the formula is
//! the row that training would give; for a known one it leaves out the confidence of older items in
//! H, which makes new ones count a little more than a retraining would. See Hu, Koren and Volinsky
//! (2008), equation 4, and Pilászy, Zibriczky and Tikk (2010) for the idea of solving in the size of
//! the history.

use faer::linalg::solvers::{Llt, Solve as _};
use faer::{Mat, Side};

/// An item of an interaction since training: its factors, and its row of the fold-in matrix.
#[derive(Clone, Copy, Debug)]
pub struct NewItem<'a> {
    /// Its row of Y, of rank components.
    pub factors: &'a [f32],
    /// Its row of `Y H⁻¹`, of as many.
    pub fold: &'a [f32],
}

/// The vector of a user, of rank components, after `items`; `user` may be zeros. None where numbers are too large
/// to solve with.
pub fn fold_in(user: &[f32], items: &[NewItem<'_>], confidence: f64) -> Option<Vec<f32>> {
    let (n, alpha) = (items.len(), confidence - 1.0);
    // K is symmetric up to rounding; the solver reads the lower half.
    let system = Mat::from_fn(n, n, |row, column| {
        let one = if row == column { 1.0 } else { 0.0 };
        one + alpha * dot(items[row].factors, items[column].fold)
    });
    let mut step = Mat::from_fn(n, 1, |row, _| confidence - alpha * dot(items[row].factors, user));
    Llt::new(system.as_ref(), Side::Lower).ok()?.solve_in_place(step.as_mut());
    let mut folded: Vec<f64> = user.iter().map(|&x| f64::from(x)).collect();
    for (item, row) in items.iter().zip(0..) {
        for (x, &z) in folded.iter_mut().zip(item.fold) {
            *x += step[(row, 0)] * f64::from(z);
        }
    }
    let folded: Vec<f32> = folded.into_iter().map(|x| x as f32).collect();
    folded.iter().all(|x| x.is_finite()).then_some(folded)
}

/// How often the row z of an item is in a user's vector that was fitted or folded in with it, with this
/// confidence.
///
/// The normal equations `(H + Yᵀ A Y) x = Yᵀ c`, where A has `α = c − 1` of each item on its diagonal, are
/// `H x = Yᵀ (c − A Y x)`. So `x = Zᵀ w` with `w_j = c_j − α_j ⟨y_j, x⟩`: what solving by the identity above comes to,
/// without solving. For what is folded into a known vector x the same holds of the step to x'.
pub fn residual(user: &[f32], factors: &[f32], confidence: f64) -> f64 {
    confidence - (confidence - 1.0) * dot(factors, user)
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 6 items × 3 factors.
    const Y: [[f32; 3]; 6] = [
        [0.9, 0.1, -0.3],
        [0.2, 0.8, 0.1],
        [-0.5, 0.3, 0.7],
        [0.4, -0.6, 0.2],
        [0.1, 0.1, 0.9],
        [0.6, 0.5, -0.2],
    ];
    const LAMBDA: f64 = 0.7;

    fn gram() -> Mat<f64> {
        Mat::from_fn(3, 3, |a, b| {
            let sum: f64 = Y.iter().map(|y| f64::from(y[a]) * f64::from(y[b])).sum();
            sum + if a == b { LAMBDA } else { 0.0 }
        })
    }

    /// Rows of the fold-in matrix.
    fn fold(at: usize) -> Vec<f32> {
        let mut row = Mat::from_fn(3, 1, |a, _| f64::from(Y[at][a]));
        Llt::new(gram().as_ref(), Side::Lower).expect("positive").solve_in_place(row.as_mut());
        (0..3).map(|a| row[(a, 0)] as f32).collect()
    }

    /// The row that training gives a user with these items, by its own equations.
    fn trained(items: &[usize], confidence: f64) -> Vec<f64> {
        let mut system = gram();
        let mut right = Mat::zeros(3, 1);
        for &at in items {
            for a in 0..3 {
                for b in 0..3 {
                    system[(a, b)] +=
                        (confidence - 1.0) * f64::from(Y[at][a]) * f64::from(Y[at][b]);
                }
                right[(a, 0)] += confidence * f64::from(Y[at][a]);
            }
        }
        Llt::new(system.as_ref(), Side::Lower).expect("positive").solve_in_place(right.as_mut());
        (0..3).map(|a| right[(a, 0)]).collect()
    }

    #[test]
    fn a_new_user_gets_the_row_that_training_would_give() {
        for items in [&[0][..], &[1, 4], &[0, 2, 3, 5], &[0, 1, 2, 3, 4, 5]] {
            for confidence in [0.5, 1.0, 4.0] {
                let folds: Vec<Vec<f32>> = items.iter().map(|&at| fold(at)).collect();
                let new = items.iter().zip(&folds);
                let new: Vec<NewItem<'_>> =
                    new.map(|(&at, fold)| NewItem { factors: &Y[at], fold }).collect();
                let folded = fold_in(&[0.0; 3], &new, confidence).expect("finite");
                for (folded, trained) in folded.iter().zip(trained(items, confidence)) {
                    let error = f64::from(*folded) - trained;
                    assert!(error.abs() < 1e-5, "{folded} is not {trained}");
                }
            }
        }
    }

    #[test]
    fn residuals_are_what_the_solution_is_made_of() {
        let items = [0, 2, 3, 5];
        let folds: Vec<Vec<f32>> = items.iter().map(|&at| fold(at)).collect();
        for confidence in [0.5, 1.0, 4.0] {
            let x: Vec<f32> = trained(&items, confidence).into_iter().map(|x| x as f32).collect();
            let mut sum = [0.0; 3];
            for (&at, fold) in items.iter().zip(&folds) {
                let weight = residual(&x, &Y[at], confidence);
                sum.iter_mut().zip(fold).for_each(|(sum, &z)| *sum += weight * f64::from(z));
            }
            for (sum, x) in sum.iter().zip(&x) {
                assert!((sum - f64::from(*x)).abs() < 1e-5, "{sum} is not {x}");
            }
        }
    }

    #[test]
    fn a_known_user_moves_towards_what_is_new() {
        let known: Vec<f32> = trained(&[1], 4.0).into_iter().map(|x| x as f32).collect();
        let dot = |x: &[f32]| x.iter().zip(Y[0]).map(|(x, y)| x * y).sum::<f32>();
        let folded =
            fold_in(&known, &[NewItem { factors: &Y[0], fold: &fold(0) }], 4.0).expect("finite");
        assert!(dot(&folded) > dot(&known) + 0.1);
        assert_eq!(fold_in(&known, &[], 4.0).expect("finite"), known);
    }

    #[test]
    fn numbers_beyond_all_bounds_are_no_vector() {
        let huge = NewItem { factors: &[f32::MAX; 3], fold: &[f32::MAX; 3] };
        assert_eq!(fold_in(&[f32::MAX; 3], &[huge], 1e300), None);
    }
}
