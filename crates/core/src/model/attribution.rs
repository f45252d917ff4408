//! Attribution: to which items of the history a score is due. It is for vectors that are sums of items.
//!
//! A score is an inner product, so where the vector is `x = Σ w_j z_j` over items j, the score of item i is the
//! sum of the parts `w_j ⟨z_j, y_i⟩`. For sums of topics, z is the item's own vector and w is known. For factors
//! of alternating least squares z_j is its row of `Y H⁻¹` and w follows from the normal equations
//! ([`residual`]). That a score is a sum over the history is from Hu, Koren and Volinsky (2008), section 5. Their
//! parts are `c_j y_iᵀ Wᵘ y_j` with an inverse of each user's own; these are by the rows that all users share,
//! so a part also has what the other items of the history say of item j. Both have the same sum, and are the
//! same where confidences are 1.

use crate::model::fold_in::{dot, residual};

/// How far, as a share of its length, a stored vector may be from the sum over its history. Trained rows are half
/// a sweep older than the items, which changes them by some hundredths. A vector that is further away is a sum of
/// something else, and is not attributed.
pub const MAX_UNEXPLAINED: f64 = 0.2;

/// How much an item counts in a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum VectorWeight {
    /// This many times.
    Times(f64),
    /// As much as training fits a user to it, with this confidence.
    Fitted(f64),
    /// As much as folding it in after training, with this confidence.
    FoldedIn(f64),
}

/// An item that a vector is a sum of.
#[derive(Clone, Copy, Debug)]
pub struct Summand<'a> {
    /// How much the item counts.
    pub weight: VectorWeight,
    /// The item's vector y, of rank components, among those that are compared.
    pub factors: &'a [f32],
    /// The item's row z, of rank components, which is added up.
    pub row: &'a [f32],
}

/// A user's vector before and after what came since training; the same where nothing did.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a> {
    /// As it is stored, of rank components; empty if none is.
    pub stored: &'a [f32],
    /// As it was compared, of rank components.
    pub compared: &'a [f32],
}

/// How often the row of each summand is in the vector, by their places. None if `all` items that the stored vector
/// was fitted to are among them and their sum is another vector.
pub fn weights(user: Vectors<'_>, summands: &[Summand<'_>], all: bool) -> Option<Vec<f64>> {
    let weights: Vec<f64> = summands.iter().map(|summand| weight(user, summand)).collect();
    let mut rest: Vec<f64> = user.stored.iter().map(|&x| f64::from(x)).collect();
    let mut is_fitted = false;
    for (summand, weight) in summands.iter().zip(&weights) {
        if matches!(summand.weight, VectorWeight::Fitted(_)) {
            is_fitted = true;
            for (rest, &z) in rest.iter_mut().zip(summand.row) {
                *rest -= weight * f64::from(z);
            }
        }
    }
    let missed = rest.iter().map(|x| x * x).sum::<f64>().sqrt();
    let is_other = missed > MAX_UNEXPLAINED * dot(user.stored, user.stored).sqrt();
    if all && is_fitted && is_other { None } else { Some(weights) }
}

fn weight(user: Vectors<'_>, summand: &Summand<'_>) -> f64 {
    match summand.weight {
        VectorWeight::Times(times) => times,
        VectorWeight::Fitted(confidence) => residual(user.stored, summand.factors, confidence),
        VectorWeight::FoldedIn(confidence) => residual(user.compared, summand.factors, confidence),
    }
}

