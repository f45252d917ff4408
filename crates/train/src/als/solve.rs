//! One half-step of ALS: all rows of one side, given the other side.
//!
//! For a row with observed columns i of confidence c_i, factors y_i, the loss is least where
//! `(YᵀY + λI + Σ (c_i − 1) y_i y_iᵀ) x = Σ c_i y_i` (Hu, Koren and Volinsky 2008, equation 4). Where
//! all confidences are 1, the matrix is one for all rows and is inverted once; elsewhere a few steps
//! of conjugate gradients from the last solution do (Takács, Pilászy and Tikk 2011).
//!
//! Rows are independent of one another and each is summed in the order of its columns, so the
//! result does not depend on how many threads there are.

use super::gram::gram;
use super::kernels::{add_gram_product, add_rows, add_scaled, dot, scale_and_add};
use super::side::Side;
use crate::csr::Csr;
use crate::error::TrainError;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Steps of conjugate gradients a row: with the last solution to start from, more do not make
/// better recommendations (Takács et al. 2011, and what PyPI `implicit` does).
const CG_STEPS: usize = 3;
/// A squared residual below which a row is solved.
const SOLVED: f32 = 1e-20;
/// Rows that a task solves: enough that handing out tasks costs nothing, few enough to balance.
const ROWS_PER_TASK: usize = 64;

/// Solves every row of `target` given `other`; `regularization(row)` is λ.
pub(super) fn solve_side(
    matrix: &Csr,
    target: &mut Side,
    other: &Side,
    rank: usize,
    regularization: &Regularization,
) -> Result<(), TrainError> {
    let stride = other.stride;
    let arch = Arch::new();
    let gram = gram(other, rank);
    let ones = matrix.values.iter().all(|&confidence| confidence == 1.0);
    let method = match regularization {
        Regularization::Same(lambda) if ones => Method::Inverse(gram.inverse(*lambda)?),
        _ => Method::ConjugateGradients { gram: gram.to_f32(), ones },
    };
    target.data.par_chunks_mut(ROWS_PER_TASK * stride).enumerate().for_each_init(
        Scratch::default,
        |scratch, (n, x)| {
            let rows = RowsToSolve {
                matrix,
                other,
                x,
                first: n * ROWS_PER_TASK,
                method: &method,
                regularization,
                scratch,
            };
            arch.dispatch(rows);
        },
    );
    Ok(())
}

/// λ of each row.
pub(super) enum Regularization {
    /// The same for all.
    Same(f32),
    /// A λ for each row.
    PerRow(Vec<f32>),
}

enum Method {
    /// `(YᵀY + λI)⁻¹`, stride × stride.
    Inverse(Vec<f32>),
    /// `YᵀY`, stride × stride, and whether all confidences are 1.
    ConjugateGradients { gram: Vec<f32>, ones: bool },
}

/// Buffers of one task, reused from row to row.
#[derive(Default)]
struct Scratch {
    /// The factors of a row's columns, side by side, so that the passes over them are sequential.
    gathered: Vec<f32>,
    residual: Vec<f32>,
    direction: Vec<f32>,
    product: Vec<f32>,
}

struct RowsToSolve<'a> {
    matrix: &'a Csr,
    other: &'a Side,
    x: &'a mut [f32],
    first: usize,
    method: &'a Method,
    regularization: &'a Regularization,
    scratch: &'a mut Scratch,
}

impl WithSimd for RowsToSolve<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { matrix, other, x, first, method, regularization, scratch } = self;
        let stride = other.stride;
        for (n, x) in x.chunks_exact_mut(stride).enumerate() {
            let (columns, confidences) = matrix.row(first + n);
            if columns.is_empty() {
                x.fill(0.0);
                continue;
            }
            match method {
                Method::Inverse(inverse) => {
                    scratch.residual.clear();
                    scratch.residual.resize(stride, 0.0);
                    let b = scratch.residual.as_mut_slice();
                    for &column in columns {
                        add_scaled(simd, 1.0, row_of(other, column), b);
                    }
                    x.fill(0.0);
                    add_rows(simd, inverse, x, |r| b[r]);
                }
                Method::ConjugateGradients { gram, ones } => {
                    let lambda = match regularization {
                        Regularization::Same(lambda) => *lambda,
                        Regularization::PerRow(lambdas) => lambdas[first + n],
                    };
                    scratch.gathered.clear();
                    for &column in columns {
                        scratch.gathered.extend_from_slice(row_of(other, column));
                    }
                    conjugate_gradients(simd, gram, lambda, confidences, *ones, x, scratch);
                }
            }
        }
    }
}

#[inline(always)]
fn row_of(side: &Side, row: u32) -> &[f32] {
    let start = row as usize * side.stride;
    &side.data[start..start + side.stride]
}

#[inline(always)]
fn conjugate_gradients<S: Simd>(
    simd: S,
    gram: &[f32],
    lambda: f32,
    confidences: &[f32],
    ones: bool,
    x: &mut [f32],
    scratch: &mut Scratch,
) {
    let Scratch { gathered, residual, direction, product } = scratch;
    let stride = x.len();
    for buffer in [&mut *residual, &mut *direction, &mut *product] {
        buffer.clear();
        buffer.resize(stride, 0.0);
    }
    // r = b − A x, where b and the rank-one parts of A are one pass over the columns.
    add_rows(simd, gram, residual, |row| -x[row]);
    add_scaled(simd, -lambda, x, residual);
    if ones {
        add_rows(simd, gathered, residual, |_| 1.0);
    } else {
        add_gram_product(simd, gathered, x, residual, |n, dot| {
            confidences[n] - (confidences[n] - 1.0) * dot
        });
    }
    direction.copy_from_slice(residual);
    let mut squared = dot(simd, residual, residual);
    for step in 1..=CG_STEPS {
        if squared < SOLVED {
            return;
        }
        product.fill(0.0);
        add_rows(simd, gram, product, |row| direction[row]);
        add_scaled(simd, lambda, direction, product);
        if !ones {
            add_gram_product(simd, gathered, direction, product, |n, dot| {
                (confidences[n] - 1.0) * dot
            });
        }
        let length = squared / dot(simd, direction, product);
        add_scaled(simd, length, direction, x);
        if step < CG_STEPS {
            add_scaled(simd, -length, product, residual);
            let before = squared;
            squared = dot(simd, residual, residual);
            scale_and_add(simd, squared / before, residual, direction);
        }
    }
}
