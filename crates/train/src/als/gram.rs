//! Gram matrices of factors, and the inverse that rows share.

use super::side::Side;
use crate::error::TrainError;
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::solvers::DenseSolveCore;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side as Triangle};
use rayon::prelude::*;

/// Rows whose products are summed in f32 before the sums meet in f64.
const ROWS_PER_BLOCK: usize = 4_096;
/// Most partial sums at a time: what bounds the memory they take.
const MAX_BLOCKS: usize = 64;

/// `YᵀY` in f64, stride × stride.
pub(super) struct Gram {
    matrix: Mat<f64>,
    rank: usize,
}

/// `YᵀY`: blocks of rows in parallel, then their sum in order, so that threads don't change it.
pub(super) fn gram(side: &Side, rank: usize) -> Gram {
    let stride = side.stride;
    let rows = side.data.len() / stride;
    let per_block = ROWS_PER_BLOCK.max(rows.div_ceil(MAX_BLOCKS));
    let parts: Vec<Vec<f32>> = side
        .data
        .par_chunks(per_block * stride)
        .map(|block| {
            let block = MatRef::from_row_major_slice(block, block.len() / stride, stride);
            let mut part = vec![0f32; stride * stride];
            triangular::matmul(
                MatMut::from_column_major_slice_mut(&mut part, stride, stride),
                BlockStructure::TriangularLower,
                Accum::Replace,
                block.transpose(),
                BlockStructure::Rectangular,
                block,
                BlockStructure::Rectangular,
                1.0,
                Par::Seq,
            );
            part
        })
        .collect();
    let entry = |row: usize, column: usize| {
        let (row, column) = (row.max(column), row.min(column));
        parts.iter().map(|part| f64::from(part[column * stride + row])).sum::<f64>()
    };
    Gram { matrix: Mat::from_fn(stride, stride, entry), rank }
}

impl Gram {
    /// As the row solver takes it: row-major f32.
    pub(super) fn to_f32(&self) -> Vec<f32> {
        flat(self.matrix.as_ref())
    }

    /// `(YᵀY + λI)⁻¹`, stride × stride in f32; padding stays zero.
    pub(super) fn inverse(&self, lambda: f32) -> Result<Vec<f32>, TrainError> {
        let stride = self.matrix.nrows();
        let mut system = self.matrix.clone();
        for n in 0..stride {
            system[(n, n)] += if n < self.rank { f64::from(lambda) } else { 1.0 };
        }
        let factor = system.llt(Triangle::Lower).map_err(|_| {
            TrainError::Diverged(
                "the normal equations have no solution: give --regularization above 0".into(),
            )
        })?;
        let mut inverse = factor.inverse();
        for n in self.rank..stride {
            inverse[(n, n)] = 0.0;
        }
        Ok(flat(inverse.as_ref()))
    }
}

fn flat(matrix: MatRef<'_, f64>) -> Vec<f32> {
    let mut out = Vec::with_capacity(matrix.nrows() * matrix.ncols());
    for row in 0..matrix.nrows() {
        out.extend((0..matrix.ncols()).map(|column| matrix[(row, column)] as f32));
    }
    out
}

/// Scores of a block of users for all items: users × items, row-major into `scores`.
pub(crate) fn scores(users: &[f32], items: &[f32], rank: usize, scores: &mut [f32]) {
    let (rows, columns) = (users.len() / rank, items.len() / rank);
    matmul(
        MatMut::from_row_major_slice_mut(scores, rows, columns),
        Accum::Replace,
        MatRef::from_row_major_slice(users, rows, rank),
        MatRef::from_row_major_slice(items, columns, rank).transpose(),
        1.0,
        Par::Seq,
    );
}