/// The part of each summand in the score of an item, by their places.
pub fn parts(summands: &[Summand<'_>], weights: &[f64], item: &[f32]) -> Vec<f64> {
    summands.iter().zip(weights).map(|(it, weight)| weight * dot(it.row, item)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two items of two components; the Gram matrix of all is `YᵀY + λI = diag(2, 4)`, so rows of the fold-in
    /// matrix are `(y₁ / 2, y₂ / 4)`.
    const A: ([f32; 2], [f32; 2]) = ([1.0, 0.0], [0.5, 0.0]);
    const B: ([f32; 2], [f32; 2]) = ([1.0, 2.0], [0.5, 0.5]);

    fn summand(weight: VectorWeight, (factors, row): &([f32; 2], [f32; 2])) -> Summand<'_> {
        Summand { weight, factors, row }
    }

    /// Confidence 3, so α = 2. For A alone `x = (H + 2 y yᵀ)⁻¹ 3 y = (3 / 4, 0)`: its row is in it 3/2 times, which
    /// is the residual `3 − 2 · 3/4`.
    #[test]
    fn one_item_by_hand() {
        let x = [0.75, 0.0];
        let user = Vectors { stored: &x, compared: &x };
        let summands = [summand(VectorWeight::Fitted(3.0), &A)];
        let found = weights(user, &summands, true).expect("explained");
        assert_eq!(found, [1.5]);
        // ⟨x, B⟩ = 3/4, all of it by A.
        assert_eq!(parts(&summands, &found, &B.0), [0.75]);
    }

    /// For A and B `x` solves `[[6, 4], [4, 12]] x = (6, 6)`: x = (6/7, 3/14). Residuals: 3 − 2 · 6/7 = 9/7, and
    /// 3 − 2 · 9/7 = 3/7.
    #[test]
    fn two_items_by_hand_add_up_to_the_score() {
        let x = [6.0 / 7.0, 3.0 / 14.0];
        let user = Vectors { stored: &x, compared: &x };
        let summands =
            [summand(VectorWeight::Fitted(3.0), &A), summand(VectorWeight::Fitted(3.0), &B)];
        let found = weights(user, &summands, true).expect("explained");
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} is not {b}");
        near(found[0], 9.0 / 7.0);
        near(found[1], 3.0 / 7.0);
        let item = [2.0, -1.0];
        let of_item = parts(&summands, &found, &item);
        near(of_item[0], 9.0 / 7.0);
        near(of_item[1], 3.0 / 14.0);
        near(of_item.iter().sum(), f64::from(x[0] * item[0] + x[1] * item[1]));
    }

    /// What is fitted counts by the stored vector, what came since by the one that was compared.
    #[test]
    fn what_came_since_is_folded_in() {
        let stored = [0.75, 0.0];
        let new = crate::model::fold_in::NewItem { factors: &B.0, fold: &B.1 };
        let compared = crate::model::fold_in::fold_in(&stored, &[new], 3.0).expect("finite");
        let user = Vectors { stored: &stored, compared: &compared };
        let summands =
            [summand(VectorWeight::Fitted(3.0), &A), summand(VectorWeight::FoldedIn(3.0), &B)];
        let found = weights(user, &summands, true).expect("explained");
        let item = [0.3, 0.7];
        let score = dot(&compared, &item);
        assert!((parts(&summands, &found, &item).iter().sum::<f64>() - score).abs() < 1e-6);
        assert!(found[1] > 0.0 && score > dot(&stored, &item));
    }

    #[test]
    fn sums_have_the_parts_they_were_made_of() {
        let summands = [
            Summand { weight: VectorWeight::Times(1.0), factors: &A.0, row: &A.0 },
            Summand { weight: VectorWeight::Times(0.5), factors: &B.0, row: &B.0 },
        ];
        let x = [1.5, 1.0];
        let user = Vectors { stored: &x, compared: &x };
        let found = weights(user, &summands, true).expect("explained");
        assert_eq!(parts(&summands, &found, &[2.0, 4.0]), [2.0, 5.0]);
    }

    #[test]
    fn a_vector_of_something_else_is_not_explained() {
        let other = [0.0, 0.75];
        let user = Vectors { stored: &other, compared: &other };
        let summands = [summand(VectorWeight::Fitted(3.0), &A)];
        assert_eq!(weights(user, &summands, true), None);
        // As far as is known, where not all of the history was found.
        assert!(weights(user, &summands, false).is_some());
    }
}
